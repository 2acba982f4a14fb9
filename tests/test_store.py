"""Files of rows."""

from __future__ import annotations

import os
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import StoreError
from iptvd.store import RowsFile, open_state_dir, read_rows, write_durably
from tests.doubles import folder_for, offload, result, sliced

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def rows_of(file: RowsFile) -> list[object] | None:
    found: list[object] = []
    return found if result(file.load(found.append)) else None


class RowsFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_for(self)

    def file(self, kind: str = "things 1") -> RowsFile:
        return RowsFile(self.folder / "things.rows", kind, sliced, offload)

    def save(self, rows: object) -> None:
        result(self.file().save(rows))  # type: ignore[arg-type]

    @given(st.lists(JSON, max_size=30))
    def test_what_is_saved_comes_back(self, rows: list[object]) -> None:
        """What is saved is what is loaded, line ends and odd letters in it or not."""
        self.save(rows)
        self.assertEqual(rows_of(self.file()), rows)

    def test_rows_one_after_another(self) -> None:
        """A process of its own gets the rows as they were put in, too."""
        for items in ([{"a": "é\ud800\u2028\n"}, 5, None, "x" * 5000], []):
            self.save(items)
            self.assertEqual(list(read_rows(self.file().path, "things 1")), items)

    def test_with_a_time(self) -> None:
        """Rows that were saved with a time come back with it; without one they are damaged."""
        found: list[object] = []
        self.assertIsNone(result(self.file().load_dated(found.append)))
        for rows in ([], ["a", 2]):
            result(self.file().save_dated(1000.5, rows))
            del found[:]
            self.assertEqual((result(self.file().load_dated(found.append)), found), (1000.5, rows))
        for damaged in ([], ["a"], [None, 1]):
            self.save(damaged)
            with self.assertRaisesRegex(StoreError, "damaged"):
                result(self.file().load_dated(found.append))

    def test_many_rows(self) -> None:
        """A hundred thousand rows come back, in their order."""
        self.save(range(100_000))
        self.assertEqual(rows_of(self.file()), list(range(100_000)))

    def test_nothing_there(self) -> None:
        """A file that was never saved is no error."""
        self.assertIsNone(rows_of(self.file()))

    def test_a_cut_file_is_refused_whole(self) -> None:
        """However much of a file is missing, none of its rows is believed."""
        self.save([1, 2, 3])
        data = self.file().path.read_bytes()
        for length in range(len(data)):
            self.file().path.write_bytes(data[:length])
            with self.assertRaises(StoreError):
                rows_of(self.file())

    def test_a_changed_byte_is_noticed(self) -> None:
        """A byte that changed on the disk makes the file damaged."""
        self.save(["abc"])
        data = self.file().path.read_bytes()
        self.file().path.write_bytes(data.replace(b"abc", b"abd"))
        with self.assertRaisesRegex(StoreError, "damaged"):
            rows_of(self.file())

    def test_another_kind_is_refused(self) -> None:
        """A file of another format is not taken for one of ours."""
        self.save([1])
        with self.assertRaisesRegex(StoreError, "damaged"):
            rows_of(self.file("things 2"))

    def test_a_row_that_makes_no_sense(self) -> None:
        """A row that its reader cannot use makes the file damaged."""
        self.save([1])

        def refuse(row: object) -> None:
            raise KeyError(row)

        with self.assertRaisesRegex(StoreError, "damaged"):
            result(self.file().load(refuse))

    def test_set_aside(self) -> None:
        """A damaged file is kept under another name, and the way is free for a new one."""
        self.file().path.write_bytes(b"rubbish")
        aside = self.file().set_aside()
        self.assertEqual(aside.read_bytes(), b"rubbish")
        self.assertIsNone(rows_of(self.file()))

    def test_a_crash_before_the_rename_loses_nothing(self) -> None:
        """What was good stays when a writer dies at any moment before it is done."""
        self.save(["old"])

        def blocks() -> object:
            yield b"half"
            raise OSError(28, "No space left on device")

        with self.assertRaisesRegex(StoreError, "No space left"):
            write_durably(self.file().path, blocks())  # type: ignore[arg-type]
        self.assertEqual(rows_of(self.file()), ["old"])
        self.assertEqual([path.name for path in self.folder.iterdir()], ["things.rows"])

    def test_two_writers(self) -> None:
        """Two who save at the same moment each save a whole file; the last one's stays."""
        first, second = (RowsFile(self.folder / name, "things 1", sliced, offload) for name in ("a", "b"))
        result(first.save(["first"]))
        result(second.save(["second"]))

        def blocks() -> Iterator[bytes]:
            yield first.path.read_bytes()[:20]
            write_durably(self.file().path, [second.path.read_bytes()])
            self.assertEqual(rows_of(self.file()), ["second"])
            yield first.path.read_bytes()[20:]

        write_durably(self.file().path, blocks())
        self.assertEqual(rows_of(self.file()), ["first"])

    def test_only_ours_to_read(self) -> None:
        """Nobody else on the machine can read what is kept."""
        self.save([1])
        self.assertEqual(self.file().path.stat().st_mode & 0o777, 0o600)


class StateDirTests(SynchronousTestCase):
    def test_it_is_made(self) -> None:
        """The state directory is made, for us alone."""
        path = folder_for(self) / "deep" / "state"
        open_state_dir(path)
        self.assertEqual(path.stat().st_mode & 0o777, 0o700)

    def test_leftovers_are_swept(self) -> None:
        """What a killed writer left half is removed at the next start."""
        path = folder_for(self)
        (path / f".lineup.rows.{os.getpid()}.partial").write_bytes(b"half")
        open_state_dir(path)
        self.assertEqual(list(path.iterdir()), [])

    def test_it_cannot_be(self) -> None:
        """Where it cannot be, one sentence says so and what to do."""
        path = folder_for(self) / "file"
        path.write_bytes(b"")
        with self.assertRaisesRegex(StoreError, "--state-dir"):
            open_state_dir(path / "state")
