"""What the API has been told to keep."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import StoreError
from iptvd.log import Fault
from iptvd.records import Records
from tests.doubles import Kept, result


class Slow(Kept):
    """A store that is done when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Deferred[None]] = []

    async def put(self, kind: str, name: str, value: Mapping[str, object]) -> None:
        self.steps.append(Deferred())
        await self.steps[-1]
        await super().put(kind, name, value)


class RecordsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = Kept()
        self.store.kinds = {"user": {"a": {"x": 1}, "b": {"x": 2}}}
        self.records = Records(self.store)
        self.records.load()
        self.heard: list[str] = []
        self.records.on_change("user", self.heard.append)

    def test_what_was_kept(self) -> None:
        """What was kept is there again, by kind and name; of another kind there is nothing."""
        self.assertEqual(dict(self.records.all("user")), {"a": {"x": 1}, "b": {"x": 2}})
        self.assertEqual(dict(self.records.all("stream")), {})
        self.assertEqual((self.records.unreadable, self.records.failure), ("", ""))

    def test_changes(self) -> None:
        """A change is on disk, then in memory, and then whoever wants to hear of it does."""
        result(self.records.put("user", "c", {"x": 3}))
        result(self.records.put("user", "a", {"x": 4}))
        result(self.records.remove("user", "b"))
        result(self.records.put("stream", "s", {}))
        expected = {"a": {"x": 4}, "c": {"x": 3}}
        self.assertEqual((dict(self.records.all("user")), self.store.kinds["user"]), (expected, expected))
        self.assertEqual(self.heard, ["c", "a", "b"])

    def test_removing_nothing(self) -> None:
        """What is not there is removed without a word, even where nothing can be written."""
        self.store.failure = "the disk is full"
        result(self.records.remove("user", "z"))
        self.assertEqual((self.heard, self.records.failure), ([], ""))

    def test_what_cannot_be_kept(self) -> None:
        """What cannot be kept changes nothing, and why is known until something could be."""
        self.store.failure = "the disk is full"
        for work in (self.records.put("user", "a", {}), self.records.remove("user", "a")):
            with self.assertRaisesRegex(StoreError, "the disk is full"):
                result(work)
        self.assertEqual((self.records.all("user")["a"], self.heard), ({"x": 1}, []))
        self.assertEqual(self.records.failure, "the disk is full")
        self.store.failure = ""
        result(self.records.remove("user", "a"))
        self.assertEqual((self.records.failure, self.heard), ("", ["a"]))

    def test_unreadable(self) -> None:
        """Where nothing can be read nothing is known, and nothing is written over it."""
        self.store.failure = "it is damaged"
        records = Records(self.store)
        records.load()
        self.store.failure = ""
        self.assertEqual((records.unreadable, dict(records.all("user"))), ("it is damaged", {}))
        for work in (records.put("user", "a", {}), records.remove("user", "a")):
            with self.assertRaisesRegex(StoreError, "nothing can be kept: it is damaged"):
                result(work)
        self.assertEqual(self.store.kinds["user"]["a"], {"x": 1})

    def test_a_fault_of_one_who_hears(self) -> None:
        """A fault of one who hears of a change keeps it from nobody else."""

        def broken(name: str) -> None:
            raise ValueError("secret")

        records = Records(self.store)
        heard: list[str] = []
        records.on_change("user", broken)
        records.on_change("user", heard.append)
        result(records.put("user", "c", {}))
        self.assertEqual(heard, ["c"])
        (failure,) = self.flushLoggedErrors(Fault)
        self.assertNotIn("secret", failure.getTraceback())


class OrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = Slow()
        self.records = Records(self.store)
        self.records.load()

    def put(self, value: int) -> Deferred[None]:
        return Deferred.fromCoroutine(self.records.put("user", "a", {"x": value}))

    def test_one_after_the_other(self) -> None:
        """Changes are made in the order in which they were asked for, one at a time."""
        works = [self.put(1), self.put(2)]
        self.assertEqual(len(self.store.steps), 1)
        self.store.steps[0].callback(None)
        self.assertEqual((self.records.all("user")["a"], len(self.store.steps)), ({"x": 1}, 2))
        self.store.steps[1].callback(None)
        self.assertEqual(self.records.all("user")["a"], {"x": 2})
        for work in works:
            self.successResultOf(work)

    def test_nobody_waits(self) -> None:
        """A change is made although whoever asked for it has hung up, and memory and disk stay the same."""
        works = [self.put(1), self.put(2)]
        for work in works:
            work.cancel()
            self.failureResultOf(work, CancelledError)
        for step in (0, 1):
            self.store.steps[step].callback(None)
        self.assertEqual((self.records.all("user")["a"], self.store.kinds["user"]["a"]), ({"x": 2}, {"x": 2}))
