"""How a command ends: its exit status, which scripts can go by, and one sentence."""

from __future__ import annotations

from enum import IntEnum
from typing import IO, Any

import click

from iptvd.ctl.texts import plain


class Exit(IntEnum):
    """The exit statuses; ``USAGE`` is click's own."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ALLOWED = 4
    NOT_FOUND = 5


class Ended(click.ClickException):
    """A command that cannot go on: what is said of that, and how it ends."""

    def __init__(self, status: Exit, sentence: str) -> None:
        super().__init__(sentence)
        # Of click's, which gives each kind of error one status.
        self.exit_code = int(status)  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it, on standard error."""
        click.echo(f"iptvctl: {plain(self.message)}", file=file, err=file is None)
