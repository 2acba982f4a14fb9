"""HLS through the daemon: everything plays, nothing of the origin shows, and what was handed out stays good."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest

from iptvd.protocols.m3u8 import Role
from iptvd.tokens import Grant, TokenBox, load_key
from tests.daemon.client import Response, wait_for
from tests.daemon.judges import judge
from tests.daemon.playing import Own, Playing, playing, watch, watch_all
from tests.simulators.media import HLS_SETS, KEY, SECONDS, Media
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

HLS_TYPE = "application/vnd.apple.mpegurl"
FRESH = ("Failing", "Broken", "Endless")
_URI = re.compile(r'URI="([^"]*)"')


@pytest.fixture(scope="module")
def hls(media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with every set of HLS, live and on demand."""
    channels = [
        Own(f"{folder} {name}", shared_origin.at(f"/{folder}/{name}/index.m3u8"))
        for folder in ("hls", "hls-live")
        for name in HLS_SETS
    ]
    channels += [
        Own("Windows", shared_origin.at("/hls-live/plain/index.m3u8", crlf=1, bom=1)),
        # What these have is not in anybody's memory when their tests begin.
        *(Own(name, shared_origin.at("/hls/plain/index.m3u8", segment_query=f"v={name}")) for name in FRESH),
        Own("Disguised", shared_origin.at("/hls/plain/index.m3u8", disguise=".png", segment_query="sid=canary-1")),
    ]
    with playing(tmp_path_factory.mktemp("hls"), channels) as daemon:
        yield daemon
        daemon.assert_balanced()


