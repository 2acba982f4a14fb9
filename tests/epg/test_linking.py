"""The lineup, put into the guide's database."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256

from iptvd.epg import linking
from iptvd.epg.linking import KIND
from iptvd.errors import ProtocolError
from tests.epg.guide import rows
from tests.epg.linking_case import HOUR, NOW, LinkingCase, channel, event


class LinkingTests(LinkingCase):
    def test_matches(self) -> None:
        """Channels show what the guide says, by rule, id and name; and how they were found can be asked."""
        self.guide(a="Alpha", b="Beta", c="Gamma Documentaries")
        said = self.link(
            channel(1, "Alpha HD"),
            channel(2, "Anything", tvg_id="b.test"),
            channel(3, "Other", guide="a.test", shift=HOUR),
            channel(4, "Gamma Documentries"),
            channel(5, "Alpha", guide="-"),
            channel(6, "Alpha +1"),
            channel(7, "Nothing"),
        )
        self.assertEqual(said, {"channels": 7, "matched": 5, "events": 0, "skipped": {}})
        self.assertEqual(self.on_now(1, 2, 3, 4, 5, 6), ["Alpha 0", "Beta 0", "", "Gamma Documentaries 0", "", ""])
        self.assertEqual(self.titles(3), [("Alpha 0", 1, 2), ("Alpha 10", 11, 12)])
        self.assertEqual(self.titles(6), self.titles(3))
        matches = {match.channel: (match.how, match.guide_id, match.shift) for match in self.matches()}
        self.assertEqual(
            matches,
            {
                1: ("name", "a.test", 0),
                2: ("id", "b.test", 0),
                3: ("rule", "a.test", HOUR),
                4: ("fuzzy", "c.test", 0),
                6: ("name", "a.test", HOUR),
            },
        )

    def test_films(self) -> None:
        """A film can be searched, and is never matched, not even by a rule."""
        self.guide(a="Alpha")
        said = self.link(channel(1, "Alpha", kind="vod"), channel(2, "Alpha", kind="vod", guide="a.test"))
        self.assertEqual((said["channels"], said["matched"]), (2, 0))
        self.assertEqual(self.search("alpha"), ["channel Alpha", "channel Alpha"])

    def test_search(self) -> None:
        """What is searched is the lineup as it is now, with the programmes of its channels only."""
        self.guide(a="Alpha", b="Béta")
        self.link(channel(1, "Alpha"), channel(2, "Zoé"))
        self.assertEqual(self.search("alpha"), ["channel Alpha", "programme Alpha 0", "programme Alpha 10"])
        self.assertEqual(self.search("zoe"), ["channel Zoé"])
        self.link(channel(1, "Beta"))
        self.assertEqual(self.search("alpha"), [])
        self.assertEqual(self.search("zoe"), [])
        self.assertEqual(self.search("beta"), ["channel Beta", "programme Béta 0", "programme Béta 10"])

    def test_many_channels(self) -> None:
        """However many channels there are, all of them are there, in their order."""
        self.patch(linking, "_BATCH", 2)
        said = self.link(*(channel(number, f"Kite {number}") for number in range(5, 0, -1)))
        self.assertEqual(said["channels"], 5)
        self.assertEqual(self.search("kite"), [f"channel Kite {number}" for number in range(5, 0, -1)])

    def test_own_guide(self) -> None:
        """A provider's own guide is preferred for its channels."""
        self.guide("one", a="Alpha")
        self.guide("site", x="Alpha")
        guides = {"one": [], "site": ["site"]}
        self.link(channel(1, "Alpha"), channel(2, "Alpha", entries=[["else", "a"]]), guides=guides)
        self.assertEqual({match.channel: match.source for match in self.matches()}, {1: "site", 2: "one"})

    def test_the_revision(self) -> None:
        """What is shown is another only when something has changed."""
        self.guide(a="Alpha", b="Beta")
        items = [channel(1, "Alpha"), channel(2, "Else"), event("e", NOW, 2), event("f", NOW + HOUR)]
        self.link(*items)
        before = self.revision()
        self.link(*items)
        self.assertEqual(self.revision(), before)
        changes: list[list[dict[str, object]]] = [
            [channel(1, "Alpha HD"), *items[1:]],
            [channel(1, "Alpha HD", guide="b.test"), *items[1:]],
            [channel(1, "Alpha HD", guide="b.test", shift=60), *items[1:]],
            [items[1], items[0], *items[2:]],
            [*items[:2], event("e", NOW + 60, 2), items[3]],
            [*items[:2], event("e", NOW + 60, 1, 2), items[3]],
            [*items[:2], event("e", NOW + 60, 1, 2), event("f", NOW + HOUR, title="Else")],
            items[:2],
            [],
        ]
        for change in changes:
            self.link(*change)
            self.assertEqual(self.revision(), before + 1)
            self.link(*change)
            self.assertEqual(self.revision(), before + 1)
            before += 1

    def test_guides_that_are_gone(self) -> None:
        """What a guide said that is not named any more is gone, from the disk too."""
        self.guide("one", a="Alpha")
        self.guide("two", b="Beta")
        items = (channel(1, "Alpha"), channel(2, "Beta"))
        self.link(*items, guides={"one": [], "two": []})
        self.assertEqual(self.on_now(1, 2), ["Alpha 0", "Beta 0"])
        self.link(*items, guides={"two": []})
        self.assertEqual(self.on_now(1, 2), ["", "Beta 0"])
        self.assertEqual(rows(self.database, "SELECT DISTINCT source FROM guide_channel"), [("two",)])
        self.assertEqual(rows(self.database, "SELECT count(*) FROM programme"), [(2,)])
        self.assertEqual(self.search("alpha"), ["channel Alpha"])
        self.link(*items, guides={})
        self.assertEqual(rows(self.database, "SELECT count(*) FROM guide_channel"), [(0,)])

    def test_odd_text(self) -> None:
        """Names that no file can hold are kept as far as they can."""
        self.link(channel(1, "A\ud800b"), channel(2, "B"), event("e", NOW, 2, title="T\ud800"), guides={})
        self.assertEqual(self.search("b"), ["channel A?b", "channel B"])
        self.assertEqual(self.on_now(2), ["T"])

    def test_damaged(self) -> None:
        """A lineup that is not what it should be leaves everything as it was, and the sentence names no place."""
        self.guide(a="Alpha")
        self.link(channel(1, "Alpha"))
        good: dict[str, object] = {"guides": {"one": []}}
        paths = [
            self.file(good, channel(2, "Alpha"), kind="other 1").rename(self.folder / "kind"),
            self.file(channel(2, "Alpha")).rename(self.folder / "no guides"),
            self.file().rename(self.folder / "nothing"),
            self.folder / "missing",
        ]
        start: dict[str, object] = {"provider": "site", "key": "e", "category": "", "stop": None, "channels": []}
        bad: object
        for number, bad in enumerate(
            (
                channel(2, "Alpha") | {"entries": 5},
                channel(2, "Alpha") | {"name": None},
                {"channel": 2},
                {"event": {}},
                {"event": start | {"title": "Title", "start": "soon"}},
                {"event": start | {"title": 7, "start": NOW}},
                channel(1 << 70, "Alpha"),
                {"event": None},
                {},
                [],
                7,
                None,
            )
        ):
            paths.append(self.file(good, bad).rename(self.folder / f"bad {number}"))
        whole = self.file(good, channel(2, "Alpha")).read_bytes()
        for name, content in (
            ("cut", whole[:-9]),
            ("longer", whole + b"{}\n"),
            ("head", b"{}\n" + whole),
            ("list", b"[]\n"),
            ("empty", b""),
            ("binary", bytes(range(256)) * 99),
            ("not json", _signed(b"nonsense\n")),
            ("not text", _signed(b'"\xff\xfe"\n')),
        ):
            paths.append(self.folder / name)
            paths[-1].write_bytes(content)
        for path in paths:
            with self.assertRaises(ProtocolError) as caught:
                linking.run([str(self.database), str(path)])
            self.assertNotIn(str(self.folder), caught.exception.sentence)
            self.assertEqual(self.on_now(1, 2), ["Alpha 0", ""], path.name)

    def test_as_a_child(self) -> None:
        """It says in a line of JSON how it went, and ends with what that means."""
        good = self.file({"guides": {}}, channel(1, "Alpha"))
        for path, status, part in (
            (good, 0, {"channels": 1, "matched": 0, "events": 0}),
            (self.folder / "missing", 3, {"state": "not_understood"}),
        ):
            command = [sys.executable, "-m", "iptvd.epg.linking", str(self.database), str(path)]
            done = subprocess.run(command, capture_output=True, check=False, timeout=60)
            said = json.loads(done.stderr.splitlines()[-1])
            self.assertEqual((done.returncode, {**said, **part}), (status, said))
            self.assertEqual(done.stdout, b"")


def _signed(body: bytes) -> bytes:
    """A whole file with this in it."""
    head = {"kind": KIND, "rows": 1, "sha256": sha256(body).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body
