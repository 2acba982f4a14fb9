"""A large guide: taken in while people watch, told to a player, and searched."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from bench.contenders import Contender
from bench.film import film
from bench.guide import vocabulary, write_guide, write_list
from bench.lab import Lab, say, wait_until, watch
from bench.processes import ROOT, family, own_resident_bytes, resident_bytes
from bench.report import Table, share

TITLE = "a guide of a million programmes"

CHANNELS, EACH = 50_000, 20
SIZE = 200_000_000
VIEWERS, RATE = 50, 2000
#: Searches in one round.
SEARCHES = 300
#: The daemon's own figures look back one minute.
MINUTE = 61
#: Seconds in which the guide has to be in.
PATIENCE = 300.0
MOST_ROUNDS = 3

_ITERPARSE = """
import sys
from xml.etree.ElementTree import iterparse
count, root = 0, None
for event, element in iterparse(sys.argv[1], events=("start", "end")):
    if root is None:
        root = element
    elif event == "end" and element.tag in ("programme", "channel"):
        count += element.tag == "programme"
        root.clear()
print(count)
"""


def run(lab: Lab) -> list[Table]:
    """The guide by itself, then in a daemon that people watch, then asked for."""
    guide, small = lab.folder / "guide.xml", lab.folder / "small.xml"
    count = write_guide(guide, CHANNELS, EACH, SIZE)
    write_guide(small, 10, EACH, 0)
    rounds = min(lab.rounds, MOST_ROUNDS)
    alone = _alone(lab, guide, small, count, rounds)
    watched, contender = _watched(lab, guide, small, count)
    told = _told(contender, rounds)
    return [alone, *watched, told, _searched(contender, rounds)]


def _alone(lab: Lab, guide: Path, small: Path, count: int, rounds: int) -> Table:
    """Taken in by the child alone; beside it the standard library's parser, which keeps nothing."""
    size = guide.stat().st_size / 1e6
    table = Table(f"A guide of {size:.0f} MB and {count:,} programmes taken in", "MB/s")
    ours, other = "iptvd, into a database with full-text search", "ElementTree.iterparse, nothing kept"
    least, most = 0.0, 0.0
    for number in range(rounds):
        database = lab.folder / f"alone{number}.db"
        _, least = _spent(["-m", "iptvd.epg.importing", str(database), "small", str(small)])
        seconds, most = _spent(["-m", "iptvd.epg.importing", str(database), "large", str(guide)])
        table.add(ours, size / seconds)
        parsed, memory = _spent(["-c", _ITERPARSE, str(guide)])
        table.add(other, size / parsed)
        table.line(ours, f"{most / 1e6:.0f} MB resident at most, {least / 1e6:.0f} MB with a small guide")
        table.line(other, f"{memory / 1e6:.0f} MB resident at most")
        for ending in ("", "-wal", "-shm", ".lock"):
            Path(f"{database}{ending}").unlink(missing_ok=True)
    growth = (most - least) / 1e6
    table.goals.append(f"the child grows by **{growth:.0f} MB**, target < 64: {_told_of(growth < 64)}")
    return table


