"""Streams that the API has been told to keep: what one is made of, its id, and what the lineup has of it."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import msgspec

from iptvd.errors import ProtocolError
from iptvd.model import ChannelKind, Entry, SourceKind
from iptvd.protocols.stream_url import StreamUrl, classify, recognise
from iptvd.records import Record
from iptvd.rules import printable

#: What streams are kept as, see `iptvd.records.Records`.
KIND = "stream"
#: How many there can be.
MOST = 10_000

#: Metadata that may say what a stream is called, the first that is there before the others.
_NAMES = ("name", "title", "channel_name")


class Stream(msgspec.Struct, kw_only=True):
    """
    One of them.

    ``created`` is in seconds since the epoch; ``extra`` is what whoever posted it keeps here, which means nothing to
    us.
    """

    url: str
    failover_urls: list[str] = []
    user_agent: str = ""
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    name: str = ""
    created: float = 0.0
    extra: dict[str, Any] = {}

    @property
    def urls(self) -> list[str]:
        """Where it is to be had, the best first."""
        return list(dict.fromkeys((self.url, *self.failover_urls)))


def id_of(url: str) -> str:
    """The id of a stream: the same for the same URL, whoever posts it, and as m3u-proxy has it."""
    return md5(url.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def to_record(stream: Stream) -> Record:
    """A stream as JSON."""
    record: Record = msgspec.to_builtins(stream)
    return record


def stream_of(record: Record) -> Stream:
    """
    The stream that was kept so.

    :raises msgspec.ValidationError: when it is none.
    """
    return msgspec.convert(record, Stream)


def recognised(url: str) -> StreamUrl:
    """
    A URL that can be a stream's.

    :raises ProtocolError: when it is none, with what would be right.
    """
    stream = recognise(url)
    if stream is None or stream.form not in ("", "mpd"):
        raise ProtocolError("it has to be a whole http or https URL")
    if stream.form:
        raise ProtocolError("DASH is not to be had here; give its HLS or TS")
    return stream


def form_of(url: str) -> tuple[ChannelKind, SourceKind, str]:
    """What a URL's path says that is to be had there, as `iptvd.model.Entry` has it."""
    return classify(recognised(url), "", False)


def entry_of_stream(name: str, record: Record) -> Entry:
    """
    What the lineup has of a stream.

    :param name: its id.
    :raises ProtocolError, msgspec.ValidationError: when it is none.
    """
    stream = stream_of(record)
    kind, source_kind, extension = form_of(stream.url)
    titles = (stream.name, *(stream.metadata.get(each, "") for each in _NAMES))
    return Entry(
        key=name,
        name=next(filter(None, map(printable, titles)), f"Stream {name[:8]}"),
        kind=kind,
        source_kind=source_kind,
        extension=extension,
        group=printable(stream.metadata.get("group", "")),
        origin={"urls": stream.urls, "headers": stream.headers, "user_agent": stream.user_agent},
    )
