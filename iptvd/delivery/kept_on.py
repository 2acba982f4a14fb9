"""Channels that are kept on though nobody watches them, because somebody who manages wants that."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define
from twisted.internet.defer import CancelledError, Deferred

from iptvd.delivery.feed import NotShareable
from iptvd.delivery.live import Live, OnAir
from iptvd.errors import LimitError, UpstreamError
from iptvd.log import Log
from iptvd.model import Channel, Outcome

#: How many there can be.
MOST = 32


@define(eq=False)
class _Kept:
    """
    One of them.

    :ivar work: turns it on, None once that is done.
    :ivar on_air: None until then.
    """

    channel: Channel
    started: float
    work: Deferred[OnAir] | None = None
    on_air: OnAir | None = None


class KeptOn:
    """
    All of them; none outlives the daemon.

    Each takes a connection of its provider as a viewer does, and gives it back when it is stopped or its sources fail.

    :param wall: seconds since the epoch.
    """

    log = Log()

    def __init__(self, live: Live, wall: Callable[[], float]) -> None:
        self._live = live
        self._wall = wall
        self._kept: dict[int, _Kept] = {}

    @property
    def on(self) -> Mapping[int, tuple[Channel, float]]:
        """Those that are on, by channel id, and since when, in seconds since the epoch."""
        found = self._kept.items()
        return {channel_id: (kept.channel, kept.started) for channel_id, kept in found if kept.on_air is not None}

    async def start(self, channel: Channel) -> bool:
        """
        Turn a channel on, and keep it on.

        :return: False when that was so, or is being done, already.
        :raises UpstreamError: when no source works, or none of that form can be kept on, or it was stopped meanwhile.
        :raises LimitError: when there is no slot, or there are too many.
        """
        if channel.id in self._kept:
            return False
        if len(self._kept) >= MOST:
            raise LimitError(f"{MOST} channels are kept on already: stop one first")
        kept = self._kept[channel.id] = _Kept(channel, self._wall())
        kept.work = Deferred.fromCoroutine(self._live.tune(channel, steady=True))
        try:
            kept.on_air = on_air = await kept.work
        except CancelledError:
            raise UpstreamError(503, "it was stopped before it was on") from None
        except NotShareable:
            raise UpstreamError(502, "its source cannot be kept on: it is no MPEG-TS") from None
        finally:
            kept.work = None
            if kept.on_air is None and self._kept.get(channel.id) is kept:
                del self._kept[channel.id]
        on_air.at_close.append(lambda outcome, reason: self._closed(channel.id, kept, outcome))
        self.log.info("channel {channel} is kept on", channel=channel.id)
        return True

    def stop(self, channel_id: int) -> bool:
        """Keep a channel on no longer; whether it was."""
        kept = self._kept.pop(channel_id, None)
        if kept is None:
            return False
        if kept.work is not None:
            kept.work.cancel()
        if kept.on_air is not None:
            self._live.leave(kept.on_air)
        self.log.info("channel {channel} is kept on no longer", channel=channel_id)
        return True

    def stop_all(self, which: Callable[[Channel], bool]) -> None:
        """Keep none of these on any longer."""
        for channel_id, kept in list(self._kept.items()):
            if which(kept.channel):
                self.stop(channel_id)

    def _closed(self, channel_id: int, kept: _Kept, outcome: Outcome) -> None:
        """It was turned off: its sources failed, or the daemon stops."""
        if self._kept.get(channel_id) is kept:
            del self._kept[channel_id]
            self.log.info("channel {channel} is off: {outcome}", channel=channel_id, outcome=outcome.value)
