"""The provider for websites that list channels."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from iptvd.errors import ConfigError, ProviderError
from iptvd.interfaces import IProvider, IRenews, IScheduled
from iptvd.model import Entry, Fetched, Listing, ProviderState, Schedule, Source, SourceKind
from iptvd.providers import daddylive as module
from iptvd.providers.daddylive import KNOWN_FILE, OTHERS, DaddyliveProvider, daddylive
from iptvd.refresh import from_row, to_row
from iptvd.website.settings import WebsiteSettings
from tests.providers.test_contract import given
from tests.website.pages import Page, WebsiteTestCase, text_vector, vector

BASE = "https://tv.test"
LIST, JSON, HOME = f"{BASE}/24-7-channels.php", f"{BASE}/daddy.json", f"{BASE}/"
S1 = f"{BASE}/schedule/schedule-generated.php"
STREAM, PLAYER = f"{BASE}/stream/stream-51.php", "https://play.test/p.php"
LOOKUP = "https://play.test/server_lookup.php?channel_id=premium51"

PLAIN = [("51", "Demo & One"), ("52", "Demo Two"), ("news-1", "Café")]


def grid(*names: str) -> bytes:
    """A list with these channels."""
    rows = (
        f'<div class="grid-item"><a href="/stream/stream-{number}.php"><strong>{name}</strong></a></div>'
        for number, name in enumerate(names, 51)
    )
    return "".join(rows).encode()


class DaddyliveTestCase(WebsiteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.provider = self.make()

    def make(self, **settings: Any) -> DaddyliveProvider:
        provider = daddylive.make(WebsiteSettings(**{"base_url": BASE, **settings}), self.context)
        assert isinstance(provider, DaddyliveProvider)
        return provider

    def fetch(self) -> Listing:
        listing = given(self.provider.fetch())
        assert listing is not None
        return listing

    def told(self) -> list[tuple[str, str]]:
        return [(entry.key, entry.name) for entry in self.fetch().entries]

    def failure(self, work: Callable[[], object] | None = None) -> ProviderError:
        with self.assertRaises(ProviderError) as raised:
            if work is None:
                given(self.provider.fetch())
            else:
                work()
        error = raised.exception
        assert isinstance(error, ProviderError)
        return error

    def schedule(self) -> Schedule:
        return given(self.provider.schedule())


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


class FailureTests(DaddyliveTestCase):
    def test_unconfigured(self) -> None:
        """Without an address it says which setting is missing, and nothing is asked."""
        self.provider = self.make(base_url="")
        works = (None, self.schedule, lambda: given(self.provider.resolve(Entry("51", "One"))))
        for work in works:
            self.assert_state(self.failure(work), ProviderState.UNCONFIGURED, "set base_url of provider mine")
        self.assertEqual(self.web.asked, [])

    def test_not_understood(self) -> None:
        """A page without channels is a failure that names the place, never an empty list."""
        self.web.pages = {LIST: b"<html>", JSON: 404, HOME: b"<html>"}
        self.assert_state(
            self.failure(),
            ProviderState.NOT_UNDERSTOOD,
            "channel list, shape L1, 0 of 1 selectors matched; L2, 0 of 1 selectors matched; "
            "L3, there is no such page; L4, 0 of 1 selectors matched",
        )
        self.web.pages = {LIST: 404, JSON: b"<html>", HOME: 302}
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "L3, the JSON is", "L4, the site answers with")

    def test_changed(self) -> None:
        """When a site changes, the shape that it had is named first."""
        self.web.pages = {LIST: vector("l2.html"), JSON: 500}
        self.fetch()
        self.web.pages[LIST] = vector("l2.html").replace(b"card__title", b"title")
        words = "channel list, shape L2, 2 of 3 selectors matched: none for name; L1, 0 of 1"
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, words)

    def test_changed_to_another_shape(self) -> None:
        """A site that changes to another known shape goes on, unless most of its channels would be lost."""
        self.web.pages = {LIST: vector("l1.html")}
        self.fetch()
        self.web.pages[LIST] = vector("l2.html")
        self.assertEqual(self.told(), PLAIN)
        self.web.pages = {LIST: grid(*map(str, range(5)))}
        self.fetch()
        self.web.pages = {LIST: b"<html>", HOME: vector("l4.html")}
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "L4, only 2 channels where there were 5")

    def test_blocked(self) -> None:
        """A refusal, a challenge and a wish for a key are blocked, with the status seen, and left alone."""
        challenge = vector("challenge.html")
        cases: tuple[tuple[dict[str, Page], list[str]], ...] = (
            ({LIST: 403}, [LIST]),
            ({LIST: 401}, [LIST]),
            ({LIST: 451}, [LIST]),
            ({LIST: challenge}, [LIST]),
            ({LIST: Fetched(503, LIST, {}, challenge)}, [LIST]),
            ({LIST: 404, JSON: 403}, [LIST, JSON]),
            ({LIST: 404, JSON: b'{"error": "api key required"}'}, [LIST, JSON]),
        )
        for pages, asked in cases:
            # The home page and another address would have channels.
            self.web.pages = {HOME: vector("l4.html"), "https://two.test/24-7-channels.php": grid("One"), **pages}
            self.provider = self.make(base_url=f"{BASE},https://two.test")
            self.web.asked.clear()
            self.assert_state(self.failure(), ProviderState.BLOCKED, "status", "left alone")
            self.assertEqual(self.web.urls, asked)

    def test_unreachable(self) -> None:
        """When nothing answers, or the server fails, that is what is told."""
        self.assert_state(self.failure(), ProviderState.UNREACHABLE, "does not answer")
        self.web.pages[LIST] = 502
        self.assert_state(self.failure(), ProviderState.UNREACHABLE, "status 502")
        self.assertEqual(set(self.web.urls), {LIST})

    def test_too_long(self) -> None:
        """A page that is too long is not read."""
        self.web.pages = {LIST: grid("One") + b" " * 5_000_000}
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "too long")


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


class ResolvingTests(DaddyliveTestCase):
    entry = Entry("51", "One")

    def setUp(self) -> None:
        super().setUp()
        self.web.pages |= {
            STREAM: f'<iframe src="{PLAYER}" allowfullscreen></iframe>'.encode(),
            PLAYER: vector("p1.html"),
            LOOKUP: b'{"server_key": "zz"}',
        }

    def resolve(self) -> list[Source]:
        return list(given(self.provider.resolve(self.entry)))

    def test_resolves(self) -> None:
        """A channel leads to its playlist, also when nothing was fetched before."""
        (source,) = self.resolve()
        self.assertEqual(source.url, "https://zznew.cdn.example.com/zz/premium51/mono.m3u8")
        self.assertNotIn("example.com", repr(source))

    def test_kept_and_forgotten(self) -> None:
        """It is resolved once, until it expires or an origin has refused it."""
        self.assertEqual(self.resolve(), self.resolve())
        self.assertEqual(len(self.web.asked), 3)
        self.provider.forget(self.entry)
        self.resolve()
        self.assertEqual(len(self.web.asked), 6)
        self.clock.advance(301)
        self.resolve()
        self.assertEqual(len(self.web.asked), 9)

    def test_once_for_all(self) -> None:
        """Viewers who come at the same moment make the site be asked once; one who leaves takes nothing away."""
        self.web.waiting = {PLAYER}
        works = [self.provider.resolve(self.entry) for _ in range(3)]
        waiting = [Deferred.fromCoroutine(work) for work in works]
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        self.web.held[PLAYER].callback(self.web.answer(PLAYER))
        self.assertEqual(self.successResultOf(waiting[1]), self.successResultOf(waiting[2]))
        self.assertEqual(self.web.urls, [STREAM, PLAYER, LOOKUP])

    def test_where_the_site_is(self) -> None:
        """Channels are asked for where the site is now."""
        self.web.pages[LIST] = Fetched(200, "https://new.test/24-7-channels.php", {}, grid("One"))
        self.fetch()
        self.failure(self.resolve)
        self.assertIn("https://new.test/stream/stream-51.php", self.web.urls)

    def test_odd_entries(self) -> None:
        """An entry that is none of the site's leads nowhere."""
        for key in ("", "../x", "a b"):
            self.entry = Entry(key, "Odd")
            self.assert_state(self.failure(self.resolve), ProviderState.NOT_UNDERSTOOD, "refresh")
        self.assertEqual(self.web.asked, [])

    def test_settings(self) -> None:
        """Where the site's pages and playlists are can be set."""
        self.provider = self.make(stream_paths=("live",), playlist="https://a.test/{server}/{key}.m3u8", cdn="x.test")
        self.web.pages[f"{BASE}/live/stream-51.php"] = self.web.pages[STREAM]
        self.assertEqual([each.url for each in self.resolve()], ["https://a.test/zz/premium51.m3u8"])


