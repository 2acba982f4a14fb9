"""Viewers on real sockets, and a daemon's tree in front of them, under a clock and a reactor that the test turns."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any, cast

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock, deferLater
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.hls import HlsRelay
from iptvd.delivery.hub import Hub
from iptvd.delivery.isolated import Means
from iptvd.delivery.kept_on import KeptOn
from iptvd.delivery.live import Live, LiveSettings
from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.packaged import PackagedHls
from iptvd.delivery.ring import Budget
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.session import Session
from iptvd.delivery.slots import Slots
from iptvd.identity import Identities
from iptvd.kept_provider import NAME as KEPT
from iptvd.kept_provider import KeptProvider
from iptvd.kept_webhooks import KeptWebhooks
from iptvd.lineup import Assembly
from iptvd.lineup_service import LineupService
from iptvd.looplag import LoopLag
from iptvd.metrics import Metrics
from iptvd.model import Channel, Entry, Outcome, Source
from iptvd.overrides import Overrides
from iptvd.passwords import Passwords
from iptvd.protocols.http_upstream import HTTPUpstream
from iptvd.rules import Rules
from iptvd.served import Served
from iptvd.settings import Config
from iptvd.streams import Streams
from iptvd.tokens import KEY_SIZE, TokenBox
from iptvd.tuners import Tuners
from iptvd.web.logo import LogoCache
from iptvd.web.player import Player
from iptvd.web.site import IptvdSite
from iptvd.web.stream import Faces
from iptvd.web.tree import Parts, build_tree
from iptvd.webhook_settings import Webhook
from iptvd.webhooks import Webhooks
from tests.delivery.feeding import Origins
from tests.doubles import Anybody, admission, nothing_on, offload, result, sliced
from tests.web.building import Answer, Shown, lineup_of, understood

#: Bytes of a viewer's that the kernel holds, about.
BUFFER = 65536


class Loop(Clock):
    """A reactor for sockets whose time is the test's."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.writers: list[Any] = []

    def addReader(self, one: Any) -> None:
        if one not in self.readers:
            self.readers.append(one)

    def addWriter(self, one: Any) -> None:
        if one not in self.writers:
            self.writers.append(one)

    def removeReader(self, one: Any) -> None:
        with suppress(ValueError):
            self.readers.remove(one)

    def removeWriter(self, one: Any) -> None:
        with suppress(ValueError):
            self.writers.remove(one)

    def turn(self) -> bool:
        """Tell those that there is something for; whether there was anybody."""
        ready, room, _ = select.select(self.readers, self.writers, [], 0)
        for one, act in [*((one, one.doRead) for one in ready), *((one, one.doWrite) for one in room)]:
            if one.fileno() < 0 or (one not in self.readers and one not in self.writers):
                continue
            why = act()
            if why is not None:
                self.removeReader(one)
                self.removeWriter(one)
                one.connectionLost(Failure(why))
        self.advance(0)
        return bool(ready or room)

    def settle(self) -> None:
        """Turn until nobody has anything to do."""
        while self.turn():
            pass


class Near(Connection):
    """Our end of a viewer's connection."""

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", *self.socket.getsockname())

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 50000)


class Client:
    """The viewer's end."""

    def __init__(self, loop: Loop, far: socket.socket, near: Near) -> None:
        self.near = near
        self.data = b""
        self.ended = False
        self._loop = loop
        self._far = far

    def send(self, data: bytes) -> None:
        self._far.sendall(data)
        self._loop.settle()

    def read(self) -> bytes:
        """All that came since the beginning."""
        while True:
            self._loop.settle()
            try:
                data = self._far.recv(1 << 20)
            except BlockingIOError:
                return self.data
            except ConnectionResetError:
                data = b""
            if not data:
                self.ended = True
                return self.data
            self.data += data

    def sip(self, size: int = BUFFER) -> None:
        """Read a little."""
        with suppress(BlockingIOError):
            self.data += self._far.recv(size)
        self._loop.settle()

    @property
    def body(self) -> bytes:
        """What came after the head."""
        return self.read().partition(b"\r\n\r\n")[2]

    def answer(self, method: str = "GET") -> Answer:
        return understood(self.read(), method)

    def leave(self, *, reset: bool = False) -> None:
        if reset:
            self._far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._far.close()
        self._loop.settle()


