"""What an account allows is counted once for everything that is played with it, and never lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPException
from urllib.parse import urljoin

import pytest

from tests.daemon.client import Response, Stream, wait_for
from tests.daemon.playing import Own, Playing, playing
from tests.daemon.recording import broadcast_of
from tests.simulators.media import Media
from tests.simulators.panel_process import FILM, LIVE, USER, PanelProcess
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Connections that the operator's own channels may have.
OWN = 2
#: Channels of each kind, and the origin's path of each.
PATHS = {
    "One": "/live/one.ts",
    "Two": "/live/two.ts",
    "Three": "/live/three.ts",
    "Film": "/vod/big.ts",
    "HLS": "/hls-live/plain/index.m3u8",
}
#: Somebody else than who has no name.
OTHER_VIEWER = {"User-Agent": "Somebody else"}
#: How many viewers come and go, and for how many seconds.
CLIENTS = 6
RANDOM_SECONDS = 4.0


@pytest.fixture(scope="module")
def panel(
    media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PanelProcess]:
    """An Xtream panel whose account allows five connections."""
    with PanelProcess(media, tmp_path_factory.mktemp("panel"), shared_origin.at("/live/panel.ts")) as running:
        yield running


@pytest.fixture(scope="module")
def limited(
    shared_origin: OriginProcess, panel: PanelProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playing]:
    """A daemon with two accounts; when the tests are over it holds nothing any more."""
    channels = [
        Own(name, shared_origin.at(path), 'form = "vod"' if name == "Film" else "") for name, path in PATHS.items()
    ]
    text = f'linger = 10\n[[provider]]\nkind = "xtream"\nurl = "{panel.url}"\n'
    text += f'username = "{USER.username}"\npassword = "{USER.password}"\n'
    folder = tmp_path_factory.mktemp("slots")
    with playing(folder, toml=text + own(channels), expected=len(channels) + 4) as daemon:
        yield daemon
        # A session that is refused for want of a connection has begun, and has its outcome like any other.
        sums: Counter[str] = Counter()
        for (name, _), value in daemon.samples().items():
            sums[name] += int(value)
        assert sums["iptvd_sessions_started_total"] == sums["iptvd_session_outcomes_total"]
        assert not sums["iptvd_sessions_active"]


def own(channels: list[Own]) -> str:
    """The operator's own channels, with a limit."""
    head = f'[[provider]]\nkind = "channels"\nname = "own"\nmax_connections = {OWN}\n'
    return head + "".join(channel.toml for channel in channels)


def assert_full(answer: Response, limit: int, name: str = "own") -> None:
    """A refusal that says why and when to come again."""
    assert answer.status == 503, answer
    assert int(answer.headers["retry-after"]) > 0
    assert answer.text == f"All {limit} connections of {name} are in use.\n"


def watch(daemon: Playing, path: str, agent: str = "Player") -> Stream:
    """A viewer who has begun to see something."""
    stream = daemon.open_stream(path, {"User-Agent": agent})
    if stream.status != 200:
        stream.close()
        raise AssertionError(f"{path}: {stream.status}")
    assert len(stream.read(188)) == 188
    return stream


def sessions_begun(daemon: Playing) -> float:
    """How many sessions there have been."""
    return sum(value for (name, _), value in daemon.samples().items() if name == "iptvd_sessions_started_total")


def test_lingering(limited: Playing, origin: OriginProcess) -> None:
    """A channel that nobody watches any more is let go of when its connection is wanted, and not before."""
    paths = limited.channels("?provider=own")
    watch(limited, paths["Two"]).close()
    watch(limited, paths["Three"]).close()
    wait_for(lambda: not limited.active(), what="the end of all sessions")
    assert broadcast_of(limited, "Two")
    assert broadcast_of(limited, "Three")
    with watch(limited, paths["Film"]):
        assert bool(broadcast_of(limited, "Two")) + bool(broadcast_of(limited, "Three")) == 1
        with watch(limited, paths["One"]):
            assert not broadcast_of(limited, "Two")
            assert not broadcast_of(limited, "Three")
            wait_for(lambda: origin.open_requests() == 2, what="the end of what is not watched")


def test_zap(limited: Playing, origin: OriginProcess) -> None:
    """A viewer that zaps is never refused, whether it closes the old channel first or opens the new one first."""
    paths = limited.channels("?provider=own")
    names = ["Two", "Three", "Film"] * 3
    took = []
    with watch(limited, paths["One"], "Another"):
        now = watch(limited, paths["Film"])
        for name in names:
            begun = time.monotonic()
            now.close()
            now = watch(limited, paths[name])
            took.append(time.monotonic() - begun)
        now.close()
        now = watch(limited, paths["Two"])
        with ThreadPoolExecutor(1) as pool:
            for name in ("Three", "Two", "Three"):
                before = sessions_begun(limited)
                following = pool.submit(watch, limited, paths[name])
                wait_for(lambda before=before: sessions_begun(limited) > before, what="the new channel's session")  # type: ignore[misc]
                now.close()
                now = following.result()
        now.close()
    print(f"zap: {1000 * sorted(took)[len(took) // 2]:.0f} ms, at most {1000 * max(took):.0f} ms")  # noqa: T201
    wait_for(lambda: not limited.active(), what="the end of all sessions")


def test_account(limited: Playing, origin: OriginProcess, panel: PanelProcess) -> None:
    """An Xtream account's own number of connections holds, for live channels and films together."""
    paths = limited.channels("?provider=xtream")
    with ExitStack() as stack:
        for name in LIVE:
            stack.enter_context(watch(limited, paths[name]))
        for _ in range(USER.max_connections - len(LIVE)):
            stack.enter_context(limited.open_stream(paths[FILM], rcvbuf=4096))
        assert_full(limited.get(paths[FILM]), USER.max_connections, "xtream")
        stack.enter_context(watch(limited, paths[LIVE[0]]))
    wait_for(lambda: not limited.active(), what="the end of all sessions")


