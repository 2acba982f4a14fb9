"""What twistd starts: the settings, the reactor and the daemon brought together."""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

from twisted.application.service import IService, MultiService
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from iptvd.errors import ConfigError, IptvdError
from iptvd.ffmpeg import find
from iptvd.log import Log
from iptvd.notify import Notifier
from iptvd.options import Options
from iptvd.service import Daemon, Surroundings

__all__ = ["Options", "makeService"]

_log = Log()


class _Main(MultiService):
    """The daemon as twistd runs it: its first failures are sentences, and SIGHUP reloads its settings."""

    def __init__(self, options: Options, daemon: Daemon, reactor: object) -> None:
        super().__init__()
        self._options = options
        self._daemon = daemon
        self._reactor = reactor
        self._made_by = os.getpid()
        daemon.setServiceParent(self)

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()
        except IptvdError as error:
            if os.getpid() != self._made_by:
                # In the background by now: twistd passes this on to the terminal, where somebody waits for it.
                raise
            self._remove_pidfile()
            _leave(error)

    def _remove_pidfile(self) -> None:
        # Which twistd itself does for other exceptions, with a traceback.
        twistd = getattr(self._options, "parent", None)
        if twistd is not None and twistd.get("pidfile"):
            Path(twistd["pidfile"]).unlink(missing_ok=True)

    def startService(self) -> None:
        super().startService()
        signal.signal(
            signal.SIGHUP,
            lambda number, frame: self._reactor.callFromThread(self._reload),  # type: ignore[attr-defined]
        )

    def _reload(self) -> None:
        try:
            self._daemon.reload(self._options.read_settings())
        except IptvdError as error:
            _log.error("the settings stay as they were: {reason}", reason=error.sentence)
        except Exception:
            # Left to the reactor, it would be logged with whatever it says.
            _log.fault("the settings could not be read again", Failure())


def _leave(error: IptvdError) -> None:
    """Say one sentence and end: nothing here is worth a traceback."""
    # twistd has put the log in the place of sys.stderr by the time ports are bound.
    print(f"iptvd: {error.sentence}", file=sys.__stderr__, flush=True)
    raise SystemExit(1)


def allow_many_files() -> None:
    """Raise the limit of open files as far as we may: a viewer costs one or two, and a shell often allows 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def makeService(options: Options) -> IService:
    """The service for ``twistd iptvd``."""
    from twisted.internet import reactor

    # Twisted tells of every connection that it makes, and to where: that is for nobody to read.
    Factory.noisy = False
    allow_many_files()
    try:
        ffmpeg = find(options.config.ffmpeg)
        around = Surroundings(reactor, ffmpeg, Notifier.from_environment(os.environ))
        return _Main(options, Daemon(options.loaded, around), reactor)
    except (ConfigError, IptvdError) as error:
        _leave(error)
        raise
