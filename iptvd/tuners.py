"""The tuners that we are to HDHomeRun clients: which channels each has, its device id, how many streams it gives."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from urllib.parse import parse_qsl, urlencode

from attrs import frozen

from iptvd.lineup import Lineup
from iptvd.model import Channel, ChannelKind
from iptvd.protocols.hdhomerun import device_ids
from iptvd.values import LONGEST, Form, many

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


@frozen
class Tuner:
    """
    A device of its own to its clients, with some of the live channels.

    :ivar groups: the groups whose channels it has, empty for all.
    :ivar providers: the providers whose channels it has, likewise.
    """

    name: str
    groups: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()

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
        asked = [("group", each) for each in self.groups] + [("provider", each) for each in self.providers]
        return f"{self.name}?{urlencode(asked)}"


#: The one with every live channel.
EVERYTHING = Tuner("all")


def read_tuner(text: str) -> Tuner:
    """
    A tuner as an operator writes it: a name, and after ``?`` groups and providers as in a playlist's URL.

    :raises ValueError: when it is something else.
    """
    name, _, query = text.partition("?")
    asked = parse_qsl(query, strict_parsing=True, max_num_fields=100)
    if not _NAME.fullmatch(name) or name == EVERYTHING.name or len(text) > LONGEST:
        raise ValueError("not the name of a tuner")
    if not asked or not all(key in ("group", "provider") and value.isprintable() for key, value in asked):
        raise ValueError("not what a tuner shows")
    groups, providers = (tuple(value for key, value in asked if key == wanted) for wanted in ("group", "provider"))
    return Tuner(name, groups, providers)


def _distinct(tuners: tuple[Tuner, ...]) -> tuple[Tuner, ...]:
    if len({tuner.name for tuner in tuners}) < len(tuners) or len(tuners) > MOST:
        raise ValueError("two of one name, or too many")
    return tuners


_MANY = many(
    read_tuner,
    'tuners such as "sports?group=Sports", "home?provider=home" or "news?group=News&group=Local+News", with + for a '
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
    """

    def __init__(
        self,
        seed: bytes,
        lineup: Callable[[], Lineup],
        max_streams: Callable[[], int],
        connections: Callable[[str], int],
        sliced: Callable[[Iterator[object]], Awaitable[None]],
    ) -> None:
        self.lineup = lineup
        self.sliced = sliced
        self._seed = seed
        self._max_streams = max_streams
        self._connections = connections
        self._tuners: dict[str, Tuner] = {}
        self._ids: dict[str, int] = {}
        self._providers: dict[str, tuple[str, frozenset[str]]] = {}

    def configure(self, on: bool, more: Sequence[Tuner] = ()) -> None:
        """
        Have other tuners from now on.

        :param on: whether there are any.
        :param more: those besides the one with every channel.
        """
        self._tuners = {tuner.name: tuner for tuner in (EVERYTHING, *more)} if on else {}
        self._ids = device_ids(self._seed, self._tuners)
        self._providers.clear()

    @property
    def present(self) -> Sequence[Tuner]:
        """Those there are, first the one with every channel."""
        return tuple(self._tuners.values())

    def find(self, name: str) -> Tuner | None:
        """The one of a name."""
        return self._tuners.get(name)

    def device_id(self, tuner: Tuner) -> int:
        """Its device id, the same as long as it has its name."""
        return self._ids[tuner.name]

    async def count(self, tuner: Tuner) -> int:
        """How many streams it gives at once: as many as viewers are served and its providers allow connections."""
        limits = [self._connections(name) for name in await self._providers_of(tuner)]
        # With one that allows any number there is no telling.
        connections = sum(limits) if all(limits) else 0
        bounds = [bound for bound in (self._max_streams(), connections) if bound]
        return min(*(bounds or [UNLIMITED]), MOST_STREAMS)

    async def _providers_of(self, tuner: Tuner) -> frozenset[str]:
        """The providers that its channels come from."""
        lineup = self.lineup()
        revision, known = self._providers.get(tuner.name, ("", frozenset[str]()))
        if revision == lineup.revision:
            return known
        found: set[str] = set()

        def steps() -> Iterator[None]:
            for start in range(0, len(lineup.channels), _STEP):
                for channel in lineup.channels[start : start + _STEP]:
                    if tuner.has(channel):
                        found.update(name for name, _ in channel.entries)
                yield

        await self.sliced(steps())
        if self._tuners.get(tuner.name) == tuner:
            self._providers[tuner.name] = (lineup.revision, frozenset(found))
        return frozenset(found)
