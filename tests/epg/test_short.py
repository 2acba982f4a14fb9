"""What a provider tells itself of what comes next."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.epg.short import HOLDS, MOST, MOST_TOLD, ShortGuides
from iptvd.errors import ProviderError
from iptvd.interfaces import IShortGuide
from iptvd.model import Channel, Entry, Programme, ProviderState
from tests.doubles import result
from tests.web.building import lineup_of

NEWS = Programme(0, 60, "News")


@implementer(IShortGuide)
class Telling:
    """Tells what it is given, when the test says so if that is a Deferred."""

    def __init__(self, says: Sequence[Programme] | Exception | Deferred[Sequence[Programme]]) -> None:
        self.says = says
        self.asked: list[str] = []

    async def programmes(self, entry: Entry) -> Sequence[Programme]:
        self.asked.append(entry.key)
        if isinstance(self.says, Exception):
            raise self.says
        if isinstance(self.says, Deferred):
            return await self.says
        return self.says


class ShortGuideTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.providers: dict[str, object] = {}
        self.short = ShortGuides(lambda: self.providers, self.clock.seconds)
        (self.channel,) = lineup_of(Entry("1", "One")).channels

    def tell(self, channel: Channel | None = None) -> Sequence[Programme]:
        return result(self.short(channel or self.channel))

    def test_told(self) -> None:
        """A provider is asked by the entry that it gave, and not again for a while."""
        provider = self.providers["home"] = Telling([NEWS])
        self.assertEqual((self.tell(), self.tell(), provider.asked), ([NEWS], [NEWS], ["1"]))
        self.clock.advance(HOLDS)
        provider.says = []
        self.assertEqual((self.tell(), self.tell(), provider.asked), ([], [], ["1", "1"]))

    def test_nobody_knows(self) -> None:
        """Where no provider tells, nothing is known: there is none, it cannot tell, or it fails."""
        self.assertEqual(self.tell(), [])
        for provider in (object(), Telling([]), Telling(ProviderError(ProviderState.UNREACHABLE, "it is away"))):
            self.providers["home"] = provider
            self.clock.advance(HOLDS)
            self.assertEqual(self.tell(), [])

    def test_a_fault(self) -> None:
        """A plugin with a fault is as one that knows nothing, and the log says so."""
        self.providers["home"] = Telling(ValueError("oops"))
        self.assertEqual(self.tell(), [])
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_the_next_provider(self) -> None:
        """When the first provider of a channel does not know, the next one is asked."""
        failing = self.providers["home"] = Telling(ProviderError(ProviderState.UNREACHABLE, "it is away"))
        other = self.providers["other"] = Telling([NEWS])
        channel = evolve(self.channel, entries=(*self.channel.entries, ("other", Entry("x", "One"))))
        self.assertEqual(self.tell(channel), [NEWS])
        self.assertEqual((failing.asked, other.asked), (["1"], ["x"]))

    def test_asked_at_once(self) -> None:
        """However many ask at the same time, the provider is asked once; one who leaves takes nothing away."""
        answer: Deferred[Sequence[Programme]] = Deferred()
        provider = self.providers["home"] = Telling(answer)
        asking = [Deferred.fromCoroutine(self.short(self.channel)) for _ in range(3)]
        asking[0].cancel()
        self.failureResultOf(asking[0])
        self.assertEqual(len(provider.asked), 1)
        answer.callback([NEWS])
        self.assertEqual([self.successResultOf(each) for each in asking[1:]], [[NEWS], [NEWS]])

    def test_nobody_waits(self) -> None:
        """When all who asked have left, the question is given up, and asked anew by who comes then."""
        provider = self.providers["home"] = Telling(Deferred())
        asking = Deferred.fromCoroutine(self.short(self.channel))
        asking.cancel()
        self.failureResultOf(asking)
        provider.says = [NEWS]
        self.assertEqual((self.tell(), len(provider.asked)), ([NEWS], 2))

    def test_bounds(self) -> None:
        """Of one answer and of all of them only so much is kept."""
        provider = self.providers["home"] = Telling([NEWS] * (MOST_TOLD + 1))
        for number in range(MOST + 1):
            self.assertEqual(len(self.tell(evolve(self.channel, id=number + 1))), MOST_TOLD)
        self.tell(evolve(self.channel, id=2))
        self.assertEqual(len(provider.asked), MOST + 1)
        self.tell(evolve(self.channel, id=1))
        self.assertEqual(len(provider.asked), MOST + 2)
