"""What the tests of trust share: a network with proxies in it, and requests from there."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from attrs import evolve

from iptvd.trust import Caller, Trust

PROXY = "10.0.0.1"
OUTER_PROXY = "10.0.0.2"
AT_HOME = "192.168.1.5"
OUTSIDE = "203.0.113.9"

NETWORKS = [ip_network("192.168.1.0/24"), ip_network("fe80::/10"), ip_network("127.0.0.0/8")]


def trust(
    allowed_hosts: Sequence[str] = ("tv.example.com",),
    public_url: str = "",
    own_names: Sequence[str] = (),
    trust_unix: bool = False,
) -> Trust:
    """One with two trusted proxies, who trusts the home network."""
    proxies = [ip_network("10.0.0.0/24"), ip_network("127.0.0.1")]
    return Trust(proxies, NETWORKS, allowed_hosts, public_url, own_names=own_names, trust_unix=trust_unix)


def judged(
    headers: dict[str, str | list[str]],
    peer: str | None = PROXY,
    *,
    by: Trust | None = None,
    secure: bool = False,
    local_address: str = "192.168.1.2",
) -> Caller:
    """What becomes of a request with these headers; one without a Host is given one."""
    named: dict[str, list[str]] = {"host": ["tv.example.com"]}
    named.update({name.lower(): [value] if isinstance(value, str) else value for name, value in headers.items()})
    return (by or trust()).judge(peer, secure, lambda name: named.get(name, []), 8085, local_address)


def told(caller: Caller) -> Caller:
    """A caller, without how certain it is."""
    return evolve(caller, certain=False, direct=False)
