"""What a packager does for players that begin early: they never run dry, and the first playlist is soon there."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from iptvd.delivery import packager as module
from iptvd.delivery.packager import EARLY, LATE, Packager
from iptvd.errors import UpstreamError
from tests.delivery.packaging import Packaging, Read, new_broadcast, paced, play, read
from tests.simulators.media import SECONDS


class Player:
    """
    A player that begins with the first playlist, and asks again as hls.js and ffmpeg do.

    That is after the duration of the last segment, and where nothing was new after half a target duration.

    :ivar least: seconds of media that it had ahead of it when it had least.
    """

    def __init__(self, packager: Packager, clock: Clock) -> None:
        self.least = 100.0
        self._packager = packager
        self._clock = clock
        self._known: dict[int, float] = {}
        self._began = 0.0
        self._asking = False
        self._again = 0.0

    def look(self) -> None:
        """Some time has passed."""
        now = self._clock.seconds()
        if self._known:
            self.least = min(self.least, sum(self._known.values()) - (now - self._began))
        if not self._asking and now >= self._again:
            self._asking = True
            Deferred.fromCoroutine(self._packager.playlist()).addCallback(self._told)

    def _told(self, body: bytes) -> None:
        playlist = read(body)
        now, before = self._clock.seconds(), len(self._known)
        if not before:
            self._began = self._again = now
        self._known |= {row.sequence: row.duration for row in playlist.rows}
        new = len(self._known) > before
        self._again = max(now, self._again + (playlist.rows[-1].duration if new else playlist.target / 2))
        self._asking = False


class SmoothTests(Packaging):
    """What is done for players that begin early."""

    def cold(self, *, smooth: bool = True) -> Packager:
        """That of a channel that was just turned on."""
        self.broadcast = new_broadcast(self.clock)
        self.addCleanup(self.broadcast.close, lambda viewer: None)
        return self.packager(smooth=smooth)

    def answered(self, packager: Packager, *, first: bool = False) -> tuple[float, Read]:
        """A playlist, and how long it took when nothing comes."""
        begun = self.clock.seconds()
        asked = Deferred.fromCoroutine(packager.playlist(first=first))
        while not asked.called:
            self.clock.advance(0.02)
        return self.clock.seconds() - begun, read(self.successResultOf(asked))

    def least(self, *, smooth: bool, jitter: float) -> float:
        """What a player had ahead of it at least within some time of a channel that was just turned on."""
        chance = Random(7)
        player = Player(self.cold(smooth=smooth), self.clock)
        begun, came = self.clock.seconds(), 0.0
        for due, data in self.film(40.0):
            came = max(came, due + chance.random() * jitter)
            while self.clock.seconds() < begun + came:
                self.clock.advance(0.02)
                player.look()
            self.broadcast.take(data)
        return player.least

    def test_never_dry(self) -> None:
        """Who begins with a channel's first playlist always has something to play, however unevenly it comes."""
        self.assertGreater(self.least(smooth=True, jitter=0.0), 0.8)
        self.assertGreater(self.least(smooth=True, jitter=0.3), 0.4)
        self.assertLess(self.least(smooth=False, jitter=0.3), 0.0)

    def test_on_a_cold_channel(self) -> None:
        """On a channel that comes on the first playlist has two short segments, and short ones follow."""
        packager = self.cold()
        answers: list[tuple[float, Read]] = []
        waiting = Deferred.fromCoroutine(packager.playlist())
        waiting.addCallback(lambda body: answers.append((self.clock.seconds(), read(body))))
        play(self.broadcast, self.clock, self.film(8.0))
        ((when, first),) = answers
        self.assertTrue(2.0 <= when <= 2.1, when)
        self.assertEqual(([row.duration for row in first.rows], first.target), ([1.0, 1.0], 4))
        _, last = self.answered(packager)
        self.assertEqual({row.duration for row in last.rows}, {1.0})

    def test_where_there_is_enough(self) -> None:
        """Where a channel is on already, or begins with some seconds at once, segments are not short."""
        play(self.broadcast, self.clock, self.film(8.0))
        _, warm = self.answered(self.packager(smooth=True))
        self.assertEqual({row.duration for row in warm.rows}, {2.0})
        packager = self.cold()
        play(self.broadcast, self.clock, paced(self.media.read("film.ts"), SECONDS, 14.0, burst=6.0))
        _, cold = self.answered(packager)
        self.assertEqual([row.duration for row in cold.rows][-3:], [2.0] * 3)

    def test_who_comes_later(self) -> None:
        """Whose first playlist would have little between its third last segment and its end begins earlier."""
        packager = self.cold()
        begins: list[tuple[float, float]] = []
        for second in range(14):
            play(self.broadcast, self.clock, self.film(1.0, float(second)))
            if not packager.ready:
                continue
            first = self.answered(packager, first=True)[1].rows
            _, whole = self.answered(packager)
            self.assertEqual(whole.rows[: len(first)], first)
            begun = whole.rows.index(first[max(0, len(first) - 3)])
            begins.append((sum(row.duration for row in whole.rows[begun:]), whole.seconds))
        self.assertGreater(len(begins), 10)
        for ahead, there_is in begins:
            self.assertEqual(ahead, min(6.0, there_is))

    def test_who_comes_where_segments_are_long(self) -> None:
        """Where three segments are enough the first playlist leaves none out."""
        play(self.broadcast, self.clock, self.film(12.0))
        packager = self.packager(smooth=True)
        self.assertEqual(self.answered(packager, first=True)[1], self.answered(packager)[1])

    def test_a_segment_that_is_about_to_come(self) -> None:
        """A playlist asked for shortly before a segment is due waits for that, but not for long and not earlier."""
        packager = self.cold()
        play(self.broadcast, self.clock, self.film(5.3))
        took, before = self.answered(packager)
        self.assertEqual(took, 0.0)
        play(self.broadcast, self.clock, self.film(0.5, 5.3))
        asked = Deferred.fromCoroutine(packager.playlist())
        play(self.broadcast, self.clock, self.film(0.4, 5.8))
        self.assertEqual(read(self.successResultOf(asked)).rows[:-1], before.rows)
        self.clock.advance(1.0 - EARLY)
        took, _ = self.answered(packager)
        self.assertTrue(LATE <= took <= LATE + EARLY + 0.02, took)
        self.assertEqual(self.answered(packager)[0], 0.0)

    def test_many_who_wait(self) -> None:
        """Those who wait are answered in turns, and all of them when it closes."""
        self.patch(module, "_SLICE", -1.0)
        for stop in (False, True):
            packager = self.cold(smooth=False)
            waiting = [Deferred.fromCoroutine(packager.playlist()) for _ in range(3)]
            for _, data in self.film(3.0):
                self.broadcast.take(data)
            self.assertEqual([one.called for one in waiting], [True, False, False])
            if stop:
                packager.close()
                self.failureResultOf(waiting[1], UpstreamError)
                self.failureResultOf(waiting[2], UpstreamError)
            else:
                self.clock.advance(0.0)
                self.clock.advance(0.0)
                self.assertEqual(len({self.successResultOf(one) for one in waiting}), 1)
                packager.close()
