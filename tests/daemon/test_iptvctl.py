"""``iptvctl`` as it is installed, against the daemon itself: every command does what it says."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.daemon.client import PATIENCE, wait_for
from tests.daemon.guides import about
from tests.daemon.playing import Own, Playing, own_channels
from tests.daemon.process import clean_environment
from tests.daemon.recording import Recorder
from tests.simulators.media import Media
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

TOKEN = "the-token-to-manage-with"
IPTVCTL = str(Path(sys.executable).with_name("iptvctl"))
#: A player that keeps what it was told, and the beginning of what it was fed.
PLAYER = """#!/bin/sh
printf '%s\\n' "$@" > "{folder}/arguments"
case "$*" in *-) head -c 18800 > "{folder}/fed" ;; esac
"""


@frozen
class Said:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it said to a program."""
        return json.loads(self.out)


@frozen
class Ctl:
    """The command line of somebody who has only the daemon's settings file."""

    daemon: Playing
    folder: Path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """All that it is told."""
        return clean_environment(self.folder, {"IPTVD_CONFIG": str(self.daemon.settings), **(more or {})})

    def run(self, *arguments: str, **environment: str) -> Said:
        """A command, to its end."""
        done = subprocess.run(
            [IPTVCTL, *arguments],
            env=self.environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        said = Said(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in said.err, said
        return said

    def __call__(self, *arguments: str, **environment: str) -> str:
        """What a command says that does what it is asked for."""
        said = self.run(*arguments, **environment)
        assert (said.status, said.err) == (0, ""), said
        return said.out

    def json(self, *arguments: str) -> Any:
        """The same for programs."""
        return json.loads(self(*arguments, "--json"))


@pytest.fixture(scope="module")
def ctl(shared_origin: OriginProcess, media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ctl]:
    """A daemon with channels, a guide and a token, and its command line."""
    folder = tmp_path_factory.mktemp("iptvctl")
    (folder / "guide.xml").write_bytes(about("one.test", "Endless"))
    channels = [
        Own("One", shared_origin.at("/live/one.ts"), 'number = 11\ntvg_id = "one.test"\ngroup = "News"'),
        Own("Two [b]x[/b]", shared_origin.at("/live/two.ts"), "number = 12"),
    ]
    with_token = f'api_token = "{TOKEN}"\nepg = ["{folder / "guide.xml"}"]\n'
    daemon = Playing(folder / "daemon")
    listen = f'listen = ["tcp:{daemon.port}:interface=127.0.0.1"]\n'
    daemon.settings.write_text(listen + with_token + own_channels(channels))
    with daemon.start():
        wait_for(lambda: len(daemon.channels()) == 2, what="two channels")
        made = Ctl(daemon, folder)
        wait_for(lambda: "Endless" in made("channels"), what="the guide")
        yield made
        assert "Traceback" not in daemon.log_text()


def test_channels(ctl: Ctl) -> None:
    """Channels are listed, with what is on, filtered and searched."""
    lines = ctl("channels").splitlines()
    assert lines[2].split()[0] == "11"
    assert "Endless" in lines[2]
    assert "Two [b]x[/b]" in lines[3]
    assert [each["name"] for each in ctl.json("channels", "--group", "News")["channels"]] == ["One"]
    assert [each["number"] for each in ctl.json("channels", "--search", "two")["channels"]] == [12]
    assert ctl.json("channels", "--limit", "1", "--page", "2")["channels"][0]["name"] == "Two [b]x[/b]"
    assert "Page 2 of 2" in ctl("channels", "--limit", "1", "--page", "2")
    assert "There are no such channels." in ctl("channels", "--provider", "none")


def test_search_and_guide(ctl: Ctl) -> None:
    """Channels and programmes are found, and how channels are in the guide is told."""
    kinds = {each["type"] for each in ctl.json("search", "endl")["results"]}
    assert kinds == {"programme"}
    assert "now" in ctl("search", "endless")
    (match,) = [each for each in ctl.json("epg", "matches")["matches"] if each["how"] == "id"]
    assert match["guide_id"] == "one.test"
    assert "one.test" in ctl("epg", "matches", "--how", "id")


def test_health(ctl: Ctl) -> None:
    """The daemon is well, in words and for programs."""
    assert "healthy" in ctl("health")
    assert "own: ok" in ctl("health", "--detailed")
    assert ctl.json("health")["channels_count"] == 2


def test_watching(ctl: Ctl) -> None:
    """Who watches is seen in the lists and the monitor, and is let go when kicked."""
    assert ctl("clients") == "Nobody watches.\n"
    # It reads on all the while: one that takes nothing for long would be let go.
    with Recorder(ctl.daemon, ctl.daemon.path_of("One"), {"User-Agent": "A\tplayer/1"}) as viewer:
        viewer.wait_for_bytes(188_000)
        (client,) = ctl.json("clients")["clients"]
        assert client["bytes_served"] >= 188_000
        for words in (("clients",), ("monitor", "--once")):
            assert client["client_id"] in ctl(*words)
        assert "One" in ctl("monitor", "--once")
        stats = ctl.json("stats")
        assert stats["proxy_stats"]["active_clients"] == 1
        assert ctl.json("monitor", "--once")["streams"][0]["client_count"] == 1
        assert "1 now" in ctl("stats")
        for text in (ctl("stats"), ctl("clients"), ctl("monitor", "--once"), ctl("channels"), ctl("health")):
            assert "/live/one.ts" not in text
        assert client["client_id"] in ctl("kick", client["client_id"])
        viewer.wait_for_end()
    ctl.daemon.wait_for_active(0)
    assert ctl.run("kick", client["client_id"]).status == 5


def test_monitor_piped(ctl: Ctl) -> None:
    """The monitor goes on second by second, each a line of JSON for programs, and ends well with Ctrl-C."""
    command = [IPTVCTL, "monitor", "--json", "--interval", "0.2"]
    with subprocess.Popen(command, env=ctl.environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert "proxy_stats" in json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


def test_monitor_on_a_terminal(ctl: Ctl) -> None:
    """On a terminal the monitor fills the screen, and leaves it as it was."""
    master, slave = os.openpty()
    environment = ctl.environment({"TERM": "xterm", "COLUMNS": "80", "LINES": "24"})
    with subprocess.Popen([IPTVCTL, "monitor"], env=environment, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        seen = read_until(master, b"Viewers: ")
        assert b"\x1b[?1049h" in seen
        process.send_signal(signal.SIGINT)
        assert b"\x1b[?1049l" in read_until(master, b"\x1b[?1049l")
        assert process.wait(PATIENCE) == 0
    os.close(master)


def read_until(descriptor: int, mark: bytes) -> bytes:
    """What comes from a terminal, up to a mark."""
    seen, end = b"", time.monotonic() + PATIENCE
    while mark not in seen:
        assert time.monotonic() < end, seen
        if select.select([descriptor], [], [], 0.5)[0]:
            seen += os.read(descriptor, 65536)
    return seen


def test_streams(ctl: Ctl, shared_origin: OriginProcess) -> None:
    """A stream is made, plays, goes on with its next source, and is gone."""
    first, second = (shared_origin.at(f"/live/{name}.ts") for name in ("made", "other"))
    words = ("streams", "create", first, "--failover", second, "--name", "Made", "--metadata", "a=b")
    made = ctl.json(*words, "--header", "X-A: 1", "--user-agent", "UA")
    identity = made["stream_id"]
    assert ctl.json(*words)["stream_id"] == identity
    assert identity in ctl("streams", "list")
    told = ctl.json("streams", "info", identity)["stream"]
    assert (told["original_url"], told["metadata"], told["failover_urls"]) == (first, {"a": "b"}, [second])
    assert first in ctl("streams", "info", identity)
    with Recorder(ctl.daemon, made["stream_endpoint"], {"X-API-Token": TOKEN}) as viewer:
        viewer.wait_for_bytes(188_000)
        assert ctl("streams", "failover", identity)
        wait_for(
            lambda: ctl.json("streams", "info", identity)["stream"]["current_url"] == second, what="the next source"
        )
        viewer.wait_for_bytes(188_000)
    assert identity in ctl("streams", "delete", identity)
    assert ctl("streams", "list") == "There are no streams.\n"
    for word in ("info", "failover", "delete"):
        assert ctl.run("streams", word, identity).status == 5
    refused = ctl.run("streams", "create", "ftp://example.com/x")
    assert refused.status == 1
    assert "url" in refused.err


def test_users(ctl: Ctl) -> None:
    """A user is made, may watch, is switched off and on, gets another token, and is forgotten."""
    try:
        out = ctl("users", "add", "anna", "--expires", "30d", "--max-connections", "2", "--groups", "News")
        playlist = next(line.split()[1] for line in out.splitlines() if line.startswith("Playlist"))
        assert playlist.startswith(f"{ctl.daemon.url}/playlist.m3u8?token=")
        path = playlist.removeprefix(ctl.daemon.url)
        assert "One" in ctl.daemon.get(path).text
        assert "anna" in ctl("users", "list")
        assert ctl.json("users", "show", "anna")["groups"] == ["News"]
        ctl("users", "disable", "anna")
        assert ctl.daemon.get(path).status == 403
        ctl("users", "enable", "anna")
        assert ctl.daemon.get(path).status == 200
        assert ctl.json("users", "token", "anna")["token"] == path.partition("=")[2]
        token = ctl.json("users", "token", "anna", "--new")["token"]
        assert ctl.daemon.get(path).status == 403
        assert ctl.daemon.get(f"/playlist.m3u8?token={token}").status == 200
        assert ctl.run("users", "add", "anna").status == 1
        assert ctl.daemon.get(f"/player_api.php?username=anna&password={token}").status == 200
    finally:
        ctl.run("users", "remove", "anna")
    assert ctl.run("users", "show", "anna").status == 5
    assert "There are no users" in ctl("users", "list")


def test_providers(ctl: Ctl) -> None:
    """Providers are told of and asked anew."""
    own = next(each for each in ctl.json("providers", "list")["providers"] if each["name"] == "own")
    assert (own["kind"], own["state"], own["entries"]) == ("channels", "ok", 2)
    assert "own" in ctl("providers", "list")
    assert ctl("providers", "refresh", "own") == "Being asked now: own\n"

    def again() -> bool:
        found = next(each for each in ctl.json("providers", "list")["providers"] if each["name"] == "own")
        return bool(found["last_good"] > own["last_good"])

    wait_for(lambda: ctl("providers", "refresh", "own") and again(), what="another refresh")
    assert ctl.run("providers", "refresh", "none").status == 5


def test_play(ctl: Ctl, tmp_path: Path) -> None:
    """A channel plays in a player, by its number, id or name; where there is none its address is printed."""
    url = ctl.daemon.url_of("One")
    assert ctl("play", "--print", "one") == f"{url}\n"
    assert ctl("play", "11", PATH="/nonexistent") == f"{url}\n"
    identity = ctl.json("play", "11", "--print")["id"]
    assert ctl("play", str(identity), "--print") == f"{url}\n"
    assert ctl.run("play", "nothing").status == 5
    player = tmp_path / "mpv"
    player.write_text(PLAYER.format(folder=tmp_path))
    player.chmod(0o755)
    path = f"{tmp_path}:/bin:/usr/bin"
    ctl("play", "--player", "mpv", "one", PATH=path)
    assert (tmp_path / "arguments").read_text() == f"{url}\n"
    try:
        ctl("users", "add", "anna")
        # Now watching needs a token, which is nobody's business on this machine.
        ctl("play", "--player", "mpv", "one", PATH=path)
    finally:
        ctl.run("users", "remove", "anna")
    assert (tmp_path / "arguments").read_text() == "-\n"
    fed = (tmp_path / "fed").read_bytes()
    assert (len(fed), set(fed[::188])) == (18800, {0x47})
    ctl.daemon.wait_for_active(0)


def test_completion(ctl: Ctl) -> None:
    """The shells' completion is printed."""
    for shell in ("bash", "zsh", "fish"):
        assert "_IPTVCTL_COMPLETE" in ctl("completion", shell)


def test_found_by_other_ways(ctl: Ctl, tmp_path: Path) -> None:
    """The daemon is found by its URL and token in the environment, or as options; a script can tell why it is not."""
    nothing = {"IPTVD_CONFIG": ""}
    ctl("clients", IPTVD_URL=ctl.daemon.url, IPTVD_API_TOKEN=TOKEN, **nothing)
    ctl("clients", IPTVD_URL=ctl.daemon.url, API_TOKEN=TOKEN, **nothing)
    ctl("clients", "--url", ctl.daemon.url, "--token", TOKEN, IPTVD_CONFIG="")
    assert ctl.run("clients", IPTVD_URL=ctl.daemon.url, **nothing).status == 4
    assert ctl.run("clients", "--token", "wrong").status == 4
    away = ctl.run("clients", "--url", "http://127.0.0.1:1")
    assert (away.status, away.out) == (3, "")
    assert "cannot be reached: connection refused" in away.err
    assert ctl.run("clients", "--nonsense").status == 2
    assert ctl.run("clients", IPTVD_CONFIG=str(tmp_path)).err == (
        f"iptvctl: The settings file {tmp_path} cannot be read: Is a directory.\n"
    )


def test_before_and_after(ctl: Ctl) -> None:
    """While the daemon is being started again the monitor says so, and goes on."""
    command = [IPTVCTL, "monitor", "--json", "--interval", "0.2"]
    with subprocess.Popen(command, env=ctl.environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert "proxy_stats" in json.loads(process.stdout.readline())
        ctl.daemon.restart()
        lines = [json.loads(process.stdout.readline())]
        while "error" not in lines[-1]:
            lines.append(json.loads(process.stdout.readline()))
        while "proxy_stats" not in lines[-1]:
            lines.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    wait_for(lambda: len(ctl.daemon.channels()) == 2, what="two channels")
