"""Writing to a viewer's socket directly."""

from __future__ import annotations

import errno
from random import Random
from unittest import mock

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.delivery.direct import DirectWriter
from tests.delivery.stage import descriptors
from tests.web.loop import Loop, connected

PIECE = Random(3).randbytes(100_000)


@implementer(IPushProducer)
class Producing:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class DirectWriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loop = Loop()
        self.client = connected(self.loop, Protocol(), self)
        self.before = descriptors()
        near = self.client.near
        self.writer = DirectWriter(near.getHandle(), near, self.loop)  # type: ignore[arg-type]
        self.producer = Producing()

    def fill(self) -> bytes:
        """Write until the kernel takes no more; all that was written."""
        written = b""
        while self.producer.told[-1:] != ["pause"]:
            self.writer.write(PIECE)
            written += PIECE
        return written

    def test_at_once(self) -> None:
        """What the kernel takes has left by the time it was written, and nobody has to wait."""
        self.writer.registerProducer(self.producer, True)
        self.writer.write(b"abc")
        self.assertEqual((self.client.read(), self.producer.told, self.loop.writers), (b"abc", [], []))

    def test_a_slow_viewer(self) -> None:
        """A viewer that does not read pauses the source, and has everything in order when it reads again."""
        self.writer.registerProducer(self.producer, True)
        written = self.fill()
        # What was under way when it was paused.
        self.writer.write(b"late")
        self.assertEqual(self.producer.told, ["pause"])
        self.assertEqual(self.client.read(), written + b"late")
        self.assertEqual((self.producer.told, self.loop.writers), (["pause", "resume"], []))

    def test_again_and_again(self) -> None:
        """A viewer may fall behind as often as it likes."""
        self.writer.registerProducer(self.producer, True)
        written = b""
        for _ in range(5):
            written += self.fill()
            self.assertEqual(self.client.read(), written)
        self.assertEqual(self.producer.told, ["pause", "resume"] * 5)

    def test_a_head_that_is_not_taken(self) -> None:
        """A source that begins while something is left waits first."""
        much = PIECE * 100
        self.writer.write(much)
        self.writer.registerProducer(self.producer, True)
        self.assertEqual(self.producer.told, ["pause"])
        self.assertEqual(self.client.read(), much)
        self.assertEqual(self.producer.told, ["pause", "resume"])

    def test_the_end(self) -> None:
        """What is left at the end is still sent, and the descriptor is given back."""
        self.writer.registerProducer(self.producer, True)
        written = self.fill()
        self.writer.unregisterProducer()
        self.assertEqual(descriptors(), self.before)
        self.writer.write(b"never")
        self.writer.unregisterProducer()
        self.client.near.loseConnection()
        self.assertEqual((self.client.read(), self.client.ended), (written, True))

    def test_without_a_source(self) -> None:
        """What is left is sent also where nobody was to be paused."""
        self.writer.write(PIECE * 100)
        self.assertEqual(self.client.read(), PIECE * 100)
        self.assertEqual(self.loop.writers, [])

    def test_a_viewer_that_leaves(self) -> None:
        """A viewer that is gone ends its source, whether it is written to or waited for."""
        self.writer.registerProducer(self.producer, True)
        with mock.patch("os.write", side_effect=OSError(errno.ECONNRESET, "reset")):
            self.writer.write(PIECE)
        self.assertEqual((self.producer.told, descriptors()), (["stop"], self.before))
        self.writer.write(PIECE)
        self.assertEqual(self.client.read(), b"")

    def test_a_viewer_that_leaves_while_it_is_waited_for(self) -> None:
        """A viewer that leaves with everything full ends its source too, however that is found out."""
        for found in ("room", "lost"):
            self.setUp()
            self.writer.registerProducer(self.producer, True)
            self.fill()
            if found == "lost":
                self.writer.connectionLost(Failure(ConnectionLost()))
            else:
                with mock.patch("os.write", side_effect=OSError(errno.EPIPE, "broken")):
                    self.writer.doWrite()
            self.writer.connectionLost(connectionDone)
            self.assertEqual((self.producer.told, self.loop.writers), (["pause", "stop"], []))
            self.assertEqual(descriptors(), self.before)

    def test_gone_before_there_is_a_source(self) -> None:
        """A viewer that is gone before its source began is nobody's concern but its transport's."""
        with mock.patch("os.write", side_effect=OSError(errno.EPIPE, "broken")):
            self.writer.write(PIECE)
        self.assertEqual((descriptors(), self.writer.logPrefix()), (self.before, "direct"))
