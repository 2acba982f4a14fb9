"""hls.js in a browser plays what we package and what we pass through, without a stall and across a switch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urljoin

import pytest
from attrs import frozen
from playwright.sync_api import Browser

from tests.browser.chromium import Seen, Theatre
from tests.daemon.client import wait_for
from tests.daemon.playing import Own, Playing, playing
from tests.daemon.recording import broadcast_of
from tests.daemon.test_switching import playlist
from tests.simulators.media import Media
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Seconds that each player plays, those that it plays before its origin is killed, and those on the backup.
PLAYED = 15.0
BEFORE = 5.0
AFTER = 7.0
#: Channels that come as one stream, and sets that come as HLS.
PACKAGED = ("Film", "Radio", "Switched")
PASSED = ("plain", "aes", "fmp4", "multi")
#: Pictures, and bytes of sound, in a second of every channel.
PICTURES = 25
SOUND = 12_000
#: Seconds that players get for all of it.
_PATIENCE = 60.0


@frozen
class Scene:
    """
    What came of all channels, which were played at the same time.

    :ivar last: each player at the end; the second player of a channel that was on is called ``Warm``.
    :ivar switched: that of the channel whose origin was killed when its picture became another.
    :ivar source: which source that channel had at the end.
    """

    daemon: Playing
    theatre: Theatre
    last: Mapping[str, Seen]
    switched: Seen
    source: str
    complaints: list[str]


@pytest.fixture(scope="module")
def daemon(
    shared_origin: OriginProcess, primary: OriginProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playing]:
    """A daemon with channels of all kinds, one of which has two sources."""
    folder = tmp_path_factory.mktemp("browser")
    text = "merge_by_tvg_id = true\n"
    for name, url in (("first", primary.at("/live/switched.ts")), ("second", shared_origin.at("/live/other.ts"))):
        (folder / f"{name}.m3u").write_text(playlist({"Switched": url}))
        text += f'[[provider]]\nkind = "m3u"\nname = "{name}"\nurl = "{folder / name}.m3u"\n'
    channels = [Own("Film", shared_origin.at("/live/film.ts")), Own("Radio", shared_origin.at("/live/audio.ts"))]
    channels += [Own(name, shared_origin.at(f"/hls-live/{name}/index.m3u8")) for name in PASSED]
    with playing(folder, channels, toml=text, expected=len(PACKAGED) + len(PASSED)) as running:
        yield running
        running.assert_balanced()


@pytest.fixture(scope="module")
def primary(media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OriginProcess]:
    """An origin that is going to be killed."""
    with OriginProcess(media, tmp_path_factory.mktemp("primary")) as running:
        yield running


@pytest.fixture(scope="module")
def theatre(browser: Browser, address: str) -> Iterator[Theatre]:
    """The page."""
    with browser.new_page() as page:
        yield Theatre(page, address)


def hls_url(daemon: Playing, name: str) -> str:
    """Where a channel is as HLS."""
    return daemon.url_of(name).replace(".ts", ".m3u8")


@pytest.fixture(scope="module")
def scene(theatre: Theatre, daemon: Playing, primary: OriginProcess, shared_origin: OriginProcess) -> Scene:
    """Everything at once, until each has played long enough."""
    shared_origin.reset()
    for name in (*PACKAGED, *PASSED):
        theatre.play(name, hls_url(daemon, name))

    def until(name: str, seconds: float) -> Seen:
        """Wait until a player has played so long."""

        def look() -> Seen | None:
            seen = theatre.seen()[name]
            return seen if seen.played >= seconds else None

        try:
            return wait_for(look, _PATIENCE, f"{seconds:.1f} s of {name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{theatre.seen()}\n{theatre.complaints}") from None

    until("Switched", BEFORE)
    primary.kill()
    switched = wait_for(
        lambda: next((seen for seen in [theatre.seen()["Switched"]] if seen.size == (160, 90)), None),
        _PATIENCE,
        "the picture of the other source",
    )
    theatre.play("Warm", hls_url(daemon, "Film"))
    until("Switched", switched.played + AFTER)
    for name in (*PACKAGED, *PASSED):
        until(name, PLAYED)
    last = theatre.seen()
    source = str(broadcast_of(daemon, "Switched")["source"])
    theatre.close()
    for name, seen in last.items():
        print(f"{name}: {seen}")  # noqa: T201
    return Scene(daemon, theatre, last, switched, source, list(theatre.complaints))


@pytest.mark.parametrize("name", [*PACKAGED, *PASSED, "Warm"])
def test_plays(scene: Scene, name: str) -> None:
    """It plays from its first picture on without ever waiting, jumping or complaining, and with all of its sound."""
    seen = scene.last[name]
    assert seen.through == "blob"
    assert (seen.errors, seen.waits, seen.seeks) == ((), 0, 0)
    assert seen.sound > 0.8 * SOUND * seen.played
    if name != "Radio":
        assert seen.pictures > 0.95 * PICTURES * (seen.played - 1)
        assert seen.size == ((160, 90) if name == "Switched" else (320, 180))


def test_goes_on(scene: Scene) -> None:
    """When the origin is killed picture and sound go on from the backup, which is another encode."""
    before, after = scene.switched, scene.last["Switched"]
    seconds = after.played - before.played
    assert scene.source == "second/1"
    assert seconds >= AFTER
    assert after.pictures - before.pictures > 0.95 * PICTURES * (seconds - 1)
    assert after.sound - before.sound > 0.8 * SOUND * (seconds - 1)


def test_nothing_in_the_console(scene: Scene) -> None:
    """The browser has nothing to say against any of it, and no request failed."""
    assert scene.complaints == []


def test_other_origin(scene: Scene) -> None:
    """A script of another origin's page can read playlists, segments, lengths and refusals, ranges asked for too."""
    daemon, theatre = scene.daemon, scene.theatre
    path = daemon.path_of("Film").replace(".ts", ".m3u8")
    index = urljoin(path, daemon.get(path).text.splitlines()[-1])
    segment = urljoin(index, daemon.get(index).text.splitlines()[-1])
    for each in (path, index, segment):
        answer = theatre.ask(daemon.url + each)
        assert answer["status"] == 200, each
        assert int(answer["length"]) == answer["size"] > 0, each
    # A browser asks first (OPTIONS) before it sends such headers.
    asked = theatre.ask(daemon.url + segment, {"Range": "bytes=0-1,4-5", "If-None-Match": '"none"'})
    assert asked["status"] in (200, 206)
    assert theatre.ask(daemon.url + urljoin(segment, "1.ts"))["status"] == 404
