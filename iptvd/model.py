"""The values everything speaks in: what there is to watch, where it comes from, how watching it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from attrs import field, frozen

from iptvd.protocols.socks5 import Proxy

#: Header names and values as they go on the wire, in order.
Headers = tuple[tuple[str, str], ...]

#: Whether viewers of a live channel share one connection to its origin: where that can be, always, never.
SHARING_MODES = ("auto", "shared", "isolated")


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
    :ivar sharing: ``auto``, ``shared`` or ``isolated``: whether its viewers share one connection; empty where the
        settings of its provider say.
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
    sharing: str = ""


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
    :ivar renew: called when an origin refuses what belongs to it, if there is any use in resolving it anew.
    :ivar proxy: through which everything of it goes, None for straight; not for the provider to say.
    :ivar offline: whether a command makes its stream without the network, so that it may run beside a proxy.
    """

    kind: SourceKind
    url: str = field(default="", repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    path: str = field(default="", repr=False)
    headers: Headers = field(default=(), repr=False)
    expires: float | None = None
    verify_tls: bool = True
    renew: Callable[[], None] | None = field(default=None, repr=False, eq=False)
    proxy: Proxy | None = field(default=None, repr=False)
    offline: bool = False

    def __attrs_post_init__(self) -> None:
        if sum(map(bool, (self.url, self.command, self.path))) != 1:
            raise ValueError("a source is exactly one of a URL, a command and a path")


@frozen
class Event:
    """
    Something that a provider's schedule announces.

    :ivar key: the same for the same event at each fetch, unique within the provider.
    :ivar start: seconds since the epoch.
    :ivar stop: likewise, or None when the schedule does not tell.
    :ivar channels: the keys of the provider's entries that show it.
    """

    key: str
    title: str
    start: float
    stop: float | None = None
    category: str = ""
    channels: tuple[str, ...] = ()


@frozen
class Schedule:
    """
    Everything that a provider announces, as of one fetch.

    :ivar skipped: why items were left out, and how many for each reason.
    """

    events: Sequence[Event]
    skipped: Mapping[str, int] = field(factory=dict)


@frozen
class Programme:
    """
    What a channel shows for a while.

    :ivar start: seconds since the epoch.
    :ivar stop: likewise; after ``start``.
    :ivar episode: as it is shown to viewers (``S2 E5``), or empty.
    """

    start: float
    stop: float
    title: str
    subtitle: str = ""
    description: str = ""
    categories: tuple[str, ...] = ()
    episode: str = ""


class Reachability(Enum):
    """Whether a channel can be had, as far as it is known."""

    OK = "ok"
    FAILING = "failing"
    UNKNOWN = "unknown"


@frozen
class ChannelStatus:
    """
    How a channel did when it was watched or tried last.

    :ivar reason: why it fails, or empty.
    :ivar seen: when it was there last, in seconds since the epoch, or None.
    :ivar tried: when it was tried last, likewise.
    """

    state: Reachability = Reachability.UNKNOWN
    reason: str = ""
    seen: float | None = None
    tried: float | None = None


@frozen
class GuideFile:
    """
    Where a guide in XMLTV is to be had.

    :ivar url: http or https.
    """

    url: str = field(repr=False)
    headers: Headers = field(default=(), repr=False)
    verify_tls: bool = True


@frozen
class Channel:
    """
    One thing a viewer can choose, under an id that is its for life.

    :ivar id: 1 to 2^31 - 1, the same in every face.
    :ivar number: the channel number shown to viewers, unique in the lineup and kept.
    :ivar entries: the providers' entries it stands for, best first, each with its provider's name.
    :ivar sharing: as in `Entry`.
    :ivar guide: the operator's own word for which channel of the guide it is, ``-`` for none; or empty.
    :ivar guide_shift: minutes that it is later than the guide says.
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
    # Not of what a viewer can see, by which a lineup is told from another.
    sharing: str = field(default="", repr=False)
    guide: str = ""
    guide_shift: int = 0

    @property
    def xmltv_id(self) -> str:
        """What playlists and the guide know it by (RFC 2838 gives ids of guides the form of host names)."""
        return self.tvg_id or f"{self.id}.iptvd"

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
