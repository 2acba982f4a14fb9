"""What all tests share: the media, the origin, daemons, and the rules that every test is held to."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import settings
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.daemon.harness import Daemon
from tests.simulators.media import Media, make_media
from tests.simulators.running import OriginProcess
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

# A busy machine is no reason to fail.
settings.register_profile("tests", deadline=None, max_examples=60)
settings.load_profile("tests")


class StartDaemon(Protocol):
    """Starts a daemon with arguments, a settings file and environment variables; see `Daemon`."""

    def __call__(self, *arguments: str, toml: str = "", environment: Mapping[str, str] | None = None) -> Daemon:
        """Start it and wait until it answers."""


@implementer(ILogObserver)
class LoggedErrors:
    """The errors that were logged during a test; what is left of them at its end fails it."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level")
        if level is not None and level >= LogLevel.error:
            self.events.append(event)

    def flush(self, *kinds: type[BaseException]) -> list[Failure]:
        """Take out the failures of these kinds (all when none is named), which the test expected."""
        gc.collect()
        taken = [event for event in self.events if self._is_one(event, kinds)]
        self.events = [event for event in self.events if event not in taken]
        return [event["log_failure"] for event in taken]

    def _is_one(self, event: LogEvent, kinds: tuple[type[BaseException], ...]) -> bool:
        failure = event.get("log_failure")
        return isinstance(failure, Failure) and (not kinds or failure.check(*kinds) is not None)

    def text(self) -> str:
        """All of them."""
        return "\n".join(_as_text(event) for event in self.events)


def _as_text(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return f"{formatEvent(event)}\n{failure.getTraceback() if isinstance(failure, Failure) else ''}"


@pytest.fixture(autouse=True)
def logged_errors(request: pytest.FixtureRequest) -> Iterator[LoggedErrors]:
    """
    Hold every ``async`` test to leaving no logged error and no delayed call behind.

    Tests of `twisted.trial` see to their logged errors themselves.
    """
    errors = LoggedErrors()
    if not inspect.iscoroutinefunction(getattr(request, "function", None)):
        yield errors
        return
    # Only where there is a reactor already: this is no place to choose one.
    from twisted.internet import reactor

    before = set(reactor.getDelayedCalls())
    globalLogPublisher.addObserver(errors)
    yield errors
    gc.collect()
    globalLogPublisher.removeObserver(errors)
    # What is due is done with the next turn: closing a connection at once takes that long.
    now = reactor.seconds()
    left = [
        call for call in reactor.getDelayedCalls() if call not in before and call.active() and call.getTime() > now
    ]
    for call in left:
        call.cancel()
    assert not errors.events, f"errors were logged:\n{errors.text()}"
    assert not left, f"delayed calls were left behind: {left}"


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """The film, in every form, made once a run."""
    return make_media(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="session")
def shared_origin(media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OriginProcess]:
    """The one origin that runs beside all tests; ask for `origin` instead."""
    with OriginProcess(media, tmp_path_factory.mktemp("origin")) as running:
        yield running


@pytest.fixture
def origin(shared_origin: OriginProcess) -> Iterator[OriginProcess]:
    """The origin with no knobs set and nothing counted, and afterwards without a complaint in its log."""
    shared_origin.reset()
    yield shared_origin
    shared_origin.reset()
    assert shared_origin.log_text().splitlines()[1:] == [], "the origin itself had errors"


@pytest.fixture
def new_origin(media: Media, tmp_path: Path) -> Iterator[Callable[..., OriginProcess]]:
    """Starts origins for tests that end them; ``port`` brings one back where another was."""
    running: list[OriginProcess] = []

    def start(port: int = 0) -> OriginProcess:
        running.append(OriginProcess(media, tmp_path / f"origin-{len(running)}", port))
        return running[-1].start()

    yield start
    for each in running:
        each.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Starts daemons, and ends them; one that logged a traceback fails the test unless it was expected."""
    running: list[Daemon] = []

    def start(*arguments: str, toml: str = "", environment: Mapping[str, str] | None = None) -> Daemon:
        folder = tmp_path / f"daemon-{len(running)}"
        folder.mkdir()
        running.append(Daemon(folder, *arguments, toml=toml, environment=environment))
        return running[-1].start()

    yield start
    for each in running:
        each.close()
        # Shown by pytest when the test failed.
        print(f"--- log of the daemon in {each.folder}\n{each.log_text()[-5000:]}")  # noqa: T201
    for each in running:
        assert each.tracebacks_expected or "Traceback (most recent call last)" not in each.log_text()
