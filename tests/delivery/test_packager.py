"""A broadcast as HLS: its first playlist, what it keeps and for how long."""

from __future__ import annotations

import os
import sys
from itertools import chain

import pytest_twisted
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from iptvd.delivery.packager import LINGER, PATIENCE, Packager
from iptvd.errors import UpstreamError
from tests.delivery.packaging import EPOCH, Audience, Packaging, new_broadcast, paced, play, read
from tests.doubles import result
from tests.protocols.tsmaking import made_film
from tests.simulators.looped import LoopedTs
from tests.simulators.media import PICTURES, SECONDS, Media, find_ffmpeg

RATE = PICTURES // SECONDS


class FirstPlaylistTests(Packaging):
    def test_at_once_on_a_warm_channel(self) -> None:
        """On a channel that is on, the first playlist comes at once and is full."""
        play(self.broadcast, self.clock, self.film(30.0))
        now = read(result(self.packager().playlist()))
        self.assertGreaterEqual(len(now.rows), 5)
        self.assertEqual({row.duration for row in now.rows}, {2.0})

    def test_no_more_than_the_window(self) -> None:
        """What is in the ring beyond what a playlist lists is not kept."""
        self.broadcast = new_broadcast(self.clock, span=30.0)
        self.addCleanup(self.broadcast.close, lambda viewer: None)
        play(self.broadcast, self.clock, self.film(30.0))
        packager = self.packager()
        now = read(result(packager.playlist()))
        self.assertEqual(len(now.rows), 6)
        self.assertEqual(now.sequence, int(EPOCH + self.clock.seconds()) + 8)
        self.assertIsNone(packager.segment(now.sequence - 1))

    def test_the_same_as_from_the_beginning(self) -> None:
        """Segments made of what the ring held are those that would have been made as it came, byte for byte."""
        early = Audience(self.packager())
        play(self.broadcast, self.clock, self.film(11.0), early)
        late = Audience(self.packager())
        late.ask()
        self.assertEqual(list(late.segments.values()), list(early.segments.values()))

    def test_on_a_cold_channel(self) -> None:
        """On a channel that comes on it is given to all who wait as soon as one segment is complete."""
        packager = self.packager()
        waiting = [Deferred.fromCoroutine(packager.playlist(prefix)) for prefix in ("", "a/")]
        answers: list[tuple[float, bytes]] = []
        for one in waiting:
            one.addCallback(lambda body: answers.append((self.clock.seconds(), body)))
        play(self.broadcast, self.clock, self.film(2.6))
        self.assertEqual(len(answers), 2)
        self.assertTrue(all(2.0 <= when <= 2.1 for when, _ in answers))
        row, prefixed = (read(body).rows[0] for _, body in answers)
        self.assertEqual(prefixed.uri, "a/" + row.uri)
        self.assertEqual(row.uri, f"{EPOCH:.0f}.ts")

    def test_nothing_to_begin_with(self) -> None:
        """Who waits for a channel that shows nothing is told so after a while, and that is counted for nothing."""
        packager = self.packager()
        waiting = Deferred.fromCoroutine(packager.playlist())
        self.clock.advance(PATIENCE / 2)
        gone = Deferred.fromCoroutine(packager.playlist())
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.clock.advance(PATIENCE / 2)
        self.assertEqual(self.failureResultOf(waiting, UpstreamError).value.status, 504)


