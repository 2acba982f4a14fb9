"""Behind a SOCKS5 proxy: lists, logos, guides and streams come through it, and nothing ever goes past it."""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest

from tests.daemon.client import wait_for
from tests.daemon.harness import free_port
from tests.daemon.launch import providers
from tests.daemon.playing import Own, Playing, own_channels, playing, watch, watch_all
from tests.daemon.test_reload import reload
from tests.epg.guide import Shown, xmltv
from tests.simulators.media import Media
from tests.simulators.running import OriginProcess
from tests.simulators.socks import EXIT, PASSWORD, USER, Line, Microsocks, ScriptedProxy

pytestmark = pytest.mark.daemon

HERE = "127.0.0.1"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
#: The channels of the list: where on the origin they are, and how their addresses here end.
LISTED = {
    "Stream": ("/live/film.ts", ".ts"),
    "Encrypted": ("/hls-live/aes/index.m3u8", ".m3u8"),
    "Made TS": ("/hls-live/aes/index.m3u8?segment_query=made", ".ts"),
    "Variants": ("/hls/multi/index.m3u8", ".m3u8"),
    "Film": ("/vod/film.mp4", ".mp4"),
}
#: Those that ffmpeg would have to fetch.
OF_FFMPEG = {"Dashed": ("/vod/dash.mpd", ".ts"), "Fragments": ("/hls-live/fmp4/index.m3u8", ".ts")}
PANELS, STRAIGHT = "Panel One", "Straight"


class Panel:
    """
    A small Xtream panel, whose one channel is elsewhere; it has a guide, logos, and a guide for everybody.

    :ivar peers: by path, the addresses that requests came from.
    """

    def __init__(self, stream: str) -> None:
        self.peers: defaultdict[str, set[str]] = defaultdict(set)
        self._stream = stream
        self._server = ThreadingHTTPServer((HERE, 0), self._handler())
        self.url = f"http://{HERE}:{self._server.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        panel = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = panel.answer(self.path, self.client_address[0])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def answer(self, target: str, peer: str) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(target)
        self.peers[parts.path].add(peer)
        if parts.path == "/player_api.php":
            action = parse_qs(parts.query).get("action", [""])[0]
            return 200, {"Content-Type": "application/json"}, json.dumps(self._said(action)).encode()
        if parts.path in ("/xmltv.php", "/own.xml"):
            channel = {"/xmltv.php": "panel.test", "/own.xml": "stream.test"}[parts.path]
            now = datetime.now(UTC)
            start, stop = (now - timedelta(hours=1)).timestamp(), (now + timedelta(hours=2)).timestamp()
            return 200, {}, xmltv([Shown(channel, start, stop, f"On {channel}")], {channel: channel})
        if parts.path.startswith("/logo/"):
            return 200, {"Content-Type": "image/png"}, PNG
        if parts.path.startswith("/live/"):
            return 302, {"Location": self._stream}, b""
        return 404, {}, b""

    def _said(self, action: str) -> object:
        if action == "get_live_streams":
            channel = {"num": 1, "name": PANELS, "stream_id": 7, "stream_icon": f"{self.url}/logo/7.png"}
            return [channel | {"stream_type": "live", "epg_channel_id": "panel.test", "category_id": "1"}]
        if action:
            return (
                [{"category_id": "1", "category_name": "All", "parent_id": 0}] if action.endswith("categories") else []
            )
        return {"user_info": {"auth": 1, "status": "Active", "max_connections": "0"}, "server_info": {}}

    @contextmanager
    def running(self) -> Iterator[Panel]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@pytest.fixture(scope="module")
def far_origin(media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OriginProcess]:
    """An origin for these tests alone."""
    with OriginProcess(media, tmp_path_factory.mktemp("origin")).start() as running:
        yield running
        assert running.log_text().splitlines()[1:] == [], "the origin itself had errors"


@pytest.fixture(scope="module")
def panel(far_origin: OriginProcess) -> Iterator[Panel]:
    """A panel whose channel is on the origin."""
    with Panel(far_origin.at("/live/other.ts")).running() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Microsocks]:
    """A proxy that wants a password."""
    with Microsocks(tmp_path_factory.mktemp("microsocks"), locked=True).start() as running:
        yield running