def uris_in(text: str) -> list[str]:
    """Every URI in a playlist."""
    found = _URI.findall(text)
    return found + [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def crawl(daemon: Playing, path: str, depth: int = 3) -> dict[str, Response]:
    """A playlist and everything that it leads to, by path; what comes in bulk is asked for by HEAD."""
    found = {path: daemon.get(path)}
    assert found[path].status == 200, found[path]
    for uri in uris_in(found[path].text):
        whole = urljoin(daemon.url + path, uri)
        assert whole.startswith(daemon.url), uri
        rest = whole.removeprefix(daemon.url)
        if urlsplit(rest).path.endswith(".m3u8"):
            if depth:
                found |= crawl(daemon, rest, depth - 1)
        elif rest not in found:
            found[rest] = daemon.head(rest)
    return found


def media_path(daemon: Playing, name: str) -> str:
    """The path of a channel's one media playlist, in a session of its own."""
    path = daemon.path_of(name)
    (uri,) = uris_in(daemon.get(path).text)
    return urljoin(path, uri)


def segment_paths(daemon: Playing, name: str) -> list[str]:
    """The paths of the segments that a channel has now."""
    path = media_path(daemon, name)
    lines = [line for line in daemon.get(path).text.splitlines() if line and not line.startswith("#")]
    return [urljoin(path, line) for line in lines]


def test_counted_once(hls: Playing, origin: OriginProcess) -> None:
    """A player of HLS is one viewer, however much it asks for, with the bytes it got."""
    began = sum(value for (name, _), value in hls.samples().items() if name == "iptvd_sessions_started_total")
    watch(hls.url_of("hls-live multi"), 1)
    after = sum(value for (name, _), value in hls.samples().items() if name == "iptvd_sessions_started_total")
    # Twice, because it is looked at by one player and watched by another.
    assert after - began == 2
    detailed = hls.get("/health/detailed").json()
    assert isinstance(detailed, dict)
    assert [session["face"] for session in detailed["sessions"]] == ["hls", "hls"]
    assert all(session["bytes"] > 10_000 for session in detailed["sessions"])
    assert (detailed["active_channels"], detailed["total_active_streams"]) == (1, 2)
    assert detailed["cache_size"] > 0


def test_plays(hls: Playing, origin: OriginProcess) -> None:
    """Every kind of HLS plays, live and on demand, encrypted, fMP4, in byte ranges, with variants and renditions."""
    names = [name for name in hls.channels() if not name.endswith("audio") and name not in FRESH]
    assert len(names) == 12
    for each in watch_all({name: hls.url_of(name) for name in names}).values():
        each.assert_plays()
    for each in watch_all({name: hls.url_of(name) for name in ("hls audio", "hls-live audio")}).values():
        each.assert_plays(["aac"])


@pytest.mark.parametrize("name", HLS_SETS)
def test_strict(hls: Playing, origin: OriginProcess, name: str) -> None:
    """What is on demand plays to its end without a complaint, and its length is known."""
    url = hls.url_of(f"hls {name}")
    verdict = judge(url, SECONDS)
    assert verdict.good, verdict
    if name != "multi":
        watched = watch(url, SECONDS)
        assert watched.probed.seconds == pytest.approx(SECONDS, abs=0.3)
        assert watched.decoded.seconds == pytest.approx(SECONDS, abs=0.3)


def test_nothing_of_the_origin_shows(hls: Playing, origin: OriginProcess) -> None:
    """In nothing that a viewer gets is there an address or a name of the origin's."""
    names = ("index.m3u8", "init.mp4", "key.bin", "canary", ".png", "/hls", "localhost", f":{origin.port}")
    for name in hls.channels():
        for path, response in crawl(hls, hls.path_of(name)).items():
            assert response.status == 200, (name, path)
            text = path + repr(response.headers) + (response.text if response.body else "")
            assert [each for each in names if each in text.replace(hls.path_of(name), "")] == [], name


def test_only_addresses_change(hls: Playing, origin: OriginProcess) -> None:
    """Of the origin's playlist everything but the addresses comes through as it was, line ends too."""
    origin.control("/hls-live/*", stuck=1)
    for name in ("hls aes", "hls fmp4", "hls single", "hls-live aes", "hls-live single", "Windows"):
        folder = "/hls-live/plain" if name == "Windows" else "/" + name.replace(" ", "/")
        theirs = origin.get(f"{folder}/index.m3u8" + ("?crlf=1" if name == "Windows" else "")).body
        path = media_path(hls, name)
        ours = hls.get(path)
        assert ours.headers["content-type"] == HLS_TYPE
        assert ours.headers["cache-control"] == "no-store"
        wait_for(lambda: _bare(hls.get(path).body) == _bare(theirs), what=f"the playlist of {name} as it is now")  # noqa: B023


def _bare(playlist: bytes) -> list[bytes]:
    lines = re.sub(rb'URI="[^"]*"', b'URI=""', playlist).splitlines(keepends=True)
    return [line if line.startswith(b"#") else line[len(line.rstrip()) :] for line in lines]


def test_extensions(hls: Playing, origin: OriginProcess) -> None:
    """Segments have names that players accept, whatever they are called at the origin."""
    assert all(path.endswith(".ts") for path in segment_paths(hls, "Disguised"))
    assert all(path.endswith((".m4s", ".mp4")) for path in segment_paths(hls, "hls fmp4"))


def test_reload(hls: Playing, origin: OriginProcess) -> None:
    """Reloading a playlist that has not changed gives the same bytes; if it has, segments keep their addresses."""
    origin.control("/hls-live/aes/index.m3u8", stuck=1)
    path = media_path(hls, "hls-live aes")
    theirs = origin.get("/hls-live/aes/index.m3u8").body
    wait_for(lambda: _bare(hls.get(path).body) == _bare(theirs), what="the playlist as it is now")
    first = hls.get(path).body
    asked = origin.counts("/hls-live/aes/index.m3u8").total

    def reloaded() -> bool:
        assert hls.get(path).body == first
        return origin.counts("/hls-live/aes/index.m3u8").total > asked

    wait_for(reloaded, what="another request to the origin")
    origin.control("/hls-live/aes/index.m3u8", stuck=1, window=3)
    wait_for(lambda: hls.get(path).body != first, what="the shorter playlist")
    fewer = uris_in(hls.get(path).text)
    assert 0 < len(fewer) < len(uris_in(first.decode()))
    assert {uri for uri in fewer if not uri.startswith("../key/")} < set(uris_in(first.decode()))


def test_directives(hls: Playing, origin: OriginProcess) -> None:
    """A player's delivery directives reach the origin, and nothing else of its query does."""
    path = media_path(hls, "hls-live plain")
    assert hls.get(f"{path}?_HLS_msn=7&_HLS_part=1&x=y&redirect=loop").status == 200
    query = origin.counts("/hls-live/plain/index.m3u8").query
    assert query == {"_HLS_msn": "7", "_HLS_part": "1"}


def test_redirected(hls: Playing, origin: OriginProcess) -> None:
    """After a redirect the addresses in a playlist are those of where it led to."""
    origin.control("/hls/plain/index.m3u8", redirect="host")
    watch(hls.url_of("hls plain")).assert_plays()
    assert origin.counts("/hls/plain/s0.ts").headers["host"].startswith("localhost:")


def test_segments(hls: Playing, origin: OriginProcess, media: Media) -> None:
    """A segment comes byte for byte with its length and type, in parts where they are asked for, and by HEAD."""
    data = media.read("hls/plain/s0.ts")
    path = segment_paths(hls, "hls plain")[0]
    whole = hls.get(path)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["content-type"] == "video/mp2t"
    assert whole.headers["access-control-allow-origin"] == "*"
    assert "no-store" not in whole.headers["cache-control"]
    head = hls.head(path)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(data)))
    part = hls.get(path, {"Range": "bytes=188-375"})
    assert (part.status, part.body) == (206, data[188:376])
    assert part.headers["content-range"] == f"bytes 188-375/{len(data)}"
    assert hls.get(path, {"Range": "bytes=188-375", "If-Range": whole.headers["etag"]}).status == 206
    assert hls.get(path, {"Range": "bytes=188-375", "If-Range": '"other"'}).status == 200
    assert hls.get(path, {"Range": "bytes=99999999-"}).status == 416


