"""How the children of this package end: a line of JSON on standard error, and a status that tells what it is."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from iptvd.errors import ProtocolError

#: How a child ends that found something wrong with what it was given, and with the database.
NOT_UNDERSTOOD = 3
DAMAGED = 4


def main(run: Callable[[list[str]], Mapping[str, object]]) -> None:
    """
    Run with the arguments of the command line, and end the process.

    The first of them is the database.
    """
    status, said = _outcome(run)
    sys.stderr.write(json.dumps(said) + "\n")
    raise SystemExit(status)


def _outcome(run: Callable[[list[str]], Mapping[str, object]]) -> tuple[int, Mapping[str, object]]:
    try:
        with only_one(Path(sys.argv[1])):
            return 0, run(sys.argv[1:])
    except ProtocolError as error:
        return NOT_UNDERSTOOD, {"state": "not_understood", "sentence": error.sentence}
    except sqlite3.OperationalError as error:
        # Such as a full disk: the database is as it was.
        return NOT_UNDERSTOOD, {"state": "stale", "sentence": f"the guide's database cannot be written ({error})"}
    except sqlite3.DatabaseError as error:
        return DAMAGED, {"state": "stale", "sentence": str(error)}
    except OSError as error:
        return NOT_UNDERSTOOD, {"state": "unreachable", "sentence": f"the guide cannot be read ({error.strerror})"}


@contextmanager
def only_one(database: Path) -> Iterator[None]:
    """
    Wait for every other process that writes the database to end, and have those that come wait for this one.

    A daemon that is killed leaves a child behind, which would sweep away what the child of the next one takes in.

    :raises OSError: when there is no such folder.
    """
    lock = os.open(database.with_name(database.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
