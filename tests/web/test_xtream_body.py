"""Long bodies, on their way to clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from gzip import decompress
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from iptvd.web import xtream_body
from iptvd.web.filling import ANY_BASE, PATIENCE
from iptvd.web.xtream_body import Bodies, Body, array
from tests.doubles import result, sliced
from tests.web.building import Later
from tests.web.loop import Loop

BASE = "http://tv.example.com/~token"


class Client:
    """A request, and who takes its answer: so many pieces at once."""

    def __init__(self, takes: int = 1000, gzip: bool = False) -> None:
        self.channel: Any = self
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.finished = self.aborted = False
        self.producer: Any = None
        self._takes = takes
        self._left = takes
        self._gzip = gzip

    def getHeader(self, name: str) -> str | None:
        return "gzip" if self._gzip and name == "Accept-Encoding" else None

    def setHeader(self, name: str, value: str) -> None:
        self.headers[name] = value

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self._left -= 1
        if self._left <= 0:
            self.producer.pauseProducing()

    def take(self) -> None:
        """Take what there is."""
        self._left = self._takes
        if self.producer is not None:
            self.producer.resumeProducing()

    def finish(self) -> None:
        self.finished = True

    def forceAbortClient(self) -> None:
        self.aborted = True

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loop = Loop()
        self.later = Later()
        self.made = 0

    def bodies(self, at_once: bool = True) -> Bodies:
        return Bodies(sliced if at_once else self.later, self.loop)

    def pieces(self, count: int = 5) -> Iterator[bytes]:
        self.made += 1
        return (f"{number} {ANY_BASE};".encode() for number in range(count))

    def send(self, bodies: Bodies, body: Body, client: Client) -> Deferred[None]:
        return Deferred.fromCoroutine(bodies.send(cast(Request, client), body, BASE))

    def expected(self, count: int = 5) -> bytes:
        return "".join(f"{number} {BASE};" for number in range(count)).encode()

    def test_filled_in(self) -> None:
        """Each client gets its own links, packed or not, of what is written once."""
        bodies = self.bodies()
        for gzip in (False, True):
            client = Client(gzip=gzip)
            result(self.send(bodies, bodies.get("1", "a", self.pieces), client))
            self.assertEqual(decompress(client.body) if gzip else client.body, self.expected())
            self.assertEqual(client.headers, {"Content-Encoding": "gzip"} if gzip else {})
            self.assertTrue(client.finished)
        self.assertEqual(self.made, 1)

    def test_escaped(self) -> None:
        """A link stands in JSON whatever is in it."""
        bodies, client = self.bodies(), Client()
        body = bodies.make(iter([json.dumps([ANY_BASE]).encode()]))
        result(Deferred.fromCoroutine(bodies.send(cast(Request, client), body, 'http://a/"b')))
        self.assertEqual(json.loads(client.body), ['http://a/"b'])

    def test_while_written(self) -> None:
        """A client gets the beginning before the end is written."""
        bodies, client = self.bodies(at_once=False), Client()
        body = Body()
        sending = self.send(bodies, body, client)
        for number in range(3):
            body.add(b"%d" % number)
            self.later.finish()
            self.assertEqual(client.body, b"012"[: number + 1])
        self.assertFalse(client.finished)
        body.end()
        self.later.finish()
        result(sending)
        self.assertTrue(client.finished)

    def test_pace(self) -> None:
        """A client that takes its time gets no more than it takes, and in the end all of it."""
        bodies, client = self.bodies(), Client(takes=2)
        sending = self.send(bodies, bodies.make(self.pieces(5)), client)
        for taken in (2, 4):
            self.assertEqual(len(client.pieces), taken)
            self.loop.advance(PATIENCE - 1)
            client.take()
        result(sending)
        self.assertEqual((client.body, client.aborted, client.producer), (self.expected(), False, None))
        self.assertEqual(self.loop.getDelayedCalls(), [])

    def test_patience(self) -> None:
        """A client that takes nothing for a minute is let go."""
        bodies, client = self.bodies(), Client(takes=1)
        sending = self.send(bodies, bodies.make(self.pieces()), client)
        sending.addErrback(lambda failure: None)
        self.loop.advance(PATIENCE - 1)
        self.assertFalse(client.aborted)
        self.loop.advance(1)
        self.assertTrue(client.aborted)
        client.channel = None
        sending.cancel()
        result(sending)
        self.assertFalse(client.finished)

    def test_left(self) -> None:
        """When a client leaves before the end, the body is written on, for the next one."""
        bodies, client = self.bodies(at_once=False), Client()
        sending = self.send(bodies, bodies.get("1", "a", self.pieces), client)
        sending.addErrback(lambda failure: None)
        sending.cancel()
        self.later.finish()
        self.assertFalse(client.finished)
        again = Client()
        sending = self.send(bodies, bodies.get("1", "a", self.pieces), again)
        self.later.finish()
        result(sending)
        self.assertEqual((again.body, self.made), (self.expected(), 1))

    def test_fails(self) -> None:
        """What cannot be written fails for all who wait for it, and is begun anew for the next."""

        def broken() -> Iterator[bytes]:
            self.made += 1
            yield b"begun"
            raise ValueError("no more")

        bodies = self.bodies()
        for _ in range(2):
            client = Client()
            sending = self.send(bodies, bodies.get("1", "a", broken), client)
            self.failureResultOf(sending, ValueError)
            self.assertFalse(client.finished)
        self.assertEqual(self.made, 2)
        body = Body()
        sending = self.send(bodies, body, Client())
        body.add(b"begun")
        body.end(self.failureResultOf(_failed(), KeyError))
        self.failureResultOf(sending, KeyError)

    def test_kept(self) -> None:
        """What another lineup had is dropped, and what was not asked for longest when there is too much."""
        bodies = self.bodies()
        for revision, key, made in (("1", "a", 1), ("1", "a", 1), ("1", "b", 2), ("2", "a", 3), ("2", "b", 4)):
            bodies.get(revision, key, self.pieces)
            self.assertEqual(self.made, made)
        self.patch(xtream_body, "CACHE_ENTRIES", 2)
        bodies.get("2", "a", self.pieces)
        bodies.get("2", "c", self.pieces)
        bodies.get("2", "a", self.pieces)
        self.assertEqual(self.made, 5)
        bodies.get("2", "b", self.pieces)
        self.assertEqual(self.made, 6)
        self.patch(xtream_body, "CACHE_BYTES", 10)
        bodies.get("2", "d", self.pieces)
        bodies.get("2", "d", self.pieces)
        self.assertEqual(self.made, 7)
        bodies.get("2", "b", self.pieces)
        self.assertEqual(self.made, 8)

    def test_lists(self) -> None:
        """A list is JSON however its items come, and whether there are any."""
        every: list[list[list[str]]] = [[], [[]], [["1"]], [["1", "2"], [], ["3"]], [[], ["1"]]]
        for batches in every:
            flat = [int(item) for batch in batches for item in batch]
            self.assertEqual(json.loads(b"".join(array(batches))), flat)


def _failed() -> Deferred[None]:
    async def fail() -> None:
        raise KeyError("x")

    return Deferred.fromCoroutine(fail())
