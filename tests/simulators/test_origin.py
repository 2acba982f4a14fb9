"""The origin serves what real origins serve, has the faults that it is asked for, and counts truly."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.judges import decode, judge, probe
from tests.simulators.files import BIG
from tests.simulators.hls import segment_key
from tests.simulators.lists import ENTRIES, MANY
from tests.simulators.looped import PACKET
from tests.simulators.media import HLS_SETS, KEY, SECONDS, Media
from tests.simulators.running import OriginProcess

FILM = "/live/film.ts"


@pytest.mark.parametrize("framing", ["close", "chunked", "length", "http10", "icy"])
def test_live_framings(origin: OriginProcess, framing: str) -> None:
    """A live stream plays however its body is framed."""
    assert judge(origin.at(FILM, framing=framing, start=0, rate=8), 5).good


@pytest.mark.parametrize("name", ["film", "other", "audio"])
def test_live_across_rounds(origin: OriginProcess, name: str) -> None:
    """A live stream plays on without a fault where the film begins again."""
    assert judge(origin.at(f"/live/{name}.ts", start=SECONDS - 3, rate=8), 6).good
    assert decode(origin.at(f"/live/{name}.ts", start=SECONDS - 3, rate=8), 6).corrupt == 0


def test_live_is_paced(origin: OriginProcess) -> None:
    """A live stream comes at its own rate, everyone joins it where it is now, and an unpaced one is taken as read."""
    with origin.open_stream(FILM) as stream:
        assert stream.read(PACKET)[:1] == b"\x47"
        wait_for(lambda: origin.counts(FILM).delivered > 100_000)
        assert origin.counts(FILM).accepted < 1_000_000
    with origin.open_stream(FILM + "?rate=0") as stream:
        assert len(stream.read(20_000_000)) == 20_000_000


def test_live_stuffed(origin: OriginProcess) -> None:
    """A stuffed stream has the rate that is asked for, and plays."""
    assert judge(origin.at(FILM, start=0, rate=8, mbit=8), 4).good
    with origin.open_stream(FILM + "?rate=0&mbit=8&start=0") as stream:
        data = stream.read(2_000_000)
    nulls = sum(data[at + 1] & 0x1F == 0x1F for at in range(0, len(data) - PACKET, PACKET))
    assert nulls * PACKET > len(data) / 2


def test_misaligned(origin: OriginProcess) -> None:
    """A stream can begin in the middle of a packet."""
    with origin.open_stream(FILM + "?misaligned=100") as stream:
        data = stream.read(1000)
    assert [data[88 + n * PACKET] for n in range(4)] == [0x47] * 4
    assert data[0] != 0x47


@pytest.mark.parametrize("name", ["tones.aac", "tones.mp3"])
def test_radio(origin: OriginProcess, name: str) -> None:
    """Radio plays, also from a server that answers ICY."""
    assert judge(origin.at(f"/radio/{name}", rate=8, framing="icy"), 5).good


@pytest.mark.parametrize("name", HLS_SETS)
@pytest.mark.parametrize("face", ["hls", "hls-live"])
def test_hls(origin: OriginProcess, face: str, name: str) -> None:
    """Every HLS set plays, on demand and live."""
    assert judge(origin.at(f"/{face}/{name}/index.m3u8"), 5).good


def test_hls_live_moves_on(origin: OriginProcess) -> None:
    """A live playlist drops its first segment as a new one comes, and says that it does; a stuck one does not."""
    playlist = "/hls-live/plain/index.m3u8"

    def sequence(path: str) -> int:
        return int(origin.get(path).text.partition("MEDIA-SEQUENCE:")[2].split()[0])

    before, stuck = sequence(playlist), sequence("/hls-live/aes/index.m3u8?stuck=1")
    wait_for(lambda: sequence(playlist) > before + 1)
    assert sequence("/hls-live/aes/index.m3u8?stuck=1") == stuck
    assert origin.get(playlist).text.count("#EXTINF") == 6
    assert origin.get(f"/hls-live/plain/s{before + 60}.ts").status == 404
    assert origin.get("/hls-live/plain/s0.ts").status == 404
    assert origin.get(playlist + "?ended=1").text.endswith("#EXT-X-ENDLIST\n")


def test_hls_keys(origin: OriginProcess) -> None:
    """Keys are sixteen bytes, and can be refused."""
    assert origin.get("/hls/aes/key.bin").body == KEY
    assert origin.get("/hls-live/aes/key9.bin").body == segment_key(9)
    origin.control("/hls-live/aes/key*", status=403)
    assert origin.get("/hls-live/aes/key9.bin").status == 403
    assert 'URI="key.bin?status=403"' in origin.get("/hls/aes/index.m3u8?key_query=status=403").text


def test_hls_dressed(origin: OriginProcess) -> None:
    """Playlists come with CRLF, a byte order mark and segments under false names; and the segments are there."""
    body = origin.get("/hls/plain/index.m3u8?crlf=1&bom=1&disguise=.png&segment_query=token%3D1").body
    assert body.startswith(b"\xef\xbb\xbf#EXTM3U\r\n")
    assert b"\r\ns3.png?token=1\r\n" in body
    segment = origin.get("/hls/plain/s3.png?token=1")
    assert (segment.headers["content-type"], segment.body[:1]) == ("image/png", b"\x47")
    newest = origin.get("/hls-live/multi/0/index.m3u8?disguise=.png").text.split()[-1]
    assert newest.endswith(".png")
    assert origin.get(f"/hls-live/multi/0/{newest}").status == 200


def test_hls_after_redirect(origin: OriginProcess) -> None:
    """A playlist that was redirected plays only for who resolves its segments against where it really was."""
    assert judge(origin.at("/old/channel.m3u8", redirect="/hls/plain/index.m3u8"), 5).good
    assert origin.counts("/hls/plain/s0.ts").total > 0


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_vod_plays(origin: OriginProcess, name: str) -> None:
    """Files play, with byte ranges and without."""
    assert probe(origin.at(f"/vod/{name}")).codecs == ("h264", "aac")
    assert judge(origin.at(f"/vod/{name}", noranges=1), 5).good


def test_vod_ranges(origin: OriginProcess, media: Media) -> None:
    """Byte ranges are answered as RFC 9110 has it, conditions included."""
    data = media.read("film.mp4")
    whole = origin.get("/vod/film.mp4")
    assert (whole.status, whole.body, whole.headers["accept-ranges"]) == (200, data, "bytes")

    def ranged(wanted: str, **more: str) -> tuple[int, str, bytes]:
        headers = {"Range": wanted, **{name.replace("_", "-"): value for name, value in more.items()}}
        response = origin.get("/vod/film.mp4", headers)
        return response.status, response.headers.get("content-range", ""), response.body

    size = len(data)
    assert ranged("bytes=10-19") == (206, f"bytes 10-19/{size}", data[10:20])
    assert ranged("bytes=100000-300000") == (206, f"bytes 100000-300000/{size}", data[100_000:300_001])
    assert ranged(f"bytes={size - 5}-") == (206, f"bytes {size - 5}-{size - 1}/{size}", data[-5:])
    assert ranged("bytes=-7") == (206, f"bytes {size - 7}-{size - 1}/{size}", data[-7:])
    assert ranged(f"bytes={size}-")[:2] == (416, f"bytes */{size}")
    assert ranged("bytes=0-1", If_Range=whole.headers["etag"])[0] == 206
    assert ranged("bytes=0-1", If_Range=whole.headers["last-modified"])[0] == 206
    assert ranged("bytes=0-1", If_Range='"another"')[0] == 200
    assert ranged("bytes=0-1", If_None_Match=whole.headers["etag"])[0] == 304
    origin.control("/vod/film.mp4", noranges=1)
    assert ranged("bytes=10-19") == (200, "", data)


def test_vod_head_and_big(origin: OriginProcess) -> None:
    """HEAD gives the length without the content, of a file too that is larger than any buffer."""
    head = origin.head("/vod/big.ts")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(BIG), b"")
    response = origin.get("/vod/big.ts", {"Range": f"bytes={BIG - 3}-"})
    assert (response.status, len(response.body)) == (206, 3)


def test_lists(origin: OriginProcess) -> None:
    """The lists name the origin's own URLs, each of which is there; the big one is big, and one comes packed."""
    text = origin.get("/lists/basic.m3u").text
    urls = [line for line in text.splitlines() if line.startswith("http")]
    assert len(urls) == len(ENTRIES)
    for url in urls:
        assert origin.head(url.removeprefix(origin.url)).status == 200
    assert gzip.decompress(origin.get("/lists/basic.m3u.gz").body).decode() == text
    assert origin.get("/lists/basic.m3u?count=2").text.count("#EXTINF") == 2
    assert origin.get("/lists/big.m3u").body.count(b"#EXTINF") == MANY
    with origin.open_stream("/lists/endless.m3u") as stream:
        assert len(stream.read(5_000_000)) == 5_000_000


