"""
What is known of the series of an Xtream panel, kept in a file over restarts.

The file is JSON. It can be lost without harm: what it tells is then asked for again.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath

from iptvd.errors import ProtocolError, StoreError
from iptvd.protocols.jsonstream import Path, items
from iptvd.protocols.xtream import LONGEST_NAME, ROWS_A_STEP, extension, link, whole_number
from iptvd.protocols.xtream_series import Episode, Note, Series

#: Bytes of the file beyond which it is not read.
LONGEST_FILE = 64 * 1024 * 1024

_BLOCK = 256 * 1024
_VERSION = 1
# Waiting for the disk is not for the reactor, so a child does it: sync the file, put it in place, sync the folder.
_PUT_IN_PLACE = """
import os, sys
new, old = sys.argv[1:]
def sync(path):
    opened = os.open(path, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)
sync(new)
os.replace(new, old)
sync(os.path.dirname(old))
"""


def write_notes(panel: str, notes: Mapping[int, Note]) -> Iterator[str]:
    """
    The notes as the pieces of a JSON object, a series each.

    :param panel: what the ids belong to.
    """
    yield json.dumps({"version": _VERSION, "panel": panel, "series": 0})[: -len("0}")] + "{"
    comma = ""
    for series, note in notes.items():
        rows = [[e.id, e.season, e.number, e.title, e.extension, e.picture] for e in note.episodes]
        yield f'{comma}\n"{series}":' + json.dumps({"modified": note.modified, "episodes": rows}, ensure_ascii=False)
        comma = ","
    yield "\n}}\n"


def read_notes(
    body: bytes | bytearray, panel: str, shows: Mapping[int, Series], notes: dict[int, Note]
) -> Iterator[None]:
    """
    Put what `write_notes` wrote into ``notes``, a few episodes a step.

    Providers move their panels to other addresses, where the ids stay, and people change providers, where they do not:
    of another panel's notes only those are taken that tell the same time of change as the panel's own list.

    :param shows: the series that the panel lists now.
    :raises ProtocolError: when it is something else; ``notes`` then hold what came before.
    """

    def opened(path: Path, bracket: str) -> bool:
        return path[0] == "series" and len(path) < 4

    def take() -> None:
        listed = shows.get(current)
        if current and (ours or (listed is not None and listed.modified == modified != "")):
            notes[current] = Note(modified, tuple(episodes))

    ours, current, modified, episodes = False, 0, "", list[Episode]()
    for count, (path, value) in enumerate(items(body, opened), 1):
        if path == ("version",) and value != _VERSION:
            raise ProtocolError("the notes are of another version")
        if path == ("panel",):
            ours = value == panel
        elif path[0] == "series" and path[2:] == ("modified",):
            take()
            current, modified, episodes = whole_number(path[1]) or 0, _text(value), []
        elif path[0] == "series":
            episodes.append(_noted(value))
        if count % ROWS_A_STEP == 0:
            yield
    take()


def _noted(value: object) -> Episode:
    if not isinstance(value, list) or len(value) != 6:
        raise ProtocolError("the notes are damaged")
    episode, season, number = (max(whole_number(each) or 0, 0) for each in value[:3])
    if not episode:
        raise ProtocolError("the notes are damaged")
    return Episode(episode, season, number, _text(value[3]), extension(value[4]), link(value[5]))


def _text(value: object) -> str:
    # As it was written: cleaning it again could change it.
    return value[:LONGEST_NAME] if isinstance(value, str) else ""


class NotesFile:
    """
    The file.

    :param panel: see `write_notes`.
    :param sliced: see `iptvd.interfaces.ProviderContext`, as for ``run``.
    """

    def __init__(
        self,
        path: FilePath,
        panel: str,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        run: Callable[[Sequence[str]], Awaitable[tuple[int, bytes]]],
    ) -> None:
        self._path = path
        self._panel = panel
        self._sliced = sliced
        self._run = run

    async def load(self, shows: Mapping[int, Series], notes: dict[int, Note]) -> None:
        """
        See `read_notes`; nothing happens when there is no file.

        :raises StoreError: when the file cannot be read; ``notes`` then hold what could be.
        """
        body = bytearray()

        def read() -> Iterator[None]:
            with self._path.open("rb") as file:
                while block := file.read(_BLOCK):
                    body.extend(block)
                    if len(body) > LONGEST_FILE:
                        raise ProtocolError("it is too long")
                    yield

        try:
            await self._sliced(read())
            await self._sliced(read_notes(body, self._panel, shows, notes))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from error
        except ProtocolError as error:
            raise StoreError(f"{self._path} is damaged: {error.sentence}") from error

    async def save(self, notes: Mapping[int, Note]) -> None:
        """
        Replace the file; after a crash either the old or the new one is there, whole.

        :raises StoreError: when it cannot be written.
        """
        partial = self._path.with_name(f".{self._path.name}.partial")

        def write() -> Iterator[None]:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            with os.fdopen(os.open(partial, flags, 0o600), "wb") as file:
                for piece in write_notes(self._panel, notes):
                    file.write(piece.encode())
                    yield

        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._sliced(write())
            status, _ = await self._run(
                (sys.executable, "-I", "-S", "-c", _PUT_IN_PLACE, str(partial), str(self._path.absolute()))
            )
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error
        if status:
            raise StoreError(f"{self._path} cannot be written")
