"""How often something may happen: requests in a minute, connections at once, wrong tokens; bounded whoever comes."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from typing import TypeVar

from attrs import frozen

from iptvd.errors import ProtocolError
from iptvd.forwarded import parse_address

V = TypeVar("V")

#: How many of a kind are remembered; of more, the one that was not seen for longest is forgotten.
MOST = 4096
#: Seconds in which a rate is counted.
MINUTE = 60.0
#: Seconds that the answer to a wrong token takes: the first time, and at most.
FIRST, LONGEST = 0.25, 8.0
#: Seconds without another wrong one after which it is as if there had been none.
FORGIVEN = 300.0
#: Answers to wrong tokens that are under way at once: to one address, and to all.
UNDER_WAY, ALL_UNDER_WAY = 8, 256

# What a float of seconds may be off by after many additions.
_NOTHING = 1e-6


def neighbourhood(address: str) -> str:
    """
    What stands for an address where it is counted: itself, of IPv6 its /64, which is a single line's.

    :param address: as text; what is none stands for itself.
    """
    if ":" not in address:
        return address
    try:
        parsed = parse_address(address)
    except ProtocolError:
        return address
    return f"{int(parsed) >> 64:x}::/64" if isinstance(parsed, IPv6Address) else str(parsed)


def _remember(of: dict[str, V], key: str, value: V) -> None:
    """Put a value last in a dict, which is in the order of use."""
    of.pop(key, None)
    of[key] = value
    if len(of) > MOST:
        del of[next(iter(of))]


class Rates:
    """
    Token buckets: each has so many tokens as a minute brings, and a request takes one.

    What is kept of a bucket is the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371).

    :param seconds: a clock's.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._full: dict[str, float] = {}

    def take(self, key: str, rate: int) -> float:
        """
        Have one of them happen.

        :param rate: how many may happen in a minute; 0 for no limit.
        :return: 0 when it may, else the seconds after which it may.
        """
        if not rate:
            return 0.0
        now, each = self._seconds(), MINUTE / rate
        full = max(self._full.get(key, now), now)
        wait = full + each - MINUTE - now
        if wait > _NOTHING:
            return wait
        _remember(self._full, key, full + each)
        return 0.0


class Places:
    """Counts what is there at once."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def enter(self, key: str, most: int) -> bool:
        """Count one more, unless there are ``most`` (0 for no limit)."""
        taken = self._taken.get(key, 0)
        if most and taken >= most:
            return False
        self._taken[key] = taken + 1
        return True

    def leave(self, key: str) -> None:
        """Count one less."""
        taken = self._taken.pop(key) - 1
        if taken:
            self._taken[key] = taken

    def count(self, key: str) -> int:
        """How many there are."""
        return self._taken.get(key, 0)


@frozen
class Attempt:
    """
    Something that is shown, while it is not known to be right.

    :ivar key: what is under way together with it.
    :ivar shown: what stands for it where it is remembered, empty when that is not to be.
    """

    address: str
    key: str
    shown: str


class Attempts:
    """
    Tokens and passwords that are shown, so that nobody can try one after the other.

    The answer to a wrong one takes longer each time. Only so many such answers are under way; an address that has as
    many is *closed*: whatever it shows then that it has not shown rightly before is refused unseen, right or wrong, as
    the difference would be an answer. Who has been here rightly is not disturbed by others at the same address.

    What is shown again that was wrong is no guess: a player with an old token asks on and on. It is answered late as
    well, but closes nothing.

    :param seconds: a clock's.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._under_way = Places()
        self._all = 0
        self._wrong: dict[str, tuple[int, float]] = {}
        self._shown: dict[str, None] = {}
        self._welcome: dict[str, None] = {}

    def begin(self, address: str, shown: str = "") -> Attempt | None:
        """
        Have one more be looked at; its end is to be told.

        :param shown: what stands for it.
        :return: None when too much is under way.
        """
        again = bool(shown) and f"{address} {shown}" in self._shown
        key = f"{address} again" if again else address
        if self._is_full(key, address):
            return None
        self._under_way.enter(key, 0)
        self._all += 1
        return Attempt(address, key, shown)

    def end(self, attempt: Attempt) -> None:
        """The answer to one is over."""
        self._under_way.leave(attempt.key)
        self._all -= 1

    def failed(self, attempt: Attempt) -> float:
        """One was wrong: gives the seconds that the answer to it is to take."""
        count = self._count(attempt.address) + 1
        _remember(self._wrong, attempt.address, (count, self._seconds()))
        if attempt.shown:
            _remember(self._shown, f"{attempt.address} {attempt.shown}", None)
        return float(min(FIRST * 2 ** min(count - 1, 16), LONGEST))

    def is_closed(self, address: str) -> bool:
        """Whether nothing more is looked at that comes from there."""
        return self._is_full(address, address)

    def admit(self, address: str, name: str) -> bool:
        """
        Whether somebody is let in who has shown what is right.

        :param name: whose it is.
        """
        key = f"{address} {name}"
        if key not in self._welcome and self.is_closed(address):
            return False
        _remember(self._welcome, key, None)
        return True

    def _is_full(self, key: str, address: str) -> bool:
        if self._under_way.count(key) >= UNDER_WAY:
            return True
        return self._all >= ALL_UNDER_WAY and self._count(address) > 0

    def _count(self, address: str) -> int:
        count, last = self._wrong.get(address, (0, 0.0))
        return count if self._seconds() - last < FORGIVEN else 0
