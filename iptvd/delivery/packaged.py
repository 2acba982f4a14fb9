"""Viewers of channels that we package as HLS ourselves: their sessions, and one packager for each channel."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.feed import NotShareable
from iptvd.delivery.hls_sessions import IDLE_TARGETS, LEAST_IDLE, SLACK, end_unserved
from iptvd.delivery.hub import Hub
from iptvd.delivery.live import Live
from iptvd.delivery.opening import FoundPlaylist
from iptvd.delivery.packager import Packager
from iptvd.delivery.patience import patiently
from iptvd.delivery.pieces import Segment
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel, Outcome
from iptvd.protocols.m3u8 import single_variant


@define(eq=False)
class _Watching:
    """
    A viewer's session.

    :ivar timer: when it is over without a request; that does not count while the first is answered.
    :ivar heard: when it asked for something last.
    :ivar due: bytes that it has been sent when what it asked for last is with it.
    :ivar begun: whether its player has seen a playlist.
    """

    session: Session
    timer: IDelayedCall | None = None
    heard: float = 0.0
    due: int = 0
    begun: bool = False


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
        hub.slots.on_want(self._give_up)

    async def open(self, channel: Channel, viewer: Viewer, root: str = "../") -> bytes:
        """
        Begin a session and give the playlist that a player is to start with.

        :param root: the way from that playlist to the top of the tree.
        :raises LimitError: when it is not admitted.
        :raises UpstreamError: when no source works, or none brings a segment in time.
        """
        session = self._hub.admit(channel, viewer, Face.HLS)
        packager = await self._begin(session)
        return single_variant(f"{root}hls/{channel.id}/{session.id}/index.m3u8", bandwidth=packager.bandwidth)

    async def _begin(self, session: Session, begun: bool = False) -> Packager:
        """Have a channel packaged for a session that was just admitted; it ends when that fails."""
        self._watching[session.id] = _Watching(session, begun=begun)
        session.at_end(self._forget)
        try:
            packager = await patiently(self._clock, lambda: self._packager(session.channel, session.viewer))
            await packager.playlist()
        except FoundPlaylist:
            session.end(Outcome.COMPLETED, "followed as HLS")
            raise
        except NotShareable:
            session.end(Outcome.EXHAUSTED, "it is not MPEG-TS")
            raise
        except BaseException as error:
            end_unserved(session, error)
            raise
        if session.outcome is not None:
            raise LimitError(session.reason or "iptvd is stopping")
        self._heard_of(session, packager)
        return packager

    async def playlist(self, channel_id: int, session_id: str, viewer: Viewer) -> bytes:
        """
        The media playlist as it is now; a session that was given up is taken up again.

        :raises LimitError, UpstreamError:
        """
        channel = self._find(channel_id)
        if channel is None:
            raise UpstreamError(404, "this channel is no longer in the lineup")
        present = self._watching.get(session_id)
        if present is None and session_id not in self._hub.sessions:
            packager = await self._begin(self._hub.admit(channel, viewer, Face.HLS, session_id), begun=True)
            return await packager.playlist()
        if present is None or present.session.channel.id != channel_id:
            raise UpstreamError(404, "this address is of another channel: open the channel again")
        present.session.require(viewer)
        present.heard = self._clock.seconds()
        packager = await self._packager(channel, viewer)
        first, present.begun = not present.begun, True
        body = await packager.playlist(first=first)
        self._heard_of(present.session, packager)
        return body

    def segment(self, channel_id: int, session_id: str, number: int, viewer: Viewer) -> tuple[Session, Segment]:
        """
        A segment, and whose request for it this is.

        :raises UpstreamError: 404, when it is none that we have.
        :raises TokenError: when it is another user's.
        """
        packager, present = self._packagers.get(channel_id), self._watching.get(session_id)
        segment = packager.segment(number) if packager is not None else None
        ours = present is not None and present.session.channel.id == channel_id
        if packager is None or present is None or segment is None or not ours:
            raise UpstreamError(404, "this segment is no longer to be had: load the playlist again")
        present.session.require(viewer)
        packager.touched()
        self._heard_of(present.session, packager)
        present.due = present.session.bytes_sent + segment.size
        present.session.segments += 1
        return present.session, segment

    def _heard_of(self, session: Session, packager: Packager) -> None:
        idle = max(LEAST_IDLE, IDLE_TARGETS * packager.target_duration)
        present = self._watching.get(session.id)
        if present is None:
            # It has ended.
            return
        present.heard = self._clock.seconds()
        if present.timer is not None:
            present.timer.reset(idle)
        else:
            present.timer = self._clock.callLater(idle, self._idle, present)

    def _idle(self, watching: _Watching) -> None:
        watching.timer = None
        watching.session.end(Outcome.VIEWER_LEFT)

    def _forget(self, session: Session) -> None:
        watching = self._watching.pop(session.id, None)
        if watching is not None and watching.timer is not None:
            watching.timer.cancel()

    def _give_up(self, provider: str, viewer: Viewer | None) -> bool:
        """Close what is packaged for nobody, or end a session of a viewer who wants the connection for another."""
        watched = {watching.session.channel.id for watching in self._watching.values()}
        for channel_id, packager in self._packagers.items():
            on_air = self._live.on_air.get(channel_id)
            if channel_id not in watched and on_air is not None and provider in on_air.feed.providers:
                packager.close()
                return True
        for watching in self._watching.values():
            session = watching.session
            on_air = self._live.on_air.get(session.channel.id)
            if on_air is None or provider not in on_air.feed.providers or session.viewer != viewer:
                continue
            if self._has_turned_away(watching):
                session.end(Outcome.VIEWER_LEFT, "its viewer turned to another channel")
                return True
        return False

    def _has_turned_away(self, watching: _Watching) -> bool:
        """
        Whether a player has been silent for longer than one that goes on is, and has all that it asked for.

        One address and agent may be many people (behind a server).
        """
        packager = self._packagers.get(watching.session.channel.id)
        if packager is None or watching.timer is None or watching.session.bytes_sent < watching.due:
            return False
        return self._clock.seconds() - watching.heard >= packager.target_duration + SLACK

    async def _packager(self, channel: Channel, viewer: Viewer) -> Packager:
        present = self._packagers.get(channel.id)
        if present is not None:
            return present
        on_air = await self._live.tune(channel, viewer)
        present = self._packagers.get(channel.id)
        if present is not None:
            # Another viewer's request was quicker.
            self._live.leave(on_air)
            return present

        def closed() -> None:
            del self._packagers[channel.id]
            if given_up in on_air.at_close:
                on_air.at_close.remove(given_up)
            self._live.leave(on_air)

        def given_up(outcome: Outcome, reason: str) -> None:
            packager.close()
            for watching in list(self._watching.values()):
                if watching.session.channel.id == channel.id:
                    watching.session.end(outcome, reason)

        packager = Packager(on_air.broadcast, self._clock, self._wall, closed, target=self.target)
        self._packagers[channel.id] = packager
        on_air.at_close.append(given_up)
        return packager

    def close(self) -> None:
        """Let go of every packager."""
        for packager in list(self._packagers.values()):
            packager.close()
