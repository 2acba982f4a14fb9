"""What is known of a panel's series survives a restart, and a damaged file does no harm."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError, StoreError
from iptvd.protocols import xtream_notes
from iptvd.protocols.xtream_notes import NotesFile, read_notes, write_notes
from iptvd.protocols.xtream_series import Episode, Note, Series

NOTES = {
    5: Note(
        "1700000000", (Episode(51, 1, 1, 'A "quoted" Zoë', "mkv", "http://a.test/i"), Episode(52, 1, 2, "", "mp4"))
    ),
    3: Note("", ()),
    4: Note("2024-01-01", tuple(Episode(1000 + number, 0, number, "&amp;", "mp4") for number in range(200))),
}


def written(panel: str = "here", notes: Mapping[int, Note] = NOTES) -> bytes:
    """The notes as they stand in the file."""
    return "".join(write_notes(panel, notes)).encode()


def read(body: bytes, panel: str = "here", shows: Mapping[int, Series] | None = None) -> dict[int, Note]:
    """The notes out of a file's content."""
    notes: dict[int, Note] = {}
    for _ in read_notes(body, panel, shows or {}, notes):
        pass
    return notes


async def at_once(steps: Iterator[object]) -> None:
    """Run an iterator to its end."""
    for _ in steps:
        pass


def child(command: Sequence[str]) -> Deferred[tuple[int, bytes]]:
    """Run a program."""
    done = subprocess.run(list(command), capture_output=True, check=False)
    return succeed((done.returncode, done.stderr))


class FormTests(SynchronousTestCase):
    """The file's content."""

    def test_round(self) -> None:
        """What is written is read again, in the same order."""
        self.assertEqual(list(read(written()).items()), list(NOTES.items()))
        self.assertEqual(read(written(notes={})), {})

    def test_small_steps(self) -> None:
        """A long file is read in short steps."""
        self.assertGreater(len(list(read_notes(written(), "here", {}, {}))), 5)

    def test_cut_anywhere(self) -> None:
        """Of a file that is cut short, only whole series are taken."""
        body = written(notes={5: NOTES[5], 3: NOTES[3]})
        for end in range(len(body) - 3):
            notes: dict[int, Note] = {}
            with self.assertRaises(ProtocolError):
                for _ in read_notes(body[:end], "here", {}, notes):
                    pass
            self.assertLessEqual(notes.items(), NOTES.items(), end)

    def test_other_panel(self) -> None:
        """Of another panel's notes only those are believed that fit this one's list."""
        shows = {5: Series(5, "A", modified="1700000000"), 3: Series(3, "B"), 4: Series(4, "C", modified="2024-01-02")}
        self.assertEqual(read(written("there"), "here", shows), {5: NOTES[5]})

    def test_damaged(self) -> None:
        """What is not of this form is refused."""
        self.assertEqual(read(b"[1]"), {})
        for body in (
            b'{"version":2,"panel":"here","series":{}}',
            b'{"version":1,"panel":"here","series":5}',
            b'{"version":1,"panel":"here","series":{"5":{"modified":"1","episodes":[[1,2,3]]}}}',
            b'{"version":1,"panel":"here","series":{"5":{"modified":"1","episodes":[{"id":1}]}}}',
            b'{"version":1,"panel":"here","series":{"5":{"modified":"1","episodes":[[0,1,1,"","mp4",""]]}}}',
            b"",
        ):
            self.assertRaises(ProtocolError, read, body)

    def test_odd_fields(self) -> None:
        """A field that is not of its kind is taken as not told."""
        odd = b'{"x":{"modified":"1"},"5":{"modified":7,"episodes":[["1",-1,null,5,5,5]]}}'
        body = b'{"version":1,"panel":"here","series":' + odd + b"}"
        self.assertEqual(read(body), {5: Note("", (Episode(1, 0, 0, "", "mp4"),))})


class FileTests(SynchronousTestCase):
    """The file."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "deep" / "series.json"
        self.file = NotesFile(self.path, "here", at_once, child)

    def done(self, work: Awaitable[None]) -> None:
        """Wait for something that takes no time."""
        self.successResultOf(Deferred.fromCoroutine(work))  # type: ignore[arg-type]

    def fails(self, work: Awaitable[None]) -> str:
        """The sentence with which something fails."""
        failure = self.failureResultOf(Deferred.fromCoroutine(work), StoreError)  # type: ignore[arg-type]
        return str(failure.value)

    def loaded(self) -> dict[int, Note]:
        """What the file holds."""
        notes: dict[int, Note] = {}
        self.done(self.file.load({}, notes))
        return notes

    def test_round(self) -> None:
        """Notes that were saved are there after a restart, for nobody else to read, with nothing left beside them."""
        self.done(self.file.save(NOTES))
        self.assertEqual(self.loaded(), NOTES)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.done(self.file.save({5: NOTES[5]}))
        self.assertEqual(self.loaded(), {5: NOTES[5]})
        self.assertEqual([found.name for found in self.path.parent.iterdir()], ["series.json"])

    def test_no_file(self) -> None:
        """Without a file nothing is known."""
        self.assertEqual(self.loaded(), {})

    def test_damaged(self) -> None:
        """A damaged file is said to be one."""
        self.done(self.file.save(NOTES))
        self.path.write_bytes(self.path.read_bytes()[:-200])
        self.assertIn("damaged", self.fails(self.file.load({}, {})))

    def test_too_long(self) -> None:
        """A file that is too long is not read."""
        self.done(self.file.save(NOTES))
        self.patch(xtream_notes, "LONGEST_FILE", 100)
        self.assertIn("too long", self.fails(self.file.load({}, {})))

    def test_not_a_file(self) -> None:
        """What cannot be read or written is said, and the former file stays."""
        self.path.mkdir(parents=True)
        self.assertIn("cannot be read", self.fails(self.file.load({}, {})))
        self.assertIn("cannot be written", self.fails(self.file.save(NOTES)))
        (self.path.parent / ".series.json.partial").unlink()
        (self.path.parent / ".series.json.partial").mkdir()
        self.assertIn("cannot be written", self.fails(self.file.save(NOTES)))
