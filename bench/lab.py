"""What every row works with: a folder, an origin, viewers, and the contenders, all ended at the end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bench import contenders
from bench.contenders import Contender
from bench.processes import Helper
from bench.report import Table

T = TypeVar("T")


class Lab:
    """
    For one row.

    :ivar rounds: how often each contender is measured.
    :ivar seconds: of each measurement, about.
    :ivar long: whether the endurance rows take the time that their target names.
    """

    def __init__(self, folder: Path, rounds: int, seconds: float, long: bool) -> None:
        self.folder = folder
        self.films = folder / "films"
        self.films.mkdir(exist_ok=True)
        self.rounds = rounds
        self.seconds = seconds
        self.long = long
        self._stops: list[Callable[[], None]] = []

    def add(self, one: T) -> T:
        """Have it stopped at the end."""
        stop = one.process.stop if isinstance(one, Contender) else one.stop  # type: ignore[attr-defined]
        self._stops.append(stop)
        return one

    def close(self) -> None:
        """Stop everything."""
        while self._stops:
            self._stops.pop()()

    def origin(self, *arguments: str) -> tuple[Helper, int]:
        """An origin that has the films made so far, and its port."""
        helper = self.add(Helper("origin", str(self.films), *arguments))
        return helper, helper.ask(do="counts")["port"]

    def viewers(self) -> Helper:
        """Viewers."""
        return self.add(Helper("viewers"))

    def peers(self, origin: int, *, spliced: bool = True) -> list[Contender]:
        """Debian's, as far as they are installed."""
        found: list[Contender] = []
        if contenders.present("nginx"):
            found.append(self.add(contenders.nginx(self.folder, origin)))
        if contenders.present("haproxy") and spliced:
            found += [self.add(contenders.haproxy(self.folder, origin, spliced=on)) for on in (True, False)]
        return found

    def iptvd(self, origin: int, paths: Sequence[str], *, scheme: str = "http", **more: Any) -> Contender:
        """iptvd with a channel for each path at the origin."""
        urls = [f"{scheme}://127.0.0.1:{origin}{path}" for path in paths]
        return self.add(contenders.iptvd(self.folder, urls, **more))

    def certificate(self) -> Path:
        """A certificate for 127.0.0.1 with its key, in one file that the proxies may read."""
        path = self.folder / "origin.pem"
        if not path.exists():
            kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
            names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
            files = ["-keyout", f"{path}.key", "-out", f"{path}.crt"]
            subprocess.run(["openssl", "req", *kind, *names, *files], check=True, capture_output=True)
            both = (Path(f"{path}.{ending}").read_text() for ending in ("key", "crt"))
            path.write_text("".join(both))
            path.chmod(0o644)
        return path


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"{text}\n")


def wait_until(viewers: Helper, true: Callable[[Any], bool], seconds: float = 30.0) -> Any:
    """Ask the viewers until something is true of them, or it is too late."""
    end = time.monotonic() + seconds
    while not true(state := viewers.ask(do="tell")) and time.monotonic() < end:
        time.sleep(0.02)
    return state


def watch(viewers: Helper, contender: Contender, paths: Sequence[str], **how: Any) -> Any:
    """Let so many viewers begin; those that did not start within the time are missing in what is returned."""
    viewers.ask(do="watch", port=contender.port, paths=[contender.path(path) for path in paths], **how)
    return wait_until(viewers, lambda state: state["started"] + state["refused"] >= len(paths))


def leave(viewers: Helper) -> None:
    """Let all viewers go."""
    viewers.ask(do="leave")
    time.sleep(0.2)


def cpu_per_gb(
    lab: Lab,
    table: Table,
    viewers: Helper,
    those: Sequence[Contender],
    paths: Sequence[str],
    *,
    settle: float = 0.5,
    nap: float = 0.0,
    expected: float = 0.0,
    busy: Sequence[Helper] = (),
) -> None:
    """
    Measure each contender in turn, as often as there are rounds, with a viewer on each path.

    :param settle: seconds after all have started that are not measured.
    :param expected: Mbit/s that all viewers together should get; what is less by a tenth is told.
    :param busy: helpers whose CPU is looked at: one near a whole core would be the bottleneck.
    """
    short: dict[str, float] = {}
    used: dict[str, float] = {}
    speeds: dict[str, list[float]] = {}
    for _ in range(lab.rounds):
        for contender in those:
            state = watch(viewers, contender, paths, nap=nap)
            time.sleep(settle)
            begun, spent = viewers.ask(do="tell"), contender.process.cpu()
            others = [helper.cpu() for helper in busy]
            time.sleep(lab.seconds)
            ended, spent = viewers.ask(do="tell"), contender.process.cpu() - spent
            took = (ended["now"] - begun["now"]) / 1e9
            count = ended["bytes"] - begun["bytes"]
            others = [(helper.cpu() - before) / took for helper, before in zip(busy, others, strict=True)]
            used[contender.name] = max([used.get(contender.name, 0.0), *others])
            leave(viewers)
            if state["started"] < len(paths) or not count:
                missing = f"{contender.name}: {len(paths) - state['started']} of {len(paths)} viewers got nothing"
                table.notes.append(missing)
                continue
            table.add(contender.name, spent / (count / 1e9))
            speeds.setdefault(contender.name, []).append(count / took / 1e6)
            if expected and count * 8 / took / 1e6 < 0.9 * expected:
                share = count * 8 / took / 1e6 / expected
                short[contender.name] = min(short.get(contender.name, 1.0), share)
    for name, of in speeds.items():
        table.line(name, f"{sorted(of)[len(of) // 2]:.0f} MB/s")
    for name, least in short.items():
        table.notes.append(f"{name} got its viewers only {100 * least:.0f} % of the rate once")
    for name, most in used.items():
        if most > 0.9:
            table.notes.append(f"with {name} the origin or the viewers took {100 * most:.0f} % of a core at most")
