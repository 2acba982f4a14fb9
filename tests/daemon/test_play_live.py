"""Channels of every provider play through the daemon in the form they have, whatever their origins do on the way."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import count

import pytest

from tests.daemon.client import Response
from tests.daemon.judges import judge, probe
from tests.daemon.playing import Own, Playing, own_channels, playing, watch, watch_all
from tests.simulators.lists import ENTRIES
from tests.simulators.looped import LoopedTs
from tests.simulators.media import SECONDS, Media, find_ffmpeg
from tests.simulators.panel_process import FILM, LIVE, USER, PanelProcess
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Channels that a test sets the origin up for as it likes.
FREE = [f"Free {number}" for number in range(1, 9)]
FRAMINGS = ("chunked", "length", "close", "http10", "icy")
BODY = 3_000_000


@pytest.fixture(scope="module")
def panel(
    media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PanelProcess]:
    """An Xtream panel whose live channels are on the origin."""
    folder = tmp_path_factory.mktemp("panel")
    with PanelProcess(media, folder, shared_origin.at("/live/panel.ts", start=0, rate=4)) as running:
        yield running


def alone(origin: OriginProcess) -> str:
    """A provider whose viewers have a connection each: every byte of the origin's comes through as it is."""
    table = own_channels(
        Own(framing, origin.at("/live/x.ts", start=0, rate=0, framing=framing)) for framing in FRAMINGS
    )
    return table.replace('name = "own"', 'name = "alone"\nsharing = "isolated"')


def own(media: Media, origin: OriginProcess) -> list[Own]:
    """The operator's own channels."""
    film = str(media.path("film.ts"))
    paced = [find_ffmpeg(), "-nostdin", "-v", "error", "-readrate", "4", "-stream_loop", "-1", "-i", film]
    command = [*paced, "-c", "copy", "-f", "mpegts", "-"]
    return [
        Own("Own command", more=f"command = {command}"),
        Own("Own file", more=f'file = "{media.path("film.mp4")}"'),
        Own("Own radio", origin.at("/radio/own.mp3", rate=4), "radio = true"),
        Own("Not what it says", origin.at("/hls/plain/index.m3u8"), 'form = "ts"'),
        Own("A page", origin.at("/live/page.ts", as_="html")),
        *(Own(name, origin.at(f"/live/{name.replace(' ', '-').lower()}.ts")) for name in FREE),
        Own("Account", origin.at("/live/account.ts").replace("//", "//bob:s3cret@")),
        Own("Cookie", origin.at("/live/cookie.ts"), 'headers = { Cookie = "a=b", X-Extra = "1" }'),
    ]


@pytest.fixture(scope="module")
def daemon_of_all(
    media: Media, shared_origin: OriginProcess, panel: PanelProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playing]:
    """One daemon with every provider."""
    folder = tmp_path_factory.mktemp("live")
    headers = folder / "headers.m3u"
    headers.write_text(
        "#EXTM3U\n#EXTINF:-1,VLC options\n#EXTVLCOPT:http-user-agent=Tester/1\n"
        "#EXTVLCOPT:http-referrer=http://example.com/a\n"
        f"{shared_origin.url}/hls-live/aes/index.m3u8\n#EXTINF:-1,Kodi suffix\n"
        f"{shared_origin.url}/live/kodi.ts|User-Agent=Kodi%20Tester&Referer=http://example.com/b\n"
    )
    account = f'url = "{panel.url}"\nusername = "{USER.username}"\npassword = "{USER.password}"'
    providers = (
        ("demo", ""),
        ("m3u", f'url = "{shared_origin.url}/lists/basic.m3u"'),
        ("xtream", account),
        ("m3u", f'name = "headers"\nurl = "{headers}"'),
    )
    more = "linger = 0.05\n" + alone(shared_origin)
    more += "".join(f'[[provider]]\nkind = "{kind}"\n{lines}\n' for kind, lines in providers)
    mine = own(media, shared_origin)
    expected = len(mine) + len(FRAMINGS) + 5 + len(ENTRIES) + 4 + 2
    with playing(folder, mine, toml=more, expected=expected) as daemon:
        yield daemon
        daemon.assert_balanced()


def sentence(response: Response, status: int) -> str:
    """The one sentence of a refusal in plain text."""
    assert response.status == status, response
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text.endswith(".\n")
    assert response.text.count("\n") == 1
    return response.text


