"""
twistd out of the tree at hand, as ``python -m bench.daemon``.

With ``BENCH_UNFOLLOWED`` in the environment a channel is followed only up to its first join point, which viewers need
to begin, and said to have one every so often from then on: what following costs is the difference. With
``BENCH_PROFILE`` the profile of the whole run is written to that path when the daemon ends.
"""

from __future__ import annotations

import cProfile
import os

from attrs import evolve
from twisted.scripts.twistd import run

from iptvd.protocols import joins

#: Blocks from one pretended join point to the next.
EVERY = 32


def unfollow() -> None:
    """Have followers do nothing from their first join point on."""
    scan = joins.Follower.scan
    known: dict[int, tuple[joins.Join, int]] = {}

    def scan_once(self: joins.Follower, block: bytes) -> list[joins.Join]:
        if id(self) in known:
            join, count = known[id(self)]
            known[id(self)] = join, count + 1
            # The ring needs one now and then, to let go of what is older.
            return [] if count % EVERY else [join]
        found = scan(self, block)
        if found:
            known[id(self)] = evolve(found[0], offset=0), 1
        return found

    joins.Follower.scan = scan_once  # type: ignore[method-assign]


def main() -> None:
    """Run it."""
    if os.environ.get("BENCH_UNFOLLOWED"):
        unfollow()
    path = os.environ.get("BENCH_PROFILE")
    if not path:
        run()
        return
    profile = cProfile.Profile()
    try:
        profile.runcall(run)
    finally:
        profile.dump_stats(path)


if __name__ == "__main__":
    main()