class LifeTests(Packaging):
    def test_segments_stay(self) -> None:
        """A segment that left the playlist can be had for its own and the playlist's duration, and then no more."""
        packager = self.packager()
        audience = Audience(packager)
        play(self.broadcast, self.clock, self.film(20.0), audience)
        oldest = audience.last.rows[0].sequence
        left = 0.0
        for second in range(1, 20):
            play(self.broadcast, self.clock, ((due, data) for due, data in self.film(1.0, 19.0 + second)), audience)
            if not left and audience.last.sequence > oldest:
                left = self.clock.seconds()
            if left and self.clock.seconds() < left + 13.5:
                self.assertIsNotNone(packager.segment(oldest))
        self.assertIsNone(packager.segment(oldest))
        self.assertIsNone(packager.segment(10**9))
        self.assertLessEqual(packager.size, sum(map(len, audience.segments.values())))

    def test_it_lingers(self) -> None:
        """It lives on for a while after the last request, and then lets go of everything."""
        packager = self.packager()
        play(self.broadcast, self.clock, self.film(5.0))
        self.clock.advance(LINGER - 6.0)
        result(packager.playlist())
        self.clock.advance(LINGER - 1.0)
        packager.segment(0)
        self.clock.advance(LINGER - 1.0)
        self.assertEqual(self.closed, [])
        self.clock.advance(1.0)
        self.assertEqual(self.closed, [packager])
        self.assertEqual((packager.size, packager.ready), (0, False))
        self.assertIsNone(packager.segment(int(EPOCH)))
        with self.assertRaises(UpstreamError) as caught:
            result(packager.playlist())
        self.assertEqual(caught.exception.status, 503)
        packager.close()
        self.assertEqual(self.closed, [packager])

    def test_who_waits_keeps_it(self) -> None:
        """It does not close while somebody waits for the first playlist."""
        packager = self.packager(patience=60.0)
        waiting = Deferred.fromCoroutine(packager.playlist())
        self.clock.pump([LINGER, LINGER])
        self.assertEqual(self.closed, [])
        packager.close()
        self.assertEqual(self.failureResultOf(waiting, UpstreamError).value.status, 503)

    def test_numbers_go_on(self) -> None:
        """A packager that comes after another gives no segment a number that stood for something else."""
        first = self.packager()
        play(self.broadcast, self.clock, self.film(9.0))
        used = [row.sequence for row in read(result(first.playlist())).rows]
        self.clock.advance(LINGER)
        self.assertEqual(self.closed, [first])
        second = self.packager()
        play(self.broadcast, self.clock, self.film(9.0, 9.0))
        self.assertGreater(read(result(second.playlist())).sequence, used[-1])

    def test_room(self) -> None:
        """A packager holds no more than it may: the oldest segments go first, and the newest stays."""
        for most in (300_000, 1_200_000):
            packager = self.packager(most=most)
            begun = self.clock.seconds()
            sizes = []
            for due, data in self.film(40.0):
                self.clock.advance(max(0.0, begun + due - self.clock.seconds()))
                self.broadcast.take(data)
                sizes.append(packager.size)
                if packager.ready:
                    now = read(result(packager.playlist()))
                    self.assertTrue(all(packager.segment(row.sequence) is not None for row in now.rows))
                    self.assertGreaterEqual(len(now.rows), 1)
            self.assertLessEqual(max(sizes), most)
            self.assertGreater(max(sizes), most // 2)

    def test_room_for_what_is_there(self) -> None:
        """Of what the ring holds already no more is taken than there is room for."""
        play(self.broadcast, self.clock, self.film(30.0))
        packager = self.packager(most=300_000)
        self.assertLessEqual(packager.size, 300_000)
        now = read(result(packager.playlist()))
        self.assertIsNotNone(packager.segment(now.sequence))
        self.assertIsNone(packager.segment(now.sequence - 1))

    def test_the_rate_that_is_announced(self) -> None:
        """The rate for a multivariant playlist is that of the segment that had most."""
        packager = self.packager()
        self.assertGreater(packager.bandwidth, 1_000_000)
        audience = Audience(packager)
        play(self.broadcast, self.clock, self.film(12.0), audience)
        rates = [len(audience.segments[number]) * 8 / row.duration for number, row in audience.rows.items()]
        self.assertEqual(packager.bandwidth, round(max(rates)))

    def test_it_leaves_nothing(self) -> None:
        """Whenever it is stopped, no timer and not a block of the ring stay behind, and who waits is told."""
        blocks = [chunk for _, chunk in paced(made_film(6), 6, 6.0)]
        for stop in chain(range(0, len(blocks), 7), (len(blocks),)):
            clock = Clock()
            broadcast = new_broadcast(clock)
            idle = len(clock.getDelayedCalls())
            before = [sys.getrefcount(block) for block in blocks]
            packager = Packager(broadcast, clock, clock.seconds, lambda: None)
            waiting = Deferred.fromCoroutine(packager.playlist())
            failures: list[object] = []
            waiting.addErrback(failures.append)
            for block in blocks[:stop]:
                broadcast.take(block)
                clock.advance(0.04)
            complete = packager.ready
            packager.close()
            self.assertEqual(len(failures), 0 if complete else 1)
            broadcast.close(lambda viewer: None)
            self.assertEqual(len(clock.getDelayedCalls()), idle)
            failures.clear()
            block = b""
            self.assertEqual([sys.getrefcount(block) for block in blocks], before)


class Served(Resource):
    """A playlist and its segments, as a web server gives them."""

    isLeaf = True

    def __init__(self, packager: Packager) -> None:
        super().__init__()
        self.packager = packager

    def render_GET(self, request: Request) -> bytes | int:
        number, _, extension = request.path.decode().rpartition("/")[2].partition(".")
        if extension == "m3u8":
            request.setHeader("Content-Type", "application/vnd.apple.mpegurl")
            waiting = Deferred.fromCoroutine(self.packager.playlist())
            waiting.addCallback(lambda body: (request.write(body), request.finish()))
            return NOT_DONE_YET
        segment = self.packager.segment(int(number))
        if segment is None:
            request.setResponseCode(404)
            return b""
        request.setHeader("Content-Type", "video/mp2t")
        return b"".join(segment)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator,unused-ignore]
async def test_a_live_playlist(media: Media) -> None:
    """ffmpeg follows a playlist that goes on, and gets every picture of what it plays."""
    from twisted.internet import reactor

    clock = IReactorTime(reactor)
    broadcast = new_broadcast(clock)
    # Twice as fast as it is meant to be played, so that it takes half as long.
    film = LoopedTs(media.read("film.ts"), SECONDS).play(0.0, 4.0, 2.0, 0)
    begun = clock.seconds()

    async def feed() -> None:
        for due, packets in film:
            await deferLater(clock, max(0.0, begun + due - clock.seconds()))
            broadcast.take(packets)

    feeding = Deferred.fromCoroutine(feed())
    feeding.addErrback(lambda failure: failure.trap(CancelledError) and None)
    packager = Packager(broadcast, clock, clock.seconds, lambda: None)
    site = Site(Served(packager))
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site)
    address = port.getHost()
    assert isinstance(address, IPv4Address)
    url = f"http://127.0.0.1:{address.port}/index.m3u8"
    try:
        words = ["-nostdin", "-v", "error", "-xerror", "-i", url, "-map", "0:v", "-t", "10", "-f", "framemd5", "-"]
        output, complained, status = await getProcessOutputAndValue(find_ffmpeg(), words, os.environ)
    finally:
        feeding.cancel()
        packager.close()
        broadcast.close(lambda viewer: None)
        await maybeDeferred(port.stopListening)
    frames = [line for line in output.splitlines() if not line.startswith(b"#")]
    assert (complained, status, len(frames)) == (b"", 0, 10 * RATE)