def _spent(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds that a Python program took, and the bytes that it had resident at most."""
    begun = time.monotonic()
    child = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.stderr is None or child.returncode:
        said = child.stderr.read()[-500:] if child.stderr is not None else b""
        raise RuntimeError(f"{arguments[:2]} ended with {child.returncode}: {said!r}")
    child.stderr.close()
    return time.monotonic() - begun, usage.ru_maxrss * 1024.0


def _told_of(met: bool) -> str:
    return "met" if met else "**missed**"


def _watched(lab: Lab, guide: Path, small: Path, count: int) -> tuple[list[Table], Contender]:
    """Taken in by a daemon, and linked to the channels of a lineup, while people watch one of them."""
    name = film(lab.films, RATE).stem
    path = f"/{name}/{RATE}/32768"
    _, port = lab.origin()
    viewers = lab.viewers()
    listed, used = lab.folder / "list.m3u", lab.folder / "used.xml"
    write_list(listed, CHANNELS)
    os.link(small, used)
    settings = f'epg = ["{used}"]\n[[provider]]\nkind = "m3u"\nname = "many"\nurl = "{listed}"'
    contender = lab.iptvd(port, [path], settings=settings)
    _until(lambda: contender.json("/health")["channels_count"] > CHANNELS, "the channels")
    _until(lambda: _guide_of(contender)["state"] == "ok", "the small guide")
    watch(viewers, contender, [path] * VIEWERS, nap=0.005)
    time.sleep(MINUTE)
    lag = Table(f"Loop lag with {VIEWERS} viewers at {RATE // 1000} Mbit/s", "ms")
    before, resident = _lag(contender), resident_bytes(contender.process.pid)
    lag.add("before, p99", before["p99"] * 1000)
    rate = viewers.ask(do="tell")

    used.unlink()
    os.link(guide, used)
    begun = time.monotonic()
    os.kill(contender.process.pid, 1)
    sampled = _Sampled(contender)
    worst = 0.0
    while _guide_of(contender)["programmes"] < count:
        time.sleep(1)
        worst = max(worst, _lag(contender)["p99"])
        if _guide_of(contender)["failures"] or time.monotonic() - begun > PATIENCE:
            raise RuntimeError(f"the guide does not come in: {_guide_of(contender)}")
    took = time.monotonic() - begun
    say(f"taken in after {took:.0f} s")
    last = f"/api/epg/matches?offset={CHANNELS - 1}&limit=1"
    _until(lambda: bool(contender.json(last)["matches"]), "the linking")
    linked = time.monotonic() - begun
    worst = max(worst, _lag(contender)["p99"])
    after = viewers.ask(do="tell")
    sampled.stop()
    lag.add("while the guide is taken in and linked, p99 of a minute at worst", worst * 1000)
    lag.at_most("while the guide is taken in and linked, p99 of a minute at worst", 20)
    seconds = (after["now"] - rate["now"]) / 1e9
    lag.notes += [
        f"taken in {took:.0f} s after the signal, {CHANNELS:,} channels linked to it after {linked:.0f} s",
        f"the viewers had {(after['bytes'] - rate['bytes']) * 8 / seconds / 1e6:.0f} of {VIEWERS * RATE / 1000:.0f} "
        f"Mbit/s meanwhile, and {after['ended']} of them were dropped",
        f"the daemon grew by {(sampled.daemon - resident) / 1e6:.0f} MB at most, its children had at most "
        f"{sampled.children / 1e6:.0f} MB",
    ]
    viewers.ask(do="leave")
    wait_until(viewers, lambda state: not state["open"])
    return [lag], contender


def _lag(contender: Contender) -> dict[str, float]:
    found: dict[str, float] = contender.json("/health")["loop_lag_seconds"]
    return found


def _guide_of(contender: Contender) -> dict[str, Any]:
    found: dict[str, Any] = contender.json("/health/detailed")["guides"][0]
    return found


def _until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.5)


class _Sampled:
    """The most memory that a daemon and its children had, looked at again and again."""

    def __init__(self, contender: Contender) -> None:
        self.daemon = self.children = 0
        self._pid = contender.process.pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            both = {pid: own_resident_bytes(pid) for pid in family(self._pid)}
            self.daemon = max(self.daemon, both.pop(self._pid, 0))
            self.children = max([self.children, *both.values()])


def _told(contender: Contender, rounds: int) -> Table:
    """``/epg.xml`` as a player gets it."""
    table = Table(f"/epg.xml of {CHANNELS:,} channels and {CHANNELS * EACH:,} programmes", "MB/s")
    before = resident_bytes(contender.process.pid)
    sampled = _Sampled(contender)
    for _ in range(rounds):
        for name, headers in (("plain", {}), ("in gzip, packed bytes", {"Accept-Encoding": "gzip"})):
            connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=PATIENCE)
            begun, size = time.monotonic(), 0
            connection.request("GET", "/epg.xml", headers=headers)
            answer = connection.getresponse()
            while piece := answer.read(1 << 18):
                size += len(piece)
            table.add(name, size / 1e6 / (time.monotonic() - begun))
            table.line(name, f"{size / 1e6:.0f} MB in {time.monotonic() - begun:.1f} s the last time")
            connection.close()
    sampled.stop()
    table.notes.append(
        f"the daemon grew by {max(0, sampled.daemon - before) / 1e6:.0f} MB at most, the child had at most "
        f"{sampled.children / 1e6:.0f} MB"
    )
    return table


def _searched(contender: Contender, rounds: int) -> Table:
    """``/api/search``, over HTTP, one after another on one connection."""
    table = Table(f"/api/search, p95 of {SEARCHES} searches", "ms")
    words = vocabulary()
    random = Random(3)
    kinds: dict[str, Callable[[], str]] = {
        "channels alone (one or two letters)": lambda: random.choice(words)[: random.randint(1, 2)],
        "programmes too: three letters": lambda: random.choice(words)[:3],
        "programmes too: a word": lambda: random.choice(words),
        "programmes too: two words": lambda: f"{random.choice(words)[:4]} {random.choice(('new', 'live', 'cafe'))}",
        "programmes too: a letter and a word": lambda: f"{random.choice(words)[0]} {random.choice(words)[:5]}",
        "programmes too: what is nowhere": lambda: "xyzzy" + random.choice(words),
    }
    connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=PATIENCE)
    for _ in range(rounds):
        for kind, query in kinds.items():
            spent = []
            found = 0
            for _ in range(SEARCHES):
                begun = time.perf_counter()
                connection.request("GET", f"/api/search?q={quote(query())}")
                answer = json.loads(connection.getresponse().read())
                spent.append((time.perf_counter() - begun) * 1000)
                found += len(answer["results"])
            table.add(kind, share(spent, 0.95))
            table.line(kind, f"half of them within {share(spent, 0.5):.1f} ms, {found / SEARCHES:.0f} results")
    connection.close()
    for kind in kinds:
        table.at_most(kind, 20 if kind.startswith("channels") else 50)
    return table