def connected(loop: Loop, protocol: Any, test: SynchronousTestCase) -> Client:
    """A connection whose near end is a protocol's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        far = socket.socket()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        far.connect(listening.getsockname())
        # Else the second of two small pieces waits until the first is acknowledged.
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted, _ = listening.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    for one in (far, accepted):
        one.setblocking(False)
    near = Near(accepted, protocol, cast(Any, loop))
    near.connected = 1
    protocol.makeConnection(near)
    near.startReading()
    test.addCleanup(far.close)
    test.addCleanup(_close, near)
    return Client(loop, far, near)


def _close(near: Near) -> None:
    if near.connected:
        near.connectionLost(Failure(ConnectionLost()))


class Openings:
    """What is opened for one viewer alone, by its URL; it takes a turn, as all that comes from a network does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.table: dict[str, Callable[[Ask], Opened] | Exception | Deferred[Opened]] = {}
        self.asked: list[tuple[str, Ask]] = []

    async def open(self, source: Source, ask: Ask, extension: str) -> Opened:
        return await self.open_url(source, source.url, ask)

    async def open_url(self, source: Source, url: str, ask: Ask) -> Opened:
        self.asked.append((url, ask))
        await deferLater(self._clock, 0)
        found = self.table[url]
        if isinstance(found, Exception):
            raise found
        if isinstance(found, Deferred):
            return await found
        return found(ask)

    async def http(self, source: Source, url: str, ask: Ask = Ask()) -> HTTPUpstream:  # noqa: B008 - it is frozen
        return cast(HTTPUpstream, (await self.open_url(source, url, ask)).upstream)

    def needs_no_headers(self, source: Source) -> bool:
        return True


