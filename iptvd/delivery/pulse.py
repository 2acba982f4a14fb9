"""How well a live source keeps up: whether it is silent, whether its clock trickles, and how many bits it brings."""

from __future__ import annotations

from collections import deque

from iptvd.protocols.timestamps import PCR_TICKS, PCR_WRAP

#: Seconds of media at most that a source which delivers in bursts is taken to have delivered in advance.
MOST_AHEAD = 15.0
#: A source whose clock ran slower than this share of real time, over the last so many seconds, has stalled.
TRICKLE = 0.7
TRICKLE_SECONDS = 10.0
#: Seconds among them for which there has to have been nothing to play: a burst may be as late as a silence may last.
LATE = 1.0

#: Seconds over which bits are counted.
RATE_SECONDS = 5.0


def _seconds(before: int, pcr: int) -> float:
    return (pcr - before) % PCR_WRAP / PCR_TICKS


class Pulse:
    """One source's, from when it begins to lead. Times are seconds by a clock of ours, clocks are PCRs in 27 MHz."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._counted: tuple[float, int] | None = None
        self._dry_since = 0.0
        # Seconds of media that came, and seconds for which there was none to play.
        self._came = self._lacked = 0.0
        self._looks: deque[tuple[float, float, float]] = deque()

    @property
    def begun(self) -> bool:
        """Whether it has seen a clock yet."""
        return self._counted is not None

    def see(self, now: float, pcr: int | None) -> None:
        """The programme's clock as it is now: what comes in advance is kept account of."""
        if pcr is None:
            return
        if self._counted is not None:
            then, before = self._counted
            passed, went = now - then, _seconds(before, pcr)
            if went >= MOST_AHEAD:
                # That is a jump, which says nothing of how fast it is.
                went = passed
            ahead = self._ahead + went - passed
            self._came += went
            self._lacked += max(-ahead, 0.0)
            self._ahead = min(max(ahead, 0.0), MOST_AHEAD)
        self._counted = (now, pcr)
        if self._ahead:
            self._dry_since = now
        self._looks.append((now, self._came, self._lacked))
        while len(self._looks) > 1 and self._looks[1][0] <= now - TRICKLE_SECONDS:
            self._looks.popleft()

    def silence(self, now: float, heard: float) -> float:
        """
        For how long there has been nothing to play of a source that delivers in bursts.

        :param heard: when it last brought something.
        """
        return now - max(heard, self._dry_since)

    @property
    def trickles(self) -> bool:
        """
        Whether by the last look its clock falls behind real time, and what came in advance does not make up for that.

        What comes in bursts may bring little for a while: as long as there is nothing missed that is no trickle.
        """
        if not self._looks or self._ahead:
            return False
        then, came, lacked = self._looks[0]
        passed = self._looks[-1][0] - then
        slow = self._came - came < TRICKLE * passed
        return passed >= TRICKLE_SECONDS and slow and self._lacked - lacked >= LATE


class Rate:
    """How much has come lately, from looks at it a few times a second; between two looks it costs an addition."""

    def __init__(self) -> None:
        self._bytes = 0
        self._looks: deque[tuple[float, int]] = deque()

    def came(self, size: int) -> None:
        """So many bytes more."""
        self._bytes += size

    def see(self, now: float) -> None:
        """Note how many there are by now, and forget what is older than is counted."""
        looks = self._looks
        looks.append((now, self._bytes))
        while len(looks) > 1 and looks[1][0] <= now - RATE_SECONDS:
            looks.popleft()

    def bits(self, now: float) -> float:
        """Bits a second since the oldest look that counts."""
        if not self._looks:
            return 0.0
        then, before = self._looks[0]
        return 8 * (self._bytes - before) / (now - then) if now > then else 0.0
