"""The one door: every face admits its sessions here and gets its sources here."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from os import urandom
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.candidates import Opens, open_followed
from iptvd.delivery.opening import Ask, FoundPlaylist, Opened, Opener, SourceGone, playable
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.delivery.slots import Slot, Slots
from iptvd.errors import LimitError, TokenError, UpstreamError
from iptvd.log import Log
from iptvd.model import Channel, Outcome, Source, SourceKind
from iptvd.recording import Recording

#: Sessions that are remembered when they have ended.
REMEMBERED = 100
#: Sessions that the operator has ended which are remembered.
_PUT_OUT = 1024


class SessionObserver(Protocol):
    """Is told of every session, for the metrics."""

    def session_started(self, session: Session) -> None:
        """It was admitted."""

    def session_ended(self, session: Session) -> None:
        """It has its outcome."""

    def session_refused(self, channel: Channel, reason: str) -> None:
        """It was not admitted."""


class Rights(Protocol):
    """What users may watch."""

    def may_watch(self, user: str, channel: Channel) -> bool:
        """Whether a channel is one of theirs."""

    def limit_of(self, user: str) -> int:
        """How many streams they may have at once, 0 for no limit."""


class Hub:
    """
    Knows who watches what.

    :ivar sessions: those that have not ended, by id.
    :ivar ended: those that ended last, the newest at the end, each with when that was, in seconds since the epoch.
    :ivar outcomes: how many ended in each way, those among them that were refused before they began.
    :ivar opener: opens what belongs to a source.
    :ivar draining: whether nobody is admitted any more.
    :param sources: gives a channel's sources, best first, each with its provider's name.
    :param max_streams: sessions at once, 0 for no limit.
    :param slots: the connections that each provider allows.
    :param wall: seconds since the epoch.
    :param rights: what users may watch.
    """

    log = Log()

    def __init__(
        self,
        sources: Callable[[Channel], Awaitable[list[tuple[str, Source]]]],
        opener: Opener,
        observer: SessionObserver,
        clock: IReactorTime,
        wall: Callable[[], float],
        max_streams: int,
        slots: Slots,
        rights: Rights,
    ) -> None:
        self.slots = slots
        self._sources = sources
        self.opener = opener
        self._observer = observer
        self._clock = clock
        self._wall = wall
        self.max_streams = max_streams
        self._rights = rights
        self._sessions: dict[str, Session] = {}
        self._of_user: dict[str, dict[str, Session]] = {}
        self.ended: deque[tuple[Session, float]] = deque(maxlen=REMEMBERED)
        self.outcomes: Counter[Outcome] = Counter()
        self.draining = False
        self._empty: Deferred[None] | None = None
        self._found_playlists: set[int] = set()
        #: Those that the operator has ended: their players go on asking, and would take them up again.
        self._put_out: dict[str, None] = {}

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Who watches now."""
        return self._sessions

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._wall()

    def admit(self, channel: Channel, viewer: Viewer, face: Face, session_id: str = "") -> Session:
        """
        Begin a session.

        :param session_id: of a session that is taken up again after a pause or a restart.
        :raises LimitError: when there are as many as there may be, or we are stopping.
        :raises TokenError: when the channel is not for this viewer.
        """
        if viewer.user and not self._rights.may_watch(viewer.user, channel):
            raise TokenError("this channel is not one of this account's")
        if session_id in self._put_out:
            raise TokenError("the operator has ended this session: open the channel again")
        reason = ""
        if self.draining:
            reason = "iptvd is stopping"
        elif session_id in self._sessions:
            reason = "this session is another viewer's"
        elif self.max_streams and len(self._sessions) >= self.max_streams:
            reason = f"all {self.max_streams} streams are in use (max_streams)"
        else:
            reason = self._make_way(viewer, bool(session_id))
        if reason:
            self.outcomes[Outcome.REFUSED] += 1
            self._observer.session_refused(channel, reason)
            self.log.info("refused: {reason}", channel=channel.id, outcome=Outcome.REFUSED.value, reason=reason)
            raise LimitError(reason)
        session = Session(
            session_id or urlsafe_b64encode(urandom(9)).decode(), channel, viewer, face, started=self._wall()
        )
        self._sessions[session.id] = session
        if viewer.user:
            self._of_user.setdefault(viewer.user, {})[session.id] = session
        session.at_end(self._ended)
        self._observer.session_started(session)
        self.log.info(
            "session {session} begins: channel {channel} as {face}",
            session=session.id,
            channel=channel.id,
            face=face.value,
        )
        return session

    def of_user(self, user: str) -> Sequence[Session]:
        """What a user watches now, what began first before the rest."""
        return list(self._of_user.get(user, {}).values())

    def _make_way(self, viewer: Viewer, taken_up: bool) -> str:
        """
        Have room for one more session of a user; why there is none, empty when there is.

        A player that zaps takes the place of what it played before: that may not have been heard of yet. What it asks
        for late of that, or another that plays on at the same address, does not take the place back.
        """
        limit = self._rights.limit_of(viewer.user) if viewer.user else 0
        theirs = self.of_user(viewer.user)
        if not limit or len(theirs) < limit:
            return ""
        # Who has chosen something last is the likeliest to choose again.
        own = next((session for session in reversed(theirs) if session.viewer == viewer), None)
        if own is None or taken_up:
            return f"all {limit} connections of this account are in use"
        own.end(Outcome.VIEWER_LEFT, "its viewer turned to another channel")
        return ""

    def end_all_of(self, users: Iterable[str], reason: str) -> None:
        """End all that these users watch."""
        for user in users:
            for session in self.of_user(user):
                session.end(Outcome.ENDED_BY_OPERATOR, reason)

    async def sources(self, channel: Channel, kind: SourceKind) -> list[tuple[str, Source]]:
        """
        The channel's sources of one kind, best first; never empty.

        :raises UpstreamError: when there is none.
        """
        found = playable(await self._sources(channel), kind)
        if not found:
            raise UpstreamError(502, "its provider offers it in another form now: reload the playlist")
        return found

    async def kinds(self, channel: Channel) -> list[SourceKind]:
        """
        The kinds of sources that a channel has now, that of the best first; never empty.

        :raises UpstreamError: when there is no source.
        """
        return list(dict.fromkeys(source.kind for _, source in await self._sources(channel)))

    async def open(
        self, session: Session, ask: Ask, live: Opens | None = None, steady: bool = False
    ) -> tuple[Source, Opened]:
        """
        Open the first of a channel's sources that works, for this session alone: a stream or a file.

        Until the session ends it holds one of the provider's connections.

        :param live: opens it as a live stream, whatever its source is made of.
        :param steady: whether that is wanted even where a source turns out to be a playlist.
        :raises FoundPlaylist: when it does, and that is not wanted.
        :raises UpstreamError: that of the best source, when none does.
        :raises LimitError: when there is no connection left for any.
        """
        channel = session.channel
        sources = await self.sources(channel, channel.source_kind)
        try:
            return await self._open_first(session, ask, live, steady, sources)
        except SourceGone:
            # Resolved anew before it counts: what is remembered of where a source is may be old.
            fresh = await self.sources(channel, channel.source_kind)
            if fresh == sources:
                raise
            return await self._open_first(session, ask, live, steady, fresh)

    async def _open_first(
        self, session: Session, ask: Ask, live: Opens | None, steady: bool, sources: Sequence[tuple[str, Source]]
    ) -> tuple[Source, Opened]:
        channel = session.channel
        first_error: UpstreamError | None = None
        full = ""
        for provider, listed in sources:
            source = listed
            slot = self.slots.take(provider, session.viewer)
            if slot is None:
                full = full or self.full(provider)
                continue
            try:
                if live is not None:
                    source, opened = await open_followed(live, listed, channel.extension, lambda: steady)
                else:
                    opened = await self.opener.open(source, ask, channel.extension)
            except UpstreamError as error:
                slot.release()
                if isinstance(error, FoundPlaylist):
                    self.found_playlist(channel)
                    raise
                first_error = first_error or error
            except BaseException:
                slot.release()
                raise
            else:
                if source is not listed:
                    self.found_playlist(channel)
                self.hold(session, slot)
                return source, opened
        if first_error is not None:
            raise first_error
        raise LimitError(full) if full else UpstreamError(502, "it has no source")

    def full(self, provider: str) -> str:
        """The sentence for a provider whose connections are all in use."""
        return self.slots.full(provider)

    def hold(self, session: Session, slot: Slot) -> None:
        """Have a session hold a slot until it ends."""
        if session.outcome is not None:
            slot.release()
        else:
            session.at_end(lambda ended: slot.release())

    def found_playlist(self, channel: Channel) -> None:
        """A channel that its provider lists as a stream is a playlist; of its past that says nothing about it."""
        if not isinstance(channel, Recording):
            self._found_playlists.add(channel.id)

    def kind_of(self, channel: Channel) -> SourceKind:
        """The form a channel has by what it sent, which is not always what its provider said."""
        return SourceKind.HLS if channel.id in self._found_playlists else channel.source_kind

    def forget_forms(self) -> None:
        """Believe the providers again about the forms that their channels have."""
        self._found_playlists.clear()

    def drain(self, timeout: float) -> Deferred[None]:
        """Admit nobody any more; end what is endless now and the rest after ``timeout`` seconds."""
        self.draining = True
        for session in list(self._sessions.values()):
            if session.face is not Face.VOD:
                session.end(Outcome.DRAINED)
        empty: Deferred[None] = Deferred()
        self._empty = empty
        if not self._sessions:
            empty.callback(None)
            return empty

        def enough() -> None:
            for session in list(self._sessions.values()):
                session.end(Outcome.DRAINED)

        timer = self._clock.callLater(timeout, enough)

        def emptied(result: None) -> None:
            if timer.active():
                timer.cancel()

        return empty.addCallback(emptied)

    def _ended(self, session: Session) -> None:
        del self._sessions[session.id]
        theirs = self._of_user.get(session.viewer.user)
        if theirs is not None:
            del theirs[session.id]
            if not theirs:
                del self._of_user[session.viewer.user]
        outcome = session.outcome.value if session.outcome else ""
        if session.outcome is not None:
            self.outcomes[session.outcome] += 1
        if session.outcome is Outcome.ENDED_BY_OPERATOR:
            self._put_out[session.id] = None
            if len(self._put_out) > _PUT_OUT:
                del self._put_out[next(iter(self._put_out))]
        self.ended.append((session, self._wall()))
        self._observer.session_ended(session)
        self.log.info(
            "session {session} ends: {outcome} after {seconds:.1f} s and {bytes} bytes. {reason}",
            session=session.id,
            channel=session.channel.id,
            outcome=outcome,
            seconds=self._wall() - session.started,
            bytes=session.bytes_sent,
            reason=session.reason,
        )
        if self._empty is not None and not self._sessions and not self._empty.called:
            self._empty.callback(None)
