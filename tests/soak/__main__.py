"""
The soak: ``python -m tests.soak [--seconds 600] [--seed N]``, or ``make soak``.

A daemon, started as a user does, is watched by a random crowd (`viewers`) while its origins die and come back
(`faults`), and players (`players`, `browser`) play all the time and never stall. When all have left nothing may be
left: no session, slot, child or connection, and open files and memory are back where they were (`verdict`).

What they are compared with is not the daemon as it was started, which has not yet imported, cached and pooled what it
needs, but the daemon after a warm-up: the same crowd, faults and players for a fifth of the time (a minute at most),
and then the same quiet as at the end. What grows with time grows after that too. If RSS does not come back, the last
lines tell why: more objects, blocks and bytes given out are a leak, more that libc keeps is not.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urljoin

from tests.browser.chromium import missing
from tests.daemon.client import wait_for
from tests.daemon.launch import facts
from tests.soak.browser import BrowserPlayer, theatre
from tests.soak.faults import Saboteur
from tests.soak.holdings import Holdings, open_files, take_census, when_quiet
from tests.soak.players import Player, Progress
from tests.soak.scene import CUT, SEEN, Scene, scene
from tests.soak.verdict import Row, held, memory, played, table
from tests.soak.viewers import Crowd

#: Seconds between two lines of progress.
TOLD_EVERY = 30.0
#: The part of the time that the warm-up takes, and its bounds in seconds.
WARM_UP, LEAST_WARM_UP, MOST_WARM_UP = 0.2, 30.0, 60.0
#: Segments that there are when a player begins: a window, so that it has the reserve that players have on a channel
#: that has been on for a while.
_RESERVE = 6
_FIRST = {"User-Agent": "The first viewer"}
_MIB = 1 << 20
_MOST_LINES = 15


def say(line: str) -> None:
    """A line for who waits."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Soak:
    """
    One run.

    :param seconds: of the part that counts.
    """

    def __init__(self, playing: Scene, folder: Path, seconds: float, seed: int) -> None:
        self._scene = playing
        self._folder = folder
        self._seconds = seconds
        self._seed = seed
        self._switches: dict[str, list[float]] = {SEEN: [], CUT: []}
        self._counted: Counter[str] = Counter()
        self._players: list[tuple[Progress, str]] = []

    def run(self) -> bool:
        """All of it; whether it is passed."""
        warm_up = min(max(self._seconds * WARM_UP, LEAST_WARM_UP), MOST_WARM_UP)
        say(f"warm-up: {warm_up:.0f} s")
        self._part(warm_up, self._seed + 1)
        before = when_quiet(self._scene)
        say(f"baseline: RSS {before.rss / _MIB:.1f} MiB, {before.open_files} files; now {self._seconds:.0f} s")
        crowd, saboteur = self._part(self._seconds, self._seed)
        after = when_quiet(self._scene)
        return self._judge(before, after, crowd, saboteur)

    def _part(self, seconds: float, seed: int) -> tuple[Crowd, Saboteur]:
        """Everything at once for so long, and then nobody any more."""
        daemon = self._scene.daemon
        self._counted.clear()
        for times in self._switches.values():
            times.clear()
        seen, cut = self._scene.choices[SEEN], self._scene.choices[CUT]
        with ExitStack() as stack:
            self._players = []
            wait_for(self._cut_is_on, 60, f"a playlist of {CUT} that a player can begin with")
            for name, path in ((SEEN, seen.path), (f"{CUT} as HLS", cut.as_form("m3u8"))):
                player = Player(name, daemon.url + path, self._folder)
                stack.callback(player.stop)
                self._players.append((player, SEEN if name == SEEN else CUT))
            if not missing():
                page = stack.enter_context(theatre())
                url = daemon.url + cut.as_form("m3u8")
                self._players.append((BrowserPlayer(f"{CUT} in a browser", url, page), CUT))
            saboteur = stack.enter_context(Saboteur(self._scene, seed))
            crowd = stack.enter_context(Crowd(self._scene, seed))
            begun = told = monotonic()
            while monotonic() - begun < seconds:
                sleep(0.5)
                self._watch()
                if monotonic() - told >= TOLD_EVERY:
                    told += TOLD_EVERY
                    say(self._progress(monotonic() - begun, crowd))
                if saboteur.error is not None:
                    raise saboteur.error
        return crowd, saboteur

    def _cut_is_on(self) -> bool:
        """Whether it is no longer a channel that was just turned on."""
        path = self._scene.choices[CUT].as_form("m3u8")
        answer = self._scene.daemon.get(path, _FIRST)
        lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
        if answer.status != 200 or not lines:
            return False
        media = self._scene.daemon.get(urljoin(path, lines[0]), _FIRST)
        return media.status == 200 and media.text.count("#EXTINF") >= _RESERVE

    def _watch(self) -> None:
        """Note the switches of what is played all the time."""
        for broadcast in facts(self._scene.daemon)["broadcasts"]:
            name = broadcast["channel"]
            if name in self._switches:
                if broadcast["switches"] > self._counted[name]:
                    self._switches[name].append(monotonic())
                self._counted[name] = broadcast["switches"]
        for player, _ in self._players:
            player.look()

    def _progress(self, elapsed: float, crowd: Crowd) -> str:
        told, daemon = facts(self._scene.daemon), self._scene.daemon
        players = ", ".join(
            f"{each.name} {each.played:.0f} s, fell back {each.worst:.1f} s" for each, _ in self._players
        )
        return (
            f"{elapsed:5.0f} s: {len(told['sessions'])} sessions, {len(told['broadcasts'])} channels, "
            f"{len(daemon.children())} children, {sum(open_files(daemon.pid).values())} files, "
            f"RSS {daemon.rss() / _MIB:.1f} MiB, CPU {daemon.cpu_seconds():.0f} s, "
            f"lag {told['loop_lag_seconds']['p99'] * 1000:.0f} ms; {crowd.done['watched']} watched, "
            f"{crowd.done['faults']} faults; {players}; "
            f"switches {', '.join(str(len(times)) for times in self._switches.values())}"
        )

    def _judge(self, before: Holdings, after: Holdings, crowd: Crowd, saboteur: Saboteur) -> bool:
        log = self._scene.daemon.log_text()
        tracebacks = log.count("Traceback (most recent call last)") + log.count("Unhandled")
        rows = [*held(before, after)]
        for player, name in self._players:
            rows += played(player, self._switches[name])
        rows.append(Row("faults seen by viewers", "0", str(crowd.done["faults"]), not crowd.done["faults"]))
        rows.append(Row("viewers that watched", "> 0", str(crowd.done["watched"]), bool(crowd.done["watched"])))
        rows.append(Row("tracebacks in the log", "0", str(tracebacks), not tracebacks))
        say("")
        say(f"viewers: {_counts(crowd.done)}")
        say(f"origins: {_counts(saboteur.done)}")
        say(f"outcomes: {_counts(self._scene.daemon.outcomes())}")
        say(memory(before, after))
        trimmed = take_census(self._scene, trim=True)
        rss = self._scene.daemon.rss() / _MIB
        say(f"after malloc_trim, which took {1000 * trimmed.trimming:.0f} ms: RSS {rss:.1f} MiB")
        self._details(crowd)
        say("")
        say(table(rows))
        return all(row.good for row in rows)

    def _details(self, crowd: Crowd) -> None:
        """What the table only counts."""
        for player, name in self._players:
            told = [
                f"{each.at - player.begun:.1f} s: {each.words}" for each in player.undeclared(self._switches[name])
            ]
            _lines(f"player of {player.name} complains:", told)
            _lines(f"player of {player.name} stalls at:", [f"{at - player.begun:.1f} s" for at in player.stalls])
            times = " ".join(f"{at - player.begun:.0f}" for at in self._switches[name])
            say(
                f"player of {player.name} fell back {player.worst:.1f} s at {player.worst_at - player.begun:.0f} s; "
                f"switches (seconds): {times or 'none'}"
            )
        _lines("faults seen by viewers:", crowd.faults)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"


def _lines(head: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    if lines:
        say(head)
        for line in lines[:_MOST_LINES]:
            say(f"  {line}")
        if len(lines) > _MOST_LINES:
            say(f"  and {len(lines) - _MOST_LINES} more")


def main() -> int:
    """Run it as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Hours of use in minutes.")
    seconds = float(os.environ.get("SOAK_SECONDS") or 600)
    parser.add_argument("--seconds", type=float, default=seconds, help="of the part that counts (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="of all chance")
    if sentence := missing():
        say(f"no player in a browser: {sentence}")
    parser.add_argument("--keep", type=Path, help="a new folder for logs, which stays; else they are thrown away")
    arguments = parser.parse_args()
    say(f"seed: {arguments.seed}")
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="iptvd-soak-")))
        with scene(folder) as playing:
            good = Soak(playing, folder, arguments.seconds, arguments.seed).run()
    say("passed" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