def test_keys(hls: Playing, origin: OriginProcess) -> None:
    """A key comes as it is, and may be kept by nobody."""
    path = media_path(hls, "hls aes")
    (uri,) = {uri for uri in uris_in(hls.get(path).text) if "/key/" in uri}
    answer = hls.get(urljoin(path, uri))
    assert (answer.status, answer.body) == (200, KEY)
    assert answer.headers["cache-control"] == "no-store"


def test_bad_tokens(hls: Playing, origin: OriginProcess) -> None:
    """An address that was forged, cut short, is for something else or has expired is a 403 with a sentence."""
    playlist = media_path(hls, "hls aes")
    uris = uris_in(hls.get(playlist).text)
    key = urljoin(playlist, next(uri for uri in uris if "/key/" in uri))
    segment = urljoin(playlist, next(uri for uri in uris if uri.endswith(".ts")))
    token = segment.removeprefix("/content/").removesuffix(".ts")
    middle = len(token) // 2
    forged = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    url = f"{origin.url}/hls/plain/s0.ts"
    old = TokenBox(load_key(hls.state / "tokens.key"), lambda: time.time() - 40 * 86_400)
    other = TokenBox(bytes(range(64)), time.time)
    grant = Grant(url, Role.SEGMENT, 1, "s", 0)
    bad = [
        forged,
        token[:-1],
        token[:20],
        token + "A",
        "x",
        "",
        "%00",
        "A" * 13_000,
        old.seal(grant),
        other.seal(grant),
    ]
    paths = [f"/content/{each}.ts" for each in bad] + [f"/content/{forged}.m3u8", f"/key/{forged}"]
    paths += [key.replace("/key/", "/content/"), f"/key/{token}", playlist.replace(".m3u8", ".ts")]
    for path in paths:
        answer = hls.get(path)
        assert answer.status == 403, path[:200]
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text.count("\n") == 1
    assert hls.get(segment).status == 200
    assert origin.counts("/hls/plain/s0.ts").total == 0


