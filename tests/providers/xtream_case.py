"""What the tests of the provider for Xtream panels share: a panel in memory, and a provider for it."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path

from attrs import evolve
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers as WebHeaders
from twisted.web.resource import Resource
from zope.interface import implementer

from iptvd.errors import ProviderError
from iptvd.interfaces import IFetcher, IProvider, ProviderContext
from iptvd.model import Fetched, Headers, Listing, ProviderState
from iptvd.providers.xtream import XtreamSettings, xtream
from tests.simulators.panel import AUTH_ZERO, CUT_SHORT, NO_BODY, Fault, Panel
from tests.simulators.panel_content import User, episode

USER, WORD = "canary us/er", "canary p%ss?"
#: Wrong answers, the state that each means, and words of its sentence.
FAULTS = (
    (AUTH_ZERO, ProviderState.AUTH_FAILED, "username and password"),
    (Fault.plain(401), ProviderState.AUTH_FAILED, "401"),
    (Fault.plain(403), ProviderState.AUTH_FAILED, "403"),
    (Fault.page(403), ProviderState.BLOCKED, "403"),
    (Fault.page(451), ProviderState.BLOCKED, "451"),
    (Fault.page(503), ProviderState.UNREACHABLE, "503"),
    (Fault.plain(404), ProviderState.NOT_UNDERSTOOD, "404"),
    (Fault.page(), ProviderState.NOT_UNDERSTOOD, "a web page instead of JSON"),
    (CUT_SHORT, ProviderState.NOT_UNDERSTOOD, "cut short"),
    (NO_BODY, ProviderState.NOT_UNDERSTOOD, "nothing instead of JSON"),
)


async def at_once(steps: Iterator[object]) -> None:
    """Run an iterator to its end."""
    for _ in steps:
        pass


def put_in_place(command: Sequence[str]) -> Deferred[tuple[int, bytes]]:
    """Stands for the child that moves a file to its place."""
    Path(command[-2]).replace(command[-1])
    return succeed((0, b""))


@implementer(IFetcher)
class PanelFetcher:
    """Fetches from a panel in memory, and from nowhere else."""

    def __init__(self, panel: Panel) -> None:
        root, prefix = Resource(), Resource()
        root.putChild(b"tv", prefix)
        for name, child in panel.resource().children.items():
            prefix.putChild(name, child)
        self._client = HTTPClient(RequestTraversalAgent(root))
        self.before: Callable[[str], None] = lambda url: None

    async def get(
        self,
        url: str,
        *,
        headers: Headers = (),
        limit: int = 64 * 1024 * 1024,
        timeout: float = 30.0,  # noqa: ASYNC109
        verify_tls: bool = True,
    ) -> Fetched:
        """See `IFetcher.get`."""
        self.before(url)
        response = await self._client.get(url, headers=WebHeaders({name: [value] for name, value in headers}))
        return Fetched(response.code, url, {}, await response.content())


def a_panel() -> Panel:
    """A panel with a little of everything."""
    panel = Panel(users=[User(USER, WORD, max_connections=2)])
    panel.category("live", 1, "News")
    panel.category("vod", 1, "Films")
    panel.category("series", 1, "Drama")
    panel.add_live(51, "One", tv_archive=1, tv_archive_duration=7)
    panel.add_live(
        52,
        "Two FM",
        stream_type="radio_streams",
        category_id=None,
        category_ids=[],
        epg_channel_id=None,
        stream_icon="",
    )
    panel.add_film(61, "Film", container_extension="mkv")
    panel.add_series(7, "Show", [episode(71, 1, 1, "Pilot"), episode(72, 2, 1, "Show - S02E01 - Back")])
    return panel


class XtreamTestCase(SynchronousTestCase):
    """A panel and a provider for it."""

    def setUp(self) -> None:
        self.panel = a_panel()
        self.fetcher = PanelFetcher(self.panel)
        self.settings = XtreamSettings("http://panel.test:8080/tv/", USER, WORD)
        self.clock = Clock()
        self.sliced: Callable[[Iterator[object]], Awaitable[None]] = at_once
        self.folder = Path(self.mktemp())
        self.provider = self.make()

    @property
    def context(self) -> ProviderContext:
        """What the provider is given."""
        return ProviderContext(
            name="tv",
            clock=self.clock,
            fetcher=self.fetcher,
            state_dir=self.folder,
            ffmpeg="",
            user_agent="TestAgent/1",
            sliced=self.sliced,
            run=put_in_place,
        )

    def make(self, **changes: object) -> IProvider:
        """A provider as after a start of the daemon."""
        self.settings = evolve(self.settings, **changes)  # type: ignore[arg-type]
        return xtream.make(self.settings, self.context)

    def result(self, work: object) -> object:
        """What something that takes no time gives."""
        assert isinstance(work, Coroutine)
        return self.successResultOf(Deferred.fromCoroutine(work))

    def fetch(self) -> Listing:
        """A listing, which there must be."""
        listing = self.result(self.provider.fetch())
        assert isinstance(listing, Listing)
        return listing

    def keys(self) -> list[str]:
        """The keys of a new listing."""
        return [entry.key for entry in self.fetch().entries]

    def error(self, work: object) -> ProviderError:
        """The error that something ends with, in which nothing secret stands."""
        assert isinstance(work, Coroutine)
        failure: Failure = self.failureResultOf(Deferred.fromCoroutine(work), ProviderError)
        error = failure.value
        assert isinstance(error, ProviderError)
        told = (
            "".join(traceback.format_exception(error)) + repr(error) + failure.getTraceback() + repr(error.__context__)
        )
        for secret in ("canary", "panel.test"):
            self.assertNotIn(secret, told)
        return error

    def failed(self) -> ProviderError:
        """The error of a fetch."""
        return self.error(self.provider.fetch())
