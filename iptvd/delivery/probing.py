"""A slow look at the channels that nobody watches, so that it is known which of them can be had."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.opening import Ask, FoundPlaylist, Opener
from iptvd.delivery.reach import Reach
from iptvd.delivery.session import Session, Viewer
from iptvd.delivery.slots import Slots
from iptvd.errors import StoreError, UpstreamError
from iptvd.log import Log
from iptvd.model import Channel, ChannelKind, Source, SourceKind
from iptvd.protocols.sniff import Media
from iptvd.store import RowsFile

#: Seconds between two looks at what is being watched, and at the earliest between two at channels that are not.
LOOK = 30.0
SOONEST = 5.0
#: Seconds after which what is known is put on disk.
KEEP = 600.0
#: Seconds that a channel has to show something.
PATIENCE = 20.0


@frozen
class Pace:
    """
    How channels are tried.

    :ivar interval: seconds in which each is tried once, at the earliest; None for never.
    """

    interval: float | None = None


class Probing(Service):
    """
    Tries channels one by one, and looks who is watching.

    At most one connection is open, and never a provider's last free one: it may still count it when a viewer comes. A
    viewer who wants its slot gets it at once.

    :param channels: gives the channels as they are now.
    :param sources: resolves a channel, best first, each source with its provider's name.
    :param sessions: gives the sessions as they are now.
    """

    log = Log()

    def __init__(
        self,
        reach: Reach,
        file: RowsFile,
        opener: Opener,
        slots: Slots,
        channels: Callable[[], Sequence[Channel]],
        sources: Callable[[Channel], Awaitable[list[tuple[str, Source]]]],
        sessions: Callable[[], Iterable[Session]],
        clock: IReactorTime,
        random: Random,
    ) -> None:
        self.setName("probing")
        self.pace = Pace()
        self._reach = reach
        self._file = file
        self._opener = opener
        self._slots = slots
        self._channels = channels
        self._sources = sources
        self._sessions = sessions
        self._clock = clock
        self._random = random
        self._timers: dict[str, IDelayedCall] = {}
        self._work: Deferred[Any] | None = None
        self._provider = ""
        self._place = 0
        slots.on_want(self._give_up)

    def startService(self) -> None:
        """Begin with what was known."""
        super().startService()
        Deferred.fromCoroutine(self._load()).addErrback(
            lambda failure: self.log.fault("what is known of the channels", failure)
        )
        self._later("look", LOOK, self._look)
        self._later("keep", KEEP, self._keep_now)
        self._plan()

    def stopService(self) -> Deferred[Any]:
        """Stop, and keep what is known."""
        super().stopService()
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        if self._work is not None:
            self._work.cancel()
        return Deferred.fromCoroutine(self._keep())

    def _later(self, name: str, delay: float, call: Callable[[], None]) -> None:
        self._timers[name] = self._clock.callLater(delay, call)

    async def _load(self) -> None:
        try:
            await self._file.load(self._reach.take)
        except StoreError as error:
            self._file.set_aside()
            self.log.warn("what was known of the channels is lost: {reason}", reason=error.sentence)

    def _keep_now(self) -> None:
        self._later("keep", KEEP, self._keep_now)
        Deferred.fromCoroutine(self._keep()).addErrback(
            lambda failure: self.log.fault("what is known of the channels", failure)
        )

    async def _keep(self) -> None:
        try:
            await self._file.save(list(self._reach.rows()))
        except StoreError as error:
            self.log.error("what is known of the channels could not be kept: {reason}", reason=error.sentence)

    def _look(self) -> None:
        """Whoever watches shows that the channel is there."""
        self._later("look", LOOK, self._look)
        for session in self._sessions():
            if session.bytes_sent:
                self._reach.good(session.channel.id)

    # One channel after another

    def _plan(self) -> None:
        interval, count = self.pace.interval, len(self._channels())
        delay = LOOK if interval is None or not count else max(SOONEST, interval / count)
        self._later("next", delay * (1 + self._random.uniform(-0.1, 0.1)), self._next)

    def _next(self) -> None:
        self._plan()
        channels = self._channels()
        interval = self.pace.interval
        if interval is None or self._work is not None or not channels:
            return
        self._place = self._place % len(channels)
        channel = channels[self._place]
        self._place += 1
        tried = self._reach.of(channel.id).tried
        if channel.kind is ChannelKind.VOD or channel.entry.unsupported:
            return
        if tried is not None and self._reach.now - tried < interval / 2:
            return
        work = Deferred.fromCoroutine(self._try(channel))
        self._work = work

        def over(result: object) -> None:
            self._work = None

        work.addErrback(lambda failure: failure.trap(CancelledError) and None)
        work.addErrback(lambda failure: self.log.fault("a fault of ours while a channel was tried", failure))
        work.addBoth(over)

    async def _try(self, channel: Channel) -> None:
        failed, left_out = "", False
        try:
            for provider, source in await self._sources(channel):
                if not source.url or 0 < self._slots.limit(provider) < self._slots.used(provider) + 2:
                    left_out = True
                    continue
                try:
                    await self._look_at(channel, provider, source)
                except UpstreamError as error:
                    failed = failed or error.sentence
                    continue
                self._reach.good(channel.id)
                return
        except UpstreamError as error:
            failed = error.sentence
        # A source that was not looked at may be one that works.
        if failed and not left_out:
            self._reach.bad(channel.id, failed)

    async def _look_at(self, channel: Channel, provider: str, source: Source) -> None:
        """Have the first bytes of a source; raises `UpstreamError` when there are none of the right kind."""
        slot = self._slots.take(provider)
        if slot is None:
            raise CancelledError
        self._provider = provider
        try:
            await Deferred.fromCoroutine(self._first_bytes(channel, source)).addTimeout(PATIENCE, self._clock)
        except TimeoutError:
            raise UpstreamError(504, "the origin takes too long") from None
        finally:
            self._provider = ""
            slot.release()

    async def _first_bytes(self, channel: Channel, source: Source) -> None:
        if source.kind is SourceKind.HLS:
            upstream = (await self._opener.open_url(source, source.url, Ask())).upstream
            if upstream is None:
                raise UpstreamError(502, "the origin sent nothing")
            try:
                if await self._opener.first_media(upstream) is not Media.HLS:
                    raise UpstreamError(502, "the origin sent something else than a playlist")
            finally:
                upstream.stopProducing()
            return
        try:
            opened = await self._opener.open(source, Ask(), channel.extension)
        except FoundPlaylist:
            return
        if opened.upstream is not None:
            opened.upstream.stopProducing()

    def _give_up(self, provider: str, viewer: Viewer | None) -> bool:
        """A viewer wants the connection that is open for a look."""
        work = self._work
        if work is None or provider != self._provider:
            return False
        work.cancel()
        return True
