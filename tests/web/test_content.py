"""What the tokens of an HLS playlist stand for, as players ask for it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urljoin

from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.opening import Ask, Opened
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.web.content import named
from iptvd.web.player import WORTH_TAKING
from tests.delivery.test_hls import tokens_in
from tests.protocols.test_upstream import Tap
from tests.web.building import Answer
from tests.web.loop import Client, Stage
from tests.web.test_stream import HLS

INDEX = "http://origin.test/a/index.m3u8"
MEDIA = b'#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXTINF:6,\ns1.ts\n#EXTINF:6,\ns2.ts\n'
BODIES = {"k": b"k" * 16, "s1.ts": b"1" * 1880, "s2.ts": b"2" * (WORTH_TAKING + 188)}


class Body(Tap):
    """A playlist's whole body, as an HTTP upstream gives it."""

    head = None
    url = INDEX

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def resumeProducing(self) -> None:
        body, self._body = self._body, b""
        if body:
            self.deliver(body)
            self.finish()


class ContentTestCase(SynchronousTestCase):
    """One HLS channel, whose playlist has been loaded."""

    def setUp(self) -> None:
        self.stage = Stage(self, HLS)
        self.stage.sources["2"] = [("p", Source(SourceKind.HLS, url=INDEX))]
        self.stage.openings.table[INDEX] = lambda ask: Opened(Body(MEDIA), 200, ())
        self.taps: list[Tap] = []
        for name in BODIES:
            self.stage.openings.table[urljoin(INDEX, name)] = self.opening(name)
        path = self.stage.path("HLS", "m3u8")
        (self.index,) = self.uris(path, self.stage.ask(path).answer())
        self.key, self.short, self.long = self.uris(self.index, self.stage.ask(self.index).answer())

    def opening(self, name: str) -> Callable[[Ask], Opened]:
        def opened(ask: Ask) -> Opened:
            self.taps.append(Tap())
            headers = (("Content-Length", str(len(BODIES[name]))), ("Content-Type", "video/mp2t"), ("ETag", '"1"'))
            return Opened(self.taps[-1] if ask.method == "GET" else None, 200, headers)

        return opened

    def uris(self, path: str, answer: Answer) -> list[str]:
        self.assertEqual((answer.status, answer.headers["Cache-Control"]), (200, "no-store"))
        self.assertEqual(answer.headers["Content-Type"], "application/vnd.apple.mpegurl")
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
        self.assertEqual(answer.headers["Content-Length"], str(len(answer.body)))
        lines = answer.text.replace('URI="', "\n").replace('"', "\n").splitlines()
        return [urljoin(path, line) for line in lines if line.startswith((".", *tokens_in(answer.body)))]

    def finish(self, name: str) -> None:
        """The origin sends all of what was asked for last."""
        self.taps[-1].deliver(BODIES[name])
        self.taps[-1].finish()
        self.stage.loop.settle()

    def sent(self) -> int:
        (session,) = self.stage.hub.sessions.values()
        return session.bytes_sent


