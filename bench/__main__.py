"""``python -m bench``: measures the rows that are named, or all, and writes RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import tempfile
import time
from pathlib import Path

from bench.contenders import versions
from bench.lab import Lab, say
from bench.processes import raise_files
from bench.report import Results
from bench.rows import NAMES


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(NAMES)}; all without any")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender is measured")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--long", action="store_true", help="the crowd for five minutes")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "RESULTS.md")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in NAMES]
    if unknown:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(NAMES)}")
    raise_files()
    results = Results(options.results)
    failed: list[str] = []
    user = "an unprivileged user (nobody)" if not os.geteuid() else f"user {os.geteuid()}"
    with tempfile.TemporaryDirectory(prefix="iptvd-bench-") as folder:
        Path(folder).chmod(0o755)
        for name in options.rows or NAMES:
            row = importlib.import_module(f"bench.rows.{name}")
            say(f"{name}: {row.TITLE}")
            lab = Lab(Path(folder), options.rounds, options.seconds, options.long)
            before, begun = os.getloadavg()[0], time.monotonic()
            try:
                tables = row.run(lab)
            except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
                # One row less is no reason to have none of those that follow.
                say(f"{name} failed: {error}")
                failed.append(name)
                continue
            finally:
                lab.close()
            took = time.monotonic() - begun
            results.put(name, row.TITLE, tables, (before, os.getloadavg()[0]), took)
            results.write(versions(), user)
            for table in tables:
                say(table.markdown())
    if failed:
        parser.exit(1, f"failed: {', '.join(failed)}\n")


if __name__ == "__main__":
    main()
