"""Vectors of pages, and a web that gives them and notes how it was asked."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from pathlib import Path

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import tests.vectors
from iptvd.errors import ProviderError
from iptvd.interfaces import IFetcher, IPosts, ProviderContext
from iptvd.model import Fetched, Headers, ProviderState
from tests.providers.test_contract import context_for

_FOLDER = Path(tests.vectors.__file__).parent / "website"


def vector(name: str) -> bytes:
    """One of the pages in ``tests/vectors/website``."""
    return (_FOLDER / name).read_bytes()


def text_vector(name: str) -> str:
    """Likewise, as text."""
    return vector(name).decode()


#: What is at an address: a body, a status, or a whole answer.
Page = bytes | int | Fetched


@frozen
class Asked:
    """How the web was asked."""

    url: str
    headers: dict[str, str]
    timeout: float
    method: str = "GET"


@implementer(IFetcher)
class Web:
    """
    Answers from a table by URL: bytes, a status, or a whole response; what is not there cannot be reached.

    :ivar waiting: URLs that are answered only when the test calls back what is in ``held``.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.waiting: set[str] = set()
        self.held: dict[str, Deferred[Fetched]] = {}

    @property
    def urls(self) -> list[str]:
        """What was asked for."""
        return [each.url for each in self.asked]

    def get(
        self, url: str, *, headers: Headers = (), limit: int = 0, timeout: float = 30.0, verify_tls: bool = True
    ) -> Awaitable[Fetched]:
        self.asked.append(Asked(url, dict(headers), timeout))
        if url in self.waiting:
            held: Deferred[Fetched] = Deferred()
            self.held[url] = held
            return held
        return succeed(self.answer(url, limit))

    def answer(self, url: str, limit: int = 1 << 30) -> Fetched:
        page = self.pages.get(url)
        if page is None:
            raise ProviderError(ProviderState.UNREACHABLE, "it does not answer")
        if isinstance(page, int):
            return Fetched(page, url, {}, b"")
        answer = page if isinstance(page, Fetched) else Fetched(200, url, {}, page)
        if len(answer.body) > limit:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, "the answer is too long")
        return answer


@implementer(IPosts)
class PostingWeb(Web):
    """One that can be asked with POST too."""

    def post(
        self, url: str, *, headers: Headers = (), limit: int = 0, timeout: float = 30.0, verify_tls: bool = True
    ) -> Awaitable[Fetched]:
        self.asked.append(Asked(url, dict(headers), timeout, "POST"))
        return succeed(self.answer(url, limit))


class WebsiteTestCase(SynchronousTestCase):
    """
    Has a web, a clock and a context with both.

    :ivar web: what is asked.
    """

    def setUp(self) -> None:
        self.web = Web()
        self.clock = Clock()
        self.clock.advance(1_760_000_000)
        self.context = evolve(context_for(self), fetcher=self.web, clock=self.clock)

    def posting(self) -> ProviderContext:
        """The context, with a web that can be asked with POST too."""
        web = PostingWeb()
        web.pages = self.web.pages
        self.web = web
        return evolve(self.context, fetcher=web)

    def assert_state(self, error: ProviderError, state: ProviderState, *words: str) -> None:
        """It is in this state, with a sentence that has these words and no address."""
        self.assertIs(error.state, state, error.sentence)
        for each in words:
            self.assertIn(each, error.sentence)
        self.assertNotRegex(error.sentence, r"\w://|example\.com|\.test")


def drain(steps: Iterator[object]) -> int:
    """Run an iterator to its end; how many steps there were."""
    return sum(1 for _ in steps)
