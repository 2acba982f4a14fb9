"""What a viewer gets when its channel's origin fails, and what is told to whom: a sentence, and never a secret."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread
from typing import Self

import pytest

from tests.daemon.client import Response, wait_for
from tests.daemon.harness import free_port
from tests.daemon.playing import Own, Playing, own_channels, playing
from tests.simulators.media import Media
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

LIVE = "/live/fault.ts"
FILM = "/vod/fault/film.mp4"
SHORT_TIMEOUTS = "connect_timeout = 1\nhead_timeout = 1\nstall_timeout = 1\nclient_timeout = 2\nslow_timeout = 2\n"
#: What channels are made of: a live one is shared, or not.
PATHS = {"Live": LIVE, "Alone": LIVE, "Film": FILM, "HLS": "/hls/plain/index.m3u8"}

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n"
#: Answers that no real server gives, and a word of what is said of each.
ODD_ANSWERS = {
    "a long line": (HEAD + b"X: " + b"x" * 60_000 + b"\r\n\r\n", "line"),
    "many lines": (HEAD + b"X: y\r\n" * 5000 + b"\r\n", "headers"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "HTTP"),
    "half a head": (HEAD, "closed"),
    "a bad length": (HEAD + b"Content-Length: -5\r\n\r\nabc", "Content-Length"),
    "bad chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunked"),
    "an odd coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc", "coding"),
    "another protocol": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "protocol"),
}


class OddServer:
    """Answers every connection with the same bytes, and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            # Who asked may be gone already.
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(self._answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


@pytest.fixture(scope="module")
def black_hole() -> Iterator[int]:
    """A port on which connections are neither accepted nor refused."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for filling in (first, second):
            filling.setblocking(False)
            filling.connect_ex(listening.getsockname())
        yield int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def odd_servers() -> Iterator[dict[str, int]]:
    """The ports of servers with odd answers."""
    servers = {name: OddServer(answer) for name, (answer, _) in ODD_ANSWERS.items()}
    for server in servers.values():
        server.__enter__()
    yield {name: server.port for name, server in servers.items()}
    for server in servers.values():
        server.__exit__()


@pytest.fixture(scope="module")
def faulty(
    media: Media,
    shared_origin: OriginProcess,
    black_hole: int,
    odd_servers: dict[str, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Playing]:
    """A daemon that waits a second at most, and whose channels do not work."""
    channels = [
        Own("Live", shared_origin.at(LIVE)),
        Own("Film", shared_origin.at(FILM)),
        Own("HLS", shared_origin.at("/hls/plain/index.m3u8")),
        Own("refused", f"http://127.0.0.1:{free_port()}/x.ts"),
        Own("unknown name", "http://no-such-name.invalid/x.ts"),
        Own("black hole", f"http://127.0.0.1:{black_hole}/x.ts"),
        Own("not TLS", f"https://127.0.0.1:{odd_servers['no HTTP']}/x.ts"),
        *(Own(name, f"http://127.0.0.1:{port}/x.ts") for name, port in odd_servers.items()),
    ]
    alone = own_channels([Own("Alone", shared_origin.at(LIVE))])
    alone = alone.replace('name = "own"', 'name = "alone"\nsharing = "isolated"')
    folder, expected = tmp_path_factory.mktemp("faults"), len(channels) + 1
    with playing(folder, channels, toml=SHORT_TIMEOUTS + alone, expected=expected) as daemon:
        yield daemon
        daemon.assert_balanced()


def assert_refused(answer: Response, status: int, words: str) -> None:
    """An error of this class, with one sentence for a person in it."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(r"[A-Z0-9][^\n]{10,200}\.\n", answer.text), answer
    assert words in answer.text, answer
    assert "127.0.0.1" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize("name", PATHS)
def test_statuses(faulty: Playing, origin: OriginProcess, name: str) -> None:
    """What an origin refuses with is passed on as its class: not there, full, too slow, or failed."""
    path = PATHS[name]
    for status, seen in (
        (403, 502),
        (401, 502),
        (404, 404),
        (410, 404),
        (429, 503),
        (500, 502),
        (503, 503),
        (504, 504),
    ):
        origin.control(path, status=status)
        before = faulty.outcomes()
        assert_refused(faulty.get(faulty.path_of(name)), seen, f"(it answered {status})")
        assert faulty.outcome_of(before) == "exhausted"


@pytest.mark.parametrize("name", PATHS)
def test_before_the_first_byte(faulty: Playing, origin: OriginProcess, name: str) -> None:
    """An origin that says nothing, too much or nonsense before its first byte is an error, never an empty 200."""
    path = PATHS[name]
    cases: list[tuple[dict[str, object], int, str]] = [
        ({"never": 1}, 504, "longer than 1 s"),
        ({"drop": 1}, 502, "closed the connection"),
        ({"as_": "html"}, 502, "a web page"),
        ({"as_": "empty"}, 502, ""),
        ({"oversize_head": 200_000}, 502, "head exceeds"),
        ({"endless_head": 1}, 502, "head exceeds"),
        ({"redirect": "loop"}, 502, "more than 5 times"),
        ({"redirect": "ftp://127.0.0.1/"}, 502, "cannot be followed"),
        ({"die_after": 0}, 502, ""),
    ]
    if name != "HLS":
        cases += [({"stall_after": 0}, 504, "nothing within 1 s"), ({"body": "a word"}, 502, "text")]
    for knobs, status, words in cases:
        origin.control(path, **knobs)
        assert_refused(faulty.get(faulty.path_of(name)), status, words)
        wait_for(lambda: origin.open_requests() == 0, what="the end of the upstream")


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("refused", 502, "refuses the connection"),
        ("unknown name", 502, "not known to DNS"),
        ("black hole", 504, "does not answer"),
        ("not TLS", 502, "secure connection"),
    ],
)
def test_no_connection(faulty: Playing, name: str, status: int, words: str) -> None:
    """An origin that cannot be reached is an error that says how it could not be."""
    assert_refused(faulty.get(faulty.path_of(name)), status, words)


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_odd_answers(faulty: Playing, name: str) -> None:
    """What is not HTTP, or more of it than anybody needs, is refused with a word of what was wrong."""
    assert_refused(faulty.get(faulty.path_of(name)), 502, ODD_ANSWERS[name][1])


