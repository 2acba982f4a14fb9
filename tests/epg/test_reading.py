"""Questions to the guide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.reading import GuideReader, Hit, Match, query_of
from iptvd.epg.schema import open_to_write, timed_id
from iptvd.model import Programme
from tests.doubles import folder_for, offload, result
from tests.epg.guide import Shown, show, take_in, xmltv

HOUR = 3600
#: Far ahead, so that nothing is left out as long over.
NOW = 1_900_000_020


class ReadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = folder_for(self) / "guide.db"
        self.reader = GuideReader(self.database, offload)
        self.addCleanup(self.reader.close)

    def guide(self) -> None:
        """Two channels: one with a programme each hour, one with news."""
        shown = [Shown("a", NOW + number * HOUR - 600, NOW + (number + 1) * HOUR - 600, f"Öffnung {number}")
                 for number in range(-3, 40)]  # fmt: skip
        shown.append(Shown("b", NOW + HOUR, NOW + 2 * HOUR, "Late News", "<desc>What happened</desc>"))
        shown.append(Shown("b", NOW + 50 * HOUR, NOW + 51 * HOUR, "News of another day"))
        shown.append(Shown("c", NOW, NOW + HOUR, "News that nobody has"))
        take_in(self.database, "one", xmltv(shown), "--days=99999")
        show(self.database, {1: ("Alpha News", "a"), 2: ("Béta", "b")})

    def event(self, number: int, title: str, start: float, stop: float, category: str, *channels: int) -> None:
        connection = open_to_write(self.database)
        event = timed_id(start, number)
        connection.execute(
            "INSERT INTO event VALUES (?, ?, 'site', ?, ?, ?, ?)",
            (event, f"e{number}", title, category, start, stop),
        )
        connection.execute("INSERT INTO event_words (rowid, title) VALUES (?, ?)", (event, title))
        connection.executemany("INSERT INTO event_channel VALUES (?, ?)", [(event, channel) for channel in channels])
        connection.close()

    def search(self, words: str, limit: int = 50) -> list[str]:
        return [hit.title for hit in result(self.reader.search(words, NOW, limit))]

    def test_without_a_database(self) -> None:
        """As long as there is none, there is nothing, and no error."""
        self.assertEqual(result(self.reader.now_next([1], NOW)), {})
        self.assertEqual(result(self.reader.programmes(1, NOW, NOW + 1)), [])
        self.assertEqual(result(self.reader.search("news", NOW, 9)), [])
        self.assertEqual(result(self.reader.revision()), 0)
        self.guide()
        self.assertNotEqual(result(self.reader.revision()), 0)

    def test_let_go_while_it_is_asked(self) -> None:
        """What is asked while the database is made anew is answered, and what is asked then out of the new one."""
        self.guide()
        asked: list[tuple[Callable[[], Any], Deferred[Any]]] = []

        def later(work: Callable[..., Any], /, *args: object) -> Deferred[Any]:
            answer: Deferred[Any] = Deferred()
            asked.append((lambda: work(*args), answer))
            return answer

        def answer_it() -> None:
            work, answer = asked.pop()
            answer.callback(work())

        reader = GuideReader(self.database, later)
        self.addCleanup(reader.close)
        first = Deferred.fromCoroutine(reader.search("late", NOW, 50))
        work, answer = asked.pop()
        found = work()
        reader.close()
        answer.callback(found)
        self.assertEqual([hit.title for hit in self.successResultOf(first)], ["Late News"])
        self.database.rename(self.database.with_name("former.db"))
        second = Deferred.fromCoroutine(reader.search("late", NOW, 50))
        answer_it()
        self.assertEqual(self.successResultOf(second), [])

    def test_now_and_next(self) -> None:
        """What is on and what comes then; where nothing is on, what comes first."""
        self.guide()
        found = result(self.reader.now_next([1, 2, 3], NOW))
        self.assertEqual(
            {
                channel: tuple(one.title if one is not None else None for one in both)
                for channel, both in found.items()
            },
            {1: ("Öffnung 0", "Öffnung 1"), 2: (None, "Late News")},
        )

    def test_programmes_of_a_channel(self) -> None:
        """All that is on at some time in between, in order."""
        self.guide()
        titles = [one.title for one in result(self.reader.programmes(1, NOW, NOW + 2 * HOUR))]
        self.assertEqual(titles, ["Öffnung 0", "Öffnung 1", "Öffnung 2"])
        (late,) = result(self.reader.programmes(2, NOW, NOW + 24 * HOUR))
        self.assertEqual(late, Programme(NOW + HOUR, NOW + 2 * HOUR, "Late News", "", "What happened"))

    def test_a_shifted_channel(self) -> None:
        """A channel that shows the same an hour later has it an hour later everywhere."""
        self.guide()
        show(self.database, {3: ("Alpha +1", "a")}, shift=HOUR)
        on, _ = result(self.reader.now_next([3], NOW))[3]
        assert on is not None
        self.assertEqual((on.title, on.start), ("Öffnung -1", NOW - 600))
        hits = [hit for hit in result(self.reader.search("offnung", NOW, 200)) if hit.channels[0][0] == 3]
        self.assertEqual((hits[0].title, hits[0].on_now), ("Öffnung -1", True))

    def test_search(self) -> None:
        """Channels first, then what is on now, then what comes soonest; only of channels that there are."""
        self.guide()
        self.assertEqual(self.search("news"), ["Alpha News", "Late News", "News of another day"])
        self.assertEqual(self.search("new lat"), ["Late News"])
        self.assertEqual(self.search("offn")[:2], ["Öffnung 0", "Öffnung 1"])
        self.assertEqual(self.search("beta"), ["Béta"])
        self.assertEqual(len(self.search("öffnung", 5)), 5)
        self.assertEqual(self.search("b"), ["Béta"])
        self.assertEqual(self.search("ne"), ["Alpha News"])
        for words in ("", " ", '"', "-", "*", "xyzzy", 'a" OR b', "a AND NOT b", "x" * 300):
            self.assertEqual(self.search(words), [])

    def test_a_query_is_made_of_words(self) -> None:
        """What means something to the database's search means nothing here."""
        self.assertEqual(query_of('Late-News "x* OR_(y)'), '"late"* "news"* "x"* "or"* "y"*')
        self.assertEqual(query_of("!?"), "")

    def test_events(self) -> None:
        """Events by category, words, time, and those that are on."""
        self.guide()
        self.event(1, "Ann vs Bob", NOW - HOUR, NOW + HOUR, "Tennis", 2, 1)
        self.event(2, "Late match", NOW + 2 * HOUR, NOW + 3 * HOUR, "Soccer")
        self.event(3, "Over", NOW - 3 * HOUR, NOW - 2 * HOUR, "Soccer", 1)

        def titles(
            category: str = "", words: str = "", start: float | None = None, stop: float | None = None,
            live: bool = False,
        ) -> list[str]:  # fmt: skip
            found = result(self.reader.events(category, words, start, stop, NOW, 100, live=live))
            return [hit.title for hit in found]

        self.assertEqual(titles(), ["Over", "Ann vs Bob", "Late match"])
        self.assertEqual(titles("soccer"), ["Over", "Late match"])
        self.assertEqual(titles(words="bo"), ["Ann vs Bob"])
        self.assertEqual(titles(words="***"), [])
        rest = result(self.reader.events("", "", None, None, NOW, 1, 1))
        self.assertEqual([hit.title for hit in rest], ["Ann vs Bob"])
        self.assertEqual(titles(start=NOW), ["Ann vs Bob", "Late match"])
        self.assertEqual(titles(stop=NOW), ["Over", "Ann vs Bob"])
        self.assertEqual(titles(live=True), ["Ann vs Bob"])
        (hit,) = result(self.reader.events("Tennis", "", NOW, None, NOW, 9))
        self.assertEqual(
            hit,
            Hit("event", "Ann vs Bob", ((1, "Alpha News"), (2, "Béta")), True, NOW - HOUR, NOW + HOUR, "e1",
                "Tennis", "site"),
        )  # fmt: skip
        self.assertEqual(self.search("b"), ["Béta", "Ann vs Bob"])

    def test_matches(self) -> None:
        """How channels were found, the least certain first."""
        self.guide()
        connection = open_to_write(self.database)
        connection.execute("INSERT INTO match VALUES (1, 'one', 'a', 'id', 1.0, 0), (2, 'one', 'b', 'fuzzy', .9, 60)")
        connection.close()
        found = result(self.reader.matches("", 0, 10))
        self.assertEqual(found[0], Match(2, "Béta", "one", "b", "fuzzy", 0.9, 60))
        self.assertEqual([match.channel for match in found], [2, 1])
        self.assertEqual([match.channel for match in result(self.reader.matches("id", 0, 10))], [1])
        self.assertEqual(result(self.reader.matches("", 2, 10)), [])

    def test_a_database_that_is_made_anew(self) -> None:
        """After it was closed, the next question is asked of whatever is there then."""
        self.guide()
        self.assertTrue(self.search("news"))
        self.reader.close()
        self.database.write_bytes(b"damaged, and long enough for it to be seen" * 50)
        self.assertEqual(self.search("news"), [])
