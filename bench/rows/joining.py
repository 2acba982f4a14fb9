"""Joining a channel that is on: how soon the first byte is there, and the first picture."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.contenders import Contender
from bench.film import film
from bench.lab import Lab, watch
from bench.report import Table

TITLE = "warm join"

RATE = 4000
#: How each player is asked for one picture, by its name.
PLAYERS = {
    "mpv": ["mpv", "--no-config", "--ytdl=no", "--vo=null", "--ao=null", "--frames=1", "--no-terminal"],
    "ffmpeg -analyzeduration 500000": ["ffmpeg", "-v", "error", "-analyzeduration", "500000", "-i"],
    "ffmpeg": ["ffmpeg", "-v", "error", "-i"],
}
AGENTS = {"mpv": "libmpv"}
#: Seconds of the stream that the file to compare with has.
FILE = 9.0
MOST = 100.0


def run(lab: Lab) -> list[Table]:
    """With one viewer there already, who keeps the channel on."""
    path = f"/{film(lab.films, RATE).stem}/{RATE}/1316"
    _, port = lab.origin()
    contender = lab.iptvd(port, [path])
    watch(lab.viewers(), contender, [path], nap=0.02)
    # As much as the longest burst has to be in the ring.
    time.sleep(8)
    first = Table("request → first byte", "ms")
    for _ in range(10 * lab.rounds):
        first.add("iptvd", _first_byte(contender, contender.path(path)))
    first.at_most("iptvd", 5)
    tables = [first]
    for name, command in PLAYERS.items():
        if shutil.which(command[0]):
            tables.append(_pictures(lab, contender, contender.path(path), name, command))
    return tables


def _ask(contender: Contender, path: str, agent: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", contender.port), 10)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {agent}\r\n\r\n".encode())
    return connection


def _first_byte(contender: Contender, path: str) -> float:
    """Milliseconds from the request to the first byte after the head."""
    begun = time.monotonic()
    with _ask(contender, path, "bench") as connection:
        got = b""
        while not got.partition(b"\r\n\r\n")[2]:
            got += connection.recv(65536)
    return (time.monotonic() - begun) * 1000


def _recorded(contender: Contender, path: str, agent: str, file: Path) -> None:
    """Keep what a player of this name is sent within some seconds."""
    end = time.monotonic() + FILE
    with _ask(contender, path, agent) as connection, file.open("wb") as into:
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(65536)
        into.write(got.partition(b"\r\n\r\n")[2])
        while time.monotonic() < end:
            into.write(connection.recv(65536))


def _pictures(lab: Lab, contender: Contender, path: str, name: str, command: list[str]) -> Table:
    table = Table(f"request → one picture decoded, the player ended: {name}", "ms")
    file = lab.folder / f"{command[0]}.ts"
    if not file.exists():
        _recorded(contender, path, AGENTS.get(name, "Lavf/59"), file)
    kinds: dict[str, Callable[[], float]] = {
        "the same bytes from a file": lambda: _seconds([*command, str(file)]),
        "iptvd": lambda: _seconds([*command, f"http://127.0.0.1:{contender.port}{path}"]),
    }
    for _ in range(lab.rounds):
        for kind, measure in kinds.items():
            table.add(kind, measure() * 1000)
    more = table.line("iptvd").median - table.line("the same bytes from a file").median
    if name == "ffmpeg":
        table.notes.append(f"**{more:.0f} ms** more than from a file; it probes five seconds, and is here to compare")
    else:
        verdict = "met" if more <= MOST else f"**missed by {more - MOST:.0f} ms**"
        table.goals.append(f"**{more:.0f} ms** more than from a file, target ≤ {MOST:g}: {verdict}")
    return table


def _seconds(command: list[str]) -> float:
    if command[0] == "ffmpeg":
        command = [*command, "-frames:v", "1", "-f", "null", "-"]
    begun = time.monotonic()
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL, capture_output=True)
    return time.monotonic() - begun
