"""One upstream for one viewer, in the kernel or through Python."""

from __future__ import annotations

import errno
from unittest import mock

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

from iptvd.delivery.isolated import spliceable
from iptvd.log import Fault
from iptvd.model import Headers, Outcome
from iptvd.protocols.http_upstream import HTTPUpstream
from iptvd.protocols.memory_upstream import MemoryUpstream
from tests.conftest import LoggedErrors
from tests.delivery.stage import FILM, Origin, Stage, staged, until

#: The ways there are: in the kernel, or through Python because we say so or because of the origin's framing.
WAYS = (("spliced", "length"), ("spliced", "close"), ("python", "length"), ("python", "close"), ("spliced", "chunked"))

both_ways = pytest.mark.parametrize("way", ["spliced", "python"])


@pytest.mark.parametrize(("way", "framing"), WAYS)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_film(way: str, framing: str) -> None:
    """A film arrives byte by byte as its origin has it, by whatever way, and its bytes are counted."""
    async with staged(Origin(framing), way) as stage:
        assert stage.relay.spliced == (way == "spliced" and framing != "chunked")
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == FILM
        assert stage.session.bytes_sent == len(FILM)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_the_first_byte() -> None:
    """The first byte of a film that moves in the kernel is told of once, and the head is none of it."""
    async with staged(Origin()) as stage:
        seen: list[int] = []
        stage.session.at_first_byte(lambda session: seen.append(session.bytes_sent))
        assert await stage.end() is Outcome.COMPLETED
        assert seen == [0]


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_short_one(way: str) -> None:
    """What came whole with its head is sent whole."""
    async with staged(Origin(film=b"short"), way) as stage:
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == b"short"


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_live_stream_that_ends(way: str) -> None:
    """A live stream that ends is asked for anew, and goes on, until its origin has it no more."""
    origin, clock = Origin("close"), Clock()
    async with staged(origin, way, endless=True, clock=clock) as stage:
        await until(lambda: len(stage.watching.got) > 3 * len(FILM), stage.advance)
        assert stage.body.startswith(2 * FILM)
        assert set(origin.ranges) == {("", "")}
        origin.status = 404
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert stage.ends[0][1] == "the origin ended the stream"


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_live_stream_that_cannot_be_asked_for_again(way: str) -> None:
    """A live stream that ends was lost where there is no way to ask for it anew."""
    async with staged(Origin("close"), way, endless=True, resumed=False) as stage:
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert stage.ends[0][1] == "the origin ended the stream"
        assert len(stage.origin.connections) == 1


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_viewer_that_leaves(way: str) -> None:
    """When the viewer leaves, its origin is closed at once."""
    origin = Origin("close", endless=True)
    async with staged(origin, way) as stage:
        await until(lambda: len(stage.watching.got) > 100_000)
        stage.watching.transport.abortConnection()  # type: ignore[union-attr]
        assert await stage.end() is Outcome.VIEWER_LEFT
        await until(lambda: origin.connections[0].lost)


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_viewer_that_leaves_while_it_does_not_read(way: str) -> None:
    """A viewer that leaves with everything full is noticed all the same."""
    origin = Origin("close", endless=True)
    async with staged(origin, way, slow=True) as stage:
        await full(stage)
        stage.watching.transport.abortConnection()  # type: ignore[union-attr]
        assert await stage.end() is Outcome.VIEWER_LEFT


async def full(stage: Stage) -> None:
    """Wait until nothing moves any more."""
    idle, before = 0, -1
    while idle < 50:
        idle, before = (idle + 1 if stage.origin.produced == before else 0), stage.origin.produced
        await deferLater(reactor, 0.001)


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_slow_viewer_bounds_what_is_fetched(way: str) -> None:
    """What a viewer does not read is not fetched; it is ended as too slow when it reads nothing for long enough."""
    origin = Origin("close", endless=True)
    clock = Clock()
    async with staged(origin, way, clock=clock, slow=True) as stage:
        await full(stage)
        assert 0 < origin.produced < 1_000_000
        clock.pump([29.0] * 10)
        assert stage.ends == []
        clock.pump([29.0] * 2)
        assert stage.ends == [(Outcome.VIEWER_TOO_SLOW, "the viewer read nothing for 300 s")]


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_less_patience_with_viewers_than_with_origins(way: str) -> None:
    """A viewer is let go in its own time, also where an origin may be silent for longer."""
    clock = Clock()
    async with staged(Origin("close", endless=True), way, clock=clock, slow=True, client_timeout=10.0) as stage:
        await full(stage)
        clock.pump([1.0] * 9)
        assert stage.ends == []
        clock.pump([1.0] * 2)
        assert stage.ends == [(Outcome.VIEWER_TOO_SLOW, "the viewer read nothing for 10 s")]


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_origin_that_falls_silent(way: str) -> None:
    """An origin that sends nothing, though it may, is given up after the stall timeout."""
    origin = Origin()
    origin.silent = True
    clock = Clock()
    async with staged(origin, way, clock=clock) as stage:
        clock.pump([1.0] * 29)
        assert stage.ends == []
        clock.pump([1.0] * 2)
        assert stage.ends == [(Outcome.UPSTREAM_STALLED, "the origin sent nothing for 30 s")]


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_ended_from_outside(way: str) -> None:
    """The operator can end it at any moment; only the first end counts."""
    origin = Origin("close", endless=True)
    async with staged(origin, way, slow=True) as stage:
        await full(stage)
        stage.relay.stop(Outcome.ENDED_BY_OPERATOR, "kicked")
        stage.relay.stop(Outcome.DRAINED)
        assert stage.ends == [(Outcome.ENDED_BY_OPERATOR, "kicked")]


