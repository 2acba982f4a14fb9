"""The lineup and the events, put into the guide's database."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg import announced, linking
from iptvd.epg.linking import EVENTS, KIND
from iptvd.epg.reading import GuideReader, Match
from iptvd.errors import ProtocolError
from iptvd.store import RowsFile, read_rows
from tests.doubles import folder_for, offload, result, sliced
from tests.epg.guide import Shown, rows, take_in, xmltv

HOUR = 3600
#: On the minute, so that what is told in minutes is told whole.
NOW = int(time.time()) // 60 * 60


def channel(number: int, name: str, **other: object) -> dict[str, object]:
    """A row of a channel whose provider knows it by its number."""
    row: dict[str, object] = {
        "channel": number,
        "number": number,
        "name": name,
        "group": "Group",
        "kind": "live",
        "xmltv_id": f"{number}.test",
        "tvg_id": "",
        "tvg_name": "",
        "logo": True,
        "guide": "",
        "shift": 0,
        "entries": [["site", f"key {number}"]],
    }
    return row | other


def event(key: str, start: float, *channels: int, **other: object) -> dict[str, object]:
    """A row of an event on these channels."""
    row: dict[str, object] = {
        "provider": "site",
        "key": key,
        "title": f"Title {key}",
        "category": "Tennis",
        "start": start,
        "stop": None,
        "channels": [f"key {number}" for number in channels],
    }
    return {"event": row | other}


class LinkingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_for(self)
        self.database = self.folder / "guide.db"
        self.reader = GuideReader(self.database, offload)
        self.addCleanup(self.reader.close)

    def guide(self, source: str = "one", **names: str) -> None:
        """A guide in which each channel, by its id, has two programmes: on now, and in ten hours."""
        shown = [
            Shown(f"{guide_id}.test", NOW + hours * HOUR, NOW + (hours + 1) * HOUR, f"{name} {hours}")
            for guide_id, name in names.items()
            for hours in (0, 10)
        ]
        take_in(self.database, source, xmltv(shown, {f"{guide_id}.test": name for guide_id, name in names.items()}))

    def file(self, *items: object, kind: str = KIND) -> Path:
        path = self.folder / "lineup.rows"
        result(RowsFile(path, kind, sliced, offload).save(items))
        return path

    def link(self, *items: object, guides: dict[str, list[str]] | None = None) -> dict[str, object]:
        """Link this; what the child says."""
        path = self.file({"guides": {"one": []} if guides is None else guides}, *items)
        return linking.run([str(self.database), str(path)])

    def on_now(self, *channels: int) -> list[str]:
        found = result(self.reader.now_next(channels, NOW + 60))
        return [on.title if (on := found.get(each, (None, None))[0]) is not None else "" for each in channels]

    def titles(self, number: int) -> list[tuple[str, int, int]]:
        """What a channel shows in these days, with the hours from now at which it begins and ends."""
        listed = result(self.reader.programmes(number, NOW - 30 * HOUR, NOW + 60 * HOUR))
        return [(one.title, int(one.start - NOW) // HOUR, int(one.stop - NOW) // HOUR) for one in listed]

    def search(self, words: str) -> list[str]:
        return [f"{hit.type} {hit.title}" for hit in result(self.reader.search(words, NOW, 50))]

    def revision(self) -> int:
        return result(self.reader.revision())

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

    def matches(self) -> Sequence[Match]:
        return result(self.reader.matches("", 0, 100))

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

    def test_events(self) -> None:
        """Events are there with their channels, under ids that stay."""
        self.guide(a="Alpha")
        said = self.link(
            channel(1, "Alpha", entries=[["site", "key 1"], ["site", "key 11"]]),
            channel(2, "Beta"),
            event("e", NOW, 1, 11, 2, 99),
            event("e", NOW, 1),
            event("f", NOW + HOUR, stop=NOW + 5 * HOUR),
            event("g", NOW, title=" \x00"),
            event("h", -5),
            event("i", float("inf")),
            event("j", 1 << 40),
        )
        self.assertEqual(said["events"], 2)
        self.assertEqual(
            said["skipped"],
            {
                "a channel of an event that is not in the lineup": 1,
                "an event that is announced twice": 1,
                "an event without a title": 1,
                "an event out of all time": 3,
            },
        )
        found = result(self.reader.events("tennis", "", None, None, None, 9))
        self.assertEqual(
            [(hit.title, hit.channels, hit.start, hit.stop) for hit in found],
            [
                ("Title e", ((1, "Alpha"), (2, "Beta")), NOW, NOW + 2 * HOUR),
                ("Title f", (), NOW + HOUR, NOW + 5 * HOUR),
            ],
        )
        self.assertEqual(self.search("titl e"), ["event Title e"])
        before = {hit.title: hit.event for hit in found}
        self.link(channel(2, "Beta"), event("f", NOW + 3 * HOUR), event("e", NOW + 60, 2))
        after = {hit.title: hit.event for hit in result(self.reader.events("", "", None, None, None, 9))}
        self.assertEqual(after, before)
        self.link(channel(2, "Beta"), event("e", NOW, 2, provider="else"))
        (other,) = result(self.reader.events("", "", None, None, None, 9))
        self.assertNotEqual(other.event, before["Title e"])

    def test_events_where_no_guide_is(self) -> None:
        """A channel shows its events where no guide says what it shows then; a guide goes over them."""
        self.guide(a="Alpha")
        self.link(
            channel(1, "Alpha"),
            channel(2, "Beta"),
            event("on now", NOW - HOUR, 1, 2, stop=NOW + 60),
            event("later", NOW + 3 * HOUR, 1, 2, title="<Later> & more", category="A & B"),
        )
        self.assertEqual(self.titles(1), [("Alpha 0", 0, 1), ("<Later> & more", 3, 5), ("Alpha 10", 10, 11)])
        self.assertEqual(self.titles(2), [("Title on now", -1, 0), ("<Later> & more", 3, 5)])
        (later,) = result(self.reader.programmes(2, NOW + 4 * HOUR, NOW + 5 * HOUR))
        self.assertEqual(later.categories, ("A & B",))
        self.assertEqual({match.channel for match in self.matches()}, {1})
        self.assertEqual(self.search("later"), ["event <Later> & more"])
        # When the guide knows the channel, and when it is announced no more.
        self.guide("two", b="Beta")
        self.link(channel(2, "Beta"), event("on now", NOW, 2), guides={"two": []})
        self.assertEqual(self.titles(2), [("Beta 0", 0, 1), ("Beta 10", 10, 11)])
        self.assertEqual(rows(self.database, "SELECT name FROM source"), [("two",)])
        self.assertEqual(rows(self.database, "SELECT count(*) FROM programme WHERE title LIKE '%Later%'"), [(0,)])

    def test_a_shifted_guide_covers_later(self) -> None:
        """Whether a guide says what is on is asked of the time at which the channel shows it."""
        self.guide(a="Alpha")
        self.link(
            channel(1, "Alpha", shift=2 * HOUR), event("e", NOW, 1, stop=NOW + HOUR), event("f", NOW + 2 * HOUR, 1)
        )
        self.assertEqual(self.titles(1), [("Title e", 0, 1), ("Alpha 0", 2, 3), ("Alpha 10", 12, 13)])

    def test_how_long_events_last(self) -> None:
        """Two hours when it is not told, and never longer on a channel than until its next event."""
        self.link(
            channel(1, "Alpha"),
            channel(2, "Beta"),
            event("a", NOW, 1, 2),
            event("b", NOW + HOUR, 1, stop=NOW + 9 * HOUR),
            event("c", NOW + 5 * HOUR, 1),
            event("d", NOW + 5 * HOUR, 1, stop=NOW),
            event("e", NOW + 20 * HOUR, stop=float("nan")),
            guides={},
        )
        titles = self.titles(1)
        self.assertEqual(titles[:2], [("Title a", 0, 1), ("Title b", 1, 5)])
        self.assertEqual([times for _, *times in titles[2:]], [[5, 7]])
        self.assertEqual(self.titles(2), [("Title a", 0, 2)])
        stops = {hit.title: hit.stop for hit in result(self.reader.events("", "", None, None, None, 9))}
        self.assertEqual((stops["Title a"], stops["Title b"]), (NOW + 2 * HOUR, NOW + 9 * HOUR))
        self.assertEqual(stops["Title e"], NOW + 22 * HOUR)
        self.assertEqual({stops["Title c"], stops["Title d"]}, {NOW + 5 * HOUR + 60, NOW + 7 * HOUR})

    def test_bounds_of_events(self) -> None:
        """However many events and channels of them are announced, there is a most of both."""
        self.patch(announced, "MOST", 2)
        self.patch(announced, "MOST_CHANNELS", 3)
        items = [channel(1, "A"), channel(2, "B"), event("a", NOW, 1, 2), event("b", NOW, 1, 2), event("c", NOW)]
        said = self.link(*items, guides={})
        self.assertEqual(said["skipped"], {"too many channels of events": 1, "too many events": 1})

    def test_a_provider_with_the_name_of_events(self) -> None:
        """A guide that has the name under which events go is a guide all the same."""
        self.guide(EVENTS, a="Alpha")
        self.link(channel(1, "Alpha"), channel(2, "Beta"), event("e", NOW, 2), guides={EVENTS: []})
        self.assertEqual(self.on_now(1, 2), ["Alpha 0", "Title e"])

    def test_an_import_in_between(self) -> None:
        """What channels show by their events stays when a guide is taken in anew."""
        self.guide(a="Alpha")
        items = (channel(1, "Alpha"), channel(2, "Beta"), event("e", NOW, 2))
        self.link(*items)
        self.guide(a="Alpha")
        self.assertEqual(self.on_now(1, 2), ["Alpha 0", "Title e"])
        before = self.revision()
        self.link(*items)
        self.assertEqual(self.on_now(1, 2), ["Alpha 0", "Title e"])
        # The listing names the new guide's rows already.
        self.assertEqual(self.revision(), before)

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

    def test_rows_one_after_another(self) -> None:
        """A file of rows gives them back as they were put in."""
        items: list[object] = [{"a": "é\ud800\u2028\n"}, 5, None, "x" * 5000]
        self.assertEqual(list(read_rows(self.file(*items), KIND)), items)
        self.assertEqual(list(read_rows(self.file(), KIND)), [])

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
