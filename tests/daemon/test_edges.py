"""What reaches the port that is no player: slow, many, wrong; and that whoever watches notices nothing of it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.daemon.client import Response, Stream, wait_for
from tests.daemon.playing import Own, Playing, playing, watch
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

HALF = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
HERE = "127.0.0.1"


def live(origin: OriginProcess) -> list[Own]:
    return [Own("Live", origin.at("/live/edges.ts", start=0, rate=1))]


@pytest.fixture(scope="module")
def open_to_all(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with a channel and the limits that there are by themselves."""
    limits = {"IPTVD_REQUEST_RATE": "100", "IPTVD_TOKEN_RATE": "1000", "IPTVD_API_TOKEN": "s3cret-api-token"}
    with playing(tmp_path_factory.mktemp("edges"), live(shared_origin), environment=limits) as daemon:
        yield daemon


def ended(connection: socket.socket) -> bytes:
    """What came on a connection until it was closed."""
    got = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            got += piece
    return got


def test_slow_heads(open_to_all: Playing) -> None:
    """Whoever sends a head byte by byte is sent away, many of them too, while a channel plays on."""
    with ExitStack() as stack:
        slow = [stack.enter_context(open_to_all.connect()) for _ in range(200)]
        for connection in slow:
            connection.sendall(HALF)
        watch(open_to_all.url_of("Live")).assert_plays()
        answers = [ended(connection) for connection in slow]
    assert {answer.partition(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 408 Request Timeout"}
    assert open_to_all.get("/ping").status == 200


def test_slowhttptest(open_to_all: Playing) -> None:
    """A program made for it does not make the daemon unavailable: slow heads, slow bodies, slow reading."""
    program = shutil.which("slowhttptest")
    assert program is not None, "slowhttptest is missing: sh tests/programs.sh"
    # All three together, and the players, stay below the connections that one address may have.
    storm = [program, "-c", "60", "-r", "60", "-i", "1", "-l", "8", "-p", "5", "-u", f"{open_to_all.url}/ping"]

    def one(way: str) -> str:
        return subprocess.run([*storm, way], capture_output=True, text=True, timeout=60, check=False).stdout

    with ThreadPoolExecutor(3) as pool:
        told = pool.map(one, ("-H", "-B", "-X"))
        watch(open_to_all.url_of("Live")).assert_plays()
        for text in told:
            plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
            assert set(re.findall(r"service available: *(\w+)", plain)) == {"YES"}, plain[-2000:]


def test_flood_of_headers(open_to_all: Playing) -> None:
    """Heads without an end are cut off at their bound, while a channel plays on."""
    flood = HALF + b"x" * 10 + b"\r\n" + b"".join(b"X%d: y\r\n" % number for number in range(20_000))

    def one(_: int) -> bytes:
        with open_to_all.connect() as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(flood)
            return ended(connection)

    with ThreadPoolExecutor(20) as pool:
        answers = pool.map(one, range(200))
        watch(open_to_all.url_of("Live")).assert_plays()
        # A reset may overtake the answer.
        assert {answer.partition(b"\r\n")[0] for answer in answers} <= {
            b"",
            b"HTTP/1.1 431 Request Header Fields Too Large",
        }
    assert open_to_all.get("/ping").status == 200


def test_storm_of_logins(open_to_all: Playing) -> None:
    """Of a thousand logins with wrong passwords nearly all are told at once to come later; a channel plays on."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def one(number: int) -> int:
        body = f"name=bob&password=wrong{number}".encode()
        return open_to_all.request("POST", "/login", form, body).status

    with ThreadPoolExecutor(50) as pool:
        statuses = pool.map(one, range(1000))
        watch(open_to_all.url_of("Live")).assert_plays()
        counted = Counter(statuses)
    assert counted.keys() <= {403, 429}, counted
    assert counted[429] > 500, counted


def test_wrong_tokens_do_not_lock_out(open_to_all: Playing) -> None:
    """Who manages with the right token goes on doing so while others guess from the same address."""
    right, wrong = {"X-API-Token": "s3cret-api-token"}, {"X-API-Token": "wrong"}
    wait_for(lambda: open_to_all.get("/api/users", right).status == 200, 30, "the right token to be let in")
    with ThreadPoolExecutor(20) as pool:
        guesses = pool.map(lambda _: open_to_all.get("/api/users", wrong).status, range(40))
        assert {open_to_all.get("/api/users", right).status for _ in range(20)} == {200}
        assert set(guesses) <= {403, 429}


def test_rates(origin: OriginProcess, tmp_path: Path) -> None:
    """Who may not watch may ask for playlists only so often, and is told when again; others are not concerned."""
    limits = {"IPTVD_REQUEST_RATE": "5", "IPTVD_TRUSTED_PROXIES": HERE, "IPTVD_TRUSTED_NETWORKS": HERE}
    with playing(tmp_path, live(origin), environment=limits) as daemon:

        def asked(client: str, path: str) -> Response:
            return daemon.get(path, {"X-Forwarded-For": client})

        for path in ("/playlist.m3u8", "/epg.xml", "/api/channels", "/playlist.m3u", "/stats"):
            assert asked("203.0.113.1", path).status in (401, 403)
        late = asked("203.0.113.1", "/playlist.m3u8")
        assert (late.status, int(late.headers["retry-after"]) > 0) == (429, True)
        assert asked("203.0.113.1", "/stream/1.ts").status == 403
        assert asked("203.0.113.2", "/playlist.m3u8").status == 403
        assert daemon.get("/playlist.m3u8").status == 200


def test_connections(origin: OriginProcess, tmp_path: Path) -> None:
    """An address has so many connections, those that watch among them; each that ends makes room for another."""
    with playing(tmp_path, live(origin), toml="connections_per_address = 5\n") as daemon:
        path = daemon.path_of("Live")

        def room() -> int:
            with ExitStack() as stack:
                for count in range(20):
                    connection = stack.enter_context(daemon.connect())
                    try:
                        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        if not connection.recv(100):
                            return count
                    except (BrokenPipeError, ConnectionResetError):
                        return count
            return 20

        def viewer() -> Stream | None:
            try:
                return daemon.open_stream(path)
            except (HTTPException, OSError):
                # Those that looked for room may not have been seen to leave.
                return None

        wait_for(lambda: room() == 5, what="room for five")
        viewers = [wait_for(viewer, what="a viewer") for _ in range(3)]
        wait_for(lambda: room() == 2, what="room for two")
        viewers[0].close()
        viewers[1].reset()
        wait_for(lambda: room() == 4, what="room for four")
        assert len(viewers[2].read(100_000)) == 100_000
        viewers[2].close()
        wait_for(lambda: room() == 5, what="room for five again")


def test_audit(open_to_all: Playing) -> None:
    """A call that changes something is one line of the log, without a name or a token in it."""
    headers = {"X-API-Token": "s3cret-api-token"}
    user = {"username": "judy", "password": "her-password", "token": "judys-token-" + "x" * 20}
    open_to_all.post_json("/api/users", user, headers)
    assert open_to_all.request("DELETE", "/api/users/judy", headers).status in (200, 204)
    log = open_to_all.log_text()
    lines = re.findall(r"(?:POST|DELETE) /api/users.* by the API token from 127\.0\.0\.1: 20\d", log)
    assert [line.split()[0] for line in lines] == ["POST", "DELETE"], log[-2000:]
    for secret in ("judy", "her-password", "s3cret-api-token"):
        assert secret not in log
