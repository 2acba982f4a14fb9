"""Channels of one's own that the API has been told to keep, in the shape in which panels have them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from iptvd.model import Entry
from iptvd.overrides import Number, Text
from iptvd.protocols.stream_url import MAX_URL
from iptvd.records import Record
from iptvd.rules import printable
from iptvd.stream_records import form_of

#: What own channels are kept as, see `iptvd.records.Records`.
KIND = "channel"
#: How many there can be, and how many further URLs and headers one can have.
MOST = 20_000
MOST_URLS = 20
MOST_HEADERS = 30

# It stands in paths. Python's $ is also before a line's end.
ChannelId = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f/?#%\\]{1,200}(?!\n)$",
        description="What the panel knows it by: no control characters, and none of / ? # % and backslash.",
        examples=["news-1"],
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=1000)]
Url = Annotated[str, Meta(min_length=1, max_length=MAX_URL, description="http or https.")]
Logo = Annotated[str, Meta(max_length=MAX_URL, description="http or https; empty for none.")]
Urls = Annotated[list[Url], Meta(max_length=MOST_URLS)]
Headers = Annotated[dict[str, Annotated[str, Meta(max_length=8192)]], Meta(max_length=MOST_HEADERS)]
Agent = Annotated[str, Meta(max_length=512)]
Place = Annotated[int, Meta(ge=-1_000_000_000, le=1_000_000_000)]


class OwnChannel(msgspec.Struct, kw_only=True):
    """
    A channel as a panel has it; what it has beside this is kept for it.

    ``category`` is our group; ``category_order`` and ``order`` are its place among those like it.
    """

    channel_id: ChannelId
    name: Name
    source_url: Url
    failover_urls: Urls = []
    headers: Headers = {}
    user_agent: Agent = ""
    logo: Logo = ""
    category: Text = ""
    quality: Text = ""
    number: Number | None = None
    tvg_id: Text = ""
    order: Place = 0
    category_order: Place = 0
    is_active: bool = True


def channel_of(record: Record) -> OwnChannel:
    """
    The channel that was kept so.

    :raises msgspec.ValidationError: when it is none.
    """
    return msgspec.convert(record, OwnChannel)


def entry_of_channel(name: str, record: Record) -> Entry:
    """
    What the lineup has of a channel; its ``origin`` has its URLs, the best first, and its request headers.

    :param name: what the panel knows it by.
    :raises ProtocolError, msgspec.ValidationError: when it is none.
    """
    channel = channel_of(record)
    kind, source_kind, extension = form_of(channel.source_url)
    return Entry(
        key=name,
        name=printable(channel.name) or name,
        kind=kind,
        source_kind=source_kind,
        extension=extension,
        group=printable(channel.category),
        number=channel.number,
        tvg_id=printable(channel.tvg_id),
        logo=printable(channel.logo),
        origin={
            "urls": list(dict.fromkeys((channel.source_url, *channel.failover_urls))),
            "headers": channel.headers,
            "user_agent": channel.user_agent,
        },
    )
