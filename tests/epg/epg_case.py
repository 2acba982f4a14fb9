"""What guides need around them: a server, and children that only say what they are told to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.guides import Terms, sources_of
from iptvd.epg.service import EpgService
from iptvd.lineup import Lineup
from iptvd.model import Event, Fetched, Headers
from iptvd.repeating import JITTER
from iptvd.store import Offload, RowsFile
from tests.doubles import folder_for, offload, sliced

ADDRESS = "http://user:secret@guide.test/epg.xml.gz"
TERMS = Terms(3600.0, ("--days", "3"), 1 << 20)


class Web:
    """A guide's server: answers with what is in ``answers``, the last again and again."""

    def __init__(self) -> None:
        self.answers: list[Fetched | Exception] = []
        self.asked: list[tuple[str, Headers]] = []

    async def save(
        self,
        url: str,
        path: Path,
        offload: Offload,
        *,
        headers: Headers = (),
        limit: int,
        timeout: float,  # noqa: ASYNC109
        verify_tls: bool = True,
    ) -> Fetched:
        self.asked.append((url, headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        path.write_bytes(answer.body)  # noqa: ASYNC240 - a test
        return answer


def fetched(status: int = 200, etag: str = "") -> Fetched:
    """An answer."""
    return Fetched(status, ADDRESS, {"etag": etag} if etag else {}, b"guide")


def rows_of(path: Path) -> list[Any]:
    """What a file of rows has."""
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


class Children:
    """Children that do nothing but say what they are told to."""

    def __init__(self) -> None:
        self.started: list[list[str]] = []
        self.says: dict[str, tuple[int, object]] = {
            "importing": (0, {"channels": 1, "programmes": 2, "skipped": {"no title": 3}}),
            "linking": (0, {"matched": 1}),
        }
        self.rows: list[Any] = []
        self.waiting: Deferred[None] | None = None

    async def run(self, argv: Sequence[str]) -> tuple[int, bytes]:
        module = argv[2].rpartition(".")[2]
        self.started.append([module, *argv[3:]])
        if module == "linking":
            self.rows = rows_of(Path(argv[4]))
        if self.waiting is not None:
            await self.waiting
        status, said = self.says[module]
        return status, b"noise\n" + json.dumps(said).encode() + b"\n"

    def of(self, module: str) -> list[list[str]]:
        """The arguments of each run of a module."""
        return [arguments for name, *arguments in self.started if name == module]


class EpgCase(SynchronousTestCase):
    """The guide as the daemon has it, for a lineup and one server."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = folder_for(self)
        self.web = Web()
        self.web.answers = [fetched(etag='"1"')]
        self.children = Children()
        self.lineup = Lineup(revision="one")
        self.events: list[tuple[str, Event]] = []
        self.service = self.make()

    def make(self) -> EpgService:
        return EpgService(
            self.folder,
            lambda name, kind: RowsFile(self.folder / name, kind, sliced, offload),
            lambda source: self.web,
            self.children.run,
            offload,
            self.clock,
            self.clock.seconds,
            Random(1),
            lambda: self.lineup,
            lambda: self.events,
        )

    def start(self, *addresses: str) -> None:
        self.service.configure(sources_of(addresses, {}), TERMS)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds * (1 + JITTER))
