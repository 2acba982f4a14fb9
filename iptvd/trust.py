"""
Who a request is from, and by which URL it came: every such decision is made here.

A proxy in front of the daemon tells in headers who the client is and what the client's URL looks like. Anyone can
write such headers, so they count only when they come from a proxy that the operator trusts. Of a list to which each
proxy has appended, what counts is the item that the outermost trusted proxy wrote: everything to the left of it was
claimed by somebody unknown. What is in doubt costs a request its trust and never fails it. So a trusted proxy has to
set or append ``Forwarded`` or ``X-Forwarded-For``, or be Cloudflare's, which sets ``CF-Connecting-IP``: one that does
none of this makes its clients look like itself. Where several of them name different clients, nobody is believed.

A name in ``Host`` that is not ours is refused, because a web page can let its own name point at this machine (DNS
rebinding) and then speak to us with its visitor's address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar
from urllib.parse import urlsplit

from attrs import frozen

from iptvd.errors import ConfigError, IptvdError, ProtocolError
from iptvd.forwarded import (
    DEFAULT_PORTS,
    Address,
    Place,
    parse_address,
    parse_forwarded,
    parse_list,
    parse_place,
    parse_port,
    parse_prefix,
)

Network = IPv4Network | IPv6Network

#: All values of a header, given its name in lower case; nothing when it is not there. Bytes are read as Latin-1.
HeaderValues = Callable[[str], Sequence[str]]

#: Headers that show that a request has passed through a proxy, whether they are read or not.
_TRACES = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "via",
)

_S = TypeVar("_S")
_T = TypeVar("_T")


class HostRefused(IptvdError):  # noqa: N818 - it is what happened to the request, not a fault of ours
    """A request names a host that is not ours."""


@frozen
class Caller:
    """
    Who a request is from.

    :ivar address: the client's IP address as text, without zone and port. Where nobody who is trusted names a client,
        that of the last proxy known; empty when that is a Unix socket.
    :ivar base_url: what links in the response start with: ``scheme://host[:port][/prefix]``, no slash at the end.
    :ivar trusted: whether the address is certain and lies in a trusted network.
    :ivar via_untrusted_proxy: whether the request has passed through a proxy that is not trusted.
    :ivar certain: whether it is certain that the address is the client's.
    :ivar direct: whether no proxy is between, as far as the request shows.
    """

    address: str
    base_url: str
    trusted: bool
    via_untrusted_proxy: bool
    certain: bool = False
    direct: bool = False


@frozen
class _Client:
    """
    The end of the way from the right through a list of hops.

    :ivar address: the last one that is certain.
    :ivar taken: how many items trusted proxies wrote.
    :ivar further: whether the client, who is not a trusted proxy, speaks for somebody else.
    """

    address: Address | None
    taken: int
    further: bool


@frozen
class _Told:
    """What trusted proxies say of the client's URL; what they do not say is None or empty."""

    scheme: str = ""
    place: Place | None = None
    port: int | None = None
    prefix: str = ""


class _Reading:
    """Reads headers; ``sound`` is false as soon as one makes no sense, which is then taken as not there."""

    def __init__(self, headers: HeaderValues) -> None:
        self._headers = headers
        self.sound = True
        self.elements: list[Mapping[str, str]] = self.understood(parse_forwarded, headers("forwarded"), [])

    def understood(self, parse: Callable[[_S], _T], value: _S, otherwise: _T) -> _T:
        try:
            return parse(value)
        except ProtocolError:
            self.sound = False
            return otherwise

    def listed(self, name: str) -> list[str]:
        return self.understood(parse_list, self._headers(name), [])

    def client(self, peer: Address | None, proxies: Sequence[Network]) -> _Client:
        """Who the client is, as told by ``peer``, a trusted proxy."""
        ways = []
        if any("for" in element for element in self.elements):
            ways.append([element.get("for", "") for element in self.elements])
        if hops := self.listed("x-forwarded-for"):
            ways.append(hops)
        clients = [self._walk(way, peer, proxies) for way in ways]
        if alone := self._headers("cf-connecting-ip"):
            # Cloudflare replaces what its client has sent; it is the client's address, and no list.
            told = self.understood(parse_address, ",".join(alone).strip(), None)
            named = [client for client in clients if client.address == told]
            clients.append(named[0] if named else _Client(told or peer, 0, False))
        # A proxy that writes one of these may let the others through as its client wrote them.
        if not clients or any(client != clients[0] for client in clients):
            self.sound = False
        return clients[0] if clients else _Client(peer, 0, False)

    def _walk(self, way: Sequence[str], peer: Address | None, proxies: Sequence[Network]) -> _Client:
        address, taken = peer, 0
        while taken < len(way) and (taken == 0 or _within(address, proxies)):
            taken += 1
            hop = self.understood(parse_address, way[-taken], None)
            if hop is None:
                break
            address = hop
        return _Client(address, taken, taken < len(way))

    def told(self, taken: int) -> _Told:
        """What the proxies that wrote ``taken`` items say of the URL."""
        scheme = self._said("proto", taken).lower()
        return _Told(
            # Anything else, such as wss, says nothing about links.
            scheme=scheme if scheme in DEFAULT_PORTS else "",
            place=self._parsed(parse_place, self._said("host", taken)),
            port=self._parsed(parse_port, self._said("port", taken)),
            prefix=self._parsed(parse_prefix, self._said("prefix", taken)) or "",
        )

    def _parsed(self, parse: Callable[[str], _T], text: str) -> _T | None:
        return self.understood(parse, text, None) if text else None

    def _said(self, what: str, taken: int) -> str:
        by_ours = self.elements[-max(taken, 1) :]
        first = next((element[what] for element in by_ours if what in element), "")
        # A list may be shorter than the way, where a proxy has replaced what it got.
        return first or next(iter(self.listed(f"x-forwarded-{what}")[-max(taken, 1) :]), "")