def test_full(limited: Playing, origin: OriginProcess) -> None:
    """When all connections are in use whatever needs another is refused with a sentence; what is on can be joined."""
    paths = limited.channels()
    with watch(limited, paths["One"]) as one, watch(limited, paths["Two"]):
        for name in ("Three", "Film", "HLS"):
            assert_full(limited.get(paths[name]), OWN)
        assert_full(limited.get(paths["Three"].replace(".ts", ".m3u8")), OWN)
        assert_full(limited.get(paths["HLS"].replace(".m3u8", ".ts")), OWN)
        with watch(limited, paths["One"]):
            pass
        assert one.read(50_000)
    assert origin.counts(PATHS["One"]).total <= 1
    assert all(not origin.counts(PATHS[name]).total for name in ("Three", "Film", "HLS"))


def test_one_counter(limited: Playing, origin: OriginProcess) -> None:
    """A film and an HLS channel take connections like live channels do, however many watch that HLS channel."""
    paths = limited.channels("?provider=own")
    with watch(limited, paths["Film"]):
        for _ in range(3):
            assert limited.get(paths["HLS"]).status == 200
        assert_full(limited.get(paths["One"], OTHER_VIEWER), OWN)
        assert_full(limited.get(paths["Film"], OTHER_VIEWER), OWN)


def test_zap_from_hls(limited: Playing) -> None:
    """A viewer that turns from an HLS channel to another gives its own connection up, which nobody else can have."""
    paths = limited.channels("?provider=own")
    # Those of the test before share the connection of the HLS channel still.
    limited.wait_for_json("/health", {"total_active_streams": 0}, 30)

    def watched() -> bool:
        try:
            watch(limited, paths["Two"]).close()
        except AssertionError:
            return False
        return True

    with watch(limited, paths["Film"], "Another"):
        assert limited.get(paths["HLS"], {"User-Agent": "Player"}).status == 200
        assert_full(limited.get(paths["Two"], OTHER_VIEWER), OWN)
        # It may be another player of the same name, until it should have asked for the next segment.
        assert_full(limited.get(paths["Two"], {"User-Agent": "Player"}), OWN)
        wait_for(watched, what="the connection of the HLS channel")


def test_hls_of_what_is_on(limited: Playing, origin: OriginProcess) -> None:
    """When all connections are in use a channel that is on can be had as HLS too, and is the same connection."""
    paths = limited.channels("?provider=own")
    with watch(limited, paths["One"]):
        assert limited.get(paths["HLS"]).status == 200
        assert_full(limited.get(paths["Film"], OTHER_VIEWER), OWN)
        assert limited.get(paths["One"].replace(".ts", ".m3u8")).status == 200
        assert origin.counts(PATHS["One"]).total == 1


def play_hls(daemon: Playing, path: str) -> None:
    """Ask for a channel's playlists and one of its segments."""
    text = ""
    for _ in range(2):
        answer = daemon.get(path)
        if answer.status != 200:
            return
        text = answer.text
        path = urljoin(path, next(line for line in text.splitlines() if line and not line.startswith("#")))
    with daemon.open_stream(path) as stream:
        stream.read(1000)


def come_and_go(daemon: Playing, paths: list[str], seed: int) -> int:
    """One viewer that opens, reads, closes and kills whatever comes to its mind; gives how often it saw something."""
    chance, seen = random.Random(seed), 0
    end = time.monotonic() + RANDOM_SECONDS
    while time.monotonic() < end:
        path = chance.choice(paths)
        try:
            if path.endswith(".m3u8"):
                play_hls(daemon, path)
                continue
            with daemon.open_stream(path) as stream:
                if stream.status == 200:
                    seen += bool(stream.read(chance.choice([0, 188, 20_000, 40_000])))
                else:
                    assert stream.status == 503
                if chance.random() < 0.5:
                    stream.reset()
        except (HTTPException, ConnectionError):
            # It gave up before there was an answer.
            pass
    return seen


def test_nothing_is_lost(limited: Playing, origin: OriginProcess) -> None:
    """After viewers have come and gone at random, and origins died on them, every connection can be had again."""
    paths = limited.channels("?provider=own")
    origin.control(PATHS["Two"], reset_after=150_000)
    origin.control(PATHS["Three"], status=502)
    asked = [*paths.values(), *(paths[name].replace(".ts", ".m3u8") for name in ("One", "Two"))]
    asked = [path for path in asked if path != paths["Three"]] * 2 + [paths["HLS"].replace(".m3u8", ".ts")]
    with ThreadPoolExecutor(CLIENTS) as pool:
        seen = list(pool.map(lambda seed: come_and_go(limited, asked, seed), range(CLIENTS)))
    assert sum(seen) > 0
    wait_for(lambda: not limited.active(), 40, "the end of all sessions")
    origin.control(PATHS["Two"])
    origin.control(PATHS["Three"])
    with watch(limited, paths["Film"]), watch(limited, paths["One"]):
        assert_full(limited.get(paths["Two"]), OWN)
    with watch(limited, paths["Film"]), watch(limited, paths["Film"]):
        wait_for(lambda: origin.open_requests() == OWN, what="the end of every connection but two")
    wait_for(lambda: not origin.open_requests(), 30, "the end of every connection")
    assert origin.counts(PATHS["One"]).peak <= OWN
