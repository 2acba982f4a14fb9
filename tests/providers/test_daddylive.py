"""The provider for websites that list channels: what it lists, and how it is set up."""

from __future__ import annotations

import json

from attrs import evolve
from zope.interface.verify import verifyObject

from iptvd.errors import ConfigError
from iptvd.interfaces import IProvider, IRenews, IScheduled
from iptvd.model import Entry, Fetched, SourceKind
from iptvd.providers import daddylive as module
from iptvd.providers.daddylive import KNOWN_FILE, OTHERS, daddylive
from iptvd.refresh import from_row, to_row
from tests.providers.daddylive_case import BASE, HOME, JSON, LIST, PLAIN, STREAM, DaddyliveTestCase, grid
from tests.providers.test_contract import given
from tests.website.pages import vector


class ListingTests(DaddyliveTestCase):
    def test_interfaces(self) -> None:
        """It lists channels, announces events, and resolves anew what has stopped working."""
        for each in (IProvider, IScheduled, IRenews):
            verifyObject(each, self.provider)

    def test_shapes(self) -> None:
        """Whatever shape the list has, the same channels are listed."""
        for url, name in ((LIST, "l1.html"), (LIST, "l2.html"), (JSON, "l3.json")):
            self.web.pages = {LIST: 404, url: vector(name)}
            self.provider = self.make()
            self.assertEqual(self.told(), PLAIN, name)
        self.web.pages = {LIST: 404, JSON: 404, HOME: vector("l4.html")}
        self.provider = self.make()
        self.assertEqual(self.told(), [("69", "PPV 1"), ("70", "PPV 1")])

    def test_entries(self) -> None:
        """A channel has its group, its id in guides and its logo; it is kept on disk and comes back the same."""
        self.web.pages[LIST] = grid("#BBC One UK", "Demo Sports [HD]", "Demo")
        one, sports, other = self.fetch().entries
        self.assertEqual((one.name, one.group, one.tvg_id), ("BBC One UK", "General", "BBCOne.uk"))
        self.assertEqual(one.logo, f"{BASE}/logos/bbc-one-uk.png")
        self.assertEqual((one.source_kind, one.extension), (SourceKind.HLS, "m3u8"))
        self.assertEqual((sports.group, sports.tvg_id, other.group), ("Sports", "", OTHERS))
        for entry in (one, sports, other):
            self.assertEqual(from_row(json.loads(json.dumps(to_row(entry)))), entry)

    def test_groups(self) -> None:
        """The group is what is wished for: the kind of channel, its country or its tags."""
        self.web.pages[LIST] = grid("BBC News UK", "Demo")
        for group_by, groups in (
            ("group", ["News", OTHERS]),
            ("country", ["United Kingdom", OTHERS]),
            ("tags", ["News;Public", OTHERS]),
        ):
            self.provider = self.make(group_by=group_by)
            self.assertEqual([entry.group for entry in self.fetch().entries], groups)

    def test_logos(self) -> None:
        """Logos are where it is said that they are, or nowhere."""
        self.web.pages[LIST] = grid("Demo & One", "é")
        for logos, expected in (
            ("", ""),
            ("https://logos.test/{slug}.jpg", "https://logos.test/demo-one.jpg"),
            ("/pictures/{slug}.png", f"{BASE}/pictures/demo-one.png"),
        ):
            self.provider = self.make(logos=logos)
            first, second = self.fetch().entries
            self.assertEqual((first.logo, second.logo), (expected, ""))

    def test_unchanged(self) -> None:
        """When nothing has changed, that is told; when something has, what there is now."""
        self.web.pages[LIST] = grid("One", "Two")
        self.assertEqual(len(self.fetch().entries), 2)
        self.assertIsNone(given(self.provider.fetch()))
        self.web.pages[LIST] = grid("One", "Three")
        self.assertEqual([entry.name for entry in self.fetch().entries], ["One", "Three"])

    def test_counted(self) -> None:
        """What is left out is counted, with why."""
        self.web.pages[LIST] = vector("l1.html")
        self.assertEqual(
            self.fetch().skipped,
            {"no id": 3, "no name": 1, "listed twice": 1, "listed under another name too": 1},
        )

    def test_moved(self) -> None:
        """When the site has moved, that is followed, and logos come from there."""
        self.web.pages[LIST] = Fetched(200, "https://new.test/24-7-channels.php", {}, grid("One"))
        (entry,) = self.fetch().entries
        self.assertEqual(entry.logo, "https://new.test/logos/one.png")
        self.failure()
        self.assertEqual(self.web.urls[-1], "https://new.test/24-7-channels.php")

    def test_mirrors(self) -> None:
        """When the first address does not help, the next one is asked."""
        self.provider = self.make(base_url="https://dead.test https://odd.test https://tv.test")
        self.web.pages |= {f"https://odd.test{path}": b"<p>" for path in ("/24-7-channels.php", "/daddy.json", "/")}
        self.web.pages[LIST] = grid("One")
        self.assertEqual(self.told(), [("51", "One")])


class KnownChannelsTests(DaddyliveTestCase):
    def write(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        (self.context.state_dir / KNOWN_FILE).write_bytes(data)

    def setUp(self) -> None:
        super().setUp()
        self.web.pages[LIST] = grid("BBC One UK", "Mine")

    def test_own_file(self) -> None:
        """What the operator knows of channels counts, from the next refresh after it was written down."""
        self.assertEqual([entry.group for entry in self.fetch().entries], ["General", OTHERS])
        self.write('[[channel]]\nnames = ["Mine"]\ngroup = "My"\nlogo = "https://logos.example.com/1.png"\n')
        entries = self.fetch().entries
        self.assertEqual([entry.group for entry in entries], ["General", "My"])
        self.assertEqual(entries[1].logo, "https://logos.example.com/1.png")
        self.assertIsNone(given(self.provider.fetch()))

    def test_wrong_file(self) -> None:
        """A file that is wrong is told of, and does not keep the channels from being listed."""
        self.patch(module, "LONGEST", 1000)
        for text, words in (
            ("[[channel]]\nnames = 1\n", "block at line 1"),
            (b"\xff\xfe", "as UTF-8"),
            ("#" * 1001, "longer than"),
        ):
            self.write(text)
            listing = self.fetch()
            self.assertEqual(listing.entries[0].group, "General")
            (reason,) = listing.skipped
            self.assertIn(words, reason)
            self.assertNotIn(str(self.context.state_dir), reason)


class MakerTests(DaddyliveTestCase):
    def test_argument(self) -> None:
        """What follows the name is where the site is: one address or several."""
        self.assertEqual(daddylive.settings_from_argument(BASE + "/"), {"base_url": (BASE,)})
        several = daddylive.settings_from_argument("https://a.test,https://b.test")
        self.assertEqual(several, {"base_url": ("https://a.test", "https://b.test")})
        self.assertEqual(daddylive.settings_from_argument(" "), {})

    def test_bad_argument(self) -> None:
        """A wrong one is refused without being repeated."""
        for argument in ("canary", "https://me:canary@a.test"):
            with self.assertRaises(ConfigError) as raised:
                daddylive.settings_from_argument(argument)
            self.assertNotIn("canary", raised.exception.sentence)

    def test_no_agent(self) -> None:
        """Where no User-Agent is set, none is sent by the sources."""
        self.context = evolve(self.context, user_agent="")
        self.web.pages[STREAM] = vector("p2.html")
        (source,) = given(self.make().resolve(Entry("51", "One")))
        self.assertEqual([name for name, _ in source.headers], ["Referer", "Origin"])