class Trust:
    """
    Judges requests.

    :param trusted_proxies: where the proxies are whose word counts.
    :param trusted_networks: where the clients are that are trusted.
    :param allowed_hosts: names the daemon is reached by, besides IP addresses, ``localhost`` and ``.local`` names.
    :param public_url: the URL it is reached by from outside, or empty.
    :param own_names: the machine's own names.
    :param trust_unix: whether the other end of a Unix socket is a trusted proxy.
    :raises ConfigError: when one of ``allowed_hosts`` or ``public_url`` is not what it should be.
    """

    def __init__(
        self,
        trusted_proxies: Iterable[Network],
        trusted_networks: Iterable[Network],
        allowed_hosts: Iterable[str] = (),
        public_url: str = "",
        *,
        own_names: Iterable[str] = (),
        trust_unix: bool = False,
    ) -> None:
        self._proxies = tuple(trusted_proxies)
        self._networks = tuple(trusted_networks)
        self._trust_unix = trust_unix
        self._public = _Public.parse(public_url) if public_url else None
        self._names = {_allowed(name) for name in allowed_hosts}
        self._names.update(name.lower().removesuffix(".") for name in own_names)
        if self._public is not None:
            self._names.add(self._public.place.name)

    def judge(
        self,
        peer: str | None,
        secure: bool,
        headers: HeaderValues,
        local_port: int,
        local_address: str = "",
        *,
        relayed: bool = False,
    ) -> Caller:
        """
        Who a request is from, and by which URL it came.

        :param peer: the address of the other end of the connection, None on a Unix socket.
        :param secure: whether the connection itself is TLS.
        :param local_port: the port it came to, or 0.
        :param local_address: the address it came to; with the port, what is left when nothing names a host.
        :param relayed: whether it is a trusted proxy that has told these addresses (PROXY protocol).
        :raises HostRefused: when it names a host that is not ours.
        """
        address = _address_or_none(peer or "")
        passed = any(headers(name) for name in _TRACES)
        certain = not passed
        client, told = _Client(address, 0, passed), _Told()
        if passed and (self._trust_unix if peer is None else _within(address, self._proxies)):
            reading = _Reading(headers)
            client = reading.client(address, self._proxies)
            told = reading.told(client.taken)
            # Any host is good enough for links, but one that is not ours may be a name that was rebound to the proxy.
            ours = told.place is None or self._is_ours(told.place.name)
            certain = reading.sound and ours and not client.further
        local = Place(_in_url(_address_or_none(local_address)), local_port or None)
        return Caller(
            address="" if client.address is None else str(client.address),
            base_url=self._base_url(told, secure, headers("host"), local),
            trusted=certain and _within(client.address, self._networks),
            via_untrusted_proxy=client.further,
            certain=certain and client.address is not None,
            direct=not passed and not relayed,
        )

    def _base_url(self, told: _Told, secure: bool, hosts: Sequence[str], local: Place) -> str:
        place = told.place or self._named(hosts)
        scheme = told.scheme or ("https" if secure else "http")
        # A port written with the name is the client's own. A balancer behind another that ends TLS may tell its own
        # plain port, which cannot be the client's.
        if place is not None and place.port is None and told.port not in set(DEFAULT_PORTS.values()):
            place = Place(place.name, told.port)
        if self._public is not None:
            # The operator has said what the URL of that place is: TLS and prefix included, unless a proxy disagrees.
            known = not told.prefix and told.scheme in ("", self._public.scheme)
            if place is None or (known and place.under(self._public.scheme) == self._public.place):
                return self._public.url
        return f"{scheme}://{(place or local).under(scheme)}{told.prefix}"

    def _named(self, hosts: Sequence[str]) -> Place | None:
        """The host that the request names, None when it names none (HTTP/1.0)."""
        texts = {host.strip(" \t") for host in hosts} - {""}
        if not texts:
            return None
        try:
            (place,) = map(parse_place, texts)
        except (ProtocolError, ValueError):
            raise HostRefused(
                "The Host header is not one host name: use the IP address, or a name that is in allowed_hosts"
            ) from None
        if not self._is_ours(place.name):
            raise HostRefused(f"The name {place.name} is not known here: add it to allowed_hosts in the settings")
        return place

    def _is_ours(self, name: str) -> bool:
        if name in self._names or name == "localhost" or name.endswith((".localhost", ".local")):
            return True
        return _address_or_none(name) is not None


@frozen
class _Public:
    """The operator's own URL."""

    scheme: str
    place: Place
    url: str

    @classmethod
    def parse(cls, url: str) -> _Public:
        try:
            parts = urlsplit(url)
            if parts.scheme not in DEFAULT_PORTS or parts.query or parts.fragment:
                raise ProtocolError("not what links start with")
            place = parse_place(parts.netloc).under(parts.scheme)
            return cls(parts.scheme, place, f"{parts.scheme}://{place}{parse_prefix(parts.path)}")
        except (ProtocolError, ValueError):
            raise ConfigError(
                "public_url is not a URL that links can start with: write it like https://tv.example.com or "
                "https://example.com:8443/iptv"
            ) from None


def _allowed(name: str) -> str:
    try:
        return parse_place(name).name
    except ProtocolError:
        raise ConfigError("allowed_hosts holds what is not a host name: write names like tv.example.com") from None


def _address_or_none(text: str) -> Address | None:
    try:
        return parse_address(text)
    except ProtocolError:
        return None


def _within(address: Address | None, networks: Iterable[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


def _in_url(address: Address | None) -> str:
    if address is None:
        return "localhost"
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)
