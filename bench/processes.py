"""Processes under measurement: started without privileges, their CPU and memory read from outside."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Files that each process may have open, where we may allow that many.
FILES = 65536
#: Seconds that a process has to answer, and to end.
PATIENCE = 30.0
ROOT = Path(__file__).resolve().parent.parent


def raise_files() -> None:
    """Let this process, and those it starts, open many files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(FILES, hard), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        except (ValueError, OSError):
            continue


def unprivileged(command: Sequence[str]) -> list[str]:
    """
    The command, run as nobody when we are root.

    It may read every file all the same (an interpreter below root's home, say), which changes nothing of what the
    kernel allows it in sockets and pipes.
    """
    if os.geteuid():
        return list(command)
    may_read = "--inh-caps=-all,+dac_read_search"
    return [
        *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", may_read),
        *("--ambient-caps=-all,+dac_read_search", *command),
    ]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for one in found:
        for task in _tasks(one):
            try:
                found.extend(map(int, (task / "children").read_text().split()))
            except OSError:
                continue
    return found


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """What a process, with its threads and children, has spent on a CPU (first field of schedstat, nanoseconds)."""
    spent = 0
    for one in family(pid):
        for task in _tasks(one):
            try:
                spent += int((task / "schedstat").read_text().split()[0])
            except OSError:
                continue
    return spent / 1e9


def resident_bytes(pid: int) -> int:
    """The resident memory of a process and its children."""
    return sum(map(own_resident_bytes, family(pid)))


def own_resident_bytes(pid: int) -> int:
    """The resident memory of a process alone, 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def socket_bytes() -> int:
    """What all TCP sockets of this machine hold in the kernel, both ends of loopback alike."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


class Process:
    """One that we started, and end."""

    def __init__(self, command: Sequence[str], folder: Path, name: str, environment: dict[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder, env={**os.environ, **environment}
            )
        self.pid = self._child.pid

    def wait_for_port(self, port: int) -> None:
        """Wait until it accepts connections."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self._child.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{self.name} does not listen: {self.log.read_text()[-2000:]}")

    def cpu(self) -> float:
        """See `cpu_seconds`."""
        return cpu_seconds(self.pid)

    def resident(self) -> int:
        """See `resident_bytes`."""
        return resident_bytes(self.pid)

    def stop(self) -> None:
        """End it."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()


class Helper:
    """A process of the bench's own, told what to do in lines of JSON, one answer a line."""

    def __init__(self, module: str, *arguments: str) -> None:
        # It must not be slower than what is measured.
        self._child = subprocess.Popen(
            [sys.executable, "-m", f"bench.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.pid = self._child.pid

    def ask(self, **what: Any) -> Any:
        """Have it do something."""
        if self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("it has no pipes")
        self._child.stdin.write(json.dumps(what).encode() + b"\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"a helper of the bench died: status {self._child.wait()}")
        return json.loads(line)

    def cpu(self) -> float:
        """See `cpu_seconds`."""
        return cpu_seconds(self.pid)

    def stop(self) -> None:
        """End it."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
