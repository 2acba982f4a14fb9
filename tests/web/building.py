"""A whole tree in memory, the channels it shows, and viewers whose client is the standard library's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from email.message import Message
from gzip import decompress
from http.client import HTTPResponse
from io import BytesIO
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from attrs import define, frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from iptvd.delivery.hub import Hub
from iptvd.delivery.live import Live, LiveSettings
from iptvd.delivery.ring import Budget
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.delivery.slots import Slots
from iptvd.identity import Identities
from iptvd.interfaces import IFetcher
from iptvd.lineup import Assembly, Lineup
from iptvd.lineup_service import LineupService
from iptvd.looplag import LoopLag
from iptvd.metrics import Metrics
from iptvd.model import Channel, Entry, ProviderState, Source
from iptvd.refresh import ProviderStatus
from iptvd.rules import Rules
from iptvd.web.channels_api import NowNext
from iptvd.web.health import Health, HealthResource, MetricsResource, PingResource
from iptvd.web.index import IndexResource
from iptvd.web.logo import LogoCache, LogosResource
from iptvd.web.playlist import PlaylistResource
from iptvd.web.site import IptvdSite, Root
from tests.doubles import Anybody, Web, admission, offload, sliced

BASE = "http://192.168.1.10:8085"
HOME = "192.168.1.2"
STRANGER = "203.0.113.9"
#: Who may manage: this machine.
OPERATOR = "127.0.0.1"
PROXY = "10.0.0.5"
#: What no answer may hold: every upstream address of these tests has this name.
UPSTREAM = "upstream.example.com"


def lineup_of(*entries: Entry, **more: Sequence[Entry]) -> Lineup:
    """The lineup of a provider ``home`` with these entries, and of others by name."""
    assembly = Assembly([("home", entries), *more.items()], Rules(()), Identities(), False)
    for _ in assembly.steps():
        pass
    return assembly.lineup


def entries(count: int) -> Iterator[Entry]:
    """Entries numbered from 1, in groups of ten."""
    for number in range(1, count + 1):
        yield Entry(
            f"key{number}",
            f"Channel {number}",
            group=f"Group {(number - 1) // 10}",
            tvg_id=f"channel{number}.test",
            logo=f"http://{UPSTREAM}/{number}.png",
            origin={"url": f"http://user:secret@{UPSTREAM}/{number}.ts"},
        )


class Shown:
    """What the tree shows of the lineup service."""

    def __init__(self, lineup: Lineup) -> None:
        self.lineup = lineup
        self.statuses = [ProviderStatus("home", "m3u", ProviderState.OK, entries=len(lineup.channels))]

    async def settled(self) -> None:
        """It always is."""

    def channel_of(self, provider: str, key: str) -> Channel | None:
        """The channel that has an entry."""
        for channel in self.lineup.channels:
            if any((name, entry.key) == (provider, key) for name, entry in channel.entries):
                return channel
        return None


@frozen
class Answer:
    """An answer as a client understands it."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def plain(self) -> str:
        """The text of an answer that may be in gzip."""
        return (decompress(self.body) if self.headers["Content-Encoding"] == "gzip" else self.body).decode()


class _Received(BytesIO):
    def makefile(self, mode: str) -> BytesIO:
        return self

    def close(self) -> None:
        """Stay open: what follows the answer is looked at after it."""


def understood(raw: bytes, method: str = "GET") -> Answer:
    """An answer parsed; fails when it is cut short, or when anything follows it."""
    received = _Received(raw)
    response = HTTPResponse(cast(Any, received), method=method)
    response.begin()
    body = response.read()
    rest = received.read()
    if rest:
        raise AssertionError(f"more than the answer was sent: {rest[:200]!r}")
    return Answer(response.status, response.headers, body)


