"""What a provider itself says that a channel shows next, where no guide has it: asked when somebody wants to know."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from iptvd.delivery.flight import Flight
from iptvd.errors import ProviderError
from iptvd.interfaces import IShortGuide
from iptvd.log import Log
from iptvd.model import Channel, Programme

#: Seconds that an answer holds.
HOLDS = 600.0
#: Answers that are kept, and programmes of one.
MOST, MOST_TOLD = 1000, 200


class ShortGuides:
    """
    Asks, once for all who want to know at the same time, and remembers for a while.

    :param providers: gives the providers by their names.
    :param wall: seconds since the epoch.
    """

    log = Log()

    def __init__(self, providers: Callable[[], Mapping[str, object]], wall: Callable[[], float]) -> None:
        self._providers = providers
        self._wall = wall
        self._told: OrderedDict[int, tuple[float, Sequence[Programme]]] = OrderedDict()
        self._asking: dict[int, Flight[Sequence[Programme]]] = {}

    async def __call__(self, channel: Channel) -> Sequence[Programme]:
        """What the channel shows next; empty where nobody knows."""
        told = self._told.get(channel.id)
        if told is not None and told[0] > self._wall():
            return told[1]
        asking = self._asking.get(channel.id)
        if asking is not None:
            return await asking.join()
        asking = self._asking[channel.id] = Flight(
            lambda: self._asked(channel.id), lambda found: self._keep(channel.id, found)
        )
        waiting = asking.join()
        asking.start(lambda: self._ask(channel))
        return await waiting

    def _asked(self, channel: int) -> None:
        del self._asking[channel]

    def _keep(self, channel: int, programmes: Sequence[Programme]) -> None:
        self._told[channel] = (self._wall() + HOLDS, programmes)
        self._told.move_to_end(channel)
        while len(self._told) > MOST:
            self._told.popitem(last=False)

    async def _ask(self, channel: Channel) -> Sequence[Programme]:
        providers = self._providers()
        for name, entry in channel.entries:
            provider = providers.get(name)
            if provider is not None and IShortGuide.providedBy(provider):
                try:
                    found = list(await provider.programmes(entry))[:MOST_TOLD]
                except ProviderError:
                    continue
                except CancelledError:
                    raise
                except Exception:
                    self.log.fault("{provider}: a fault of ours or of the plugin", Failure(), provider=name)
                    continue
                if found:
                    return found
        return []
