"""Our logger: twisted.logger with a least level, and faults that tell where they happened but not with which data."""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import ClassVar

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure


class Fault(Exception):  # noqa: N818 - the word for it in the log
    """An unexpected error, its message left out: messages hold whatever was worked on, URLs and passwords too."""


def _where(failure: Failure) -> str:
    frames = traceback.extract_tb(failure.getTracebackObject())
    places = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return " > ".join(places) or "nowhere"


class Log(Logger):
    """
    Logs what is at least as important as ``least``.

    :cvar least: the setting ``log_level``, the same for the whole daemon.
    """

    least: ClassVar[LogLevel] = LogLevel.info

    def __get__(self, instance: object, owner: type | None = None) -> Log:
        """The logger of a class or of one of its instances."""
        bound = super().__get__(instance, owner)
        if not isinstance(bound, Log):
            raise TypeError("twisted.logger gave another kind of logger")
        return bound

    def emit(self, level: LogLevel, format: str | None = None, **fields: object) -> None:
        """See `twisted.logger.Logger.emit`."""
        if level >= self.least:
            super().emit(level, format, **fields)

    def fault(self, what: str, failure: Failure, **fields: object) -> None:
        """An error that nobody expected: its kind and its place."""
        kind = type(failure.value).__name__
        self.failure(what, Failure(Fault(f"{kind} at {_where(failure)}")), LogLevel.critical, **fields)