def test_list(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """Everything in an M3U list plays at once: TS, HLS of every kind, a film and radio."""
    origin.control("/live/*", rate=4)
    origin.control("/radio/*", rate=4)
    paths = daemon_of_all.channels("?provider=m3u")
    assert paths.keys() == {name for name, _, _ in ENTRIES}
    watched = watch_all({name: daemon_of_all.url + path for name, path in paths.items()})
    watched.pop("Two tones").assert_plays(["aac"])
    watched.pop("Two tones MP3").assert_plays(["mp3"])
    assert watched["Film on demand"].probed.seconds == pytest.approx(SECONDS, abs=0.2)
    for each in watched.values():
        each.assert_plays()


def test_panel(daemon_of_all: Playing, origin: OriginProcess, panel: PanelProcess) -> None:
    """Everything that an Xtream panel has plays at once: live channels on another machine, a film and an episode."""
    paths = daemon_of_all.channels("?provider=xtream")
    assert len(paths) == 4
    assert {*LIVE, FILM} < paths.keys()
    for each in watch_all({name: daemon_of_all.url + path for name, path in paths.items()}).values():
        each.assert_plays()


def test_own(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """The operator's own commands, files and radio stations play."""
    names = ("Own command", "Own file", "Own radio")
    watched = watch_all({name: daemon_of_all.url_of(name) for name in names})
    watched["Own command"].assert_plays()
    watched["Own file"].assert_plays()
    watched["Own radio"].assert_plays(["mp3"])
    assert daemon_of_all.path_of("Own radio").endswith(".mp3")


def test_strict(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """A live channel that starts with a key frame gives ffmpeg nothing to complain about, not even with -xerror."""
    origin.control("/live/free-1.ts", start=0, rate=10)
    verdict = judge(daemon_of_all.url_of("Free 1"), 5)
    assert verdict.good, verdict


def test_any_name(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """A channel's address works without an ending, and the media type is that of what comes, not of the name."""
    origin.control("/live/free-1.ts", start=0, rate=10)
    bare = daemon_of_all.url_of("Free 1").removesuffix(".ts")
    assert probe(bare).codecs == ("h264", "aac")
    for name, kind in (("Free 1", "video/mp2t"), ("Own radio", "audio/mpeg")):
        with daemon_of_all.open_stream(daemon_of_all.path_of(name)) as stream:
            assert (stream.status, stream.headers["content-type"]) == (200, kind)
            assert stream.headers["cache-control"] == "no-store"


def test_other_form(daemon_of_all: Playing) -> None:
    """A film or a radio station that is asked for in a form it does not have says which one it has."""
    paths = daemon_of_all.channels()
    for name, ending, status in (("Own file", "ts", 406), ("Own file", "m3u8", 406), ("Free 1", "mp4", 404)):
        stem, _, native = paths[name].rpartition(".")
        assert f"it is as .{native}." in sentence(daemon_of_all.get(f"{stem}.{ending}"), status)
    stem = paths["Own radio"].rpartition(".")[0]
    assert "not MPEG-TS" in sentence(daemon_of_all.get(f"{stem}.m3u8"), 406)


def test_both_forms(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """A live channel plays as a stream and as HLS, whichever of the two its source is."""
    urls = {}
    for query in ("?format=ts", "?format=hls"):
        paths = daemon_of_all.channels(query)
        assert paths.keys() == daemon_of_all.channels().keys()
        for name in ("Free 4", "Own command", "VLC options"):
            urls[name + query] = daemon_of_all.url + paths[name]
            assert urls[name + query].endswith(".ts" if query.endswith("ts") else ".m3u8")
    for each in watch_all(urls).values():
        each.assert_plays()


def test_unknown(daemon_of_all: Playing) -> None:
    """What is no channel is a 404 with a sentence, whatever it looks like."""
    for name in ("1.ts", "99999999999.ts", "x", "..%2f", "1.ts/", "0", "-1.ts", "1.t%00s"):
        assert "no such channel" in sentence(daemon_of_all.get(f"/stream/{name}"), 404)


def test_playlist_in_disguise(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """A channel that promised a stream and is a playlist is either, as it is asked for; by default it is HLS."""
    path = daemon_of_all.path_of("Not what it says")
    assert path.endswith(".ts")
    stream = watch(daemon_of_all.url + path)
    stream.assert_plays()
    assert stream.probed.container == "mpegts"
    answer = daemon_of_all.get(path.removesuffix(".ts"))
    assert (answer.status, answer.body) == (302, b"")
    assert answer.headers["location"] == f"{daemon_of_all.url}{path.removesuffix('.ts')}.m3u8"
    playlist = watch(answer.headers["location"])
    playlist.assert_plays()
    assert playlist.probed.container == "hls"
    assert path.replace(".ts", ".m3u8") in daemon_of_all.get("/").text


def test_page_in_disguise(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """A web page where a stream was promised is a 502 that says so."""
    assert "web page" in sentence(daemon_of_all.get(daemon_of_all.path_of("A page")), 502)


def expected(media: Media, size: int) -> bytes:
    """The start of the origin's stream when it is asked for from its start and unpaced."""
    looped = LoopedTs(media.read("film.ts"), SECONDS)
    data = b""
    for number in count():
        if len(data) >= size:
            break
        data += looped.round(number)
    return data[:size]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_framing(daemon_of_all: Playing, origin: OriginProcess, media: Media, framing: str) -> None:
    """However the origin frames its stream, the viewer gets every byte of it, and nothing of the frame."""
    with daemon_of_all.open_stream(daemon_of_all.path_of(framing)) as stream:
        assert stream.status == 200
        assert stream.read(BODY) == expected(media, BODY)


def test_old_viewer(daemon_of_all: Playing, origin: OriginProcess, media: Media) -> None:
    """A viewer that speaks HTTP/1.0 gets the bare stream, ended by the end of the connection."""
    request = f"GET {daemon_of_all.path_of('chunked')} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
    head, _, body = daemon_of_all.raw(request.encode(), limit=500_000).data.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert expected(media, 500_000).startswith(body)


def test_redirects(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """Redirects are followed, relative ones and to other hosts too; a circle of them is a 502."""
    for where in ("relative", "host", "credentials"):
        origin.control("/live/free-2.ts", redirect=where)
        with daemon_of_all.open_stream(daemon_of_all.path_of("Free 2")) as stream:
            assert stream.read(188)[:1] == b"G"
        daemon_of_all.wait_for_rest("Free 2")
    origin.control("/live/free-2.ts", redirect="loop")
    assert "more than 5 times" in sentence(daemon_of_all.get(daemon_of_all.path_of("Free 2")), 502)
    origin.control("/live/free-2.ts", redirect="file:///etc/passwd")
    assert "cannot be followed" in sentence(daemon_of_all.get(daemon_of_all.path_of("Free 2")), 502)


def test_credentials(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """The user and password in a source's URL are used on its host, after a redirect there too, and nowhere else."""
    path = daemon_of_all.path_of("Account")
    for knobs in ({}, {"redirect": "relative"}, {"redirect": f"{origin.url}/live/account.ts?redirected=1"}):
        origin.control("/live/account.ts", auth="bob:s3cret", **knobs)
        with daemon_of_all.open_stream(path) as stream:
            assert stream.status == 200
        daemon_of_all.wait_for_rest("Account")
    origin.control("/live/account.ts", redirect="host")
    with daemon_of_all.open_stream(path) as stream:
        assert stream.status == 200
    assert "authorization" not in origin.counts("/live/account.ts").headers


def test_cookie(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """A source's cookie stays with its host; its other headers go along."""
    for where, cookie in (("relative", "a=b"), ("host", None)):
        origin.control("/live/cookie.ts", redirect=where)
        with daemon_of_all.open_stream(daemon_of_all.path_of("Cookie")) as stream:
            assert stream.status == 200
        daemon_of_all.wait_for_rest("Cookie")
        headers = origin.counts("/live/cookie.ts").headers
        assert (headers.get("cookie"), headers["x-extra"]) == (cookie, "1")


def test_required_headers(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """The headers that a list asks for go to the origin with every request: playlist, key and segments."""
    origin.control("/live/kodi.ts", need="Referer:http://example.com/b")
    with daemon_of_all.open_stream(daemon_of_all.path_of("Kodi suffix")) as stream:
        assert stream.status == 200
    assert origin.counts("/live/kodi.ts").headers["user-agent"] == "Kodi Tester"
    origin.control("/hls-live/aes/*", need="Referer:http://example.com/a")
    watch(daemon_of_all.url_of("VLC options")).assert_plays()
    assert origin.counts("/hls-live/aes/index.m3u8").headers["user-agent"] == "Tester/1"
    origin.control("/hls-live/aes/*", need="User-Agent:Tester/1")
    watch(daemon_of_all.url_of("VLC options")).assert_plays()


def test_user_agent(daemon_of_all: Playing, origin: OriginProcess) -> None:
    """A source without headers of its own is asked for with our name, and nothing of the viewer's request."""
    sent = {"User-Agent": "Viewer/1", "Referer": "http://viewer.test/", "Cookie": "c=d"}
    with daemon_of_all.open_stream(daemon_of_all.path_of("Free 3"), sent) as stream:
        assert stream.status == 200
    headers = origin.counts("/live/free-3.ts").headers
    assert headers["user-agent"].startswith("iptvd/")
    assert headers.keys().isdisjoint({"referer", "cookie", "x-forwarded-for"})


def test_command_shown(daemon_of_all: Playing, media: Media) -> None:
    """A command is run as it stands, without a shell, and nothing of it is told to viewers."""
    seen = [daemon_of_all.get(path).text for path in ("/", "/playlist.m3u8", "/health/detailed", "/metrics")]
    assert all(str(media.folder) not in text and shlex.quote(find_ffmpeg()) not in text for text in seen)


def test_demo(daemon_of_all: Playing) -> None:
    """All demo channels play at once: three with picture and sound, one radio, and a film that has a duration."""
    # The last test here: while the others run, the demo is being made.
    paths = daemon_of_all.channels("?provider=demo")
    assert len(paths) == 5
    watched = watch_all({name: daemon_of_all.url + path for name, path in paths.items()})
    radio, film = watched.pop("Demo Radio"), watched["Demo Film"]
    radio.assert_plays(["aac"])
    assert film.probed.seconds == pytest.approx(60, abs=0.2)
    for each in watched.values():
        each.assert_plays()
        assert each.probed.size == (640, 360)