@define(eq=False)
class Connection:
    """A viewer's connection."""

    protocol: Any
    transport: StringTransport

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def received(self) -> bytes:
        """What came since this was last asked."""
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def leave(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Tree:
    """
    All of the tree but what plays, with a viewer's view of it.

    :ivar clock: the time of everything in it.
    :ivar shown: change its lineup and statuses as you like.
    """

    def __init__(
        self,
        lineup: Lineup | None = None,
        *,
        fetcher: IFetcher | None = None,
        logos: Path | None = None,
        logo_limit: int = 10**6,
        max_streams: int = 5,
        public_url: str = "",
        sliced: Callable[[Iterator[object]], Any] = sliced,
    ) -> None:
        self.clock = Clock()
        self.shown = Shown(lineup if lineup is not None else lineup_of(*entries(3)))
        self.notices: list[str] = []
        self.metrics = Metrics(lambda: self.shown.statuses)
        self.lag = LoopLag(self.clock, observe=self.metrics.loop_lag)
        slots = Slots(lambda provider: 0)
        self.live = Live(
            self._sources,
            cast(Any, None),
            slots,
            self.clock,
            self.clock.seconds,
            Budget(10**9),
            LiveSettings(),
        )
        self.hub = Hub(
            self._sources, cast(Any, None), self.metrics, self.clock, self.clock.seconds, max_streams, slots, Anybody()
        )
        web = fetcher or Web({})
        self.logo_cache = LogoCache(
            logos or Path("/nonexistent"), lambda provider: web, offload, self.clock.seconds, logo_limit
        )
        service = cast(LineupService, self.shown)
        health = Health(service, self.hub, self.live, self.lag, self.clock.seconds, lambda: self.notices)
        #: What is on at a channel and comes then, by its id.
        self.on: dict[int, NowNext] = {}
        self.root = Root(IndexResource(service, self.hub.kind_of, lambda: self.notices, self._now_next))
        self.playlist = PlaylistResource(lambda: self.shown.lineup, self.hub.kind_of, sliced, self.clock)
        brief = HealthResource(health.brief, managed=False, sliced=sliced)
        brief.putChild(b"detailed", HealthResource(health.detailed, managed=True, sliced=sliced))
        self.add("playlist.m3u8", self.playlist)
        self.add("playlist.m3u", self.playlist)
        self.add("logo", LogosResource(lambda: self.shown.lineup, self.logo_cache))
        self.add("health", brief)
        self.add("ping", PingResource())
        self.add("metrics", MetricsResource(self.metrics))
        networks = [ip_network(text) for text in ("127.0.0.0/8", "192.168.0.0/16")]
        self.admission = admission(
            self.clock,
            trusted_proxies=(ip_network(f"{PROXY}/32"),),
            trusted_networks=tuple(networks),
            allowed_hosts=("tv.example.com",),
            public_url=public_url,
        )
        self.site = IptvdSite(self.root, lambda: self.admission.access, self.admission.logins, self.clock)

    async def _sources(self, channel: Channel) -> list[tuple[str, Source]]:
        return []

    async def _now_next(self, channels: Sequence[int]) -> dict[int, NowNext]:
        return {channel: self.on[channel] for channel in channels if channel in self.on}

    def add(self, name: str, resource: Resource) -> None:
        self.root.putChild(name.encode(), resource)

    def watch(self, channel: Channel, face: Face = Face.TS, agent: str = "VLC") -> Session:
        """Somebody at home watches."""
        return self.hub.admit(channel, Viewer(HOME, agent), face)

    def connect(self, peer: str = HOME) -> Connection:
        """A viewer's connection."""
        address = IPv4Address("TCP", peer, 50000)
        transport = StringTransport(IPv4Address("TCP", "192.168.1.10", 8085), address)
        protocol = self.site.buildProtocol(address)
        protocol.makeConnection(transport)
        return Connection(protocol, transport)

    def begin(
        self, path: str, headers: Iterable[tuple[str, str]] = (), *, method: str = "GET", peer: str = HOME
    ) -> Connection:
        """Ask and do not wait for the answer."""
        connection = self.connect(peer)
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.insert(1, "Host: 192.168.1.10:8085")
        connection.send("\r\n".join([*lines, "", ""]).encode())
        return connection

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET", peer: str = HOME) -> Answer:
        """The answer to a request."""
        return understood(self.begin(path, headers, method=method, peer=peer).received(), method)


def query(**arguments: str) -> str:
    """A query string."""
    return "?" + "&".join(f"{name}={quote(value)}" for name, value in arguments.items())


class Later:
    """Sliced work that is done when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Iterator[object], Deferred[None]]] = []
        self.begun = 0

    def __call__(self, steps: Iterator[object]) -> Deferred[None]:
        self.begun += 1
        done: Deferred[None] = Deferred()
        self.waiting.append((steps, done))
        return done

    def finish(self) -> None:
        """Do all of it."""
        while self.waiting:
            steps, done = self.waiting.pop(0)
            for _ in steps:
                pass
            if not done.called:
                done.callback(None)
