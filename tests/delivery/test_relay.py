"""From one upstream to one viewer."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.delivery.relay import Relay
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.errors import UpstreamError
from iptvd.model import Channel, ChannelKind, Entry, Outcome, SourceKind
from tests.protocols.test_upstream import Tap

ENTRY = Entry("1", "One")
CHANNEL = Channel(1, 1, "One", "", ChannelKind.LIVE, SourceKind.TS, "ts", "", "", (("p", ENTRY),))


def session(face: Face = Face.TS) -> Session:
    return Session("s", CHANNEL, Viewer("127.0.0.1"), face, 0.0)


@implementer(IConsumer)
class Glass:
    """A consumer with a high-water mark: it pauses its producer when it holds more, as transports do."""

    def __init__(self, high_water: int = 65536) -> None:
        self.high_water = high_water
        self.held = b""
        self.peak = 0
        self.producer: IPushProducer | None = None

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        self.producer = IPushProducer(producer)

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.held += data
        self.peak = max(self.peak, len(self.held))
        if len(self.held) > self.high_water and self.producer is not None:
            self.producer.pauseProducing()

    def drink(self) -> bytes:
        drunk, self.held = self.held, b""
        if self.producer is not None:
            self.producer.resumeProducing()
        return drunk


class RelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tap = Tap()
        self.glass = Glass()
        self.session = session()
        self.ends: list[tuple[Outcome, str]] = []

    def relay(self, endless: bool = True) -> Relay:
        relay = Relay(
            self.session,
            self.tap,
            self.glass,
            self.clock,
            stall_timeout=10.0,
            client_timeout=60.0,
            endless=endless,
            finished=lambda outcome, reason: self.ends.append((outcome, reason)),
        )
        relay.start()
        return relay

    def assert_ended(self, outcome: Outcome) -> None:
        self.assertEqual([one for one, _ in self.ends], [outcome])
        self.assertIsNone(self.glass.producer)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertGreater(self.tap.stopped, 0)

    def test_bytes_pass_and_are_counted(self) -> None:
        """Every byte reaches the viewer in order, and the session counts them."""
        self.relay()
        self.tap.deliver(b"abc")
        self.tap.deliver(memoryview(b"def"))  # type: ignore[arg-type]
        self.assertEqual(self.glass.held, b"abcdef")
        self.assertEqual(self.session.bytes_sent, 6)

    def test_the_first_byte(self) -> None:
        """The first byte of a session is told of when it is handed over, and no other."""
        seen: list[int] = []
        self.session.at_first_byte(lambda session: seen.append(len(self.glass.held)))
        self.relay()
        self.assertEqual(seen, [])
        self.tap.deliver(b"abc")
        self.tap.deliver(b"def")
        self.assertEqual(seen, [3])

    def test_a_viewer_that_stops_reading_stops_the_origin(self) -> None:
        """What a viewer does not read is not fetched: no more than its buffer and one read are ever held."""
        self.relay()
        sent = 0
        for _ in range(1000):
            if self.tap.paused:
                break
            self.tap.deliver(bytes(65536))
            sent += 65536
        self.assertTrue(self.tap.paused)
        self.assertLessEqual(self.glass.peak, 2 * 65536)
        self.assertEqual(len(self.glass.drink()), sent)
        self.assertFalse(self.tap.paused)

    def test_a_film_that_is_over(self) -> None:
        """A film that was sent whole is completed."""
        self.relay(endless=False)
        self.tap.deliver(b"abc")
        self.tap.finish()
        self.assert_ended(Outcome.COMPLETED)

    def test_a_live_stream_that_is_over(self) -> None:
        """A live stream that ends was lost, for it had no end."""
        self.relay()
        self.tap.finish()
        self.assert_ended(Outcome.UPSTREAM_LOST)

    def test_an_origin_that_fails(self) -> None:
        """An origin that fails midway loses the session, and the reason is kept."""
        self.relay(endless=False)
        self.tap.finish(UpstreamError(502, "the origin closed the connection"))
        self.assert_ended(Outcome.UPSTREAM_LOST)
        self.assertEqual(self.ends[0][1], "the origin closed the connection")

    def test_a_stall(self) -> None:
        """An origin that is silent for the stall timeout ends the session, and one that trickles does not."""
        self.relay()
        for _ in range(10):
            self.clock.advance(9)
            self.tap.deliver(b"x")
        self.assertEqual(self.ends, [])
        self.clock.pump([1] * 11)
        self.assert_ended(Outcome.UPSTREAM_STALLED)

    def test_a_pause_is_no_stall(self) -> None:
        """A viewer that pauses may do so for the client timeout, however long the origin's own is."""
        self.relay()
        self.glass.high_water = 0
        self.tap.deliver(b"x")
        self.assertTrue(self.tap.paused)
        self.clock.pump([1] * 59)
        self.assertEqual(self.ends, [])
        self.clock.pump([1] * 11)
        self.assert_ended(Outcome.VIEWER_TOO_SLOW)

    def test_after_a_pause_the_origin_has_its_time_again(self) -> None:
        """The time of a pause does not count as the origin's silence."""
        self.relay()
        self.glass.high_water = 0
        self.tap.deliver(b"x")
        self.clock.pump([1] * 30)
        self.glass.drink()
        self.clock.pump([1] * 9)
        self.assertEqual(self.ends, [])
        self.clock.pump([1] * 11)
        self.assert_ended(Outcome.UPSTREAM_STALLED)

    def test_a_viewer_that_leaves(self) -> None:
        """When the viewer's connection is gone the origin is closed at once."""
        relay = self.relay()
        relay.stopProducing()
        self.assert_ended(Outcome.VIEWER_LEFT)

    def test_only_the_first_end_counts(self) -> None:
        """Whatever happens after the end changes nothing."""
        relay = self.relay()
        relay.stop(Outcome.ENDED_BY_OPERATOR, "kicked")
        self.tap.finish(UpstreamError(502, "late"))
        relay.data_received(b"late")
        relay.pauseProducing()
        relay.resumeProducing()
        relay.stop(Outcome.DRAINED)
        self.assert_ended(Outcome.ENDED_BY_OPERATOR)
        self.assertEqual(self.glass.held, b"")

    def test_more_than_the_viewer_takes_at_once(self) -> None:
        """When what came before the viewer was there is already too much for it, the origin stays stopped."""
        self.tap.deliver(bytes(65536))
        self.glass.high_water = 1000
        relay = self.relay()
        self.assertTrue(self.tap.paused)
        self.glass.drink()
        self.assertFalse(self.tap.paused)
        relay.stop(Outcome.DRAINED)

    def test_a_short_patience_with_viewers(self) -> None:
        """A viewer that may pause for less time than an origin is let go when its own time is over."""
        Relay(self.session, self.tap, self.glass, self.clock, 60, 5, True, lambda *end: self.ends.append(end)).start()
        self.clock.pump([1] * 4)
        self.glass.high_water = 0
        self.tap.deliver(b"x")
        self.clock.pump([1] * 4)
        self.assertEqual(self.ends, [])
        self.clock.pump([1] * 7)
        self.assert_ended(Outcome.VIEWER_TOO_SLOW)
