"""Bodies on their way to viewers: who reads, who does not, who leaves, and what of it is counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import clips
from iptvd.delivery.clips import SECONDS, Card, Clips
from iptvd.delivery.opening import Opened
from iptvd.delivery.patience import ZAP
from iptvd.delivery.session import Face, Viewer
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.protocols.mpegts import null_packets
from iptvd.protocols.sniff import Media
from iptvd.web.player import LINGER, WORTH_TAKING
from iptvd.web.request import Refusal
from tests.doubles import folder_for, offload
from tests.protocols.test_upstream import Tap
from tests.web.building import understood
from tests.web.loop import Client, Stage
from tests.web.test_stream import FILM, LIVE, SECOND, seconds

#: More than sockets hold.
MUCH = 8 << 20
#: Stand for what ffmpeg makes, by what they say; more than sockets hold, too.
CLIPS = {card: null_packets(2000 + number) * 8 for number, card in enumerate(Card)}


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
        client.read()
        self.assertEqual(session.bytes_sent, len(client.body))

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


class ClipTests(PlayerTestCase):
    """Viewers that cannot be served."""

    def setUp(self) -> None:
        super().setUp()
        self.stage.limits["p"] = 1
        self.made = [(0, b"")]
        self.stage.player.clips = self.clips = Clips(
            folder_for(self), "ffmpeg", self.run_ffmpeg, offload, self.stage.loop
        )
        self.clips.enable(True)
        self.patch(self.clips, "log", self)
        self.warnings = 0

    def run_ffmpeg(self, argv: Sequence[str]) -> Deferred[tuple[int, bytes]]:
        path = Path(argv[-1])
        path.write_bytes(CLIPS[next(card for card in Card if f".{card.name.lower()}-" in path.name)])
        return succeed(self.made[0])

    def warn(self, text: str, **fields: object) -> None:
        self.warnings += 1

    def refused(self, name: str = "Live", extension: str = "ts", method: str = "GET") -> Client:
        """A viewer who comes when all connections are in use, and has waited for one."""
        client = self.stage.ask(self.stage.path(name, extension), ("User-Agent", "Other"), method=method)
        self.stage.loop.advance(ZAP)
        self.stage.loop.settle()
        return client

    def fill_up(self) -> None:
        """Somebody has the one connection."""
        self.assertIsNotNone(self.stage.slots.take("p"))

    def see(self, client: Client) -> Card | None:
        """What a viewer is shown, who reads to the end."""
        for _ in range(4 * SECONDS):
            self.stage.loop.advance(0.25)
            client.read()
        self.assertTrue(client.ended)
        return next((card for card, clip in CLIPS.items() if clip == client.body), None)

    def assert_refused(self, client: Client, words: str) -> None:
        """It has the sentence and the status of one."""
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "5"))
        self.assertIn(words, answer.text)

    def test_full(self) -> None:
        """When all connections are in use the viewer is shown a clip that says so, which takes none of them."""
        self.fill_up()
        for isolated in (False, True):
            self.stage.isolated = {self.stage.channel("Live").id} if isolated else set()
            client = self.refused()
            self.assertIs(self.see(client), Card.FULL)
            head = client.data.partition(b"\r\n\r\n")[0]
            for line in (b"HTTP/1.1 200 OK", b"Content-Type: video/mp2t", b"Cache-Control: no-store"):
                self.assertIn(line, head)
        self.assertEqual(self.stage.outcomes(), ["refused"] * 2)
        self.assertEqual((len(self.stage.hub.sessions), self.stage.slots.total, self.clips.shown), (0, 1, 0))
        self.assertEqual(self.stage.origins.asked, [])

    def test_unavailable(self) -> None:
        """A channel that cannot be had is a clip that says so; its session is over when that begins."""
        self.stage.origins.script["1"] = [UpstreamError(404, "the origin does not have it")]
        client = self.refused()
        self.assertEqual((self.stage.outcomes(), self.clips.shown), (["exhausted"], 1))
        self.assertEqual((dict(self.stage.hub.sessions), self.stage.slots.total), ({}, 0))
        self.assertTrue(CLIPS[Card.UNAVAILABLE].startswith(client.body))
        client.leave(reset=True)
        self.assertEqual(self.clips.shown, 0)
        self.stage.assert_nothing_left()

    def test_all_streams(self) -> None:
        """A viewer beyond the limit of all streams is shown the clip, too, and was never admitted."""
        self.stage.hub.max_streams = 1
        self.stage.hub.admit(self.stage.channel("Film"), Viewer("127.0.0.2"), Face.VOD)
        self.assertEqual((self.see(self.refused()), self.stage.ends), (Card.FULL, []))

    def test_others(self) -> None:
        """Players of HLS, films and requests for the head alone have what they have without clips."""
        self.fill_up()
        self.assert_refused(self.refused(extension="m3u8"), "All 1 connections of p are in use.")
        self.assert_refused(self.refused("Film", "mp4"), "All 1 connections of p are in use.")
        answer = self.refused(method="HEAD").answer("HEAD")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "video/mp2t"))
        self.assertEqual((self.clips.shown, self.stage.outcomes()), (0, ["refused"] * 2))

    def test_none_to_be_had(self) -> None:
        """Where no clip can be made the viewer gets the sentence, once its session is counted."""
        self.fill_up()
        self.made = [(1, b"no encoder")]
        self.assert_refused(self.refused(), "All 1 connections of p are in use.")
        self.assertEqual((self.stage.outcomes(), self.warnings), (["refused"], 1))
        self.clips.enable(False)
        self.assert_refused(self.refused(), "All 1 connections of p are in use.")

    def test_stopping(self) -> None:
        """When the daemon stops nobody is shown a clip any more: it would be wrong."""
        opening: Deferred[Opened] = Deferred()
        self.stage.origins.script["1"] = [opening, Media.TS]
        waiting = self.stage.ask(self.stage.path("Live"))
        self.stage.hub.drain(5)
        opening.callback(self.stage.origins.opened())
        self.stage.loop.settle()
        for client in (waiting, self.refused()):
            self.assert_refused(client, "Iptvd is stopping.")

    def test_a_transport_of_another_kind(self) -> None:
        """A viewer whose connection cannot be taken over gets the sentence."""
        self.fill_up()
        transport = self.elsewhere(self.stage.path("Live"))
        self.stage.loop.advance(ZAP)
        self.assertEqual(understood(transport.value()).status, 503)
        self.assertEqual(self.clips.shown, 0)

    def test_who_does_not_read(self) -> None:
        """A viewer that reads nothing of a clip is cut off."""
        self.fill_up()
        self.patch(clips, "GRACE", 1.0)
        client = self.refused()
        for _ in range(4 * (SECONDS + 2)):
            self.stage.loop.advance(0.25)
            self.stage.loop.settle()
        self.assertFalse(client.near.connected)
        self.assertEqual((self.clips.shown, self.stage.outcomes()), (0, ["refused"]))
