"""Bodies on their way to viewers: who reads, who does not, who leaves, and what of it is counted."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.opening import Opened
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.web.player import LINGER, WORTH_TAKING
from iptvd.web.request import Refusal
from tests.protocols.test_upstream import Tap
from tests.web.building import understood
from tests.web.loop import Client, Stage
from tests.web.test_stream import FILM, LIVE, SECOND, seconds

#: More than sockets hold.
MUCH = 8 << 20


class PlayerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage(self, LIVE, FILM)
        for key, kind in (("1", SourceKind.TS), ("4", SourceKind.VOD)):
            self.stage.sources[key] = [("p", Source(kind, url=f"http://origin.test/{key}"))]
        self.tap = Tap()

    def film(self, length: int | None) -> Client:
        """A viewer of a film."""
        headers = (("Content-Length", str(length)),) if length is not None else ()
        self.stage.openings.table["http://origin.test/4"] = lambda ask: Opened(self.tap, 200, headers)
        return self.stage.ask(self.stage.path("Film", "mp4"))

    def elsewhere(self, path: str) -> StringTransport:
        """A viewer whose connection is no socket."""
        transport = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 50000))
        protocol: Any = self.stage.site.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return transport

    def fill(self) -> None:
        """The origin sends until it is told to wait."""
        while not self.tap.paused:
            self.tap.deliver(b"x" * 65536)
            self.stage.loop.settle()


class BodyTests(PlayerTestCase):
    def test_short(self) -> None:
        """A short body leaves the connection to the next request."""
        client = self.film(5)
        self.tap.deliver(b"hello")
        self.tap.finish()
        answer = client.answer()
        self.assertEqual((answer.body, client.ended), (b"hello", False))
        self.assertNotIn("Connection", answer.headers)
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")

    def test_long_or_unknown(self) -> None:
        """A long body, or one whose length is not known, has a connection of its own, which ends with it."""
        for length in (WORTH_TAKING, None):
            self.tap = Tap()
            client = self.film(length)
            self.tap.deliver(b"x" * WORTH_TAKING)
            self.tap.finish()
            self.assertEqual((len(client.body), client.ended), (WORTH_TAKING, True))
            head = client.data.partition(b"\r\n\r\n")[0]
            self.assertIn(b"Connection: close", head)
            self.assertIn(b"X-Content-Type-Options: nosniff", head)
            self.assertEqual(b"\r\nContent-Length: " in head, length is not None)
        self.assertEqual(self.stage.outcomes(), ["completed", "completed"])
        self.stage.assert_nothing_left()

    def test_backpressure(self) -> None:
        """A viewer that does not read stops its origin, and has everything in the end when it reads again."""
        client = self.film(MUCH)
        self.fill()
        sent = 0
        while sent < MUCH:
            client.read()
            if not self.tap.paused:
                self.tap.deliver(b"x" * 65536)
            sent = len(client.body)
        self.tap.finish()
        self.assertTrue(client.read() and client.ended)
        self.assertEqual(self.stage.outcomes(), ["completed"])

    def test_who_reads_nothing(self) -> None:
        """A viewer that reads nothing for too long is cut off, whichever way its body goes."""
        for length in (WORTH_TAKING - 1, MUCH):
            self.tap = Tap()
            client = self.film(length)
            self.fill()
            self.stage.loop.pump([1] * 12)
            self.stage.loop.settle()
            self.assertEqual(self.tap.stopped, 1)
            self.assertFalse(client.near.connected)
        self.assertEqual(self.stage.outcomes(), ["viewer_too_slow"] * 2)
        self.stage.assert_nothing_left()

    def test_other_timeouts(self) -> None:
        """Other settings hold for what begins from then on."""
        self.stage.player.set_timeouts(2.0, 3.0)
        self.film(MUCH)
        self.stage.loop.pump([0.5] * 5)
        self.assertEqual(self.stage.outcomes(), ["upstream_stalled"])
        self.tap = Tap()
        self.film(MUCH)
        self.fill()
        self.stage.loop.pump([0.5] * 7)
        self.assertEqual(self.stage.outcomes(), ["upstream_stalled", "viewer_too_slow"])

    def test_a_loss_that_is_not_read(self) -> None:
        """Of a body that broke off a viewer may read what it was given, but not for ever."""
        for length in (WORTH_TAKING - 1, MUCH):
            self.tap = Tap()
            client = self.film(length)
            self.fill()
            self.tap.finish(UpstreamError(502, "reset"))
            self.stage.loop.settle()
            self.assertTrue(client.near.connected)
            # The web server first asks, and then insists.
            self.stage.loop.pump([1] * (LINGER + 16))
            self.stage.loop.settle()
            self.assertFalse(client.near.connected)
        self.assertEqual(self.stage.outcomes(), ["upstream_lost"] * 2)
        self.stage.assert_nothing_left()

    def test_leaving(self) -> None:
        """A viewer that leaves stops its origin at once, however it leaves and whichever way its body goes."""
        for length in (5, MUCH):
            for reset in (False, True):
                self.tap = Tap()
                client = self.film(length)
                self.tap.deliver(b"x")
                client.leave(reset=reset)
                self.assertEqual(self.tap.stopped, 1)
        self.assertEqual(self.stage.outcomes(), ["viewer_left"] * 4)
        self.stage.assert_nothing_left()

    def test_the_end_of_the_drain_time(self) -> None:
        """When the drain time is over bodies are cut off, and viewers can tell."""
        clients, taps = [], []
        for length in (5, MUCH):
            self.tap = Tap()
            taps.append(self.tap)
            clients.append(self.film(length))
        self.stage.hub.drain(5)
        self.assertEqual(self.stage.ends, [])
        self.stage.loop.advance(4.5)
        for tap in taps:
            tap.deliver(b"y")
        self.stage.loop.advance(0.5)
        self.stage.loop.settle()
        for client in clients:
            client.read()
            self.assertTrue(client.ended)
        self.assertEqual(self.stage.outcomes(), ["drained"] * 2)
        self.stage.assert_nothing_left()

    def test_a_transport_of_another_kind(self) -> None:
        """A viewer whose connection cannot be taken over gets its body by way of the web server."""
        self.stage.openings.table["http://origin.test/4"] = lambda ask: Opened(self.tap, 200, ())
        transport = self.elsewhere(self.stage.path("Film", "mp4"))
        self.stage.loop.advance(0)
        self.tap.deliver(b"hello")
        self.tap.finish()
        self.assertEqual(understood(transport.value()).body, b"hello")
        self.assertEqual(self.stage.outcomes(), ["completed"])
        self.stage.assert_nothing_left()

    def test_nothing_to_play(self) -> None:
        """Where nothing was opened there is nothing to play."""
        request: Any = None
        session: Any = None
        nothing = Opened(None, 200, ())
        with self.assertRaises(Refusal):
            self.stage.player.play(request, session, nothing, False, lambda outcome, reason: None)


class SharedTests(PlayerTestCase):
    def watch(self) -> Client:
        return self.stage.ask(self.stage.path("Live"))

    def test_too_slow(self) -> None:
        """A viewer of a shared channel that takes nothing for too long is cut off; another one notices nothing."""
        slow, steady = self.watch(), self.watch()
        film = seconds(0, 8)
        for number in range(64):
            self.stage.deliver([film[number % 8]], 0.5)
            steady.read()
        self.assertEqual(self.stage.outcomes(), ["viewer_too_slow"])
        self.assertFalse(slow.near.connected)
        self.assertEqual(len(steady.body), 64 * len(SECOND))
        self.assertEqual(len(self.stage.hub.sessions), 1)

    def test_what_is_counted(self) -> None:
        """What a viewer of a shared channel has been sent is counted while it watches."""
        client = self.watch()
        self.stage.deliver(seconds(0, 2))
        (session,) = self.stage.hub.sessions.values()
        self.assertEqual(session.bytes_sent, len(client.read()))

    def test_draining(self) -> None:
        """When the daemon stops, viewers of shared channels have what was sent to them, and then the end."""
        clients = [self.watch(), self.watch()]
        self.stage.deliver(seconds(0, 2))
        self.stage.hub.drain(5)
        self.stage.loop.settle()
        for client in clients:
            self.assertEqual((client.body, client.ended), (b"".join(seconds(0, 2)), True))
        self.assertEqual(self.stage.outcomes(), ["drained"] * 2)
        self.stage.loop.advance(3)
        self.stage.assert_nothing_left()

    def test_a_connection_that_is_gone(self) -> None:
        """A viewer whose connection cannot be taken over any more has left."""
        self.elsewhere(self.stage.path("Live"))
        self.assertEqual(self.stage.outcomes(), ["viewer_left"])
        self.stage.loop.advance(3)
        self.stage.assert_nothing_left()
