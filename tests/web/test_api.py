"""What all of the API has in common."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from iptvd.accounts import User
from iptvd.model import Programme
from iptvd.web.api import MAX_WORDS, JsonResource, flag_of, number_of, programme_facts, time_of, words_of
from tests.doubles import join, sliced
from tests.web.building import OPERATOR, STRANGER, Later, Tree, query


class Telling(JsonResource):
    """Tells what it is given."""

    def __init__(self, facts: Mapping[str, object]) -> None:
        super().__init__(sliced)
        self.facts = facts

    async def tell(self, request: Request) -> Mapping[str, object]:
        return self.facts


class Arguments(JsonResource):
    """Tells how it understood its query."""

    def __init__(self) -> None:
        super().__init__(sliced)

    async def tell(self, request: Request) -> Mapping[str, object]:
        return {
            "limit": number_of(request, "limit", 7, 50, 1),
            "words": words_of(request),
            "live": flag_of(request, "live"),
            "from": time_of(request, "from"),
        }


class JsonTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()

    def told(self, facts: Mapping[str, object], *headers: tuple[str, str]) -> str:
        self.tree.add("told", Telling(facts))
        answer = self.tree.ask("/told", *headers)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
        return answer.plain

    def test_values(self) -> None:
        """An answer is one JSON object on one line, lists made as they are sent among it."""
        for facts in ({}, {"a": 1}, {"a": None, 'é"\n': ["x", {"y": True}], "z": "ü"}):
            self.assertEqual(json.loads(self.told(facts)), facts)
        for count in (0, 1, 19, 20, 21, 100):
            told = self.told({"before": 1, "items": iter(range(count)), "after": 2})
            self.assertEqual(json.loads(told), {"before": 1, "items": list(range(count)), "after": 2})
            self.assertEqual(told.count("\n"), 1)

    def test_half_a_character(self) -> None:
        """What no encoding has does not keep the rest from being told."""
        self.assertEqual(json.loads(self.told({"a": "\ud800x"})), {"a": "?x"})
        self.assertEqual(json.loads(self.told({"a": iter(["\ud800x"])})), {"a": ["?x"]})

    def test_packed(self) -> None:
        """A long answer comes in gzip to whoever takes it, and is the same."""
        facts = {"items": [f"item {number}" for number in range(20_000)]}
        plain = self.told(facts)
        packed = self.told(facts, ("Accept-Encoding", "gzip"))
        self.assertEqual(packed, plain)
        answer = self.tree.ask("/told", ("Accept-Encoding", "gzip"))
        self.assertEqual(answer.headers["Content-Encoding"], "gzip")
        self.assertLess(len(answer.body), len(plain) / 3)

    def test_in_steps(self) -> None:
        """A long answer is put together in steps, so that nobody else waits for it."""
        later, steps = Later(), 0

        def count(items: Iterator[int]) -> Iterator[int]:
            for item in items:
                self.assertLessEqual(item - 25 * steps, 25)
                yield item

        resource = Telling({"items": count(iter(range(1000)))})
        resource.sliced = later
        self.tree.add("told", resource)
        connection = self.tree.begin("/told")
        for _ in later.waiting[0][0]:
            steps += 1
        self.assertGreater(steps, 40)
        later.finish()
        self.assertIn(b"998,999]}", connection.received())

    def test_guarded(self) -> None:
        """Whoever may not watch is told nothing."""
        self.tree.add("told", Telling({"a": 1}))
        self.assertEqual(self.tree.ask("/told", peer=STRANGER).status, 403)

    def test_who_manages(self) -> None:
        """Who manages from this machine is told with users too, but no page of another site that they look at."""
        self.tree.add("told", Telling({"a": 1}))
        join(self.tree.admission, User("anna", "anna-token"))
        self.assertEqual(self.tree.ask("/told", peer=OPERATOR).plain, '{"a":1}\n')
        self.assertEqual(self.tree.ask("/told", ("Origin", "http://elsewhere.test"), peer=OPERATOR).status, 401)
        self.assertEqual(self.tree.ask("/told", peer=STRANGER).status, 401)

    def test_head_and_others(self) -> None:
        """HEAD has the head alone; to change something is not possible."""
        self.tree.add("told", Telling({"a": 1}))
        answer = self.tree.ask("/told", method="HEAD")
        self.assertEqual((answer.status, answer.body, answer.headers["Content-Length"]), (200, b"", "8"))
        self.assertEqual(self.tree.ask("/told", method="POST").status, 405)


class ArgumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()
        self.tree.add("x", Arguments())

    def understood(self, **arguments: str) -> dict[str, object]:
        answer = self.tree.ask("/x" + query(**arguments))
        self.assertEqual(answer.status, 200, answer.text)
        value: dict[str, object] = json.loads(answer.text)
        return value

    def refused(self, sentence: str, **arguments: str) -> None:
        answer = self.tree.ask("/x" + query(**arguments))
        self.assertEqual((answer.status, answer.text), (400, sentence + ".\n"), arguments)

    def test_without_any(self) -> None:
        """What is not asked for has its default."""
        expected = {"limit": 7, "words": "", "live": False, "from": None}
        self.assertEqual(self.understood(), expected)
        empty = {"limit": "", "q": "", "live": "", "from": ""}
        self.assertEqual(self.understood(**empty), expected)

    def test_numbers(self) -> None:
        """A number is one within its bounds."""
        self.assertEqual(self.understood(limit="50")["limit"], 50)
        for text in ("0", "51", "-1", "x", "1.0", "٣", "²", "9" * 5000, " 1", "+1"):
            self.refused("Limit is a number from 1 to 50", limit=text)

    def test_words(self) -> None:
        """Words have a length that is bounded."""
        self.assertEqual(self.understood(q="é" * MAX_WORDS)["words"], "é" * MAX_WORDS)
        self.refused(f"Q has at most {MAX_WORDS} characters", q="x" * (MAX_WORDS + 1))

    def test_yes_and_no(self) -> None:
        """Yes and no are written in two ways each."""
        for text, value in (("1", True), ("true", True), ("True", True), ("0", False), ("false", False)):
            self.assertEqual(self.understood(live=text)["live"], value)
        self.refused("Live is true or false", live="maybe")

    def test_times(self) -> None:
        """A time is seconds since 1970, or ISO 8601, in UTC unless it says otherwise; a plus may be a space."""
        for text, value in (
            ("1900000020", 1900000020.0),
            ("0", 0.0),
            ("2030-03-17T17:47:00Z", 1900000020.0),
            ("2030-03-17T17:47:00", 1900000020.0),
            ("2030-03-17T18:47+01:00", 1900000020.0),
            ("2030-03-17", 1899936000.0),
        ):
            self.assertEqual(self.understood(**{"from": text})["from"], value)
        answer = self.tree.ask("/x?from=2030-03-17T18:47:00+01:00")
        self.assertEqual(json.loads(answer.text)["from"], 1900000020.0)

    def test_what_is_no_time(self) -> None:
        """What is no time is refused with an example of one."""
        for text in ("x", "now", "-1", "1e9", "9" * 11, "2030-13-01", "25:00", "T", "²"):
            self.refused("From is a time such as 2026-01-31T20:15:00Z, or seconds since 1970", **{"from": text})

    @given(some.text(max_size=60))
    def test_anything(self, text: str) -> None:
        """Whatever is asked gets an answer or a refusal."""
        for name in ("limit", "q", "live", "from"):
            answer = self.tree.ask("/x" + query(**{name: text.encode("utf-8", "replace").decode()}))
            self.assertIn(answer.status, (200, 400))


class FactsTests(SynchronousTestCase):
    def test_programmes(self) -> None:
        """Of a programme what is empty is left out."""
        self.assertIsNone(programme_facts(None))
        times = {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T01:00:00Z"}
        self.assertEqual(programme_facts(Programme(0, 3600, "T")), {"title": "T", **times})
        self.assertEqual(
            programme_facts(Programme(0, 3600, "T", "S", "D", ("a", "b"), "S1 E2")),
            {"title": "T", **times, "subtitle": "S", "description": "D", "categories": ["a", "b"], "episode": "S1 E2"},
        )
