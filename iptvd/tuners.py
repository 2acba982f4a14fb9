"""The tuners that we are to HDHomeRun clients: which channels each has, its device id, how many streams it gives."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from urllib.parse import parse_qsl, urlencode

from attrs import evolve, frozen

from iptvd.access import Access, Shown, Who
from iptvd.accounts import User
from iptvd.lineup import Lineup
from iptvd.model import Channel, ChannelKind
from iptvd.protocols.hdhomerun import device_ids
from iptvd.values import LONGEST, Form, many

#: Tuners of users whose providers are known, as they are asked for.
_MOST_KNOWN = 256
#: Tuners that can be set, streams that one can have at most (it tells that in a byte), and where nothing limits them.
MOST = 32
MOST_STREAMS, UNLIMITED = 255, 8
#: What clients are told besides the address: we have no account with anybody for which this would be good.
AUTH = "iptvd"
#: Channels that are looked at in one step.
_STEP = 200
#: By a name of its own: Python 3.11 takes long to find a member in its enum, and this is for each of 50,000 channels.
_LIVE = ChannelKind.LIVE

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_KEYS = ("group", "provider", "user")


@frozen
class Tuner:
    """
    A device of its own to its clients, with some of the live channels.

    :ivar groups: the groups whose channels it has, empty for all.
    :ivar providers: the providers whose channels it has, likewise.
    :ivar user: whose it is: as long as there are users it has what that one may see, and its URLs are theirs.
    """

    name: str
    groups: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    user: str = ""

    def has(self, channel: Channel) -> bool:
        """Whether this is one of its channels."""
        if channel.kind is not _LIVE or channel.entry.unsupported:
            return False
        if self.groups and channel.group not in self.groups:
            return False
        return not self.providers or any(name in self.providers for name, _ in channel.entries)

    @property
    def title(self) -> str:
        """What it is called in its clients' lists."""
        return "iptvd" if self == EVERYTHING else f"iptvd {self.name}"

    @property
    def prefix(self) -> str:
        """What comes before its paths where clients are sent."""
        return "" if self == EVERYTHING else f"/hdhr/{self.name}"

    def __str__(self) -> str:
        """As it is written in the settings."""
        asked = [("user", self.user)] if self.user else []
        asked += [("group", each) for each in self.groups] + [("provider", each) for each in self.providers]
        return f"{self.name}?{urlencode(asked)}"


#: The one with every live channel.
EVERYTHING = Tuner("all")


def read_tuner(text: str) -> Tuner:
    """
    A tuner as an operator writes it: a name, and after ``?`` groups and providers as in a playlist's URL, and a user.

    :raises ValueError: when it is something else.
    """
    name, _, query = text.partition("?")
    asked = parse_qsl(query, strict_parsing=True, max_num_fields=100)
    if not _NAME.fullmatch(name) or name == EVERYTHING.name or len(text) > LONGEST:
        raise ValueError("not the name of a tuner")
    if not asked or not all(key in _KEYS and value.isprintable() for key, value in asked):
        raise ValueError("not what a tuner shows")
    groups, providers, users = (tuple(value for key, value in asked if key == wanted) for wanted in _KEYS)
    if len(users) > 1:
        raise ValueError("the tuner of several users")
    return Tuner(name, groups, providers, *users)


def _distinct(tuners: tuple[Tuner, ...]) -> tuple[Tuner, ...]:
    if len({tuner.name for tuner in tuners}) < len(tuners) or len(tuners) > MOST:
        raise ValueError("two of one name, or too many")
    return tuners


_MANY = many(
    read_tuner,
    'tuners such as "sports?group=Sports", "home?provider=home", "news?group=News&group=Local+News" or '
    '"bob?user=bob", with + for a '
    f"space, each with a name of its own (letters a to z, digits and -), at most {MOST}",
)
#: The form of the setting.
TUNERS: Form[tuple[Tuner, ...]] = Form(
    _MANY.right,
    lambda text: _distinct(_MANY.from_text(text)),
    lambda value: _distinct(_MANY.from_toml(value)),
)


