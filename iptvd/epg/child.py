"""How the children of this package end: a line of JSON on standard error, and a status that tells what it is."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Mapping

from iptvd.errors import ProtocolError

#: How a child ends that found something wrong with what it was given, and with the database.
NOT_UNDERSTOOD = 3
DAMAGED = 4


def main(run: Callable[[list[str]], Mapping[str, object]]) -> None:
    """Run with the arguments of the command line, and end the process."""
    status, said = _outcome(run)
    sys.stderr.write(json.dumps(said) + "\n")
    raise SystemExit(status)


def _outcome(run: Callable[[list[str]], Mapping[str, object]]) -> tuple[int, Mapping[str, object]]:
    try:
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