class Stage:
    """
    All that plays, and the tree.

    :ivar origins: where shared channels come from.
    :ivar openings: where all else comes from.
    :ivar sources: of each channel, by its provider's key.
    :ivar ends: how sessions ended.
    :ivar posted: to webhooks, with their URLs; ``taken`` is the status of the answer.
    """

    def __init__(self, test: SynchronousTestCase, *entries: Entry, max_streams: int = 0, **limits: int) -> None:
        self.loop = loop = Loop()
        self.test = test
        self.entries = entries
        self.shown = Shown(lineup_of(*entries))
        self.origins = Origins()
        self.openings = Openings(loop)
        self.sources: dict[str, list[tuple[str, Source]]] = {}
        self.limits = limits
        self.isolated: set[int] = set()
        self.resolving: Callable[[], Awaitable[object] | None] = lambda: None
        self.slots = Slots(lambda provider: self.limits.get(provider, 0))
        self.metrics = Metrics(lambda: self.shown.statuses)
        wall = loop.seconds
        self.live = Live(self._sources, self.origins, self.slots, loop, wall, Budget(10**9), LiveSettings())
        opener = cast(Any, self.openings)
        self.served = Served(self.metrics, wall)
        self.hub = Hub(self._sources, opener, self.served, loop, wall, max_streams, self.slots, Anybody())
        self.cache = SegmentCache(1 << 24, loop)
        tokens = TokenBox(bytes(KEY_SIZE), wall)
        self.hls = HlsRelay(self.hub, tokens, self._find, loop, sliced, True, self.cache)
        self.live.switched = self.hls.switching.switched = self.served.switched
        self.packaged = PackagedHls(self.hub, self.live, self._find, loop, wall, 1.0)
        self.player = Player(self.live, Means(cast(Any, loop), loop, None, 5.0, 10.0))
        self.faces = Faces(
            lambda: self.shown.lineup, self.hub, self.hls, self.packaged, self.player, loop, self._shares
        )
        logos = cast(LogoCache, None)
        lag = LoopLag(loop, observe=lambda lag: None)
        service = cast(LineupService, self.shown)
        self.tuners = Tuners(
            bytes(KEY_SIZE),
            self.faces.lineup,
            lambda: self.hub.max_streams,
            self.slots.limit,
            sliced,
            lambda: self.admission.access,
        )
        self.tuners.configure(True)
        on = nothing_on()
        self.admission = admission(loop, trusted_networks=(ip_network("127.0.0.0/8"),))
        self.config = Config(state_dir=Path("/nonexistent"))
        records = self.admission.records
        self.kept = KeptProvider(
            records, lambda: "iptvd", lambda: self.config.allow_private_upstreams, self._kept_otherwise
        )
        self.streams = Streams(records, self.kept, service, self.hub, self.live, self.hls, self.served, loop)
        self.overrides = Overrides(records, self._kept_otherwise)
        self._listed: Sequence[Entry] = ()
        self.posted: list[tuple[str, bytes]] = []
        self.taken = 204
        hooks = Webhooks(on.activity, self._post, loop, Random(1))
        self.webhooks = KeptWebhooks(self.admission.records, hooks)
        self.parts = Parts(
            self.faces,
            service,
            logos,
            self.metrics,
            lag,
            wall,
            list,
            sliced,
            on,
            self.tuners,
            self.admission,
            lambda: self.config,
            offload,
            Passwords(offload),
            self.webhooks,
            KeptOn(self.live, wall),
            self.streams,
        )
        self.root = build_tree(self.parts)
        self.site = IptvdSite(self.root, lambda: self.admission.access, self.admission.logins, loop)
        self.ends: list[tuple[Outcome | None, str]] = []
        counted = self.metrics.session_ended

        def ended(session: Session) -> None:
            self.ends.append((session.outcome, session.reason))
            counted(session)

        test.patch(self.metrics, "session_ended", ended)
        test.addCleanup(self.close)

    async def _sources(self, channel: Channel) -> list[tuple[str, Source]]:
        waiting = self.resolving()
        if waiting is not None:
            await waiting
        if channel.provider == KEPT:
            return [(KEPT, source) for source in await self.kept.resolve(channel.entry)]
        return list(self.sources[channel.entry.key])

    def _kept_otherwise(self) -> None:
        listing = result(self.kept.fetch())
        if listing is not None:
            self._listed = listing.entries
        listings = [("home", self.entries), (KEPT, self._listed)]
        assembly = Assembly(listings, Rules(()), Identities(), False, self.overrides.all)
        for _ in assembly.steps():
            pass
        self.shown.lineup = assembly.lineup

    async def _post(self, webhook: Webhook, headers: Mapping[str, str], body: bytes) -> int:
        self.posted.append((webhook.url, body))
        return self.taken

    def trust(self, **settings: Any) -> None:
        """Go by other settings of who may what."""
        self.admission.configure(evolve(self.config, **settings))

    def _find(self, channel_id: int) -> Channel | None:
        return self.shown.lineup.by_id.get(channel_id)

    def _shares(self, channel: Channel) -> bool:
        return channel.id not in self.isolated

    def close(self) -> None:
        self.packaged.close()
        self.live.close()
        self.cache.clear()

    def channel(self, name: str) -> Channel:
        return next(channel for channel in self.shown.lineup.channels if channel.name == name)

    def path(self, name: str, extension: str = "ts") -> str:
        return f"/stream/{self.channel(name).id}.{extension}" if extension else f"/stream/{self.channel(name).id}"

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET", version: str = "1.1") -> Client:
        """A viewer that has asked."""
        client = connected(self.loop, self.site.buildProtocol(None), self.test)
        lines = [f"{method} {path} HTTP/{version}", "Host: 127.0.0.1", *(f"{name}: {it}" for name, it in headers)]
        client.send("\r\n".join([*lines, "", ""]).encode())
        return client

    def deliver(self, pieces: Iterable[bytes], seconds: float = 0.25) -> None:
        """The origin of what is on sends these, with so long between."""
        for piece in pieces:
            self.origins.taps[-1].deliver(piece)
            for on_air in self.live.on_air.values():
                on_air.broadcast.flush()
            self.loop.advance(seconds)
            self.loop.settle()

    def outcomes(self) -> list[str]:
        return [outcome.value if outcome is not None else "" for outcome, _ in self.ends]

    def assert_nothing_left(self) -> None:
        """Nobody watches, no slot is taken, no origin is open, and nothing but a site's own clock is waited for."""
        self.loop.settle()
        self.test.assertEqual((dict(self.hub.sessions), self.slots.total, dict(self.live.on_air)), ({}, 0, {}))
        self.test.assertTrue(all(tap.stopped or tap.ended for tap in self.origins.taps))
        self.test.assertEqual(self.loop.writers, [])
