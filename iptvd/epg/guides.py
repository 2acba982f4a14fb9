"""One guide through its life: fetched when it has changed, imported, and the last good one kept when that fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from iptvd.epg.work import DamagedError
from iptvd.errors import ProviderError, StoreError
from iptvd.log import Log
from iptvd.model import Fetched, GuideFile, Headers, ProviderState
from iptvd.refresh import SLOW_RETRY, backoff
from iptvd.store import Offload

#: Seconds a download may take.
TIMEOUT = 1800.0
#: Seconds until a failed round is tried again, doubled with each failure in a row, up to the interval.
FIRST_RETRY = 60.0


class Saves(Protocol):
    """Fetches into a file."""

    async def save(
        self,
        url: str,
        path: Path,
        offload: Offload,
        *,
        headers: Headers = (),
        limit: int,
        timeout: float,  # noqa: ASYNC109
        verify_tls: bool = True,
    ) -> Fetched:
        """See `iptvd.fetch.Fetcher.save`."""


@frozen
class GuideSource:
    """
    Where a guide comes from.

    :ivar name: what it goes by in health and in the database.
    :ivar place: over the network, or a file of the operator's.
    :ivar providers: those whose channels it is made for.
    """

    name: str
    place: GuideFile | Path = field(repr=False)
    providers: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Changes when it is another place; does not tell which."""
        place = self.place.url if isinstance(self.place, GuideFile) else str(self.place)
        return blake2b(place.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@frozen
class Terms:
    """
    How guides are taken in.

    :ivar interval: seconds between two rounds.
    :ivar arguments: what the importing child is told beside the names.
    :ivar limit: bytes of a download.
    """

    interval: float
    arguments: tuple[str, ...]
    limit: int


@define
class GuideStatus:
    """
    What is known of a guide now.

    :ivar sentence: why the state is what it is; empty when it is ok.
    :ivar last_good: when it was imported last or found unchanged, in seconds since the epoch, or None.
    """

    name: str
    state: ProviderState = ProviderState.LOADING
    sentence: str = ""
    channels: int = 0
    programmes: int = 0
    last_good: float | None = None
    failures: int = 0
    skipped: Mapping[str, int] = field(factory=dict)


@define
class Known:
    """
    What is kept of a guide between two runs of the daemon.

    :ivar validators: request headers that make a server answer 304 when it is as it was; for a file, its state.
    """

    name: str
    address: str
    validators: dict[str, str]
    last_good: float
    channels: int
    programmes: int


class Guide:
    """
    One of them.

    :param work: see `iptvd.epg.work.Writers`.
    :param done: called after a round that went well, with whether something was imported.
    :ivar known: None until it was imported once.
    """

    log = Log()

    def __init__(
        self,
        source: GuideSource,
        terms: Terms,
        database: Path,
        fetcher: Saves,
        offload: Offload,
        work: Callable[..., Awaitable[dict[str, Any]]],
        wall: Callable[[], float],
        done: Callable[[bool], None],
        known: Known | None = None,
    ) -> None:
        self.source = source
        self.terms = terms
        self.status = GuideStatus(source.name)
        self.known = known if known is not None and known.address == source.address else None
        self._database = database
        self.fetcher = fetcher
        self._offload = offload
        self._work = work
        self._wall = wall
        self._done = done
        if self.known is not None:
            self.status.state, self.status.sentence = ProviderState.STALE, "not refreshed since the start yet"
            self.status.last_good = self.known.last_good
            self.status.channels, self.status.programmes = self.known.channels, self.known.programmes

    def forget(self) -> None:
        """The database has nothing of it any more."""
        self.known = None

    async def round(self) -> float:
        """Take it in, if it has changed; the seconds until the next round."""
        status = self.status
        before = self.known
        try:
            await self._take_in()
        except (DamagedError, CancelledError):
            raise
        except ProviderError as error:
            return self._failed(error.state, error.sentence)
        except StoreError as error:
            return self._failed(ProviderState.STALE if self.known else ProviderState.UNREACHABLE, error.sentence)
        except Exception:
            self.log.fault("{guide}: a fault of ours", Failure(), guide=status.name)
            return self._failed(ProviderState.NOT_UNDERSTOOD, "it was not understood; the log has the details")
        status.state, status.sentence, status.failures = ProviderState.OK, "", 0
        status.last_good = self._wall()
        if self.known is not None:
            self.known.last_good = status.last_good
        self._done(self.known is not before)
        return self.terms.interval

    def _failed(self, state: ProviderState, sentence: str) -> float:
        status = self.status
        status.failures += 1
        if (state, sentence) != (status.state, status.sentence):
            self.log.warn("{guide}: {state}: {reason}", guide=status.name, state=state.value, reason=sentence)
        status.state, status.sentence = state, sentence
        if state is ProviderState.BLOCKED:
            # Left alone: nothing but a person can mend it.
            return max(SLOW_RETRY, self.terms.interval)
        return backoff(FIRST_RETRY, status.failures, self.terms.interval)

    async def _take_in(self) -> None:
        place = self.source.place
        if isinstance(place, Path):
            validators = await self._offload(_state_of, place)
            if self.known is None or validators != self.known.validators:
                await self._import(place, validators)
            return
        path = self._database.with_name(f"{self.source.address}.download")
        try:
            fetched = await self._fetch(place, path)
            if fetched is not None:
                await self._import(path, fetched)
        finally:
            await self._offload(_remove, path)

    async def _fetch(self, place: GuideFile, path: Path) -> dict[str, str] | None:
        """The new validators when there is a new file, else None."""
        validators = self.known.validators if self.known is not None else {}
        fetched = await self.fetcher.save(
            place.url,
            path,
            self._offload,
            headers=(*place.headers, *validators.items()),
            limit=self.terms.limit,
            timeout=TIMEOUT,
            verify_tls=place.verify_tls,
        )
        if fetched.status == 304 and self.known is not None:
            return None
        if fetched.status != 200:
            raise _refusal(fetched.status)
        asked = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        return {ask: fetched.headers[told] for ask, told in asked if told in fetched.headers}

    async def _import(self, path: Path, validators: dict[str, str]) -> None:
        name, arguments = self.source.name, self.terms.arguments
        said = await self._work("importing", str(self._database), name, str(path), *arguments)
        self.status.channels, self.status.programmes = int(said["channels"]), int(said["programmes"])
        self.status.skipped = dict(said.get("skipped", {}))
        self.known = Known(
            name, self.source.address, validators, self._wall(), self.status.channels, self.status.programmes
        )
        self.log.info("{guide}: {programmes} programmes", guide=name, programmes=self.status.programmes)


def _state_of(path: Path) -> dict[str, str]:
    try:
        status = path.stat()
    except OSError as error:
        raise ProviderError(
            ProviderState.UNCONFIGURED, f"the guide's file cannot be read ({error.strerror}): check its path"
        ) from None
    return {"file": f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"}


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _refusal(status: int) -> ProviderError:
    if status == 401:
        return ProviderError(
            ProviderState.AUTH_FAILED, "the guide's server answers 401: correct the user name or password"
        )
    if status in (403, 451):
        return ProviderError(ProviderState.BLOCKED, f"the guide's server refuses with {status}")
    return ProviderError(ProviderState.UNREACHABLE, f"the guide's server answers {status}: check the address")


def sources_of(addresses: Sequence[str], of_providers: Mapping[str, Sequence[GuideFile]]) -> list[GuideSource]:
    """
    All guides there are, in the order in which they are preferred: the operator's own first.

    :param addresses: URLs and paths out of the settings.
    """
    found = [
        GuideSource(f"epg {number}", GuideFile(address) if "://" in address else Path(address))
        for number, address in enumerate(addresses, 1)
    ]
    for provider, files in of_providers.items():
        for number, file in enumerate(files, 1):
            found.append(GuideSource(provider if number == 1 else f"{provider} {number}", file, (provider,)))
    return found
