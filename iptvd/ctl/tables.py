"""Tables of what people look at: as wide as the terminal at most, and nothing in them is taken for markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from iptvd.ctl.texts import plain


def table(
    rows: Iterable[Sequence[object]],
    *columns: str,
    right: Iterable[str] = (),
    keep: Iterable[str] = (),
    title: str = "",
) -> Table:
    """
    A table.

    :param right: the columns that hold numbers.
    :param keep: the others that are of no use in part.
    """
    made = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
        title=Text(title, style="bold") if title else None,
        title_justify="left",
    )
    numbers, whole = frozenset(right), frozenset((*right, *keep))
    for name in columns:
        # Where there is no room for all, what may be cut off at its end is what could be wrapped.
        made.add_column(Text(name), justify="right" if name in numbers else "left", no_wrap=name in whole)
    for row in rows:
        made.add_row(*(Text(plain(cell), no_wrap=True, overflow="ellipsis") for cell in row))
    return made
