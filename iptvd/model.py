"""The values everything speaks in: what there is to watch, where it comes from, how watching it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from attrs import field, frozen

#: Header names and values as they go on the wire, in order.
Headers = tuple[tuple[str, str], ...]


class ChannelKind(Enum):
    """What a channel is to a viewer."""

    LIVE = "live"
    RADIO = "radio"
    VOD = "vod"


class SourceKind(Enum):
    """
    The form in which a source delivers.

    ``TS`` is one endless response (MPEG-TS, or bare audio for radio), ``HLS`` a playlist of segments, ``VOD`` one file
    with a length and byte ranges.
    """

    TS = "ts"
    HLS = "hls"
    VOD = "vod"


class ProviderState(Enum):
    """How a provider is doing, as health shows it."""

    LOADING = "loading"
    OK = "ok"
    STALE = "stale"
    UNCONFIGURED = "unconfigured"
    UNREACHABLE = "unreachable"
    AUTH_FAILED = "auth_failed"
    BLOCKED = "blocked"
    NOT_UNDERSTOOD = "not_understood"


class Outcome(Enum):
    """How a session ended: every session has exactly one."""

    COMPLETED = "completed"
    VIEWER_LEFT = "viewer_left"
    VIEWER_TOO_SLOW = "viewer_too_slow"
    UPSTREAM_LOST = "upstream_lost"
    UPSTREAM_STALLED = "upstream_stalled"
    EXHAUSTED = "exhausted"
    REFUSED = "refused"
    ENDED_BY_OPERATOR = "ended_by_operator"
    DRAINED = "drained"


@frozen
class Entry:
    """
    One thing that a provider lists.

    :ivar key: what the provider knows it by, unique within the provider and stable over renames; our channel id is
        derived from it once and kept for life.
    :ivar extension: the media extension of the native form: ``ts``, ``m3u8``, or the file's own for VOD (``mp4``, …).
    :ivar number: the number the provider gives it, if any.
    :ivar logo: http(s) URL of its logo, or empty.
    :ivar catchup: M3U catch-up attributes as they came, placeholders intact.
    :ivar origin: what the provider needs to resolve it later, JSON values only; kept on disk, never shown.
    :ivar unsupported: why it cannot be played, or empty.
    """

    key: str
    name: str
    kind: ChannelKind = ChannelKind.LIVE
    source_kind: SourceKind = SourceKind.TS
    extension: str = "ts"
    group: str = ""
    number: int | None = None
    tvg_id: str = ""
    tvg_name: str = ""
    logo: str = field(default="", repr=False)
    catchup: tuple[tuple[str, str], ...] = ()
    origin: Mapping[str, object] = field(factory=dict, repr=False)
    unsupported: str = ""


@frozen
class Account:
    """
    What a provider says of the account it is used with.

    :ivar max_connections: streams at once, 0 when there is no limit or it is not told.
    :ivar expires: seconds since the epoch, or None.
    """

    status: str = ""
    max_connections: int = 0
    active_connections: int = 0
    expires: float | None = None
    trial: bool = False


@frozen
class Listing:
    """
    Everything a provider has, as of one fetch.

    :ivar skipped: why entries were left out, and how many for each reason.
    """

    entries: Sequence[Entry]
    account: Account | None = None
    skipped: Mapping[str, int] = field(factory=dict)


@frozen
class Source:
    """
    One way to get a channel: exactly one of ``url`` (http or https), ``command`` or ``path`` is set.

    A command is a child process whose standard output is the stream; a path is a file on this machine. Both are for
    plugins and the operator's own settings alone.

    :ivar headers: request headers that belong to this source, sent with every request for it.
    :ivar expires: seconds since the epoch after which it has to be resolved again, or None.
    :ivar verify_tls: whether the origin's certificate must be valid.
    """

    kind: SourceKind
    url: str = field(default="", repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    path: str = field(default="", repr=False)
    headers: Headers = field(default=(), repr=False)
    expires: float | None = None
    verify_tls: bool = True

    def __attrs_post_init__(self) -> None:
        if sum(map(bool, (self.url, self.command, self.path))) != 1:
            raise ValueError("a source is exactly one of a URL, a command and a path")


@frozen
class Channel:
    """
    One thing a viewer can choose, under an id that is its for life.

    :ivar id: 1 to 2^31 - 1, the same in every face.
    :ivar number: the channel number shown to viewers, unique in the lineup and kept.
    :ivar entries: the providers' entries it stands for, best first, each with its provider's name.
    """

    id: int
    number: int
    name: str
    group: str
    kind: ChannelKind
    source_kind: SourceKind
    extension: str
    tvg_id: str
    logo: str = field(repr=False)
    entries: tuple[tuple[str, Entry], ...] = field(repr=False)

    @property
    def provider(self) -> str:
        """The name of the provider whose entry comes first."""
        return self.entries[0][0]

    @property
    def entry(self) -> Entry:
        """The entry that comes first."""
        return self.entries[0][1]


@frozen
class Fetched:
    """
    A whole response to one of our own requests (API calls, playlists, logos; never media).

    :ivar url: the URL after redirects, against which relative ones resolve.
    :ivar headers: names in lower case.
    """

    status: int
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
