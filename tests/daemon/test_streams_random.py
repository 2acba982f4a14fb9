"""Whatever is asked of the streams' API, a daemon's numbers are those of its origin and of its viewers."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.launch import facts
from tests.daemon.playing import Own, Playing, playing
from tests.daemon.recording import Recorder
from tests.daemon.scripting import Script
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

SEED = 20
STEPS = 30
STREAMS = 4


class Course:
    """
    One course of things that happen.

    :ivar viewers: who watches, by the id of their stream.
    :ivar got: bytes that viewers have got who are not there any more.
    """

    def __init__(self, daemon: Playing, origin: OriginProcess, random: Random) -> None:
        self.daemon = daemon
        self.origin = origin
        self.random = random
        self.script = Script(daemon.url)
        self.viewers: list[tuple[str, Recorder]] = []
        self.streams: list[str] = []
        self.got = 0

    def create(self) -> None:
        first, second = (self.origin.at(f"/live/random-{n}.ts") for n in self.random.sample(range(STREAMS), 2))
        stream_id = self.script.create(first, [second])["stream_id"]
        if stream_id not in self.streams:
            self.streams.append(stream_id)

    def watch(self) -> None:
        if self.streams:
            stream_id = self.random.choice(self.streams)
            self.viewers.append((stream_id, Recorder(self.daemon, f"/stream/{stream_id}").wait_for_bytes(20_000)))

    def fail_over(self) -> None:
        if self.streams:
            self.script.call("POST", f"/streams/{self.random.choice(self.streams)}/failover")
            assert self.script.status == 200

    def kick(self) -> None:
        clients = self.script.call("GET", "/clients")["clients"]
        if clients:
            client = self.random.choice(clients)
            self.script.call("DELETE", f"/clients/{client['client_id']}")
            self.count_out(client["stream_id"], 1)

    def delete(self) -> None:
        if self.streams:
            stream_id = self.streams.pop(self.random.randrange(len(self.streams)))
            self.script.call("DELETE", f"/streams/{stream_id}")
            self.count_out(stream_id, sum(each == stream_id for each, _ in self.viewers))

    def count_out(self, stream_id: str, count: int) -> None:
        """So many viewers of a stream are cut off: what they have got by then is all that there was for them."""

        def over() -> list[tuple[str, Recorder]]:
            return [each for each in self.viewers if each[0] == stream_id and each[1].ending]

        if count:
            wait_for(lambda: len(over()) == count, what="the end of what is watched")
        for each in over():
            self.viewers.remove(each)
            self.got += len(each[1].stop())

    def agree(self) -> None:
        """Health, the API, the origin and the viewers tell the same, as soon as all have heard of it."""
        try:
            wait_for(lambda: self.told() == self.expected())
        except AssertionError:
            assert self.told() == self.expected()

    def told(self) -> tuple[Any, ...]:
        stats, detailed = self.script.stats(), facts(self.daemon)
        used = next(each["connections"]["used"] for each in detailed["providers"] if each["name"] == "api")
        counts = sorted(each["client_count"] for each in stats["streams"] if each["is_active"])
        ids = {each["client_id"] for each in stats["clients"]}
        return (
            stats["proxy_stats"]["active_clients"],
            counts,
            ids == {each["id"] for each in detailed["sessions"]},
            used == self.origin.open_requests(),
            {each["stream_id"] for each in self.script.call("GET", "/streams")["streams"]},
        )

    def expected(self) -> tuple[Any, ...]:
        watched = [stream_id for stream_id, _ in self.viewers]
        counts = sorted(watched.count(each) for each in set(watched))
        return (len(watched), counts, True, True, set(self.streams))

    def run(self) -> None:
        actions = (
            self.create,
            self.create,
            self.watch,
            self.watch,
            self.watch,
            self.fail_over,
            self.kick,
            self.delete,
        )
        for _ in range(STEPS):
            self.random.choice(actions)()
            self.agree()
        for stream_id in tuple(self.streams):
            self.streams.remove(stream_id)
            self.script.call("DELETE", f"/streams/{stream_id}")
            self.count_out(stream_id, sum(each == stream_id for each, _ in self.viewers))
        self.agree()
        assert self.script.stats()["proxy_stats"]["total_bytes_served"] == self.got > 0


def test_a_random_course(shared_origin: OriginProcess, tmp_path: Path) -> None:
    """Clients, streams, connections and, in the end, bytes are those that viewers, health and the origin count."""
    shared_origin.reset()
    channels = [Own("Listed", shared_origin.at("/live/listed.ts"))]
    with playing(tmp_path, channels, toml="linger = 1\n") as daemon:
        Course(daemon, shared_origin, Random(SEED)).run()
        assert shared_origin.open_requests() == 0
        daemon.assert_balanced()