def test_lists_validated(origin: OriginProcess) -> None:
    """A list that is unchanged is not sent again; one that has changed is."""
    etag = origin.get("/lists/basic.m3u").headers["etag"]
    assert origin.get("/lists/basic.m3u", {"If-None-Match": etag}).status == 304
    origin.control("/lists/basic.m3u", body="#EXTM3U\n")
    changed = origin.get("/lists/basic.m3u", {"If-None-Match": etag})
    assert (changed.status, changed.text) == (200, "#EXTM3U\n")


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_statuses(origin: OriginProcess, status: int) -> None:
    """Every path can be made to fail, for one request or from now on, and be made well again."""
    assert origin.get(f"/live/film.ts?status={status}").status == status
    origin.control("lists/basic.m3u", status=status)
    assert origin.get("/lists/basic.m3u").status == status
    origin.control("lists/basic.m3u")
    assert origin.get("/lists/basic.m3u").status == 200


def test_other_content(origin: OriginProcess) -> None:
    """A path can answer 200 with something else than it should, under another type, and packed."""
    html = origin.get("/live/film.ts?as=html")
    assert (html.status, html.headers["content-type"], html.body[:9]) == (200, "text/html", b"<!DOCTYPE")
    assert origin.get("/live/film.ts?as=playlist").text.startswith("#EXTM3U")
    assert origin.get("/hls/plain/index.m3u8?as=empty").body == b""
    packed = origin.get("/lists/basic.m3u?gzip=1&type=text/plain")
    assert (packed.headers["content-encoding"], packed.headers["content-type"]) == ("gzip", "text/plain")
    assert gzip.decompress(packed.body).startswith(b"#EXTM3U")


