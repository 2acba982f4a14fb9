"""What is in memory, as a body."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.memory_upstream import MemoryUpstream
from tests.doubles import result
from tests.protocols.test_upstream import Gathered


class MemoryUpstreamTests(SynchronousTestCase):
    def test_all_of_it(self) -> None:
        """All pieces are handed on in their order, and then it has ended."""
        upstream = MemoryUpstream([b"one", memoryview(b"two"), b"three"])
        gathered = Gathered()
        upstream.attach(gathered)
        self.assertEqual((gathered.data, gathered.ends, upstream.ended), (b"onetwothree", [None], True))

    def test_nothing(self) -> None:
        """No pieces are an empty body."""
        gathered = Gathered()
        MemoryUpstream([]).attach(gathered)
        self.assertEqual((gathered.data, gathered.ends), (b"", [None]))

    def test_pausing(self) -> None:
        """A receiver that pauses gets nothing more until it resumes, and then goes on where it was."""
        upstream = MemoryUpstream([b"1", b"2", b"3"])
        gathered = Gathered(upstream.pauseProducing)
        upstream.attach(gathered)
        for expected in (b"1", b"12", b"123"):
            self.assertEqual((gathered.data, gathered.ends), (expected, []))
            upstream.resumeProducing()
        self.assertEqual(gathered.ends, [None])
        upstream.resumeProducing()
        self.assertEqual((gathered.data, gathered.ends), (b"123", [None]))

    def test_resuming_while_it_delivers(self) -> None:
        """A receiver that pauses and resumes in one breath gets each piece once, however many there are."""
        upstream = MemoryUpstream([b"%d," % number for number in range(5000)])

        def blink() -> None:
            upstream.pauseProducing()
            upstream.resumeProducing()

        gathered = Gathered(blink)
        upstream.attach(gathered)
        self.assertEqual(gathered.data, b"".join(b"%d," % number for number in range(5000)))
        self.assertEqual(gathered.ends, [None])

    def test_a_look_at_the_first(self) -> None:
        """Its first bytes can be looked at, and are delivered all the same."""
        upstream = MemoryUpstream([b"one", b"two"])
        first = upstream.first_bytes(4)
        upstream.resumeProducing()
        self.assertEqual(result(first), b"onetwo")
        gathered = Gathered()
        upstream.attach(gathered)
        self.assertEqual((gathered.data, gathered.ends), (b"onetwo", [None]))

    def test_stopping(self) -> None:
        """Once it is stopped nothing comes any more, not even an end."""
        upstream = MemoryUpstream([b"1", b"2"])
        gathered = Gathered(upstream.stopProducing)
        upstream.attach(gathered)
        upstream.resumeProducing()
        self.assertEqual((gathered.data, gathered.ends, upstream.ended), (b"1", [], True))