class ContentTests(ContentTestCase):
    def test_a_segment(self) -> None:
        """A short segment comes with its length, and the connection is there for the next request."""
        client = self.stage.ask(self.short)
        self.finish("s1.ts")
        answer = client.answer()
        self.assertEqual((answer.status, answer.body), (200, BODIES["s1.ts"]))
        self.assertEqual(answer.headers["Content-Length"], "1880")
        self.assertEqual((answer.headers["ETag"], answer.headers["Cache-Control"]), ('"1"', "private, max-age=300"))
        self.assertFalse(client.ended)
        client.data = b""
        client.send(f"GET {self.short} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        self.assertEqual(client.answer().body, BODIES["s1.ts"])
        self.assertEqual((len(self.taps), self.sent()), (1, 2 * 1880))

    def test_a_long_one(self) -> None:
        """A long segment has a connection of its own, which ends with it; others that ask for it share the fetch."""
        clients = [self.stage.ask(self.long) for _ in range(3)]
        self.finish("s2.ts")
        for client in clients:
            self.assertEqual((client.body, client.ended), (BODIES["s2.ts"], True))
            self.assertIn(b"Connection: close", client.data)
        self.assertEqual((len(self.taps), self.sent()), (1, 3 * len(BODIES["s2.ts"])))

    def test_a_key(self) -> None:
        """A key comes as it is, and may be kept by nobody."""
        client = self.stage.ask(self.key)
        self.finish("k")
        answer = client.answer()
        self.assertEqual((answer.body, answer.headers["Cache-Control"]), (BODIES["k"], "no-store"))

    def test_head(self) -> None:
        """HEAD tells what there is without a body."""
        for path, length in ((self.short, "1880"), (self.index, None)):
            answer = self.stage.ask(path, method="HEAD").answer("HEAD")
            self.assertEqual((answer.status, answer.body), (200, b""))
            if length:
                self.assertEqual(answer.headers["Content-Length"], length)

    def test_a_part(self) -> None:
        """What is asked of a segment goes to the origin, and nothing else of the request."""
        self.stage.ask(self.short, ("Range", "bytes=0-1"), ("If-Range", '"1"'), ("Cookie", "x"))
        self.assertEqual(self.stage.openings.asked[-1][1], Ask("GET", (("Range", "bytes=0-1"), ("If-Range", '"1"'))))

    def test_breaking_off(self) -> None:
        """A segment that breaks off is not shown as whole, whatever its length, and its session goes on."""
        for path, name in ((self.short, "s1.ts"), (self.long, "s2.ts")):
            client = self.stage.ask(path)
            self.taps[-1].deliver(BODIES[name][:188])
            self.taps[-1].finish(UpstreamError(502, "the connection to the origin broke"))
            self.assertEqual((client.body, client.ended), (BODIES[name][:188], True))
        self.assertEqual((self.stage.ends, len(self.stage.hub.sessions)), ([], 1))

    def test_leaving(self) -> None:
        """A viewer that leaves in the middle of a segment stops it, and its session goes on until it is idle."""
        for path, reset in ((self.short, False), (self.long, True)):
            client = self.stage.ask(path)
            self.taps[-1].deliver(b"x" * 188)
            client.leave(reset=reset)
            self.assertEqual(self.taps[-1].stopped, 1)
        self.assertEqual(self.stage.ends, [])
        self.stage.loop.pump([1] * 60)
        self.assertEqual(self.stage.outcomes(), ["viewer_left"])
        self.stage.assert_nothing_left()

    def test_an_end_of_the_session(self) -> None:
        """When a session is ended, so is what is on its way in it."""
        clients: list[Client] = [self.stage.ask(path) for path in (self.short, self.long)]
        self.stage.hub.drain(5)
        self.stage.loop.settle()
        for client in clients:
            client.read()
            self.assertTrue(client.ended)
        self.assertEqual(self.stage.outcomes(), ["drained"])
        self.assertEqual([tap.stopped for tap in self.taps], [1, 1])

    def test_nothing_is_piled_up(self) -> None:
        """However many segments a viewer has taken in one session, nothing of them is kept with it."""
        (session,) = self.stage.hub.sessions.values()
        for path, name in ((self.short, "s1.ts"), (self.long, "s2.ts")):
            held = None
            for number in range(4):
                client = self.stage.ask(path)
                if not number:
                    self.finish(name)
                client.read()
                client.leave()
                self.assertIn(held, (None, len(session._at_end)))
                held = len(session._at_end)

    def test_bad_tokens(self) -> None:
        """What is forged, cut short or for something else is a 403 with a sentence."""
        token = self.short.rpartition("/")[2].partition(".")[0]
        for path in (
            "/content/x.ts",
            "/content/",
            "/key/",
            "/content/x.m3u8",
            f"/content/{token[:-1]}.ts",
            f"/content/{token}.m3u8",
            f"/key/{token}",
            self.key.replace("/key/", "/content/"),
        ):
            answer = self.stage.ask(path).answer()
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (403, "text/plain; charset=utf-8"), path)
        self.assertEqual(self.taps, [])

    def test_an_error(self) -> None:
        """What the origin refuses is a sentence and the status that fits."""
        self.stage.openings.table[urljoin(INDEX, "s1.ts")] = UpstreamError(404, "the origin does not have it")
        answer = self.stage.ask(self.short).answer()
        self.assertEqual((answer.status, answer.text), (404, "The origin does not have it.\n"))


class NamedTests(SynchronousTestCase):
    def test_what_a_segment_is(self) -> None:
        """What an origin types as something else has the type of its ending here; media stays as it is typed."""
        for given, extension, told in (
            ("text/css", "ts", "video/mp2t"),
            ("image/png", "m4s", "video/iso.segment"),
            ("", "ts", "video/mp2t"),
            ("video/MP2T", "ts", "video/MP2T"),
            ("application/octet-stream", "ts", "application/octet-stream"),
            ("text/css", "css", "text/css"),
        ):
            headers = (("ETag", '"x"'), *((("Content-Type", given),) if given else ()))
            found = dict(named(headers, extension))
            self.assertEqual((found["Content-Type"], found["ETag"]), (told, '"x"'), (given, extension))
