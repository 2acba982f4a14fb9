"""Tables of what people look at."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from twisted.trial.unittest import SynchronousTestCase

from iptvd.ctl.tables import table

ROWS = [("c1", "A long name of a channel", 7), ("c2", "[b]x[/b]\x1b[2J", 1000)]


def drawn(made: Table, width: int = 80) -> list[str]:
    """Its lines on a terminal of this width."""
    file = io.StringIO()
    Console(file=file, width=width, markup=False).print(made)
    return [line.rstrip() for line in file.getvalue().splitlines()]


class TableTests(SynchronousTestCase):
    def test_columns(self) -> None:
        """Columns are under their names, and numbers on the right."""
        head, line, *rows = drawn(table(ROWS, "Id", "Name", "Sent", right=("Sent",)))
        self.assertEqual(head.split(), ["Id", "Name", "Sent"])
        self.assertEqual(set(line.replace(" ", "")), {"─"})
        self.assertEqual(
            {row.rindex(str(sent)) + len(str(sent)) for row, (*_, sent) in zip(rows, ROWS, strict=True)},
            {head.index("Sent") + len("Sent")},
        )

    def test_nothing_is_obeyed(self) -> None:
        """Neither the terminal nor the table takes what a name holds for a command."""
        self.assertIn("[b]x[/b]\\x1b[2J", drawn(table(ROWS, "Id", "Name", "Sent"))[3])

    def test_room(self) -> None:
        """Where there is no room, a name is cut off, and what is of no use in part is whole."""
        lines = drawn(table(ROWS, "Id", "Name", "Sent", right=("Sent",), keep=("Id",)), 20)
        self.assertEqual(len(lines), 4)
        self.assertLessEqual(max(map(len, lines)), 20)
        self.assertIn("…", lines[2])
        for row, (name, _, sent) in zip(lines[2:], ROWS, strict=True):
            self.assertTrue(row.startswith(name) and row.endswith(str(sent)), row)

    def test_title(self) -> None:
        """A table may have a title, in which nothing is obeyed either."""
        self.assertEqual(drawn(table(ROWS, "Id", "Name", "Sent", title="[b]All[/b]"))[0], "[b]All[/b]")
        self.assertEqual(table([], "Id").row_count, 0)
