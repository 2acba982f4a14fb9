"""Viewers of channels that we package as HLS ourselves: their sessions, and one packager for each channel."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.hls import IDLE_TARGETS, LEAST_IDLE
from iptvd.delivery.hub import Hub
from iptvd.delivery.live import Live
from iptvd.delivery.packager import Packager
from iptvd.delivery.pieces import Segment
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel, Outcome
from iptvd.protocols.m3u8 import single_variant


@define(eq=False)
class _Watching:
    """A viewer's session, and when it is over without a request."""

    session: Session
    timer: IDelayedCall


class PackagedHls:
    """
    Serves them.

    :param find: gives a channel by its id, None when there is none.
    :param target: seconds of media in a segment.
    """

    def __init__(
        self,
        hub: Hub,
        live: Live,
        find: Callable[[int], Channel | None],
        clock: IReactorTime,
        wall: Callable[[], float],
        target: float,
    ) -> None:
        self.target = target
        self._hub = hub
        self._live = live
        self._find = find
        self._clock = clock
        self._wall = wall
        self._packagers: dict[int, Packager] = {}
        self._watching: dict[str, _Watching] = {}

    async def open(self, channel: Channel, viewer: Viewer) -> bytes:
        """
        Begin a session and give the playlist that a player is to start with.

        :raises LimitError: when it is not admitted.
        :raises UpstreamError: when no source works, or none brings a segment in time.
        """
        session = self._hub.admit(channel, viewer, Face.HLS)
        try:
            packager = await self._packager(channel)
            await packager.playlist()
        except UpstreamError as error:
            session.end(Outcome.EXHAUSTED, error.sentence)
            raise
        except LimitError as error:
            session.end(Outcome.REFUSED, error.sentence)
            raise
        except BaseException:
            session.end(Outcome.VIEWER_LEFT)
            raise
        if session.outcome is not None:
            raise LimitError(session.reason or "iptvd is stopping")
        self._heard_of(session, packager)
        return single_variant(f"../hls/{channel.id}/{session.id}/index.m3u8", bandwidth=packager.bandwidth)

    async def playlist(self, channel_id: int, session_id: str, viewer: Viewer) -> bytes:
        """
        The media playlist as it is now; a session that was given up is taken up again.

        :raises LimitError, UpstreamError:
        """
        channel = self._find(channel_id)
        if channel is None:
            raise UpstreamError(404, "this channel is no longer in the lineup")
        packager = await self._packager(channel)
        body = await packager.playlist()
        present = self._watching.get(session_id)
        session = present.session if present is not None else self._hub.admit(channel, viewer, Face.HLS, session_id)
        self._heard_of(session, packager)
        return body

    def segment(self, channel_id: int, session_id: str, number: int) -> tuple[Session, Segment]:
        """
        A segment, and whose request for it this is.

        :raises UpstreamError: 404, when it is none that we have.
        """
        packager, present = self._packagers.get(channel_id), self._watching.get(session_id)
        segment = packager.segment(number) if packager is not None else None
        if packager is None or present is None or segment is None:
            raise UpstreamError(404, "this segment is no longer to be had: load the playlist again")
        packager.touched()
        self._heard_of(present.session, packager)
        return present.session, segment

    def _heard_of(self, session: Session, packager: Packager) -> None:
        idle = max(LEAST_IDLE, IDLE_TARGETS * packager.target_duration)
        present = self._watching.get(session.id)
        if present is not None:
            if present.timer.active():
                present.timer.reset(idle)
            return
        if session.outcome is not None:
            return
        timer = self._clock.callLater(idle, session.end, Outcome.VIEWER_LEFT)
        self._watching[session.id] = _Watching(session, timer)
        session.at_end(self._forget)

    def _forget(self, session: Session) -> None:
        watching = self._watching.pop(session.id, None)
        if watching is not None and watching.timer.active():
            watching.timer.cancel()

    async def _packager(self, channel: Channel) -> Packager:
        present = self._packagers.get(channel.id)
        if present is not None:
            return present
        on_air = await self._live.tune(channel)
        present = self._packagers.get(channel.id)
        if present is not None:
            # Another viewer's request was quicker.
            self._live.leave(on_air)
            return present

        def closed() -> None:
            if self._packagers.get(channel.id) is packager:
                del self._packagers[channel.id]
            self._live.leave(on_air)

        packager = Packager(on_air.broadcast, self._clock, self._wall, closed, target=self.target)
        self._packagers[channel.id] = packager

        def given_up(outcome: Outcome, reason: str) -> None:
            packager.close()
            for watching in list(self._watching.values()):
                if watching.session.channel.id == channel.id:
                    watching.session.end(outcome, reason)

        on_air.at_close.append(given_up)
        return packager

    def close(self) -> None:
        """Let go of every packager."""
        for packager in list(self._packagers.values()):
            packager.close()
