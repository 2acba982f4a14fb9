"""Users: who they are, what they may watch, and how they show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from hmac import compare_digest
from math import isfinite
from secrets import choice
from string import ascii_letters, digits

import msgspec
from attrs import field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.log import Log
from iptvd.model import Channel
from iptvd.records import Record, Records

#: What users are kept as, see `iptvd.records.Records`.
KIND = "user"
#: Characters of a token that is made here.
TOKEN_LENGTH = 32
#: Seconds between two looks at who has expired, at most: clocks are set.
_LOOK_AGAIN = 60.0


@frozen
class User:
    """
    Somebody who may watch.

    :ivar token: shows who asks: in URLs, and as the Xtream password.
    :ivar password: the argon2 hash of the one for the pages, empty where there is none.
    :ivar expires: seconds since the epoch from which on nothing is to be had any more, or None.
    :ivar max_connections: streams at once, 0 for no limit.
    :ivar groups: the channel groups that may be seen; empty for all.
    :ivar created: seconds since the epoch.
    :ivar extra: what a panel keeps here that means nothing to us.
    """

    name: str
    token: str = field(repr=False)
    password: str = field(default="", repr=False)
    expires: float | None = None
    max_connections: int = 0
    active: bool = True
    groups: tuple[str, ...] = ()
    notes: str = ""
    email: str = ""
    created: float = 0.0
    extra: Mapping[str, object] = field(factory=dict, repr=False)

    def may_see(self, channel: Channel) -> bool:
        """Whether a channel is one of theirs."""
        return not self.groups or channel.group in self.groups

    def barred(self, now: float) -> str:
        """Why they may not watch at this time, in a sentence; empty when they may."""
        if not self.active:
            return "this account has been switched off"
        if self.expires is not None and self.expires <= now:
            return "this account has expired"
        return ""


def new_token() -> str:
    """A token that nobody can guess, of letters and digits: no command line takes it for an option."""
    return "".join(choice(ascii_letters + digits) for _ in range(TOKEN_LENGTH))


def fingerprint(token: str) -> bytes:
    """What a token is looked up by: how long that takes says nothing about the tokens there are."""
    return sha256(token.encode("utf-8", "replace")).digest()


def same(one: str, other: str) -> bool:
    """Whether two tokens are the same; how long that takes does not say how much of them is."""
    return compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def to_record(user: User) -> Record:
    """A user as JSON."""
    return {
        "token": user.token,
        "password": user.password,
        "expires": user.expires,
        "max_connections": user.max_connections,
        "active": user.active,
        "groups": list(user.groups),
        "notes": user.notes,
        "email": user.email,
        "created": user.created,
        "extra": dict(user.extra),
    }


def from_record(name: str, record: Record) -> User:
    """
    The user that was kept so.

    :raises ValueError: when it is none, which happens to what is changed by hand.
    """
    user = msgspec.convert({**record, "name": name}, User)
    if not user.token or user.max_connections < 0 or not isfinite(user.expires or 0.0):
        raise ValueError("a user has a token, a limit of 0 or more, and expires at a time or never")
    return user


class Accounts:
    """
    All users, as they are now.

    :ivar unfit: the names of those whose record is none. They are users, so that nothing opens because of it, who may
        not watch until they are put anew.
    :param wall: seconds since the epoch.
    """

    log = Log()

    def __init__(self, records: Records, clock: IReactorTime, wall: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._wall = wall
        self.unfit: frozenset[str] = frozenset()
        self._users: dict[str, User] = {name: self._read(name) for name in records.all(KIND)}
        self._by_token: dict[bytes, User] = {}
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._timer: IDelayedCall | None = None
        self._looked = wall()
        for user in self._users.values():
            self._know_by_token(user)
        self._wait_for_the_next()
        records.on_change(KIND, self._changed)

    @property
    def unreadable(self) -> str:
        """Why it is not known who there is, empty when it is."""
        return self._records.unreadable

    @property
    def users(self) -> Mapping[str, User]:
        """All of them, by name."""
        return self._users

    def of_token(self, token: str) -> User | None:
        """Whose token that is."""
        user = self._by_token.get(fingerprint(token))
        return user if user is not None and same(user.token, token) else None

    def may_watch(self, user: str, channel: Channel) -> bool:
        """Whether a channel is one of this user's, who may have gone meanwhile."""
        known = self._users.get(user)
        return known is not None and not known.barred(self._wall()) and known.may_see(channel)

    def limit_of(self, user: str) -> int:
        """How many streams this user may have at once, 0 for no limit."""
        known = self._users.get(user)
        return known.max_connections if known is not None else 0

    def on_change(self, call: Callable[[frozenset[str]], None]) -> None:
        """
        Have this called whenever a user has come, changed, expired or gone.

        It is given the names of those who may no longer watch as they did: what they watch has to end.
        """
        self._listeners.append(call)

    async def put(self, user: User) -> None:
        """
        Keep a user.

        :raises StoreError: when that is not possible; nothing has changed then.
        """
        await self._records.put(KIND, user.name, to_record(user))

    async def remove(self, name: str) -> None:
        """
        Forget a user.

        :raises StoreError: when that is not possible; nothing has changed then.
        """
        await self._records.remove(KIND, name)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _changed(self, name: str) -> None:
        """A user has come, changed or gone."""
        # Another one each time: somebody may be going over the one that there was.
        former, users = self._users.get(name), dict(self._users)
        self.unfit -= {name}
        if former is not None and self.of_token(former.token) is former:
            del self._by_token[fingerprint(former.token)]
        if name in self._records.all(KIND):
            users[name] = self._read(name)
            self._know_by_token(users[name])
        else:
            users.pop(name, None)
        self._users = users
        self._wait_for_the_next()
        goes_on = former is None or self._goes_on(former)
        self._tell(frozenset() if goes_on else frozenset((name,)))

    def _know_by_token(self, user: User) -> None:
        if user.token:
            # One that two have, which is somebody's own doing, is that of the first.
            self._by_token.setdefault(fingerprint(user.token), user)

    def _read(self, name: str) -> User:
        try:
            return from_record(name, self._records.all(KIND)[name])
        except ValueError:
            self.unfit |= {name}
            self.log.error("the account {user} is damaged: put it anew, or delete it", user=name)
            return User(name, "", active=False)

    def _goes_on(self, former: User) -> bool:
        """Whether somebody may go on watching what they watched before."""
        user = self._users.get(former.name)
        if user is None or user.token != former.token or user.barred(self._wall()):
            return False
        return not user.groups or (bool(former.groups) and set(former.groups) <= set(user.groups))

    def _wait_for_the_next(self) -> None:
        """Look again when the next of them expires."""
        self.close()
        now = self._wall()
        ends = [user.expires for user in self._users.values() if user.expires is not None and user.expires > now]
        if ends:
            self._timer = self._clock.callLater(min(min(ends) - now, _LOOK_AGAIN), self._time_has_passed)

    def _time_has_passed(self) -> None:
        self._timer = None
        before, self._looked = self._looked, self._wall()
        ends = {user.name: user.expires for user in self._users.values() if user.expires is not None}
        gone = frozenset(name for name, end in ends.items() if before < end <= self._looked)
        self._wait_for_the_next()
        if gone:
            self._tell(gone)

    def _tell(self, revoked: frozenset[str]) -> None:
        for call in self._listeners:
            call(revoked)
