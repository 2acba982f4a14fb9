"""A program under test: started in a session of its own, looked at through ``/proc``, ended with all it started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.daemon.client import PATIENCE, wait_for


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment with nothing in it that this machine's user has set for programs of this kind."""
    kept = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **(extra or {})}


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the state on; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class ChildProcess:
    """
    One run of a program.

    :param arguments: the program and its arguments.
    :param folder: its working directory, where its log goes too; made when it is missing.
    :param environment: all of it; nothing is inherited.
    :param leash: whether its standard input stays open until it is closed here.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], *, leash: bool = False
    ) -> None:
        self.arguments = list(arguments)
        self.folder = folder
        self.environment = dict(environment)
        self.log = folder / "log.txt"
        self._leash = leash
        self._process: subprocess.Popen[bytes] | None = None
        self._known_children: dict[int, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> Self:
        """Start it; its output is added to the log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.arguments,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE if self._leash else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    @property
    def _child(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("it was not started")
        return self._process

    @property
    def pid(self) -> int:
        """Its process id, and that of its session and its process group."""
        return self._child.pid

    def status(self) -> int | None:
        """How it ended: its exit status, or minus the signal; None while it runs."""
        return self._child.poll()

    def log_text(self) -> str:
        """All it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for_log(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """
        Wait until a regular expression is found in the log.

        :raises AssertionError: when it does not come, or the program ends before.
        """

        def look() -> re.Match[str] | None:
            ended = self.status() is not None
            found = re.search(pattern, self.log_text(), re.MULTILINE)
            if ended and found is None:
                raise AssertionError(f"ended with {self.status()} without writing {pattern!r}:\n{self.log_text()}")
            return found

        return wait_for(look, timeout, f"{pattern!r} in the log")

    def rss(self) -> int:
        """Bytes of memory that it holds now."""
        found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        if found is None:
            raise RuntimeError("it has no memory left: it has ended")
        return int(found[1]) * 1024

    def cpu_seconds(self) -> float:
        """Seconds of processor time that it has used, without its children's."""
        fields = _stat(self.pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self) -> int:
        """How many file descriptors it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def children(self) -> list[int]:
        """The processes it started and theirs, those too that outlived it; not the ones that have ended."""
        return sorted(self._look_for_children())

    def _look_for_children(self) -> dict[int, str]:
        """Our children's process ids, and when each began, which tells it from a later one with the same id."""
        found = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        there = {pid: fields for pid, fields in found.items() if fields and fields[0] not in "ZX"}
        ours = {pid for pid, fields in there.items() if int(fields[3]) == self.pid}
        while more := {pid for pid, fields in there.items() if int(fields[1]) in ours} - ours:
            ours |= more
        return {pid: there[pid][19] for pid in ours - {self.pid}}

    def hup(self) -> None:
        """Send SIGHUP."""
        self._child.send_signal(signal.SIGHUP)

    def terminate(self, timeout: float = PATIENCE) -> int:
        """
        Send SIGTERM and wait for its end.

        :returns: see `status`.
        :raises AssertionError: when it does not end in time.
        """
        self._known_children |= self._look_for_children()
        self._child.terminate()
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there {timeout} s after SIGTERM:\n{self.log_text()[-5000:]}") from None

    def kill(self) -> int:
        """Send SIGKILL and wait for its end; what it started is left to `close`."""
        self._known_children |= self._look_for_children()
        self._child.kill()
        return self._child.wait()

    def loosen(self) -> None:
        """Let go of its leash."""
        if self._child.stdin is not None:
            self._child.stdin.close()

    def close(self) -> None:
        """End it and all it started, however that has to be done."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._known_children |= self._look_for_children()
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        for pid, began in self._known_children.items():
            if _stat(pid)[19:20] == [began]:
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