@pytest.mark.parametrize("ask", [(), (("Range", "bytes=100000-1400000"),), (("Range", "bytes=1000-"),)])
@pytest.mark.parametrize(("way", "framing"), [("spliced", "length"), ("python", "length"), ("spliced", "chunked")])
@pytest.mark.parametrize("dropping", ["closed", "reset"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_film_that_is_dropped(ask: Headers, way: str, framing: str, dropping: str) -> None:
    """A film that its origin drops again and again goes on at the byte where it stopped, a part of one too."""
    origin = Origin(framing)
    origin.cuts = [300_000, 70_000, 200_000, 70_001]
    origin.dropping = dropping
    whole = FILM
    if ask:
        first, last = ask[0][1].removeprefix("bytes=").split("-")
        whole = FILM[int(first) : int(last) + 1 if last else None]
    async with staged(origin, way, ask=ask, clock=Clock()) as stage:
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == whole
        assert stage.session.bytes_sent == len(whole)
        assert len(origin.connections) == 5
        # In the kernel to the end, where it began there.
        assert (stage.relay._relay is None) == (way == "spliced" and framing == "length")
        assert {condition for _, condition in origin.ranges[1:]} == {'"one"'}


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_film_that_is_dropped_before_it_began(way: str) -> None:
    """A film of which nothing came but the head is asked for again from its first byte."""
    origin = Origin()
    origin.cuts = [0, 0, 1]
    async with staged(origin, way, clock=Clock()) as stage:
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == FILM
        assert [wanted for wanted, _ in origin.ranges[1:3]] == ["bytes=0-1499999"] * 2


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_end_that_comes_with_the_head(way: str) -> None:
    """What is missing may be so little that it comes in one piece with the head."""
    origin = Origin()
    origin.cuts = [len(FILM) - 10]
    async with staged(origin, way, clock=Clock()) as stage:
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == FILM


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_film_that_changed(way: str) -> None:
    """A film that is another one now is not gone on with: the viewer gets no byte of the other."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, way, clock=Clock()) as stage:
        origin.etag = '"two"'
        origin.film = bytes(len(FILM))
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert "another version" in stage.ends[0][1]
        assert stage.body == FILM[: len(stage.body)]


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_origin_that_does_not_come_back(way: str) -> None:
    """An origin that only fails is asked a few times, then the film is lost for the first reason."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, way, clock=Clock()) as stage:
        origin.status = 503
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert "before it had sent everything" in stage.ends[0][1]
        assert len(origin.connections) == 6


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_is_not_to_be_resumed(way: str) -> None:
    """Where going on is not wanted a film that is dropped is lost."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, way, resumed=False) as stage:
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert len(origin.connections) == 1


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_ended_while_it_is_asked_for_again(way: str) -> None:
    """Ending it while its origin is being asked again asks no more."""
    origin = Origin()
    origin.cuts = [500_000, 1]
    clock = Clock()
    async with staged(origin, way, clock=clock) as stage:
        await until(lambda: origin.connections[0].lost and len(clock.getDelayedCalls()) == 2)
        stage.relay.stop(Outcome.DRAINED)
        clock.advance(5.0)
        assert len(origin.connections) == 1


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_going_on_by_the_other_way() -> None:
    """An origin that continues in chunks is gone on with through Python."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, clock=Clock()) as stage:
        assert stage.relay.spliced
        origin.framing = "chunked"
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == FILM


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_no_pipe_midway() -> None:
    """When there is no pipe to be had, midway, Python goes on with nothing lost."""
    async with staged(Origin()) as stage:
        assert stage.pool is not None
        some = [stage.pool.borrow() for _ in range(2)]
        given = [*some, OSError(errno.EMFILE, "Too many open files")]
        with mock.patch.object(stage.pool, "borrow", side_effect=given) as borrow:
            await until(lambda: not stage.relay.spliced)
            assert borrow.call_count == 3
            assert stage.session.bytes_sent < len(FILM)
            assert await stage.end() is Outcome.COMPLETED
            assert stage.body == FILM


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_no_descriptors() -> None:
    """Without descriptors left for splicing it goes through Python from the start."""
    with mock.patch("os.dup", side_effect=OSError(errno.EMFILE, "Too many open files")):
        async with staged(Origin()) as stage:
            assert not stage.relay.spliced
            assert await stage.end() is Outcome.COMPLETED
            assert stage.body == FILM


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_platform_without_splice() -> None:
    """Where the platform cannot splice it goes through Python."""
    with mock.patch("iptvd.delivery.isolated.AVAILABLE", False):
        async with staged(Origin()) as stage:
            assert not stage.relay.spliced
            assert await stage.end() is Outcome.COMPLETED
            assert stage.body == FILM


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_fault_of_ours(way: str, logged_errors: LoggedErrors) -> None:
    """An unexpected error while going on is logged, and ends the session like any loss."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, way, clock=Clock()) as stage:
        stage.fault = ValueError("unexpected")
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert "could not be asked again" in stage.ends[0][1]
    assert len(logged_errors.flush(Fault)) == 1


def test_what_is_spliceable() -> None:
    """Only our own HTTP client has a body that comes from a socket as it is."""
    assert spliceable(MemoryUpstream(())) is None
    assert spliceable(HTTPUpstream("GET", b"")) is None
