"""A viewer that does not read costs next to nothing, and one that leaves takes everything with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.daemon.client import Stream, wait_for
from tests.daemon.playing import Own, Playing, playing
from tests.simulators.looped import LoopedTs
from tests.simulators.media import SECONDS, Media, find_ffmpeg
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

MIB = 1 << 20
#: So many that what they cost can be told from the noise.
VIEWERS = 20
#: Bytes of the film that one run of the dying command gives.
RUN = 200_000
KINDS = ("Fast", "Command", "File", "Film")
FAST = "/live/fast.ts"
#: A shared channel, what it takes, and the seconds of it that are kept.
LIVE = "/live/together.ts"
MBIT = 20
RING = 4


@pytest.fixture(scope="module")
def paused(media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with sources that deliver as fast as they are read, and without end, to each viewer by itself."""
    folder = tmp_path_factory.mktemp("backpressure")
    film = media.path("film.ts")
    (folder / "long.ts").write_bytes(media.read("film.ts") * (128 * MIB // len(media.read("film.ts"))))
    dying = f"head -c {RUN} {film}; exit 3"
    channels = [
        Own("Fast", shared_origin.at(FAST, start=0, rate=0)),
        Own("Film", shared_origin.at("/vod/big.ts"), 'form = "vod"'),
        Own("Command", more=f'command = ["sh", "-c", "while :; do cat {film}; done"]'),
        Own("File", more=f'file = "{folder}/long.ts"'),
        Own("Dying command", more=f'command = ["sh", "-c", "{dying}"]'),
        Own("Command of nothing", more='command = ["sh", "-c", "exit 0"]'),
        Own("Command in vain", more='command = ["/there/is/no/such/program"]'),
        Own("Talking command", more='command = ["echo", "I cannot open http://bob:canary@origin.test/"]'),
    ]
    with playing(folder, channels, toml='head_timeout = 2\nsharing = "isolated"\n') as daemon:
        yield daemon
        daemon.assert_balanced()
    assert daemon.children() == []


@pytest.fixture(scope="module")
def together(
    media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playing]:
    """A daemon whose viewers share a channel, which is off as soon as the last of them has left."""
    film = str(media.path("film.ts"))
    paced = [find_ffmpeg(), "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", film]
    channels = [
        Own("Live", shared_origin.at(LIVE, mbit=MBIT)),
        Own("Command", more=f"command = {[*paced, '-c', 'copy', '-f', 'mpegts', '-']}"),
    ]
    settings = f"head_timeout = 5\nlinger = 0.05\nring_seconds = {RING}\n"
    with playing(tmp_path_factory.mktemp("together"), channels, toml=settings) as daemon:
        yield daemon
        daemon.assert_balanced()
    assert daemon.children() == []


def expected(media: Media, size: int) -> bytes:
    """The start of the origin's endless stream."""
    looped = LoopedTs(media.read("film.ts"), SECONDS)
    return b"".join(looped.round(number) for number in range(1 + size // len(looped.data)))[:size]


def settled(look: object) -> int:
    """Wait until a count stands still for half a second."""
    assert callable(look)
    seen: list[tuple[float, int]] = []

    def still() -> bool:
        seen.append((time.monotonic(), look()))
        last = [each for each in seen if each[0] > seen[-1][0] - 0.5]
        return len(last) < len(seen) and len({count for _, count in last}) == 1

    wait_for(still, what="a count that stands still")
    return seen[-1][1]


def sockstat_pages() -> int:
    """Pages of memory that TCP has on this machine."""
    with open("/proc/net/sockstat") as file:  # noqa: PTH123
        words = next(line for line in file if line.startswith("TCP:")).split()
    return int(words[words.index("mem") + 1])


def open_viewers(daemon: Playing, name: str, count: int = VIEWERS) -> list[Stream]:
    """Viewers that have read a little and read no more."""
    path = daemon.path_of(name)
    with ThreadPoolExecutor(count) as pool:
        viewers = list(pool.map(lambda _: daemon.open_stream(path, rcvbuf=65536), range(count)))
    for viewer in viewers:
        assert viewer.status == 200
        assert len(viewer.read(100_000)) == 100_000
    return viewers


def sent(daemon: Playing) -> int:
    """Bytes that the daemon has handed to its viewers' connections."""
    detailed = daemon.get("/health/detailed").json()
    assert isinstance(detailed, dict)
    return sum(session["bytes"] for session in detailed["sessions"])


def leave_while_silent(daemon: Playing, name: str, origin: OriginProcess, path: str) -> None:
    """Ask for a channel whose origin says nothing, and leave: the origin is left within a second."""
    origin.control(path, never=1)
    request = f"GET {daemon.path_of(name)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    before = daemon.outcomes()
    with daemon.connect() as connection:
        connection.sendall(request)
        wait_for(lambda: origin.counts(path).open == 1)
    wait_for(lambda: origin.counts(path).open == 0, 1.0, "the end of the upstream")
    assert daemon.outcome_of(before) == "viewer_left"


@pytest.mark.parametrize("name", KINDS)
def test_viewers_that_do_not_read(paused: Playing, origin: OriginProcess, name: str) -> None:
    """Viewers that stop reading stop what they watch, and cost less than a mebibyte of memory each."""
    for viewer in open_viewers(paused, name, 3):
        viewer.close()
    paused.wait_for_active(0)
    before, pages = paused.rss(), sockstat_pages()
    viewers = open_viewers(paused, name)
    try:
        total = settled(lambda: sent(paused))
        cost = paused.rss() - before
        # What the kernel holds is not ours to bound exactly, but it is bounded.
        assert total < VIEWERS * 8 * MIB
        kernel = (sockstat_pages() - pages) * 4096
        ours, of_tcp = cost // VIEWERS // 1024, kernel // VIEWERS // 1024
        # Shown by pytest when the test failed, or with -rA.
        print(f"{name}: {ours} KiB of ours and {of_tcp} KiB of TCP a viewer")  # noqa: T201
        assert cost < VIEWERS * MIB
        if name == "Fast":
            assert settled(lambda: origin.counts(FAST).delivered) < VIEWERS * 16 * MIB
    finally:
        for viewer in viewers:
            viewer.close()
    paused.wait_for_active(0)


def test_reading_again(paused: Playing, origin: OriginProcess, media: Media) -> None:
    """A viewer that reads again goes on where it was: not a byte is missing or doubled."""
    size = 24 * MIB
    with paused.open_stream(paused.path_of("Fast"), rcvbuf=65536) as viewer:
        got = viewer.read(MIB)
        for _ in range(2):
            settled(lambda: origin.counts(FAST).delivered)
            got += viewer.read(size // 3)
        got += viewer.read(size - len(got))
    assert got == expected(media, size)


def test_one_viewer_does_not_stop_another(paused: Playing, origin: OriginProcess, media: Media) -> None:
    """While one viewer does not read another one gets everything."""
    (slow,) = open_viewers(paused, "Fast", 1)
    with slow, paused.open_stream(paused.path_of("Fast")) as quick:
        settled(lambda: origin.counts(FAST).delivered)
        assert quick.read(8 * MIB) == expected(media, 8 * MIB)


@pytest.mark.parametrize("reading", [True, False])
@pytest.mark.parametrize("way", ["close", "reset"])
def test_leaving(paused: Playing, origin: OriginProcess, way: str, reading: bool) -> None:
    """When a viewer leaves, in an orderly way or not, reading or not, the origin is left within a second."""
    (viewer,) = open_viewers(paused, "Fast", 1)
    if not reading:
        settled(lambda: origin.counts(FAST).delivered)
    assert origin.open_requests() == 1
    before = paused.outcomes()
    getattr(viewer, way)()
    # A bound of the product's own: an account may be limited to one connection.
    wait_for(lambda: origin.open_requests() == 0, 1.0, "the end of the upstream")
    assert paused.outcome_of(before) == "viewer_left"


@pytest.mark.parametrize("way", ["close", "reset"])
def test_leaving_a_command(paused: Playing, way: str) -> None:
    """When the viewer of a command leaves, the command is ended and nothing of it is left."""
    viewers = open_viewers(paused, "Command", 2)
    running = paused.children()
    assert len(running) >= 2
    getattr(viewers[0], way)()
    wait_for(lambda: len(paused.children()) < len(running), 1.0, "the end of one command")
    assert len(viewers[1].read(MIB)) == MIB
    getattr(viewers[1], way)()
    wait_for(lambda: paused.children() == [], 1.0, "the end of the other")
    paused.wait_for_active(0)


def test_leaving_before_there_is_an_answer(paused: Playing, origin: OriginProcess) -> None:
    """A viewer that leaves while the origin is still silent takes the request with it."""
    leave_while_silent(paused, "Fast", origin, FAST)


def test_a_command_that_dies(paused: Playing, media: Media) -> None:
    """A command that dies is started again, and the viewer keeps its connection."""
    with paused.open_stream(paused.path_of("Dying command")) as viewer:
        assert viewer.read(3 * RUN) == media.read("film.ts")[:RUN] * 3
    wait_for(lambda: paused.children() == [])


def test_commands_that_give_nothing(paused: Playing) -> None:
    """A command that cannot be started, gives nothing or only talks is an error whose sentence keeps its secrets."""
    for name, status in (("Command of nothing", 502), ("Command in vain", 502), ("Talking command", 504)):
        answer = paused.get(paused.path_of(name))
        assert (answer.status, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8"), name
        assert "such/program" not in answer.text
        assert "canary" not in answer.text
    wait_for(lambda: paused.children() == [])
    assert "canary" not in paused.log_text()


def test_viewers_that_do_not_read_together(together: Playing, origin: OriginProcess) -> None:
    """Viewers of a shared channel that stop reading cost what is kept of the channel once, and stop nobody."""
    with together.open_stream(together.path_of("Live")) as steady:
        steady.read(MIB)
        before = together.rss()
        viewers = open_viewers(together, "Live")
        # Longer than anything is kept.
        steady.read(2 * RING * MBIT * 125_000)
        cost = together.rss() - before
        assert cost < 2 * RING * MBIT * 125_000 + VIEWERS * MIB // 4
        assert origin.counts(LIVE).total == 1
        for viewer in viewers:
            viewer.close()
    together.wait_for_active(0)
    together.wait_for_rest("Live")


@pytest.mark.parametrize("reading", [True, False])
@pytest.mark.parametrize("way", ["close", "reset"])
def test_leaving_the_others(together: Playing, origin: OriginProcess, way: str, reading: bool) -> None:
    """When the last viewer of a shared channel has left, in whatever way, the origin is left within a second."""
    viewers = open_viewers(together, "Live", 2)
    assert origin.open_requests() == 1
    for left, viewer in enumerate(viewers):
        if not reading:
            settled(lambda: sent(together) > 0)
        before = together.outcomes()
        getattr(viewer, way)()
        assert together.outcome_of(before, 1.0) == "viewer_left"
        if not left:
            assert origin.open_requests() == 1
    wait_for(lambda: origin.open_requests() == 0, 1.0, "the end of the upstream")


@pytest.mark.parametrize("way", ["close", "reset"])
def test_leaving_a_shared_command(together: Playing, way: str) -> None:
    """The command of a shared channel runs once, and is ended when the last viewer leaves."""
    viewers = [together.open_stream(together.path_of("Command")) for _ in range(2)]
    assert len(together.children()) == 1
    getattr(viewers[0], way)()
    assert len(viewers[1].read(100_000)) == 100_000
    getattr(viewers[1], way)()
    wait_for(lambda: together.children() == [], 1.0, "the end of the command")
    together.wait_for_active(0)


def test_leaving_a_silent_origin(together: Playing, origin: OriginProcess) -> None:
    """A viewer that leaves while the origin of its channel is still silent takes the request with it."""
    leave_while_silent(together, "Live", origin, LIVE)


def test_nothing_is_left_of_sharing(together: Playing, origin: OriginProcess) -> None:
    """After many viewers of shared channels have come and gone no more files are open than before."""
    before = 0
    for _ in range(3):
        for name in ("Live", "Command"):
            for viewer in open_viewers(together, name, 10):
                viewer.reset()
            together.wait_for_rest(name)
        together.wait_for_active(0)
        if not before:
            before = settled(together.open_files)
    wait_for(lambda: together.open_files() <= before, what=f"{before} open files")


def test_nothing_is_left_open(paused: Playing, origin: OriginProcess) -> None:
    """After many viewers have come and gone the daemon has no more files open than before."""
    for viewer in open_viewers(paused, "Fast", 2):
        viewer.close()
    paused.wait_for_active(0)
    before = settled(paused.open_files)
    for name in KINDS:
        for viewer in open_viewers(paused, name, 10):
            viewer.reset()
    paused.wait_for_active(0)
    wait_for(lambda: paused.open_files() <= before, what=f"{before} open files")