def test_any_bytes(origin: OriginProcess) -> None:
    """A path can answer with any bytes, and tells whoever has them that they are the same."""
    origin.control("/any", bytes="/wAB")
    answer = origin.get("/any")
    assert (answer.status, answer.body) == (200, b"\xff\x00\x01")
    again = origin.get("/any", {"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("knob", "ending"), [("die_after", "closed"), ("reset_after", "reset"), ("stall_after", "silent")]
)
def test_cut(origin: OriginProcess, knob: str, ending: str) -> None:
    """A body can be cut at a byte: by an end, by a reset after the client has it all, by silence."""
    answer = origin.raw_get(f"{FILM}?rate=0&{knob}=700001", 10_000_000, silence=1.0)
    body = answer.data.partition(b"\r\n\r\n")[2]
    assert (len(body), answer.ending) == (700_001, ending)
    wait_for(lambda: origin.counts(FILM).open == 0)


def test_stall_stays_open(origin: OriginProcess) -> None:
    """A stalled request counts as open until the client hangs up."""
    with origin.open_stream(FILM + "?stall_after=1880") as stream:
        assert len(stream.read(1880)) == 1880
        assert origin.counts(FILM).open == 1
    wait_for(lambda: origin.counts(FILM).open == 0)


def test_cut_chunked(origin: OriginProcess) -> None:
    """A chunked body that is cut has no last chunk, so that a client can tell."""
    with (
        origin.open_stream("/vod/film.ts?framing=chunked&die_after=5000") as stream,
        pytest.raises(http.client.IncompleteRead),
    ):
        stream.read_to_end()


def test_no_answer(origin: OriginProcess) -> None:
    """A request can be left without an answer for ever, for a while, or be answered with a reset."""
    assert origin.raw_get(FILM + "?never=1", silence=0.2).data == b""
    assert origin.raw_get(FILM + "?drop=1").ending == "reset"
    assert origin.raw_get(FILM + "?head_delay=60", silence=0.1).data == b""
    assert origin.raw_get("/lists/basic.m3u?head_delay=0.4").data.startswith(b"HTTP/1.1 200 OK\r\n")


def test_heads(origin: OriginProcess) -> None:
    """Heads come too large, without end, after another, and in the manner of other servers."""
    big = origin.raw_get("/live/film.ts?as=empty&oversize_head=200000").data
    assert len(big) > 200_000
    assert big.endswith(b"\r\n\r\n")
    endless = origin.raw_get(FILM + "?endless_head=1", 3_000_000)
    assert (endless.ending, b"\r\n\r\n" in endless.data) == ("full", False)
    assert origin.raw_get(FILM + "?early=103&as=empty").data.startswith(
        b"HTTP/1.1 103 Wait\r\nX-Early: yes\r\n\r\nHTTP/1.1 200 OK"
    )
    assert origin.raw_get(FILM + "?framing=icy&die_after=9").data.startswith(b"ICY 200 OK\r\n")
    assert origin.raw_get(FILM + "?framing=http10&die_after=9").data.startswith(b"HTTP/1.0 200 OK\r\n")


def test_drip(origin: OriginProcess) -> None:
    """A body can come in drops."""
    whole = len(origin.get("/lists/basic.m3u").body)
    with origin.open_stream("/lists/basic.m3u?drip=1") as stream:
        assert stream.headers["content-length"] == str(whole)
        assert stream.read(2) == b"#E"
        assert origin.counts("/lists/basic.m3u").accepted < 2 * whole


def test_redirects(origin: OriginProcess) -> None:
    """Redirects lead near, far, in circles, through a password, and nowhere."""

    def location(kind: str) -> str | None:
        response = origin.get(f"{FILM}?redirect={kind}")
        assert response.status == 302
        return response.headers.get("location")

    assert location("relative") == "film.ts?redirected=1"
    assert location("host") == f"http://localhost:{origin.port}/live/film.ts?redirected=1"
    assert location("loop") == "/live/film.ts?redirect=loop"
    assert location("none") is None
    assert location("/live/other.ts") == "/live/other.ts"
    origin.control(FILM, redirect="credentials", auth="bob:s3cret", start=0, rate=8)
    assert judge(origin.at(FILM), 2).good


def test_admission(origin: OriginProcess) -> None:
    """A path can ask for a password or a header."""
    origin.control(FILM, auth="bob:s3cret", need="Referer:http://example.com/")
    assert origin.get(FILM).status == 403
    headers = {"Referer": "http://example.com/page"}
    refused = origin.get(FILM, headers)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Basic realm="origin"')
    with origin.open_stream(FILM, {**headers, "Authorization": "Basic Ym9iOnMzY3JldA=="}) as stream:
        assert stream.status == 200


def test_connection_is_kept(origin: OriginProcess) -> None:
    """A connection serves one request after the other, those too that were sent ahead."""
    head = f"HEAD /vod/film.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{origin.port}\r\n\r\n".encode()
    answer = origin.raw(head * 2 + head.replace(b"Host", b"Connection: close\r\nHost"))
    assert (answer.data.count(b"HTTP/1.1 200 OK"), answer.ending) == (3, "closed")
    assert origin.counts("/vod/film.mp4").methods == {"HEAD": 3}


def test_counts(origin: OriginProcess) -> None:
    """What is counted: who is there now, the most at once, the last request, and bytes that really left."""
    with origin.open_stream(FILM, {"X-Viewer": "one"}), origin.open_stream(FILM + "?start=1", {"X-Viewer": "two"}):
        counts = origin.counts(FILM)
        assert (counts.open, counts.total, counts.method) == (2, 2, "GET")
        assert (counts.headers["x-viewer"], counts.query) == ("two", {"start": "1"})
    wait_for(lambda: origin.counts(FILM).open == 0)
    assert origin.counts(FILM).peak == 2
    assert origin.open_requests() == 0
    origin.get("/lists/basic.m3u", {"Range": "bytes=0-9"})
    counts = origin.counts("/lists/basic.m3u")
    assert counts.ranges == ["bytes=0-9"]
    assert counts.accepted == counts.written == counts.delivered > 10


def test_backpressure(origin: OriginProcess) -> None:
    """An unpaced stream that is not read stops after what the sockets hold, and the counts tell."""
    with origin.open_stream(FILM + "?rate=0&sndbuf=65536", rcvbuf=65536) as stream:
        stream.read(PACKET)

        def settled() -> bool:
            first = origin.counts(FILM)
            return first.written == origin.counts(FILM).written and first.accepted > first.written

        wait_for(settled)
        counts = origin.counts(FILM)
        assert counts.delivered <= counts.written <= counts.accepted < 2_000_000
        before = counts.delivered
        stream.read(4_000_000)
        assert origin.counts(FILM).delivered > before


def test_bad_requests(origin: OriginProcess) -> None:
    """What is no request ends the connection; a knob that there is not, or with a bad value, is told."""
    assert origin.raw(b"hello\r\n\r\n").ending == "reset"
    with pytest.raises(KeyError):
        origin.control(FILM, statsu=500)
    with pytest.raises(KeyError):
        origin.at(FILM, statsu=500)
    assert origin.get(FILM + "?rate=fast").status == 400
    assert origin.get("/nowhere").status == 404
    assert json.loads(origin.get("/stats").body)["connections"]["open"] == 1


def test_origin_comes_back(new_origin: Callable[..., OriginProcess]) -> None:
    """An origin can be killed, refuses connections then, and comes back on the same port."""
    first = new_origin()
    with first.open_stream(FILM) as stream:
        first.kill()
        stream.read_to_end()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", first.port)):
        pass
    second: Any = new_origin(first.port)
    assert second.port == first.port
    assert second.get("/lists/basic.m3u").status == 200


def test_leash(new_origin: Callable[..., OriginProcess]) -> None:
    """An origin ends by itself when the tests that started it are gone."""
    running = new_origin()
    running.loosen()
    assert wait_for(lambda: running.status() is not None)
    assert running.status() == 0
