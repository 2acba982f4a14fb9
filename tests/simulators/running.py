"""Simulators as processes beside the tests; the origin: asked for its counts, and made to misbehave."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from attrs import frozen

import tests
from tests.daemon.client import HttpServer, wait_for
from tests.daemon.process import ChildProcess, clean_environment
from tests.simulators.knobs import KNOBS, as_text
from tests.simulators.media import Media

_PROJECT = Path(tests.__file__).parent.parent


@frozen
class PathCounts:
    """
    What came and went for one path of the origin; the fields are those of `tests.simulators.wire.Tally`.

    :ivar delivered: bytes, heads included, that the clients' kernels have.
    """

    open: int = 0
    total: int = 0
    peak: int = 0
    accepted: int = 0
    written: int = 0
    delivered: int = 0
    method: str = ""
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    methods: Mapping[str, int] = {}
    ranges: Sequence[str] = ()
    peers: Mapping[str, int] = {}


class SimulatorProcess(ChildProcess, HttpServer):
    """
    One that writes its port on a line and ends when its standard input does.

    :param arguments: its module, and what that is given.
    :param folder: for its log.
    """

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        environment = clean_environment(folder, {"PYTHONPATH": str(_PROJECT)})
        super().__init__([sys.executable, "-m", *arguments], folder, environment, leash=True)
        self.port = 0

    def start(self) -> Self:
        """Start it and wait until it listens."""
        before = len(self.log_text())
        super().start()
        self.port = int(wait_for(lambda: self._port_line(before), what="the simulator's port"))
        return self

    def _port_line(self, before: int) -> str:
        line, end, _ = self.log_text()[before:].partition("\n")
        if self.status() is not None or (end and not line.isdigit()):
            raise AssertionError(f"the simulator failed:\n{self.log_text()}")
        return line if end else ""


class OriginProcess(SimulatorProcess):
    """
    One origin.

    :param port: 0 for one that is free; a port that an origin had before brings it back.
    """

    def __init__(self, media: Media, folder: Path, port: int = 0) -> None:
        super().__init__(["tests.simulators", str(media.folder), str(port)], folder)
        self.port = port

    def at(self, path: str, **knobs: object) -> str:
        """
        The URL of a path with some knobs.

        :raises KeyError: for a knob that there is not; ``as_`` is the one called ``as``.
        """
        named = {name.rstrip("_"): as_text(value) for name, value in knobs.items()}
        for name in named:
            if name not in KNOBS:
                raise KeyError(name)
        return self.url + path + (f"?{urlencode(named)}" if named else "")

    def control(self, path: str, **knobs: object) -> None:
        """Set a path's knobs, or, without any, take them away; the path may end in ``*``."""
        named = {name.rstrip("_"): value for name, value in knobs.items()}
        response = self.post_json("/control", {path: named or None})
        if response.status != 200:
            raise KeyError(response.text)

    def reset(self) -> None:
        """No knobs any more, and counts from zero; requests that are still open are forgotten."""
        self.request("POST", "/reset", body=b"")

    def counts(self, path: str) -> PathCounts:
        """What came and went for a path, all zero when nobody asked for it."""
        value: Any = self.get("/stats").json()
        return PathCounts(**value["paths"].get(path, {}))

    def open_requests(self) -> int:
        """How many requests are being answered now, of all paths."""
        value: Any = self.get("/stats").json()
        return sum(each["open"] for each in value["paths"].values())
