"""The children that write, one after another."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.child import DAMAGED
from iptvd.epg.work import DamagedError, Writers
from iptvd.errors import ProviderError, StoreError
from tests.doubles import folder_for, result
from tests.epg.epg_case import Children


class WritersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.children = Children()
        self.writers = Writers(self.children.run)

    def test_one_after_another(self) -> None:
        """Nobody writes while another one does."""
        waiting: Deferred[None] = Deferred()
        self.children.waiting = waiting
        first = Deferred.fromCoroutine(self.writers("importing", "a"))
        second = Deferred.fromCoroutine(self.writers("linking", "db", str(self.empty())))
        self.assertEqual(len(self.children.started), 1)
        self.children.waiting = None
        waiting.callback(None)
        self.assertEqual(self.successResultOf(first)["programmes"], 2)
        self.assertEqual(self.successResultOf(second), {"matched": 1})

    def empty(self) -> Path:
        path = folder_for(self) / "rows"
        path.write_text("{}\n")
        return path

    def test_how_they_end(self) -> None:
        """What a child says of how it went is what is told."""
        for status, said, kind, sentence in (
            (3, {"state": "not_understood", "sentence": "it is HTML"}, ProviderError, "it is HTML"),
            (DAMAGED, {}, DamagedError, "damaged"),
            (1, {}, StoreError, "ended with 1"),
            (-9, "", StoreError, "ended with -9"),
            (0, "no object", StoreError, "ended with 0"),
        ):
            self.children.says["importing"] = (status, said)
            with self.assertRaises(kind) as caught:
                result(self.writers("importing"))
            self.assertIn(sentence, str(caught.exception))

    def test_the_children_are_ours(self) -> None:
        """They are run by the Python that runs the daemon."""
        seen: list[Sequence[str]] = []

        async def run(argv: Sequence[str]) -> tuple[int, bytes]:
            seen.append(argv)
            return 0, b"{}"

        result(Writers(run)("linking", "x"))
        self.assertEqual(seen, [[sys.executable, "-m", "iptvd.epg.linking", "x"]])

    def test_who_waits_may_leave(self) -> None:
        """Whoever is stopped while it waits for its turn keeps nobody from theirs."""
        waiting: Deferred[None] = Deferred()
        self.children.waiting = waiting
        first = Deferred.fromCoroutine(self.writers("importing", "a"))
        second = Deferred.fromCoroutine(self.writers("importing", "b"))
        third = Deferred.fromCoroutine(self.writers("importing", "c"))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.children.waiting = None
        waiting.callback(None)
        self.successResultOf(first)
        self.successResultOf(third)
        self.assertEqual(self.children.of("importing"), [["a"], ["c"]])

    def test_who_works_may_be_stopped(self) -> None:
        """A child that is stopped in the middle of its work makes room for the next."""
        self.children.waiting = Deferred()
        first = Deferred.fromCoroutine(self.writers("importing", "a"))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.children.waiting = None
        self.assertEqual(result(self.writers("importing", "b"))["programmes"], 2)

    def test_a_child_that_says_nothing(self) -> None:
        """A child that ends without a word, or with one that is none, has not done its work."""
        for heard in (b"", b"\n\n", b"killed", b"\xff{}"):

            async def run(argv: Sequence[str], heard: bytes = heard) -> tuple[int, bytes]:
                return 0, heard

            self.assertRaises(StoreError, result, Writers(run)("linking"))
