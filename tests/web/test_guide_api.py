"""Events, searches and matches, as they are told over HTTP."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from tests.doubles import folder_for, join
from tests.epg.guide import Shown
from tests.web.building import HOME, OPERATOR, STRANGER, entries, lineup_of, query
from tests.web.on_air import HOUR, NOW, OnAir


class EventTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = OnAir(folder_for(self))
        self.addCleanup(self.tree.reader.close)
        self.tree.guide(Shown("a", NOW, NOW + HOUR, "Something"))
        self.first, self.second, _ = self.tree.ids

    def announce(self) -> None:
        """One that is on, one that comes, one that is over."""
        self.tree.event(1, "Ann vs Bob", NOW - HOUR, NOW + HOUR, "Tennis", self.second, self.first)
        self.tree.event(2, "Late match", NOW + 2 * HOUR, NOW + 3 * HOUR, "Soccer")
        self.tree.event(3, "Over", NOW - 3 * HOUR, NOW - 2 * HOUR, "Soccer", self.first)

    def titles(self, **arguments: str) -> list[str]:
        return [event["title"] for event in self.tree.tell("/api/events" + query(**arguments))["events"]]

    def test_without_any(self) -> None:
        """Without events, and without a database, there are none."""
        self.assertEqual(self.tree.tell("/api/events"), {"events": []})
        self.tree.database.unlink()
        self.tree.reader.close()
        self.assertEqual(self.tree.tell("/api/events"), {"events": []})

    def test_an_event(self) -> None:
        """An event has an id, a title, a category, its times in UTC, its channels by our ids, and who announces it."""
        self.announce()
        event = self.tree.tell("/api/events")["events"][0]
        channels = [{"id": self.first, "name": "Channel 1"}, {"id": self.second, "name": "Channel 2"}]
        self.assertEqual(
            event,
            {
                "id": "e1",
                "title": "Ann vs Bob",
                "category": "Tennis",
                "start": "2030-03-17T16:47:00Z",
                "end": "2030-03-17T18:47:00Z",
                "live": True,
                "channels": channels,
                "provider": "home",
            },
        )

    def test_what_is_asked_for(self) -> None:
        """Events are chosen by category, words, times, and whether they are on; else those that are not over."""
        self.announce()
        self.assertEqual(self.titles(), ["Ann vs Bob", "Late match"])
        self.assertEqual(self.titles(category="soccer"), ["Late match"])
        self.assertEqual(self.titles(category="Socc"), [])
        self.assertEqual(self.titles(q="bo"), ["Ann vs Bob"])
        self.assertEqual(self.titles(q="bob late"), [])
        self.assertEqual(self.titles(live="true"), ["Ann vs Bob"])
        self.assertEqual(self.titles(live="0"), ["Ann vs Bob", "Late match"])
        self.assertEqual(self.titles(**{"from": "0"}), ["Over", "Ann vs Bob", "Late match"])
        self.assertEqual(self.titles(**{"from": "0", "to": str(NOW)}), ["Over", "Ann vs Bob"])
        self.assertEqual(self.titles(**{"from": "2030-03-17T19:00:00Z"}), ["Late match"])
        self.assertEqual(self.titles(limit="1"), ["Ann vs Bob"])
        self.assertEqual(self.titles(**{"from": "0", "live": "1"}), ["Ann vs Bob"])
        self.assertEqual(self.titles(category="Tennis", q="ann", live="1", to=str(NOW)), ["Ann vs Bob"])

    def test_live_is_now(self) -> None:
        """Whether an event is on is said of this moment, whatever time is asked for."""
        self.announce()
        events = self.tree.tell("/api/events?from=0")["events"]
        self.assertEqual([event["live"] for event in events], [False, True, False])

    def test_refused(self) -> None:
        """What makes no sense is refused with a sentence."""
        for arguments in ({"from": "x"}, {"to": "x"}, {"live": "x"}, {"limit": "0"}, {"q": "x" * 201}):
            self.assertEqual(self.tree.ask("/api/events" + query(**arguments)).status, 400, arguments)


class SearchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = OnAir(folder_for(self))
        self.addCleanup(self.tree.reader.close)
        self.tree.guide(
            Shown("a", NOW - HOUR, NOW + HOUR, "Chânge of weather"),
            Shown("b", NOW + HOUR, NOW + 2 * HOUR, "Changing rooms"),
            Shown("a", NOW - 3 * HOUR, NOW - HOUR, "Changed"),
        )
        self.first, self.second, _ = self.tree.ids
        self.tree.event(1, "Champions", NOW + 60, NOW + HOUR, "Soccer", self.first)

    def search(self, **arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.tree.tell("/api/search" + query(**arguments))["results"]
        return found

    def test_results(self) -> None:
        """Channels, programmes and events come typed: channels, what is on now, then what comes soonest."""
        results = self.search(q="cha", limit="6")
        self.assertEqual(
            [(each["type"], each.get("title", each.get("name"))) for each in results],
            [
                ("channel", "Channel 1"),
                ("channel", "Channel 2"),
                ("channel", "Channel 3"),
                ("programme", "Chânge of weather"),
                ("event", "Champions"),
                ("programme", "Changing rooms"),
            ],
        )
        self.assertEqual(results[0], {"type": "channel", "id": self.first, "name": "Channel 1"})
        self.assertEqual(
            results[3],
            {
                "type": "programme",
                "title": "Chânge of weather",
                "start": "2030-03-17T16:47:00Z",
                "end": "2030-03-17T18:47:00Z",
                "live": True,
                "channel": {"id": self.first, "name": "Channel 1"},
            },
        )
        self.assertEqual((results[4]["id"], results[4]["live"]), ("e1", False))
        self.assertEqual(results[4]["channels"], [{"id": self.first, "name": "Channel 1"}])

    def test_letters(self) -> None:
        """Accents and case say nothing; one letter finds channels and events, three find programmes."""
        self.assertEqual([each["title"] for each in self.search(q="CHANGE WEA")], ["Chânge of weather"])
        self.assertEqual({each["type"] for each in self.search(q="c")}, {"channel", "event"})
        self.assertEqual({each["type"] for each in self.search(q="ch")}, {"channel", "event"})
        self.assertEqual([each["title"] for each in self.search(q="change o")], ["Chânge of weather"])

    def test_room_for_all(self) -> None:
        """However many channels have the words in their names, what is on is found too."""
        self.assertEqual([each["type"] for each in self.search(q="cha", limit="2")], ["channel", "programme"])
        self.assertEqual([each["type"] for each in self.search(q="channel", limit="2")], ["channel", "channel"])

    def test_what_was_asked(self) -> None:
        """The answer repeats what was searched for, so that a page knows which answer it is."""
        self.assertEqual(self.tree.tell("/api/search?q=%20xyzzy%20"), {"query": "xyzzy", "results": []})

    def test_anything(self) -> None:
        """What means something to the database is nothing but words here."""
        for words in (
            '"',
            "'; DROP TABLE lineup; --",
            "*",
            "a AND",
            "NEAR(a)",
            "{x}:y",
            "\0",
            "-" * 200,
            "💡",
            "cha\ud800",
        ):
            text = words.encode("utf-8", "replace").decode()
            self.assertEqual(self.tree.ask("/api/search" + query(q=text)).status, 200, words)

    def test_refused(self) -> None:
        """Without words there is nothing to search for; too many are too many."""
        self.assertEqual(self.tree.ask("/api/search").text, "Q is what to search for.\n")
        for arguments in ({"q": " "}, {"q": "x" * 201}, {"q": "x", "limit": "201"}, {"q": "x", "limit": "x"}):
            self.assertEqual(self.tree.ask("/api/search" + query(**arguments)).status, 400, arguments)
        self.assertEqual(self.tree.ask("/api/search?q=x", peer=STRANGER).status, 403)


class UserTests(SynchronousTestCase):
    def setUp(self) -> None:
        lineup = lineup_of(*(evolve(each, group=each.name) for each in entries(3)))
        self.tree = OnAir(folder_for(self), lineup)
        self.addCleanup(self.tree.reader.close)
        self.tree.guide(
            Shown("a", NOW - HOUR, NOW + HOUR, "News of one"), Shown("b", NOW - HOUR, NOW + HOUR, "News of two")
        )
        one, two, three = self.tree.ids
        self.tree.event(1, "News everywhere", NOW, NOW + HOUR, "Talk", one, two)
        self.tree.event(2, "News elsewhere", NOW + 1, NOW + HOUR, "Talk", two, three)
        self.tree.event(3, "News nowhere", NOW + 2, NOW + HOUR, "Talk")
        join(self.tree.admission, User("bob", "bobs-token", groups=("Channel 1", "x")), User("eve", "eves-token"))

    def test_events(self) -> None:
        """A user hears of events that their channels show, and of no others that show them."""
        (event,) = self.tree.tell("/~bobs-token/api/events?limit=1")["events"]
        channels = [{"id": self.tree.ids[0], "name": "Channel 1"}]
        self.assertEqual((event["title"], event["channels"]), ("News everywhere", channels))
        self.assertEqual(self.tree.tell("/~bobs-token/api/events?offset=1")["events"], [])
        events = self.tree.tell("/~eves-token/api/events")["events"]
        self.assertEqual([len(each["channels"]) for each in events], [2, 2, 0])

    def test_search(self) -> None:
        """A user finds what is on their channels."""
        found = self.tree.tell("/~bobs-token/api/search?q=news")["results"]
        titles = [each["title"] for each in found]
        self.assertEqual(titles, ["News of one", "News everywhere"])
        self.assertEqual([each["name"] for each in found[1]["channels"]], ["Channel 1"])
        names = [each["name"] for each in self.tree.tell("/~bobs-token/api/search?q=channel")["results"]]
        self.assertEqual(names, ["Channel 1"])
        self.assertEqual(len(self.tree.tell("/~eves-token/api/search?q=news")["results"]), 5)
        self.assertEqual(self.tree.ask("/api/search?q=news").status, 401)


class MatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = OnAir(folder_for(self))
        self.addCleanup(self.tree.reader.close)

    def matches(self, words: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.tree.tell(f"/api/epg/matches{words}", OPERATOR)["matches"]
        return found

    def test_for_whom(self) -> None:
        """How the guide fits is for whoever manages."""
        for peer in (HOME, STRANGER):
            self.assertEqual(self.tree.ask("/api/epg/matches", peer=peer).status, 401)

    def test_matches(self) -> None:
        """Each channel's match is told with how it was found and how sure it is, the least certain first."""
        self.tree.guide(Shown("a", NOW, NOW + HOUR, "Something"))
        first, second, third = self.tree.ids
        self.tree.match(first, "a", "id", 1.0)
        self.tree.match(second, "b", "fuzzy", 0.91234)
        self.tree.match(third, "c", "rule", 1.0)
        told = self.matches()
        self.assertEqual([each["channel"]["id"] for each in told], [second, first, third])
        self.assertEqual(
            told[0],
            {
                "channel": {"id": second, "name": "Channel 2"},
                "source": "one",
                "guide_id": "b",
                "how": "fuzzy",
                "score": 0.912,
                "shift_seconds": 0,
            },
        )
        self.assertEqual([each["how"] for each in self.matches("?how=rule")], ["rule"])
        self.assertEqual(len(self.matches("?limit=1&offset=1")), 1)
        self.assertEqual(self.matches("?offset=3"), [])

    def test_refused(self) -> None:
        """What makes no sense is refused with a sentence; before there is a guide there are none."""
        self.assertEqual(self.matches(), [])
        answer = self.tree.ask("/api/epg/matches?how=x", peer=OPERATOR)
        self.assertEqual(answer.text, "How is one of rule, id, name and fuzzy.\n")
        for words in ("limit=0", "limit=1001", "offset=-1", "offset=x"):
            self.assertEqual(self.tree.ask(f"/api/epg/matches?{words}", peer=OPERATOR).status, 400)

    def test_folders(self) -> None:
        """What is only on the way to something is nothing in itself."""
        for path in ("/api", "/api/", "/api/epg", "/api/epg/", "/api/nothing"):
            self.assertEqual(self.tree.ask(path).status, 404, path)