@pytest.mark.parametrize(
    ("name", "knob", "outcome"),
    [
        ("Film", "die_after", "upstream_lost"),
        ("Film", "reset_after", "upstream_lost"),
        ("Film", "stall_after", "upstream_stalled"),
        ("Alone", "stall_after", "upstream_stalled"),
    ],
)
def test_in_the_middle(faulty: Playing, origin: OriginProcess, name: str, knob: str, outcome: str) -> None:
    """When an origin breaks off for good the viewer gets what there was and can tell; how it ended is counted."""
    origin.control(PATHS[name], **{knob: 100_000}, rate=0, noranges=1)
    before = faulty.outcomes()
    answer = faulty.raw_get(faulty.path_of(name), limit=4 << 20)
    assert answer.ending == "closed"
    assert answer.data.startswith(b"HTTP/1.1 200 ")
    assert 100_000 <= len(answer.data) < 102_000
    assert not answer.data.endswith(b"0\r\n\r\n")
    assert faulty.outcome_of(before) == outcome
    wait_for(lambda: origin.open_requests() == 0, what="the end of the upstream")


@pytest.mark.parametrize("knob", ["die_after", "reset_after"])
def test_alone_goes_on(faulty: Playing, origin: OriginProcess, knob: str) -> None:
    """A live channel that is not shared is asked for anew when its origin breaks off, until that has it no more."""
    origin.control(LIVE, **{knob: 100_000}, rate=0)
    before = faulty.outcomes()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(faulty.raw_get, faulty.path_of("Alone"), limit=64 << 20)
        wait_for(lambda: origin.counts(LIVE).total >= 4, what="the stream asked for again and again")
        origin.control(LIVE, status=404)
        answer = asked.result()
    assert answer.ending == "closed"
    assert len(answer.data) > 300_000
    assert faulty.outcome_of(before) == "upstream_lost"
    wait_for(lambda: origin.open_requests() == 0, what="the end of the upstream")


@pytest.mark.parametrize(("name", "knobs"), [("Alone", {"rate": 0}), ("Live", {"mbit": 40})])
def test_too_slow(faulty: Playing, origin: OriginProcess, name: str, knobs: dict[str, int]) -> None:
    """A viewer that reads nothing for too long is let go, and its connection with it."""
    origin.control(LIVE, **knobs)
    faulty.wait_for_rest("Live")
    files = faulty.open_files()
    before = faulty.outcomes()
    with faulty.open_stream(faulty.path_of(name), rcvbuf=65536) as viewer:
        viewer.read(1000)
        assert faulty.outcome_of(before) == "viewer_too_slow"
        wait_for(lambda: faulty.open_files() <= files, what="the end of the connection")


def test_a_slow_origin_is_no_dead_one(faulty: Playing, origin: OriginProcess) -> None:
    """An origin that only trickles is not given up."""
    origin.control(LIVE, start=0, drip=2000)
    with faulty.open_stream(faulty.path_of("Live")) as viewer:
        assert len(viewer.read(50_000)) == 50_000


