"""Tests of what the service manager is told."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from iptvd.notify import MAX_STATUS, Notifier, WatchdogService


class Listening(SynchronousTestCase):
    """With a service manager's end of the socket."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name, "notify"))
        self.listener = self.listen(self.path)

    def listen(self, address: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(address)
        listener.setblocking(False)
        return listener

    def notifier(self, **variables: str) -> Notifier:
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": self.path} | variables)
        self.addCleanup(notifier.close)
        return notifier

    def heard(self) -> list[str]:
        """All datagrams since the last time."""
        messages: list[str] = []
        while True:
            try:
                messages.append(self.listener.recv(4096).decode())
            except BlockingIOError:
                return messages


class NotifierTests(Listening):
    """Notifications."""

    def test_messages(self) -> None:
        """Each notification is one datagram of assignments as sd_notify(3) has them."""
        notifier = self.notifier()
        notifier.ready()
        notifier.ready("12 channels")
        notifier.status("3 viewers")
        notifier.watchdog()
        notifier.stopping()
        notifier.stopping("draining")
        self.assertEqual(
            self.heard(),
            [
                "READY=1",
                "READY=1\nSTATUS=12 channels",
                "STATUS=3 viewers",
                "WATCHDOG=1",
                "STOPPING=1",
                "STOPPING=1\nSTATUS=draining",
            ],
        )
        self.assertEqual(notifier.failures, 0)

    def test_reloading(self) -> None:
        """A reload is told with the monotonic time, in microseconds, at which it begins."""
        before = time.monotonic_ns() // 1000
        self.notifier().reloading()
        (message,) = self.heard()
        match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=([0-9]+)", message)
        assert match is not None
        self.assertTrue(before <= int(match[1]) <= time.monotonic_ns() // 1000)

    def test_status_is_one_line(self) -> None:
        """A status cannot say anything else to the service manager, and is bounded."""
        notifier = self.notifier()
        notifier.status("a\nREADY=1\r\n\x00b\udcff")
        notifier.status("é" * 1000)
        self.assertEqual(self.heard(), ["STATUS=a READY=1 b", "STATUS=" + "é" * MAX_STATUS])

    def test_abstract_socket(self) -> None:
        """An address that begins with @ is an abstract socket's."""
        name = f"iptvd-test-{os.getpid()}"
        self.listener = self.listen("\0" + name)
        self.notifier(NOTIFY_SOCKET="@" + name).ready()
        self.assertEqual(self.heard(), ["READY=1"])

    def test_environment(self) -> None:
        """The variables are taken out, so that child processes do not see them; others stay."""
        environ = {"NOTIFY_SOCKET": "/a", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
        Notifier.from_environment(environ)
        self.assertEqual(environ, {"HOME": "/"})

    def test_watchdog_is_meant_for_us(self) -> None:
        """The watchdog is ours when it names our process or none, and its time makes sense."""
        for usec, pid, expected in (
            ("30000000", str(os.getpid()), 30.0),
            ("500000", "", 0.5),
            ("30000000", "1", 0.0),
            ("soon", "", 0.0),
            ("-1", "", 0.0),
            ("", "", 0.0),
        ):
            notifier = self.notifier(WATCHDOG_USEC=usec, WATCHDOG_PID=pid)
            self.assertEqual(notifier.watchdog_timeout, expected)

    def test_nobody_wants_to_know(self) -> None:
        """Without a socket that we can talk to nothing happens."""
        for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "1"}):
            notifier = Notifier.from_environment(dict(environ))
            notifier.ready()
            notifier.close()
            self.assertEqual((notifier.failures, notifier.watchdog_timeout), (0, 0.0))

    def test_nobody_listens(self) -> None:
        """What cannot be sent is counted, and logged once."""
        events: list[LogEvent] = []
        observer = cast("ILogObserver", events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for address in (self.path + "-not", "/" + "long" * 100):
            events.clear()
            notifier = self.notifier(NOTIFY_SOCKET=address)
            notifier.ready()
            notifier.watchdog()
            self.assertEqual(notifier.failures, 2)
            self.assertEqual(len(events), 1)

    def test_never_blocks(self) -> None:
        """A service manager that does not read stops nobody."""
        notifier = self.notifier()
        sent = 0
        while not notifier.failures and sent < 100_000:
            notifier.watchdog()
            sent += 1
        self.assertEqual(notifier.failures, 1)
        self.assertEqual(len(self.heard()), sent - 1)
        notifier.ready()
        self.assertEqual(self.heard(), ["READY=1"])


class WatchdogTests(Listening):
    """The watchdog's signs of life."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.healthy = True

    def service(self, usec: str = "30000000") -> WatchdogService:
        service = WatchdogService(self.notifier(WATCHDOG_USEC=usec), self.clock, lambda: self.healthy)
        service.startService()
        return service

    def test_twice_in_its_time(self) -> None:
        """A sign comes at once and then at each half of the watchdog's time, until the service stops."""
        service = self.service()
        self.assertEqual(self.heard(), ["WATCHDOG=1"])
        self.clock.advance(14.9)
        self.assertEqual(self.heard(), [])
        self.clock.advance(0.2)
        self.clock.advance(15)
        self.assertEqual(self.heard(), ["WATCHDOG=1", "WATCHDOG=1"])
        service.stopService()
        self.clock.advance(60)
        self.assertEqual(self.heard(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """A service that was stopped can be started again."""
        service = self.service()
        service.stopService()
        service.startService()
        self.assertEqual(self.heard(), ["WATCHDOG=1", "WATCHDOG=1"])
        service.stopService()

    def test_unhealthy(self) -> None:
        """There is no sign while the daemon is not healthy."""
        self.healthy = False
        service = self.service()
        self.clock.advance(15)
        self.assertEqual(self.heard(), [])
        self.healthy = True
        self.clock.advance(15)
        self.assertEqual(self.heard(), ["WATCHDOG=1"])
        service.stopService()

    def test_health_unknown(self) -> None:
        """A health check that fails is no sign of life, and is asked again."""

        def broken() -> bool:
            raise ZeroDivisionError

        service = WatchdogService(self.notifier(WATCHDOG_USEC="30000000"), self.clock, broken)
        service.startService()
        self.clock.advance(15)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(self.heard(), [])
        service.stopService()

    def test_no_watchdog(self) -> None:
        """Nothing runs where there is no watchdog."""
        service = self.service("0")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        service.stopService()
        self.assertEqual(self.heard(), [])
