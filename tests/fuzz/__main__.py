"""``python -m tests.fuzz``: feeds each reader for a while; anything but an error of ours ends it and is kept."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.fuzz.targets import NAMES, target

#: Bytes of an input, and seconds that reading it may take.
LONGEST, SLOWEST = 16384, 5


def feed(name: str, seconds: int, folder: Path) -> None:
    """
    Feed one reader; ends the process.

    :param folder: for what was tried and is worth trying next time, and for what failed.
    """
    try:
        atheris: Any = import_module("atheris")
    except ImportError:
        raise SystemExit("atheris is missing: pip install --editable '.[fuzz]'") from None
    with atheris.instrument_imports(include=["iptvd"]):
        reader = target(name)
    corpus, found = folder / name / "corpus", folder / name / "found"
    for each in (corpus, found):
        each.mkdir(parents=True, exist_ok=True)
    for seed in reader.seeds:
        (corpus / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOWEST}", "-rss_limit_mb=1024"]
    quiet = ["-print_final_stats=1", "-verbosity=0", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *limits, *quiet, str(corpus)], reader.one)
    atheris.Fuzz()


def main() -> None:
    """Feed those that are named, or all, one after another."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all without any")
    parser.add_argument("--seconds", type=int, default=60, help="for each")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "iptvd-fuzz")
    parser.add_argument("--here", action="store_true", help="feed the one that is named in this process")
    parser.add_argument("--again", type=Path, help="read this file only")
    options = parser.parse_args()
    unknown = [name for name in options.targets if name not in NAMES]
    if unknown:
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(NAMES)}")
    names = options.targets or list(NAMES)
    if options.again is not None:
        for name in names:
            target(name).one(options.again.read_bytes())
        return
    if options.here:
        feed(names[0], options.seconds, options.folder)
    failed = []
    for name in names:
        own = [name, "--seconds", str(options.seconds), "--folder", str(options.folder), "--here"]
        sys.stderr.write(f"--- {name}\n")
        if subprocess.run([sys.executable, "-m", "tests.fuzz", *own], check=False).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; what they were fed is in {options.folder}")


if __name__ == "__main__":
    main()
