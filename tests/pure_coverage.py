"""Fails unless the pure modules, which need nothing but bytes to be tested, are covered whole: lines and branches."""

from __future__ import annotations

import sys
from pathlib import Path

from coverage import Coverage

PROJECT = Path(__file__).parent.parent


#: How names are matched: pure as well, but for the library that says how alike two words are.
MATCHING = ("names", "words", "countries", "likeness", "matching")


def pure_modules() -> list[str]:
    """The parsers without Twisted in them, how names are matched, and what everything speaks in."""
    parsers = sorted((PROJECT / "iptvd" / "protocols").glob("*.py"))
    pure = [path for path in parsers if "import" in path.read_text() and "twisted" not in path.read_text().lower()]
    matching = [PROJECT / "iptvd" / "epg" / f"{name}.py" for name in MATCHING]
    return [str(path) for path in (*pure, *matching, PROJECT / "iptvd" / "model.py", PROJECT / "iptvd" / "errors.py")]


def main() -> int:
    """Report on them, and give the exit status."""
    data = Coverage(data_file=str(PROJECT / ".coverage"))
    data.load()
    covered = data.report(include=pure_modules(), skip_covered=True, show_missing=True)
    if covered < 100:
        print("The pure modules are not covered whole.")  # noqa: T201
    return int(covered < 100)


if __name__ == "__main__":
    sys.exit(main())
