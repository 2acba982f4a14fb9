"""What the unit tests put in the place of threads, disks and the network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.accounts import User
from iptvd.activity import Activity
from iptvd.admission import Admission
from iptvd.delivery.reach import Reach
from iptvd.epg.reading import GuideReader
from iptvd.errors import ProviderError, StoreError
from iptvd.interfaces import IFetcher, IStore
from iptvd.model import Channel, Fetched, Headers, Programme, ProviderState
from iptvd.settings import Config
from iptvd.tokens import KEY_SIZE
from iptvd.web.tree import WhatIsOn

T = TypeVar("T")


def offload(work: Callable[..., T], /, *args: object) -> Awaitable[T]:
    """Disk work at once."""
    return Deferred.fromCoroutine(_at_once(work, *args))


async def _at_once(work: Callable[..., T], *args: object) -> T:
    return work(*args)


def sliced(steps: Iterator[object]) -> Awaitable[None]:
    """Sliced work at once; what it raises comes out of the result."""
    return Deferred.fromCoroutine(_drain(steps))


async def _drain(steps: Iterator[object]) -> None:
    for _ in steps:
        pass


def result(work: Coroutine[Deferred[Any], Any, T] | Deferred[T]) -> T:
    """What work that waits for nothing gives; raises what it raises."""
    deferred = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
    results: list[T] = []
    failures: list[BaseException] = []
    deferred.addCallbacks(results.append, lambda failure: failures.append(failure.value))
    if failures:
        raise failures[0]
    if not results:
        raise AssertionError("it is still waiting for something")
    return results[0]


def folder_for(test: SynchronousTestCase) -> Path:
    """A folder that is gone after the test."""
    folder = TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    return Path(folder.name)


@implementer(IFetcher)
class Web:
    """Answers from a table; what is not there cannot be reached."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages
        self.asked: list[str] = []

    def get(
        self,
        url: str,
        *,
        headers: Headers = (),
        limit: int = 0,
        timeout: float = 0.0,
        verify_tls: bool = True,
    ) -> Awaitable[Fetched]:
        self.asked.append(url)
        body = self.pages.get(url)
        if body is None:
            raise ProviderError(ProviderState.UNREACHABLE, "it does not answer")
        return succeed(Fetched(200, url, {}, body))


@implementer(IStore)
class Kept:
    """A store in memory, that can fail."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, Mapping[str, object]]] = {}
        self.failure = ""

    def load(self) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
        self._fail()
        return {kind: dict(records) for kind, records in self.kinds.items()}

    async def put(self, kind: str, name: str, value: Mapping[str, object]) -> None:
        self._fail()
        self.kinds.setdefault(kind, {})[name] = value

    async def remove(self, kind: str, name: str) -> None:
        self._fail()
        self.kinds.get(kind, {}).pop(name, None)

    def _fail(self) -> None:
        if self.failure:
            raise StoreError(self.failure)


def admission(clock: Clock, store: Kept | None = None, **settings: Any) -> Admission:
    """Who may what, with these settings; without users, unless the store has some."""
    config = Config(state_dir=Path("/nonexistent"), **settings)
    return Admission(store or Kept(), bytes(KEY_SIZE), config, clock, clock.seconds)


def join(admission: Admission, *users: User) -> None:
    """Have these users."""
    for user in users:
        result(admission.accounts.put(user))


class Anybody:
    """Whoever watches may watch everything, without end."""

    def may_watch(self, user: str, channel: Channel) -> bool:
        return True

    def limit_of(self, user: str) -> int:
        return 0


def nothing_on() -> WhatIsOn:
    """No guide, no events."""

    async def nothing(channel: Channel) -> list[Programme]:
        return []

    def pipe(argv: Sequence[str], sink: IConsumer, told: bytes) -> Deferred[tuple[int, bytes]]:
        return succeed((127, b""))

    nowhere = Path("/nowhere/guide.db")
    activity = Activity(Clock(), lambda: 0.0)
    reader = GuideReader(nowhere, offload)
    return WhatIsOn(nowhere, reader, list, list, pipe, lambda: 14, Reach(lambda: 0.0), nothing, activity)
