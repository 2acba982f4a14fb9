"""What is announced, as the guide shows it."""

from __future__ import annotations

from iptvd.epg import announced
from iptvd.epg.announced import LONGEST_TITLE, Announcements, stable_id
from iptvd.epg.linking import EVENTS
from tests.doubles import result
from tests.epg.guide import rows
from tests.epg.linking_case import HOUR, NOW, LinkingCase, channel, event


class AnnouncedTests(LinkingCase):
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
        found = result(self.reader.events("tennis", "", None, None, NOW, 9))
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
        after = {hit.title: hit.event for hit in result(self.reader.events("", "", None, None, NOW, 9))}
        self.assertEqual(after, before)
        self.link(channel(2, "Beta"), event("e", NOW, 2, provider="else"))
        (other,) = result(self.reader.events("", "", None, None, NOW, 9))
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
        stops = {hit.title: hit.stop for hit in result(self.reader.events("", "", None, None, NOW, 9))}
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

    def test_ids(self) -> None:
        """An event has one id for life; another key or another provider is another event."""
        self.assertEqual(stable_id("site", "e"), stable_id("site", "e"))
        odd = {
            stable_id(*each) for each in (("site", "e"), ("site", "f"), ("else", "e"), ("sit", "ee"), ("s\ud800", ""))
        }
        self.assertEqual(len(odd), 5)

    def test_texts(self) -> None:
        """What XML does not have is left out of a title and a category, and both are cut."""
        taken = Announcements({})
        taken.take({"provider": "site", "key": "e", "start": 60, "stop": 30, "channels": [],
                    "title": " \x01A\ufffe & B" + "x" * 2 * LONGEST_TITLE, "category": "\x00Tennis "})  # fmt: skip
        (one,) = taken.events()
        self.assertEqual((one.title[:5], len(one.title), one.category), ("A & B", LONGEST_TITLE - 1, "Tennis"))
        # An end before the beginning tells nothing.
        self.assertIsNone(one.stop)

    def test_what_is_no_event(self) -> None:
        """What a provider gives instead of an event raises an error, and is not among them."""
        taken = Announcements({})
        good = {
            "provider": "site",
            "key": "e",
            "start": 60,
            "stop": None,
            "channels": [],
            "title": "T",
            "category": "",
        }
        for name, value in (("start", "soon"), ("start", None), ("title", 5), ("channels", 7)):
            self.assertRaises((TypeError, ValueError), taken.take, good | {name: value})
        self.assertRaises(KeyError, taken.take, {"provider": "site"})
        self.assertEqual(taken.events(), [])
        taken.take(good)
        self.assertEqual([(one.start, one.stop) for one in taken.events()], [(60, None)])
