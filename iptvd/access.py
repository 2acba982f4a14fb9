"""What a request may do: who it is from, as far as it shows that, and what that gives leave to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from urllib.parse import quote

from attrs import evolve, frozen

from iptvd.accounts import Accounts, User, same
from iptvd.model import Channel
from iptvd.trust import Caller, Network, Trust

#: What begins the part of a path that holds a user's token: ``/~TOKEN/stream/1.ts``.
MARK = "~"


@frozen
class Shown:
    """
    What a request shows of who it is from.

    :ivar tokens: of users, or of who manages.
    :ivar name: of the user whose tokens they are, where the request says it.
    :ivar user: a user who has logged in to the pages, and ``manager`` whether who manages has.
    """

    tokens: Sequence[str] = ()
    name: str = ""
    user: str = ""
    manager: bool = False


@frozen
class Who:
    """
    Who a request is from.

    :ivar caller: its ``base_url`` has the user's token in it, so that every link that is made of it is theirs.
    :ivar shows: whether it shows a token at all.
    :ivar manager: whether it may manage.
    :ivar logged_in: whether it shows the cookie of a login that holds.
    :ivar ambient: whether it may do what it may without showing anything that a foreign page could not make a
        browser send: then an unsafe request counts only from our own pages.
    :ivar status: 0 when it may watch, else the status of the answer, and ``sentence`` why.
    """

    caller: Caller
    user: User | None = None
    shows: bool = False
    manager: bool = False
    logged_in: bool = False
    ambient: bool = False
    status: int = 0
    sentence: str = ""

    def may_see(self, channel: Channel) -> bool:
        """Whether a channel is one that it may know of."""
        return self.user is None or self.user.may_see(channel)


@frozen
class Access:
    """
    The rules as they are at one moment: another one is made whenever users or settings change.

    :param api_token: of who manages, empty for none.
    :param manage_networks: who may manage without it, where there is none, beside this machine.
    :param wall: seconds since the epoch.
    """

    trust: Trust
    accounts: Accounts
    api_token: str
    manage_networks: Sequence[Network]
    wall: Callable[[], float]

    def judge(self, caller: Caller, shown: Shown) -> Who:
        """Who a request is from, and what it may do."""
        accounts, shows = self.accounts, bool(shown.tokens)
        by_token = bool(self.api_token) and any(same(token, self.api_token) for token in shown.tokens)
        near = not self.api_token and self._is_near(caller)
        manager = by_token or near or shown.manager
        logged_in = bool(shown.user) or shown.manager
        who = Who(caller, shows=shows, manager=manager, logged_in=logged_in, ambient=not by_token)
        user = self._user(shown)
        barred = user.barred(self.wall()) if user is not None else ""
        if user is not None and not barred:
            # Who manages too, without having shown the token for that, may be somebody whose browser another has
            # led here with a token of their own.
            theirs = evolve(caller, base_url=f"{caller.base_url}/{MARK}{quote(user.token, safe='')}")
            return evolve(who, caller=theirs, user=user, ambient=not by_token and (manager or not shows))
        if by_token or shown.manager:
            return who
        if accounts.unreadable:
            return evolve(who, status=503, sentence="It is not known who may watch: see the log.")
        if not accounts.users:
            return who if caller.trusted else evolve(who, status=403, sentence=_untrusted(caller))
        if barred:
            return evolve(who, status=403, sentence=barred)
        sentence = "This token is not known here." if shows else "This needs a token, or a login."
        return evolve(who, status=403 if shows else 401, sentence=sentence)

    def _user(self, shown: Shown) -> User | None:
        for token in shown.tokens:
            user = self.accounts.of_token(token)
            if user is not None and shown.name in ("", user.name):
                return user
        return self.accounts.users.get(shown.user) if shown.user and not shown.tokens else None

    def _is_near(self, caller: Caller) -> bool:
        if not caller.certain or not caller.address:
            return False
        address = ip_address(caller.address)
        return (caller.direct and address.is_loopback) or any(address in network for network in self.manage_networks)


def _untrusted(caller: Caller) -> str:
    if caller.via_untrusted_proxy:
        return "This request came through a proxy that is not among trusted_proxies."
    return "This address is not in trusted_networks."
