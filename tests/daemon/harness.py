"""The daemon as a user runs it: ``twistd -n iptvd`` on a free port of loopback, with a state folder of its own."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.daemon.client import PATIENCE, HttpServer, Response, wait_for
from tests.daemon.process import ChildProcess, clean_environment


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_twistd() -> str:
    """
    The twistd of the Python that runs the tests.

    :raises RuntimeError: when there is none.
    """
    beside = Path(sys.executable).with_name("twistd")
    found = str(beside) if beside.exists() else shutil.which("twistd")
    if found is None:
        raise RuntimeError("there is no twistd: run the tests in the environment that the project is installed in")
    return found


class Daemon(ChildProcess, HttpServer):
    """
    One daemon.

    :param folder: for its settings file, its state (``state/``) and its log.
    :param arguments: what follows ``twistd -n iptvd``; port, state folder and settings file are given already.
    :param toml: its settings file.
    :param environment: variables to add to a clean environment.
    :ivar tracebacks_expected: set by a test in which the daemon is meant to log one.
    """

    tracebacks_expected = False

    def __init__(
        self, folder: Path, *arguments: str, toml: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.state = folder / "state"
        self.settings = folder / "iptvd.toml"
        own = ["--config", str(self.settings), "--state-dir", str(self.state)]
        own += ["--listen", f"tcp:{self.port}:interface=127.0.0.1"]
        command = [find_twistd(), "-n", "--pidfile=", "iptvd", *own, *arguments]
        # Tests look again and again until something holds, all from one address.
        unlimited = {"IPTVD_REQUEST_RATE": "0", "IPTVD_TOKEN_RATE": "0"}
        super().__init__(command, folder, clean_environment(folder, {**unlimited, **(environment or {})}))
        self.settings.write_text(toml)

    def start(self) -> Self:
        """
        Start it and wait until it answers.

        :raises AssertionError: when it ends instead, with what it said, or does not answer in time.
        """
        super().start()
        try:
            wait_for(self._answers, PATIENCE, "an answer from the daemon")
        except BaseException:
            self.close()
            raise
        return self

    def _answers(self) -> bool:
        if self.status() is not None:
            raise AssertionError(f"the daemon ended with {self.status()}:\n{self.log_text()[-5000:]}")
        try:
            return self.get("/ping").status == 200
        except OSError:
            return False

    def restart(self) -> int:
        """End it with SIGTERM and start it again with the same state and on the same port; gives how it ended."""
        status = self.terminate()
        self.start()
        return status

    def wait_for_json(self, path: str, pattern: Mapping[str, object], timeout: float = PATIENCE) -> Response:
        """Wait until a page is a JSON object that has these fields with these values."""

        def look() -> Response | None:
            response = self.get(path)
            value = response.json() if response.status == 200 else None
            fits = isinstance(value, dict) and all(value.get(name) == wanted for name, wanted in pattern.items())
            return response if fits else None

        return wait_for(look, timeout, f"{pattern} at {path}")
