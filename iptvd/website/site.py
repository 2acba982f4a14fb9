"""One website with all its addresses: what it is asked, where it has moved to, and which address worked last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from iptvd.errors import ProviderError
from iptvd.interfaces import ProviderContext
from iptvd.model import Fetched, Headers, ProviderState
from iptvd.website.refusals import check_status

T = TypeVar("T")

#: Bytes of a page.
LONGEST_PAGE = 4 * 1024 * 1024
#: Seconds for a page of a list or a schedule.
PAGE_TIME = 20.0

_WHO = "the site"


class Site:
    """
    The addresses are tried in order; one that redirects is from then on asked where it led to.

    :param bases: without a slash at the end.
    """

    def __init__(self, bases: tuple[str, ...], verify_tls: bool, context: ProviderContext) -> None:
        self.verify_tls = verify_tls
        self._bases = bases
        self._context = context
        self._moved: dict[str, str] = {}
        self._good = bases[0] if bases else ""

    def require(self) -> None:
        """Raise `ProviderError` where no address is set."""
        if not self._bases:
            name = self._context.name
            raise ProviderError(ProviderState.UNCONFIGURED, f"set base_url of provider {name}: where the site is")

    @property
    def bases(self) -> list[str]:
        """All addresses, as they are set, the one that worked last first."""
        return [self._good, *(base for base in self._bases if base != self._good)]

    def now(self, base: str) -> str:
        """Where an address leads to."""
        return self._moved.get(base, base)

    @property
    def is_inside(self) -> bool:
        """Whether the site is on this machine or in a private network."""
        return any(map(is_inside, self._bases))

    async def from_any(self, work: Callable[[str], Awaitable[T]]) -> T:
        """
        What work gives for the first address for which it gives anything.

        :raises ProviderError: why there was none; at once when a site refuses, whatever other addresses there are.
        """
        self.require()
        failures: list[ProviderError] = []
        for base in self._bases:
            try:
                found = await work(base)
            except ProviderError as error:
                # What it redirected to may be what fails: the next time it says anew where it is.
                self._moved.pop(base, None)
                if error.state is ProviderState.BLOCKED:
                    raise
                failures.append(error)
            else:
                self._good = base
                return found
        understood = [error for error in failures if error.state is ProviderState.NOT_UNDERSTOOD]
        told = (understood or failures)[0]
        others = f" (none of {len(failures)} addresses helps)" if len(failures) > 1 else ""
        raise ProviderError(told.state, told.sentence + others)

    async def page(self, base: str, path: str) -> Fetched | None:
        """
        A page of the site, None when it has none there.

        :param base: as it is set.
        :raises ProviderError: when the site does not answer, fails or refuses.
        """
        asked = self.now(base)
        fetched = await self._get(asked, path)
        if self._note(base, asked, path, fetched):
            # It sent us to another page than the one that was asked for.
            fetched = await self._get(self.now(base), path)
        if fetched.status in (404, 410):
            return None
        check_status(fetched, _WHO)
        return fetched

    def _get(self, base: str, path: str) -> Awaitable[Fetched]:
        return self._context.fetcher.get(
            base + path,
            headers=self.headers(f"{base}/"),
            limit=LONGEST_PAGE,
            timeout=PAGE_TIME,
            verify_tls=self.verify_tls,
        )

    @property
    def agent(self) -> Headers:
        """The User-Agent, where there is one."""
        agent = self._context.user_agent
        return (("User-Agent", agent),) if agent else ()

    def headers(self, referer: str) -> Headers:
        """What pages are asked with."""
        return (("Referer", referer), *self.agent)

    def _note(self, base: str, asked: str, path: str, fetched: Fetched) -> bool:
        """Note where the site has moved to; whether what came is another page."""
        if fetched.url == asked + path or not fetched.url.startswith(("http://", "https://")):
            return False
        if fetched.url.endswith(path) and path != "/":
            self._moved[base] = fetched.url.removesuffix(path)
            return False
        origin = _origin(fetched.url)
        if path == "/":
            self._moved[base] = origin + urlsplit(fetched.url).path.rpartition("/")[0]
            return False
        if origin == _origin(asked):
            return False
        self._moved[base] = origin
        return True


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def is_inside(url: str) -> bool:
    """Whether an address says that it is on this machine or in a private network."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
