"""
Tells the service manager how the daemon is doing, as sd_notify(3) has it: short datagrams to a Unix socket.

Telling must never harm what is told of, so nothing here blocks or raises.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger()

#: Characters of a status; more is cut off.
MAX_STATUS = 200


class Notifier:
    """
    Sends notifications, or does nothing where nobody wants them.

    :param address: the path of a Unix socket, ``@name`` for an abstract one, or empty.
    :param watchdog: seconds within which the service manager wants to hear from us each time, 0 when it does not.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self.watchdog_timeout = watchdog
        #: How many notifications could not be sent.
        self.failures = 0

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Notifier:
        """
        The one that the service manager asks for in ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.

        They are taken out of ``environ``, so that no child process thinks that it is meant.
        """
        address = environ.pop("NOTIFY_SOCKET", "")
        timeout = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        if not address.startswith(("/", "@")):
            return cls()
        meant = timeout.isdecimal() and pid in ("", str(os.getpid()))
        return cls(address, int(timeout) / 1e6 if meant else 0.0)

    def ready(self, status: str = "") -> None:
        """The start, or the reload begun with `reloading`, is over."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """The settings are being read again; `ready` says when that is over."""
        # The service manager compares this with its own CLOCK_MONOTONIC, so it cannot be an injected clock's.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        """The shutdown has begun."""
        self._send("STOPPING=1", _status(status))

    def status(self, text: str) -> None:
        """What ``systemctl status`` shows: one line."""
        self._send(_status(text))

    def watchdog(self) -> None:
        """The daemon is alive."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Give the socket back; a later notification opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        message = "\n".join(filter(None, assignments)).encode()
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto(message, self._address)
        except OSError as error:
            self.failures += 1
            if self.failures == 1:
                _log.warn("The service manager cannot be told how the daemon is doing: {reason}", reason=str(error))


def _status(text: str) -> str:
    # A newline would begin another assignment.
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return f"STATUS={line[:MAX_STATUS]}" if line else ""


class WatchdogService(Service):
    """
    Tells the watchdog twice in its time that the daemon is alive, for as long as it is healthy.

    It does so from the reactor: when the loop hangs, the watchdog hears nothing more.

    :param is_healthy: whether the daemon is worth keeping; when it raises, it is not.
    """

    name = "watchdog"

    def __init__(self, notifier: Notifier, clock: IReactorTime, is_healthy: Callable[[], bool]) -> None:
        self._notifier = notifier
        self._is_healthy = is_healthy
        self._loop = LoopingCall(self._tell)
        self._loop.clock = clock

    def startService(self) -> None:
        super().startService()
        if self._notifier.watchdog_timeout > 0:
            self._loop.start(self._notifier.watchdog_timeout / 2)

    def stopService(self) -> None:
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _tell(self) -> None:
        try:
            if self._is_healthy():
                self._notifier.watchdog()
        except Exception:
            _log.failure("The daemon could not find out whether it is healthy")