class ScheduleTests(DaddyliveTestCase):
    def test_shapes(self) -> None:
        """Events are announced whatever shape the schedule has."""
        self.web.pages = {S1: vector("s1.json")}
        self.assertEqual(len(self.schedule().events), 6)
        self.assertEqual(sum(self.schedule().skipped.values()), 16)
        for page in (404, 500, b"<html>", b"{}", b"[1]"):
            self.web.pages = {S1: page, HOME: vector("s2.html")}
            self.assertEqual(len(self.schedule().events), 5)

    def test_pages_that_fail(self) -> None:
        """Where one page fails and the other has none, it is said what failed; a refusal ends it at once."""
        for page, home, state in (
            (500, b"<html>", ProviderState.UNREACHABLE),
            (403, vector("s2.html"), ProviderState.BLOCKED),
        ):
            self.web.pages = {S1: page, HOME: home}
            with self.assertRaises(ProviderError) as caught:
                self.schedule()
            self.assertEqual(caught.exception.state, state)

    def test_channels(self) -> None:
        """An event names its channels by the keys of the entries."""
        self.web.pages = {S1: vector("s1.json"), LIST: vector("l1.html")}
        keys = {entry.key for entry in self.fetch().entries}
        self.assertEqual(self.schedule().events[0].channels, ("51", "52"))
        self.assertLessEqual({"51", "52"}, keys)

    def test_zone(self) -> None:
        """The time zone of the settings counts before that of the schedule."""
        self.web.pages = {S1: vector("s1.json")}
        first = self.schedule().events[0].start
        self.provider = self.make(timezone="UTC")
        self.assertEqual(self.schedule().events[0].start - first, 3600)

    def test_unknown_zone(self) -> None:
        """On a machine without time zones it says what to install."""
        self.web.pages = {S1: vector("s1.json")}

        def missing(name: str) -> object:
            raise KeyError(name)

        self.patch(module, "ZoneInfo", missing)
        self.assert_state(self.failure(self.schedule), ProviderState.UNCONFIGURED, "install tzdata")

    def test_not_understood(self) -> None:
        """A schedule in no known shape is a failure that names the place."""
        self.web.pages = {S1: b"<html>", HOME: b"<html>"}
        words = ("schedule, shape S1, the JSON is", "shape S2, 0 of 1 selectors matched")
        self.assert_state(self.failure(self.schedule), ProviderState.NOT_UNDERSTOOD, *words)
        self.web.pages = {S1: 404, HOME: text_vector("s2.html").replace("data-time", "data-t").encode()}
        words = ("shape S1, there is no such page", "shape S2, 1 of 2 selectors matched: none for time")
        self.assert_state(self.failure(self.schedule), ProviderState.NOT_UNDERSTOOD, *words)

    def test_blocked(self) -> None:
        """A refusal is blocked, and the other shape is not tried."""
        for page in (403, vector("challenge.html")):
            self.web.pages = {S1: page, HOME: vector("s2.html")}
            self.assert_state(self.failure(self.schedule), ProviderState.BLOCKED, "status")


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
