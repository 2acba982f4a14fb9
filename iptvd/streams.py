"""What can be done with the streams that the API keeps, and with what plays, whoever lists it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import Enum

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from iptvd.delivery.hls import HlsRelay
from iptvd.delivery.hub import Hub
from iptvd.delivery.live import Live
from iptvd.delivery.session import Session
from iptvd.errors import UpstreamError
from iptvd.kept_provider import NAME, KeptProvider, key_of
from iptvd.lineup_service import LineupService
from iptvd.model import Channel, Outcome
from iptvd.records import Records
from iptvd.served import Served
from iptvd.stream_records import KIND, Stream, stream_of, to_record

#: Seconds that somebody who has a stream go over to its next source is kept waiting for that, and between two looks.
PATIENCE = 5.0
LOOK = 0.05

_PREFIX = key_of(KIND, "")


class Posted(Enum):
    """What came of keeping a stream."""

    CREATED = "created"
    SAME = "same"
    CHANGED = "changed"


def stream_id_of(channel: Channel) -> str:
    """What a channel is called where it is a stream: the id of one that is kept, else the channel's own."""
    for provider, entry in channel.entries:
        if provider == NAME and entry.key.startswith(_PREFIX):
            return entry.key.removeprefix(_PREFIX)
    return str(channel.id)


class Streams:
    """
    All of it.

    :ivar served: what channels have been to their viewers.
    """

    def __init__(
        self,
        records: Records,
        kept: KeptProvider,
        lineup: LineupService,
        hub: Hub,
        live: Live,
        hls: HlsRelay,
        served: Served,
        clock: IReactorTime,
    ) -> None:
        self.served = served
        self._records = records
        self._kept = kept
        self._lineup = lineup
        self._hub = hub
        self._live = live
        self._hls = hls
        self._clock = clock

    # What there is

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._records.all(KIND))

    def all(self) -> Iterator[tuple[str, Stream]]:
        """Those that are kept, with their ids; of now, however long it takes to go through them."""
        return self._understood(list(self._records.all(KIND)))

    def _understood(self, ids: Iterable[str]) -> Iterator[tuple[str, Stream]]:
        for stream_id in ids:
            stream = self.get(stream_id)
            if stream is not None:
                yield stream_id, stream

    def get(self, stream_id: str) -> Stream | None:
        """A stream that is kept, None where there is none."""
        record = self._records.all(KIND).get(stream_id)
        try:
            return stream_of(record) if record is not None else None
        except msgspec.ValidationError:
            return None

    def channel(self, stream_id: str) -> Channel | None:
        """The channel that a stream is, one that is kept or any other by its own id; None where there is none."""
        kept = self._lineup.channel_of(NAME, key_of(KIND, stream_id))
        if kept is not None or not stream_id.isdecimal() or len(stream_id) > 10:
            return kept
        return self._lineup.lineup.by_id.get(int(stream_id))

    def watched(self) -> Iterator[Channel]:
        """The channels that somebody watches."""
        for channel_id in self.served.watched:
            sessions = self.served.sessions(channel_id)
            if sessions:
                yield self._lineup.lineup.by_id.get(channel_id) or sessions[-1].channel

    def sessions(self, channel: Channel | None) -> list[Session]:
        """Who watches a channel."""
        return self.served.sessions(channel.id) if channel is not None else []

    def client(self, session_id: str) -> Session | None:
        """Who watches by that id, None where nobody does."""
        return self._hub.sessions.get(session_id)

    def clients(self) -> list[Session]:
        """Everybody who watches."""
        return list(self._hub.sessions.values())

    def current_url(self, stream_id: str) -> str:
        """Where a stream that is kept comes from now, or will; empty for any other."""
        urls = self._kept.urls(key_of(KIND, stream_id))
        channel = self.channel(stream_id)
        place = self._place(channel) if channel is not None else None
        return urls[place] if urls and place is not None and place < len(urls) else next(iter(urls), "")

    def _place(self, channel: Channel) -> int | None:
        """The place among a channel's sources of the one that it has now; None where it has none."""
        on_air = self._live.on_air.get(channel.id)
        leading = on_air.feed.leading if on_air is not None else None
        if leading is not None:
            return leading[1]
        # Thousands may be asked for at once, of which few are watched: for each all viewers of HLS are gone through.
        return self._hls.leading(channel.id) if self.served.is_watched(channel.id) else None

    # What is done

    async def put(self, stream_id: str, stream: Stream) -> Posted:
        """
        Keep a stream, and have it in the lineup.

        Who watches it goes on, from the next switch on with what is said now.

        :raises StoreError: when it cannot be kept; nothing has changed then.
        """
        former, record = self._records.all(KIND).get(stream_id), to_record(stream)
        if former != record:
            await self._records.put(KIND, stream_id, record)
        await self._lineup.settled()
        if former is None or former == record:
            return Posted.CREATED if former is None else Posted.SAME
        channel = self.channel(stream_id)
        on_air = self._live.on_air.get(channel.id) if channel is not None else None
        if on_air is not None and not on_air.starting:
            with suppress(UpstreamError):
                await on_air.feed.renew()
        return Posted.CHANGED

    async def delete(self, ids: Iterable[str]) -> None:
        """
        Keep streams no more, and end what is watched of them.

        :raises StoreError: when one cannot be removed; those before it are.
        """
        gone: list[Channel] = []
        try:
            for stream_id in ids:
                channel = self.channel(stream_id)
                await self._records.remove(KIND, stream_id)
                if channel is not None:
                    gone.append(channel)
        finally:
            await self._lineup.settled()
            for channel in gone:
                self.stop(channel, "its stream has been deleted")
                self.served.forget(channel.id)

    def stop(self, channel: Channel, reason: str) -> None:
        """End all that is watched of a channel, and its connection."""
        for session in self.served.sessions(channel.id):
            session.end(Outcome.ENDED_BY_OPERATOR, reason)
        self._live.turn_off(channel.id, reason)

    async def fail_over(self, channel: Channel) -> bool:
        """
        Have a channel go over to its next source in turn.

        What nobody watches begins with that, where it is one of ours.

        :return: whether it has; where it takes long, that may still come.
        """
        before = self._place(channel)
        watched = bool(self._hls.fail_over(channel.id))
        on_air = self._live.on_air.get(channel.id)
        if on_air is not None and on_air.users:
            on_air.feed.fail_over()
            watched = True
        if not watched:
            # What lingers would begin with the source that it has.
            self._live.turn_off(channel.id, "its next source was wanted")
            self._kept.begin_with_next(key_of(KIND, stream_id_of(channel)))
            return True
        until = self._clock.seconds() + PATIENCE
        while self._place(channel) == before and self._clock.seconds() < until:
            await deferLater(self._clock, LOOK)
        return self._place(channel) not in (before, None)