def listing(origin: OriginProcess, panel: Panel) -> str:
    """The list with all channels of the origin's."""
    lines = ["#EXTM3U"]
    for name, (path, _) in (LISTED | OF_FFMPEG).items():
        key = name.lower().replace(" ", "-")
        lines.append(f'#EXTINF:-1 tvg-id="{key}.test" tvg-logo="{panel.url}/logo/{key}.png",{name}')
        lines.append(origin.at(path))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def daemon(
    far_origin: OriginProcess, panel: Panel, proxy: Microsocks, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playing]:
    """A daemon behind the proxy, with one provider that may go past it."""
    far_origin.control("/list.m3u", body=listing(far_origin, panel))
    toml = (
        f'socks5 = "{proxy.address}"\nlinger = 1\nproxy_content = false\nepg = ["{panel.url}/own.xml"]\n'
        f'[[provider]]\nkind = "m3u"\nname = "list"\nurl = "{far_origin.at("/list.m3u")}"\n'
        f'[[provider]]\nkind = "xtream"\nname = "panel"\nurl = "{panel.url}"\n'
        'username = "u"\npassword = "p"\ncontent = ["live"]\n'
    )
    straight = own_channels([Own(STRAIGHT, far_origin.at("/live/straight/film.ts"))])
    straight = straight.replace('name = "own"\n', 'name = "own"\nsocks5 = "none"\n')
    count = len(LISTED) + len(OF_FFMPEG) + 2
    with playing(tmp_path_factory.mktemp("socks"), toml=toml + straight, expected=count) as running:
        yield running
        wait_for(lambda: not running.active(), 30, "the end of all sessions")
        running.assert_balanced()
        for secret in (PASSWORD, f":{proxy.port}"):
            assert secret not in running.log_text()


def url_of(daemon: Playing, name: str) -> str:
    """The URL of a channel in the form in which it is to be played."""
    _, ending = (LISTED | OF_FFMPEG).get(name, ("", ".ts"))
    return daemon.url_of(name).rpartition(".")[0] + ending


def sockets_of(pid: int) -> set[int]:
    """The ports that a process has connections to, over IPv4."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            inodes.update(re.findall(r"^socket:\[(\d+)\]", str(link.readlink())))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].partition(":")[2], 16) for row in rows if row[9] in inodes and row[3] == "01"}


def assert_all_through(origin: OriginProcess, panel: Panel) -> dict[str, dict[str, int]]:
    """No request has come but from the proxy, those apart that may; what came, by path."""
    stats: Any = origin.get("/stats").json()
    seen = {path: counts["peers"] for path, counts in stats["paths"].items() if "/straight/" not in path}
    assert {peer for peers in seen.values() for peer in peers} == {EXIT}, seen
    assert set().union(*panel.peers.values()) == {EXIT}, panel.peers
    return seen


def test_lists(daemon: Playing, far_origin: OriginProcess, panel: Panel) -> None:
    """What providers have, lists and API calls, comes through the proxy."""
    assert {name: told["state"] for name, told in providers(daemon).items()} == dict.fromkeys(
        ("list", "panel", "own"), "ok"
    )
    assert "/list.m3u" in assert_all_through(far_origin, panel)
    assert "/player_api.php" in panel.peers


def test_plays(daemon: Playing, far_origin: OriginProcess, panel: Panel, proxy: Microsocks) -> None:
    """Streams, playlists, segments, keys, films and what is redirected to come through the proxy."""
    for each in watch_all({name: url_of(daemon, name) for name in (*LISTED, PANELS)}).values():
        each.assert_plays()
    seen = assert_all_through(far_origin, panel)
    for start in ("/live/film", "/live/other", "/hls-live/aes/index", "/hls-live/aes/s", "/hls-live/aes/key", "/vod/"):
        assert [path for path in seen if path.startswith(start)], (start, list(seen))
    with daemon.open_stream(daemon.path_of("Stream")) as viewer:
        viewer.read(100_000)
        assert proxy.port in sockets_of(daemon.pid)
        assert far_origin.port not in sockets_of(daemon.pid)


def test_resumed(daemon: Playing, far_origin: OriginProcess, panel: Panel, media: Media) -> None:
    """A film that its origin drops is gone on with through the proxy."""
    far_origin.control("/vod/film.mp4", die_after=400_000)
    try:
        body = daemon.get(daemon.path_of("Film")).body
    finally:
        far_origin.control("/vod/film.mp4")
    assert body == media.read("film.mp4")
    assert far_origin.counts("/vod/film.mp4").ranges
    assert_all_through(far_origin, panel)


def test_players_are_kept_here(daemon: Playing, far_origin: OriginProcess) -> None:
    """Players are not sent past the proxy, although segments may be had directly where there is none."""
    path = daemon.path_of("Encrypted")
    while "#EXTINF" not in (text := daemon.get(path).text):
        path = urljoin(path, next(line for line in text.splitlines() if line and not line.startswith("#")))
    assert f":{far_origin.port}" not in text


def test_logos(daemon: Playing, far_origin: OriginProcess, panel: Panel) -> None:
    """Logos come through the proxy."""
    for name in ("Stream", PANELS):
        number = daemon.path_of(name).rpartition("/")[2].partition(".")[0]
        assert daemon.get(f"/logo/{number}").body == PNG
    assert {"/logo/stream.png", "/logo/7.png"} <= set(panel.peers)
    assert_all_through(far_origin, panel)


def test_guides(daemon: Playing, far_origin: OriginProcess, panel: Panel) -> None:
    """The guides of providers, and the operator's own, come through the proxy."""

    def told() -> bool:
        text = daemon.get("/epg.xml").text
        return all(f"On {channel}.test" in text for channel in ("panel", "stream"))

    wait_for(told, 30, f"the guides; see {daemon.log}")
    assert {"/xmltv.php", "/own.xml"} <= set(panel.peers)
    assert_all_through(far_origin, panel)


