"""Whatever is asked of the streams' API, its numbers are those that another observer counts."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import UpstreamError
from iptvd.kept_provider import NAME
from iptvd.protocols.sniff import Media
from tests.protocols.tsmaking import made_film
from tests.web.building import Answer, understood
from tests.web.loop import Client
from tests.web.managing import Managing

SECOND = len(made_film(seconds=1))
FILM = made_film(seconds=30)
URLS = [f"http://origin.test/{letter}" for letter in "abcdef"]
#: Connections that the provider has, now and then fewer than are wanted.
CONNECTIONS = 4
STEPS = 40


@define(eq=False)
class Watching:
    """A player that reads all it can, and keeps count."""

    stream_id: str
    client: Client

    @property
    def got(self) -> int:
        """Bytes of media."""
        head, _, body = self.client.read().partition(b"\r\n\r\n")
        return len(body) if head.startswith(b"HTTP/1.1 200") and b"video/mp2t" in head else 0


class Course:
    """
    One random course of things that happen.

    :ivar left: what players have got of each stream that have left since.
    :ivar deleted: streams that have been deleted once.
    """

    def __init__(self, test: SynchronousTestCase, seed: int) -> None:
        self.test = test
        self.random = Random(seed)
        self.stage = Managing(test, api=CONNECTIONS)
        self.watching: list[Watching] = []
        self.streams: dict[str, str] = {}
        self.said: list[str] = []
        self.left: Counter[str] = Counter()
        self.deleted: set[str] = set()
        self._at: Counter[int] = Counter()

    def call(self, method: str, path: str, body: object = None) -> Answer:
        client = self.stage.begin(method, path, body)
        for _ in range(120):
            if client.read():
                break
            # Whoever has a stream go over waits for that.
            self.play(0.05)
        client.leave()
        return understood(client.data, method)

    # What happens

    def post(self) -> None:
        """A stream comes, or has other URLs now."""
        url = self.random.choice(URLS)
        failover = self.random.sample(URLS, self.random.randint(0, 3))
        answer = self.call("POST", "/streams", {"url": url, "failover_urls": failover})
        self.test.assertEqual(answer.status, 200)
        self.streams[url] = answer.plain.partition('"stream_id":"')[2][:32]

    def watch(self) -> None:
        if self.streams:
            stream_id = self.random.choice(list(self.streams.values()))
            path = f"/stream/{stream_id}" if self.random.random() < 0.9 else f"/stream/{stream_id}.m3u8"
            client = self.stage.ask(path, ("User-Agent", f"p{len(self.watching)}"))
            self.watching.append(Watching(stream_id, client))

    def leave(self) -> None:
        here = [each for each in self.watching if not each.client.ended]
        if here:
            watching = self.random.choice(here)
            self.count(watching)
            watching.client.leave()
            self.watching.remove(watching)

    def kick(self) -> None:
        sessions = list(self.stage.hub.sessions)
        if sessions:
            self.call("DELETE", f"/clients/{self.random.choice(sessions)}")

    def delete(self) -> None:
        if self.streams:
            url = self.random.choice(list(self.streams))
            self.test.assertEqual(self.call("DELETE", f"/streams/{self.streams[url]}").status, 200)
            self.deleted.add(self.streams.pop(url))

    def fail_over(self) -> None:
        if self.streams:
            answer = self.call("POST", f"/streams/{self.random.choice(list(self.streams.values()))}/failover")
            self.test.assertIn(answer.status, (200, 409))

    def end_a_source(self) -> None:
        taps = self.open_taps()
        if taps:
            self.random.choice(taps).finish(UpstreamError(502, "it is gone"))

    def spoil(self) -> None:
        """From now on an origin works, or fails."""
        script: Any = self.random.choice(([Media.TS], [Media.TS], [UpstreamError(502, "it refuses")]))
        self.stage.origins.script[self.random.choice("abcdef")] = script

    def play(self, seconds: float = 1.0) -> None:
        """All that is open delivers."""
        for _ in range(max(1, round(seconds / 0.25))):
            for tap in self.open_taps():
                start = self._at[id(tap)]
                self._at[id(tap)] = stop = min(start + SECOND // 4 // 188 * 188, len(FILM))
                tap.deliver(FILM[start:stop])
            for on_air in list(self.stage.live.on_air.values()):
                on_air.broadcast.flush()
            self.stage.loop.advance(min(seconds, 0.25))
            self.stage.loop.settle()

    def rest(self) -> None:
        """Nothing comes for longer than anybody waits for it."""
        self.stage.loop.pump([0.5] * 14)
        self.stage.loop.settle()

    def run(self) -> None:
        actions = (self.post, self.post, self.watch, self.watch, self.watch, self.leave, self.kick, self.delete)
        more = (
            self.fail_over,
            self.fail_over,
            self.end_a_source,
            self.spoil,
            self.play,
            self.play,
            self.play,
            self.rest,
        )
        for _ in range(STEPS):
            action = self.random.choice((*actions, *more))
            self.said.append(action.__name__)
            action()
            self.stage.loop.settle()
            self.agree()

    # What another observer counts

    def open_taps(self) -> list[Any]:
        return [tap for tap in self.stage.origins.taps if not tap.stopped and not tap.ended]

    def count(self, watching: Watching) -> None:
        """Take over what a player has got that is about to leave."""
        self.left[watching.stream_id] += watching.got

    def agree(self) -> None:
        """The API tells what players have got and what is open."""
        test, stage = self.test, self.stage
        got: Counter[str] = Counter(self.left)
        for watching in self.watching:
            got[watching.stream_id] += watching.got
        stats, detailed = (json.loads(self.call("GET", path).plain) for path in ("/stats", "/health/detailed"))
        told = stats["proxy_stats"]
        test.assertEqual(told["total_bytes_served"], got.total(), self.said)
        served = {each["stream_id"]: each["total_bytes_served"] for each in stats["streams"]}
        self.forgotten(served, got)
        test.assertEqual(
            {each["client_id"]: each["bytes_served"] for each in stats["clients"]},
            {each["id"]: each["bytes"] for each in detailed["sessions"]},
            self.said,
        )
        test.assertEqual(told["active_clients"], detailed["total_active_streams"])
        test.assertEqual(sum(each["client_count"] for each in stats["streams"]), len(stats["clients"]), self.said)
        test.assertEqual(told["active_streams"], detailed["active_channels"])
        test.assertEqual(stage.slots.used(NAME), len(self.open_taps()), self.said)
        test.assertLessEqual(stage.slots.used(NAME), CONNECTIONS)
        test.assertEqual({each["stream_id"] for each in stats["streams"]} >= set(self.streams.values()), True)

    def forgotten(self, served: dict[str, int], got: Counter[str]) -> None:
        """A stream that is deleted begins anew when it is posted again: its own count does, the sums do not."""
        for stream_id, count in served.items():
            self.test.assertLessEqual(count, got[stream_id], self.said)
            if stream_id not in self.deleted:
                self.test.assertEqual(count, got[stream_id], self.said)


class RandomTests(SynchronousTestCase):
    def test_numbers_agree(self) -> None:
        """Bytes, clients, streams and connections are what players, the origin and health count, at each moment."""
        for seed in range(12):
            Course(self, seed).run()