class Tuners:
    """
    All of them.

    :param seed: 64 bytes of this installation, by which its device ids are its own.
    :ivar lineup: gives the lineup as it is now.
    :param max_streams: gives how many viewers are served at once, 0 for no limit.
    :param connections: gives how many connections a provider allows, likewise.
    :ivar sliced: see `iptvd.slices.Slicer`.
    :ivar access: gives the rules as they are now.
    """

    def __init__(
        self,
        seed: bytes,
        lineup: Callable[[], Lineup],
        max_streams: Callable[[], int],
        connections: Callable[[str], int],
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        access: Callable[[], Access],
    ) -> None:
        self.lineup = lineup
        self.sliced = sliced
        self.access = access
        self._seed = seed
        self._max_streams = max_streams
        self._connections = connections
        self._tuners: dict[str, Tuner] = {}
        self._numbered: dict[str, Tuner] = {}
        self._ids: dict[str, int] = {}
        self._providers: dict[tuple[str, tuple[str, ...]], tuple[str, frozenset[str]]] = {}

    def configure(self, on: bool, more: Sequence[Tuner] = ()) -> None:
        """
        Have other tuners from now on.

        :param on: whether there are any.
        :param more: those besides the one with every channel.
        """
        self._tuners = {tuner.name: tuner for tuner in (EVERYTHING, *more)} if on else {}
        self._numbered = {str(place): tuner for place, tuner in enumerate(more, 1)} if on else {}
        self._ids = device_ids(self._seed, self._tuners)
        self._providers.clear()

    @property
    def present(self) -> Sequence[Tuner]:
        """Those there are, first the one with every channel."""
        return tuple(self._tuners.values())

    def find(self, name: str) -> Tuner | None:
        """The one of a name."""
        return self._tuners.get(name)

    def numbered(self, number: str) -> Tuner | None:
        """The one at a place among those of the settings, from 1 on."""
        return self._numbered.get(number)

    def shortest_prefix(self, tuner: Tuner) -> str:
        """What else can come before a tuner's paths: its number, for clients that have no room for its name."""
        return next((f"/{number}" for number, each in self._numbered.items() if each == tuner), tuner.prefix)

    def who_at(self, tuner: Tuner, who: Who) -> Who:
        """
        Who asks at a tuner: its user, where somebody asks who may and shows no user's token, as Plex can show none.

        So everybody in a trusted network can learn that token: it is in the URLs of the tuner's documents.
        """
        access = self.access()
        users = access.accounts.users
        if not tuner.user or not users:
            return who
        if who.user is not None:
            other = who.user.name != tuner.user
            return evolve(who, status=403, sentence="This tuner is another user's.") if other else who
        if who.status and (who.shows or not (who.manager or who.caller.trusted)):
            return who
        user = users.get(tuner.user)
        if user is None:
            return evolve(who, status=404, sentence="The user of this tuner is not known: see hdhomerun_tuners.")
        return evolve(access.judge(who.caller, Shown((user.token,))), manager=who.manager)

    def device_id(self, tuner: Tuner, user: User | None = None) -> int:
        """
        Its device id, the same as long as it has its name.

        One that is nobody's is another device for each user: it has other channels, at another address.
        """
        if user is None or tuner.user:
            return self._ids[tuner.name]
        name = f"{tuner.name} {user.name}"
        return device_ids(self._seed, [name])[name]

    async def count(self, tuner: Tuner, user: User | None = None) -> int:
        """How many streams it gives at once: as many as viewers are served and its providers and user are allowed."""
        limits = [self._connections(name) for name in await self._providers_of(tuner, user)]
        # With one that allows any number there is no telling.
        connections = sum(limits) if all(limits) else 0
        theirs = user.max_connections if user is not None else 0
        bounds = [bound for bound in (self._max_streams(), connections, theirs) if bound]
        return min(*(bounds or [UNLIMITED]), MOST_STREAMS)

    async def _providers_of(self, tuner: Tuner, user: User | None) -> frozenset[str]:
        """The providers that its channels come from, as far as a user may see them."""
        lineup = self.lineup()
        key = tuner.name, user.groups if user is not None else ()
        revision, known = self._providers.get(key, ("", frozenset[str]()))
        if revision == lineup.revision:
            return known
        found: set[str] = set()

        def steps() -> Iterator[None]:
            for start in range(0, len(lineup.channels), _STEP):
                for channel in lineup.channels[start : start + _STEP]:
                    if tuner.has(channel) and (user is None or user.may_see(channel)):
                        found.update(name for name, _ in channel.entries)
                yield

        await self.sliced(steps())
        if self._tuners.get(tuner.name) == tuner:
            if len(self._providers) >= _MOST_KNOWN:
                self._providers.clear()
            self._providers[key] = (lineup.revision, frozenset(found))
        return frozenset(found)