def test_what_ffmpeg_would_fetch(daemon: Playing, far_origin: OriginProcess, panel: Panel) -> None:
    """A channel that ffmpeg would have to fetch is refused with the reason, rather than fetched past the proxy."""
    for name in OF_FFMPEG:
        answer = daemon.get(urlsplit(url_of(daemon, name)).path)
        assert answer.status == 502
        assert "cannot go through the SOCKS proxy" in answer.text
    assert_all_through(far_origin, panel)
    watch(url_of(daemon, "Fragments").replace(".ts", ".m3u8")).assert_plays()
    assert_all_through(far_origin, panel)


def test_straight(daemon: Playing, far_origin: OriginProcess) -> None:
    """A provider that may goes past the proxy."""
    watch(daemon.url_of(STRAIGHT)).assert_plays()
    assert set(far_origin.counts("/live/straight/film.ts").peers) == {HERE}


def test_faults(far_origin: OriginProcess, tmp_path: Path) -> None:
    """While the proxy is gone or refuses, channels stay and say why not; when it is back they play."""
    far_origin.control("/one.m3u", body=f"#EXTM3U\n#EXTINF:-1,One\n{far_origin.at('/live/one.ts')}\n")

    def settings(address: str) -> str:
        table = f'[[provider]]\nkind = "m3u"\nname = "list"\nurl = "{far_origin.at("/one.m3u")}"\n'
        return f'socks5 = "{address}"\nlinger = 1\nconnect_timeout = 2\n{table}'

    def of_list(daemon: Playing) -> dict[str, Any]:
        return providers(daemon)["list"]

    proxy = Microsocks(tmp_path / "microsocks", locked=True).start()
    other, silent = ScriptedProxy([Line(3, b"SSH-2.0-x\r\n")]), ScriptedProxy([])
    running = playing(tmp_path / "daemon", toml=settings(proxy.address), expected=1)
    with proxy, other, silent, running as daemon:
        watch(daemon.url_of("One"), 1).assert_plays(seconds=0.5)
        # What is on the air stays there.
        daemon.wait_for_rest("One")
        for address, sentence, status in (
            (f"{USER}:wrong@{HERE}:{proxy.port}", "SOCKS proxy does not accept the user name and password", 502),
            (f"{HERE}:{proxy.port}", "SOCKS proxy wants another user name and password than it is given", 502),
            (f"{HERE}:{other.port}", "at the proxy's address does not speak SOCKS5", 502),
            (f"{HERE}:{free_port()}", "SOCKS proxy refuses the connection", 502),
            (f"{HERE}:{silent.port}", "SOCKS proxy does not answer", 504),
        ):
            reload(daemon, settings(address))
            told = wait_for(lambda wanted=sentence: (now := of_list(daemon))["sentence"].endswith(wanted) and now)  # type: ignore[misc]
            assert (told["state"], told["entries"]) == ("unreachable", 1)
            answer = daemon.get(daemon.path_of("One"))
            assert (answer.status, sentence in answer.text) == (status, True), answer
            for secret in (PASSWORD, "wrong", HERE, str(proxy.port), str(far_origin.port)):
                assert secret not in answer.text
        reload(daemon, settings(proxy.address))
        wait_for(lambda: of_list(daemon)["state"] == "ok", what="the provider")
        watch(daemon.url_of("One"), 1).assert_plays(seconds=0.5)
    assert set(far_origin.counts("/live/one.ts").peers) == {EXIT}