def test_interim(faulty: Playing, origin: OriginProcess) -> None:
    """What an origin says before its answer is passed over."""
    origin.control(LIVE, early=103, rate=0)
    with faulty.open_stream(faulty.path_of("Live")) as viewer:
        assert (viewer.status, viewer.read(1)) == (200, b"G")


def test_limit(shared_origin: OriginProcess, origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> None:
    """When all streams are in use the next viewer is told so, and when to come again, in whatever form it asks."""
    channels = [
        Own("Live", origin.at(LIVE)),
        Own("Film", origin.at("/vod/film.mp4")),
        Own("HLS", origin.at("/hls/plain/index.m3u8")),
    ]
    with playing(tmp_path_factory.mktemp("limit"), channels, "--max-streams", "2") as daemon:
        paths = daemon.channels()
        with daemon.open_stream(paths["Live"]) as first, daemon.open_stream(paths["Live"]) as second:
            assert (first.status, second.status) == (200, 200)
            for path in paths.values():
                answer = daemon.get(path)
                assert_refused(answer, 503, "All 2 streams are in use")
                assert answer.headers["retry-after"].isdigit()
            health = daemon.get("/health").json()
            assert isinstance(health, dict)
            assert (health["total_active_streams"], health["stream_utilization"]) == (2, "100.0%")
        daemon.wait_for_active(0)
        assert daemon.get(paths["Film"]).status == 200
        assert daemon.outcomes() == {"refused": 3, "viewer_left": 2, "completed": 1}
        daemon.assert_balanced()


def test_secrets(
    shared_origin: OriginProcess, origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Passwords, tokens and addresses of origins are in no page, playlist, error, metric or log, come what may."""
    folder = tmp_path_factory.mktemp("secrets")
    account = f"http://canary-user:canary-pass@127.0.0.1:{origin.port}"
    listed = folder / "list.m3u"
    listed.write_text(
        f"#EXTM3U\n#EXTINF:-1,Listed\n{account}/live/listed.ts?token=canary-query|Cookie=canary-cookie\n"
        f"#EXTINF:-1,Remuxed\nrtsp://canary-user:canary-pass@127.0.0.1:{free_port()}/canary-path\n"
    )
    headers = 'headers = { Authorization = "Bearer canary-bearer", X-Key = "canary-key" }'
    channels = [
        Own("Live", f"{account}/live/canary-path.ts?token=canary-query", headers),
        Own("HLS", f"{account}/hls/aes/index.m3u8?token=canary-query", headers),
        Own("Film", f"{account}/vod/canary-path/film.mp4?token=canary-query"),
        Own("Nowhere", "https://canary-user:canary-pass@canary-host.invalid/canary-path.ts"),
        Own("Command", more='command = ["sh", "-c", "echo canary-command >&2; exit 1"]'),
    ]
    unreachable = f'[[provider]]\nkind = "xtream"\nurl = "http://127.0.0.1:{free_port()}"\n'
    unreachable += 'username = "canary-user"\npassword = "canary-pass"\n'
    more = f'{unreachable}[[provider]]\nkind = "m3u"\nurl = "{listed}"\n'
    with playing(folder, channels, "--log-level", "debug", toml=more, expected=7) as daemon:
        paths = [*daemon.channels().values(), "/", "/playlist.m3u8", "/health", "/health/detailed", "/metrics"]
        seen = [_all_of(daemon, path) for path in paths]
        faults: tuple[dict[str, object], ...] = (
            {"status": 403},
            {"never": 1, "drop": 1},
            {"redirect": "loop"},
            {"redirect": f"ftp://canary-user:canary-pass@127.0.0.1:{origin.port}/canary-path"},
            {"body": "#EXTM3U\n#EXTINF:2,\nfile:///canary-path\n"},
            {"die_after": 1000},
            {"reset_after": 1000},
            {"oversize_head": 200_000},
        )
        for knobs in faults:
            for path in ("/live/*", "/hls/*", "/vod/*"):
                origin.control(path, **knobs)
            seen += [_all_of(daemon, path) for path in paths]
        daemon.restart()
        wait_for(lambda: len(daemon.channels()) == 7)
        seen.append(daemon.log_text())
    text = "\n".join(seen)
    assert "session" in text
    assert "canary" not in text, _around(text, "canary")
    assert f":{origin.port}" not in text, _around(text, f":{origin.port}")


def _all_of(daemon: Playing, path: str) -> str:
    """The start of an answer, its head too."""
    return daemon.raw_get(path, limit=20_000, silence=2.0).data.decode("latin-1")


def _around(text: str, word: str) -> str:
    at = text.find(word)
    return text[max(0, at - 300) : at + 100]
