"""A channel as it was: what it showed for a while, which its provider may have kept."""

from __future__ import annotations

from attrs import evolve, field, fields, frozen

from iptvd.model import Channel, ChannelKind, SourceKind
from iptvd.protocols.catchup import days_of


@frozen
class Recording(Channel):
    """
    What a channel showed: it has the channel's id and name, and sources of its own.

    :ivar start: seconds since the epoch.
    :ivar duration: seconds.
    :ivar disguised: whether its sources are playlists, whatever their provider says.
    """

    start: int = field(default=0, kw_only=True)
    duration: int = field(default=0, kw_only=True)
    disguised: bool = field(default=False, kw_only=True)

    def of_kind(self, kind: SourceKind, *, disguised: bool = False) -> Recording:
        """The same by sources of this kind."""
        return evolve(self, source_kind=kind, disguised=disguised)


def recording_of(channel: Channel, start: int, duration: int) -> Recording:
    """What a channel showed from then on; as it is not known otherwise, in one file."""
    told = {each.name: getattr(channel, each.name) for each in fields(Channel)}
    told |= {"source_kind": SourceKind.VOD, "extension": "ts" if channel.extension == "m3u8" else channel.extension}
    return Recording(**told, start=start, duration=duration)


def days_kept(channel: Channel) -> int | None:
    """For how many days what a channel showed is kept: 0 when that is not told, None when it is not kept at all."""
    if channel.kind is ChannelKind.VOD:
        return None
    days = [days_of(entry.catchup) for _, entry in channel.entries if entry.catchup]
    return max((each for each in days if each is not None), default=None)


def connection_of(channel: Channel, index: int) -> tuple[int, ...]:
    """What the viewers of a channel's source have in common who share one connection to it."""
    if isinstance(channel, Recording):
        return channel.id, index, channel.start, channel.duration
    return channel.id, index