def test_upstream_faults(hls: Playing, origin: OriginProcess) -> None:
    """A playlist or segment that the origin does not give is an error with a sentence, by what was wrong."""
    path = hls.path_of("Failing")
    for knobs, status in (
        ({"status": 404}, 404),
        ({"status": 403}, 502),
        ({"status": 503}, 503),
        ({"as_": "html"}, 502),
        ({"as_": "empty"}, 502),
        ({"drop": 1}, 502),
        ({"body": "#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n"}, 502),
        ({"body": "#EXTM3U\n#EXTINF:2,\n" + "x" * 70_000}, 502),
    ):
        origin.control("/hls/plain/index.m3u8", **knobs)
        answer = hls.get(path)
        assert (answer.status, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8"), knobs
        assert answer.text.strip()
        assert str(origin.port) not in answer.text
    origin.control("/hls/plain/index.m3u8")
    wait_for(lambda: hls.get(path).status == 200, what="the playlist that is good again")
    segment = segment_paths(hls, "Failing")[0]
    for knob, status in ((404, 404), (410, 404), (403, 502), (500, 502), (503, 503)):
        origin.control("/hls/plain/s0.ts", status=knob)
        assert hls.get(segment).status == status


def test_a_segment_that_breaks_off(hls: Playing, origin: OriginProcess) -> None:
    """A segment that breaks off is not shown as whole, and does not end the session."""
    segment = segment_paths(hls, "Broken")[0]
    origin.control("/hls/plain/s0.ts", die_after=5000)
    head, _, body = hls.raw_get(segment).data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    assert length is not None
    assert len(body) < int(length[1])
    origin.control("/hls/plain/s0.ts")
    assert hls.get(segment).status == 200


def test_endless_playlist(hls: Playing, origin: OriginProcess) -> None:
    """A playlist without an end is given up at a bound, and the origin is left."""
    origin.control("/hls/plain/index.m3u8", redirect="/lists/endless.m3u")
    answer = hls.get(hls.path_of("Endless"))
    assert (answer.status, "longer than" in answer.text) == (502, True)
    wait_for(lambda: origin.counts("/lists/endless.m3u").open == 0)


def test_ends_by_itself(hls: Playing, origin: OriginProcess) -> None:
    """A session of HLS ends by itself some time after the last request, as a viewer that left."""
    before, began = hls.outcomes(), hls.active()
    # One may end between the two looks.
    while hls.outcomes() != before:
        before, began = hls.outcomes(), hls.active()
    assert began > 0
    hls.wait_for_active(0, 30.0)
    assert hls.outcomes() - before == {"viewer_left": began}


def test_restart(hls: Playing, origin: OriginProcess, media: Media) -> None:
    """After a restart a player goes on: the addresses it has are good, and it is one viewer."""
    playlist = media_path(hls, "hls plain")
    segments = [urljoin(playlist, uri) for uri in uris_in(hls.get(playlist).text)]
    before = hls.get(playlist).body
    hls.restart()
    wait_for(lambda: len(hls.channels()) > 0)
    assert hls.get(segments[0]).body == media.read("hls/plain/s0.ts")
    assert hls.get(playlist).body == before
    assert hls.active() == 1


def test_direct(
    media: Media, shared_origin: OriginProcess, origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With PROXY_CONTENT=FALSE segments come from the origin itself, except where that takes headers or a password."""
    url = origin.at("/hls/aes/index.m3u8")
    channels = [
        Own("Plain", url),
        Own("Headers", url, 'headers = { Referer = "http://example.com/" }'),
        Own("Account", url.replace("//", "//bob:s3cret@")),
    ]
    with playing(tmp_path_factory.mktemp("direct"), channels, environment={"PROXY_CONTENT": "FALSE"}) as daemon:
        watch(daemon.url_of("Plain")).assert_plays()
        for name, direct in (("Plain", True), ("Headers", False), ("Account", False)):
            uris = uris_in(daemon.get(media_path(daemon, name)).text)
            keys = [uri for uri in uris if "/key/" in uri]
            assert all(uri.startswith(f"{origin.url}/hls/aes/s") == direct for uri in set(uris) - set(keys))
            assert keys
            assert all(uri.startswith("../key/") for uri in keys)
