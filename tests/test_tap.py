"""What twistd starts: sentences for what goes wrong at first, and SIGHUP."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

from twisted.application.service import IService, IServiceCollection, Service
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError, IptvdError, StoreError
from iptvd.log import Fault, Log
from iptvd.options import Options
from iptvd.service import Daemon
from iptvd.tap import _Main, allow_many_files, makeService
from tests.doubles import folder_for
from twisted.plugins.iptvd_plugin import iptvd as plugin


class Fragile(Service):
    """A daemon that fails when it is told to."""

    def __init__(self, *failures: IptvdError) -> None:
        self.failures = list(failures)
        self.reloaded: list[object] = []

    def privilegedStartService(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def reload(self, loaded: object) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.reloaded.append(loaded)


class AtOnce:
    """A reactor to which threads talk."""

    def callFromThread(self, call: Callable[[], None]) -> None:
        call()


class TapTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_for(self)
        self.errors = StringIO()
        self.patch(sys, "__stderr__", self.errors)
        self.patch(Log, "least", Log.least)
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))

    def options(self, state: Path) -> Options:
        options = Options({"PATH": os.environ["PATH"]}, default_file=self.folder / "none.toml")
        options.parse(["--provider", "demo", "--state-dir", str(state)])
        return options

    def main(self, daemon: Fragile, read: Callable[[], object] = lambda: "settings") -> _Main:
        return _Main(SimpleNamespace(read_settings=read), daemon, AtOnce())  # type: ignore[arg-type]

    def test_plugin(self) -> None:
        """twistd finds the command, and what it names is what makes the service."""
        self.assertTrue(IPlugin.providedBy(plugin))
        self.assertEqual((plugin.tapname, plugin.module), ("iptvd", "iptvd.tap"))
        self.assertIs(plugin.options, Options)
        self.assertIs(plugin.makeService, makeService)

    def test_many_files(self) -> None:
        """The daemon may open as many files as the machine lets it, whatever the shell allows at first."""
        former = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, former)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, former[1]), former[1]))
        allow_many_files()
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (former[1], former[1]))

    def test_service(self) -> None:
        """Good settings make one service with the daemon in it, which has not begun to listen."""
        service = makeService(self.options(self.folder / "state"))
        self.assertTrue(IService.providedBy(service))
        (daemon,) = IServiceCollection(service)
        assert isinstance(daemon, Daemon)
        self.assertEqual(daemon.listening.ports, [])
        self.assertTrue((self.folder / "state" / "tokens.key").exists())

    def test_state_that_cannot_be_kept(self) -> None:
        """A state folder that cannot be made is one sentence on standard error and exit status 1."""
        (self.folder / "file").touch()
        options = self.options(self.folder / "file")
        with self.assertRaises(SystemExit) as raised:
            makeService(options)
        self.assertEqual(raised.exception.code, 1)
        self.assertRegex(self.errors.getvalue(), r"^iptvd: the state directory .*/file cannot be written .*\n$")

    def test_a_port_that_is_taken(self) -> None:
        """A port that cannot be bound is one sentence on standard error and exit status 1."""
        with self.assertRaises(SystemExit) as raised:
            self.main(Fragile(ConfigError("cannot listen on tcp:80"))).privilegedStartService()
        self.assertEqual(raised.exception.code, 1)
        self.assertEqual(self.errors.getvalue(), "iptvd: cannot listen on tcp:80\n")

    def test_in_the_background(self) -> None:
        """In the background the sentence goes to twistd, which tells it to the terminal."""
        main = self.main(Fragile(ConfigError("cannot listen on tcp:80")))
        self.patch(os, "getpid", lambda: 0)
        with self.assertRaisesRegex(ConfigError, "tcp:80"):
            main.privilegedStartService()
        self.assertEqual(self.errors.getvalue(), "")

    def test_no_file_is_left(self) -> None:
        """The file with our process id that twistd has written is removed when nothing comes of the start."""
        file = self.folder / "twistd.pid"
        file.write_text("7")
        parent = {"pidfile": str(file)}
        options = SimpleNamespace(parent=parent)
        main = _Main(options, Fragile(ConfigError("no")), AtOnce())  # type: ignore[arg-type]
        with self.assertRaises(SystemExit):
            main.privilegedStartService()
        self.assertFalse(file.exists())

    def test_hangup_with_a_fault(self) -> None:
        """What nobody expected in a reload is logged with its place, without what it says, and changes nothing."""

        def read() -> object:
            raise ValueError("s3cret")

        daemon = Fragile()
        self.main(daemon, read).startService()
        os.kill(os.getpid(), signal.SIGHUP)
        (failure,) = self.flushLoggedErrors(Fault)
        self.assertIn("ValueError at", str(failure.value))
        self.assertNotIn("s3cret", failure.getTraceback())
        self.assertEqual(daemon.reloaded, [])

    def test_faults_are_not_hidden(self) -> None:
        """What nobody expected is not turned into a sentence."""
        daemon = Fragile()
        daemon.failures.append(ValueError("a fault"))  # type: ignore[arg-type]
        with self.assertRaises(ValueError):
            self.main(daemon).privilegedStartService()

    def test_hangup(self) -> None:
        """SIGHUP has the settings read again and taken on."""
        daemon = Fragile()
        self.main(daemon).startService()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(daemon.reloaded, ["settings"])

    def test_hangup_with_wrong_settings(self) -> None:
        """Settings that are wrong, or cannot be used, are one sentence in the log, and the next signal is heard."""
        answers: list[object] = [ConfigError("port is wrong"), "unusable", "good"]

        def read() -> object:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        daemon = Fragile(StoreError("no place"))
        self.main(daemon, read).startService()
        said: list[str] = []
        self.patch(Log, "error", lambda log, text, **fields: said.append(text.format(**fields)))
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(daemon.reloaded, ["good"])
        expected = ["the settings stay as they were: port is wrong", "the settings stay as they were: no place"]
        self.assertEqual(said, expected)
