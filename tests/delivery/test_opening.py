"""Opening sources: what is played, what is refused and why, and what of an origin's answer a viewer is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.opening import Ask, FoundPlaylist, Opened, Opener, SourceGone, playable, refusal
from iptvd.errors import UpstreamError
from iptvd.model import Headers, Source, SourceKind
from iptvd.nearby import Faraway, FarSource
from iptvd.protocols.http_upstream import Timeouts
from iptvd.protocols.process_upstream import ProcessUpstream
from iptvd.protocols.sniff import Media
from iptvd.protocols.socks5 import Proxy
from tests.doubles import folder_for, offload, result
from tests.protocols.test_http_upstream import Endpoint, Network
from tests.protocols.test_process_upstream import Reactor
from tests.protocols.test_upstream import Gathered

ASK = Ask()
URL = "http://origin.test/live.ts"
TS = (b"G\x01\x00\x10" + b"\xff" * 184) * 10
HTML = b"<!DOCTYPE html><html><body>Sorry</body></html>"
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n"


def response(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    """A whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Counts:
    def __init__(self) -> None:
        self.opened = 0
        self.failed: list[int] = []

    def upstream_opened(self) -> None:
        self.opened += 1

    def upstream_failed(self, status: int) -> None:
        self.failed.append(status)


class OpenerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.network = Network()
        self.counts = Counts()
        connect: Any = lambda target, verify: Endpoint(self.network, target)  # noqa: E731
        refusing = TCP4ClientEndpoint(Faraway(self.reactor), "127.0.0.1", 80)
        self.opener = Opener(
            self.reactor,  # type: ignore[arg-type]
            connect,
            Timeouts(10, 10),
            offload,
            "iptvd/test",
            self.counts,
            lambda target, verify: refusing,
        )

    def open(self, answer: bytes = b"", ask: Ask = ASK, extension: str = "ts", **source: Any) -> Deferred[Opened]:
        given = {"kind": SourceKind.TS, "url": URL, **source}
        work = Deferred.fromCoroutine(self.opener.open(Source(**given), ask, extension))
        if answer:
            self.network.connections[-1][1].dataReceived(answer)
        return work

    def film(self, answer: bytes, ask: Ask = ASK, extension: str = "mp4") -> Deferred[Opened]:
        return self.open(answer, ask, extension, kind=SourceKind.VOD, url="http://origin.test/film.mp4")

    def fails(self, work: Deferred[Opened], status: int, words: str = "") -> None:
        error = self.failureResultOf(work, UpstreamError).value
        self.assertEqual(error.status, status)
        self.assertIn(words, error.sentence)
        self.assertNotIn("origin.test", error.sentence)
        self.assertTrue(all(transport.aborted for _, _, transport in self.network.connections))

    def body(self, opened: Opened) -> bytes:
        gathered = Gathered()
        assert opened.upstream is not None
        opened.upstream.attach(gathered)
        return gathered.data

    @property
    def asked(self) -> str:
        return bytes(self.network.connections[-1][2].value()).decode()

    def test_a_live_stream(self) -> None:
        """A live stream is open once its first bytes have shown what it is, and none of them is lost."""
        work = self.open(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + TS[:300])
        self.assertNoResult(work)
        self.network.connections[0][1].dataReceived(TS[300:])
        opened = self.successResultOf(work)
        self.assertEqual(
            (opened.status, opened.media, dict(opened.headers)), (200, Media.TS, {"Content-Type": "video/mp2t"})
        )
        self.assertEqual(self.body(opened), TS)
        self.assertEqual((self.counts.opened, self.counts.failed), (1, []))

    def test_what_is_no_stream(self) -> None:
        """A page, a text, nothing or a playlist in the place of a stream is told apart by what it is."""
        for body, words in ((HTML, "a web page"), (b"Sorry, no", "text"), (b"", "sent nothing")):
            self.fails(self.open(response(body)), 502, words)
        self.failureResultOf(self.open(response(PLAYLIST)), FoundPlaylist)
        self.failureResultOf(self.film(response(PLAYLIST)), FoundPlaylist)

    def test_what_may_be_elsewhere_now(self) -> None:
        """An origin that refuses what it may have given before has the provider told, and only then."""
        renewed: list[str] = []
        for status, told in (
            ("401 No", True),
            ("403 No", True),
            ("404 No", True),
            ("410 No", True),
            ("451 No", False),
            ("500 No", False),
        ):
            renewed.clear()
            work = self.open(response(b"", status), renew=lambda: renewed.append("x"))
            error = self.failureResultOf(work, UpstreamError).value
            self.assertEqual((isinstance(error, SourceGone), bool(renewed)), (told, told), status)
        self.failureResultOf(self.open(response(b"", "404 No")), SourceGone)

    def test_silence(self) -> None:
        """An origin that sends a head and then nothing, or drop by drop what shows nothing, is given up in time."""
        head = b"HTTP/1.1 200 OK\r\n\r\n"
        work = self.open(head)
        self.reactor.advance(10)
        self.fails(work, 504, "sent nothing within 10 s")
        work = self.open(head)
        for _ in range(9):
            self.network.connections[-1][1].dataReceived(b"x")
            self.reactor.advance(1)
        self.assertNoResult(work)
        self.reactor.advance(1)
        self.fails(work, 504, "sent too little within 10 s")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_viewer_that_leaves_meanwhile(self) -> None:
        """When the viewer leaves while the first bytes are awaited, the origin is left too."""
        work = self.open(b"HTTP/1.1 200 OK\r\n\r\n")
        work.addErrback(lambda failure: None)
        work.cancel()
        self.assertTrue(self.network.connections[0][2].aborted)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_refusals(self) -> None:
        """What an origin refuses with becomes its class, for streams and films, and is counted."""
        classes = {
            404: 404,
            410: 404,
            429: 503,
            503: 503,
            408: 504,
            504: 504,
            401: 502,
            403: 502,
            451: 502,
            500: 502,
            418: 502,
        }
        for status, seen in classes.items():
            self.assertEqual(refusal(status).status, seen)
            self.fails(self.open(response(HTML, f"{status} x")), seen, str(status))
            self.fails(self.film(response(HTML, f"{status} x")), seen, str(status))
        self.assertEqual(self.counts.failed, [seen for seen in classes.values() for _ in range(2)])

    def test_no_connection_is_counted(self) -> None:
        """An origin that cannot be reached is counted as one that failed."""
        self.network.failures.append(OSError())
        self.fails(self.open(), 502)
        self.assertEqual((self.counts.opened, self.counts.failed), (1, [502]))

    def test_what_may_not_lead_here(self) -> None:
        """A source that may not lead into this network is connected to in another way, and told so where it does."""
        work = Deferred.fromCoroutine(self.opener.open(FarSource(SourceKind.TS, url=URL), ASK, "ts"))
        self.fails(work, 502, "in this network")
        self.assertEqual(self.network.connections, [])

    def test_headers(self) -> None:
        """A source's headers go with its requests, our name only where it has none, and its credentials only home."""
        for headers, agent in (((), "iptvd/test"), ((("user-agent", "VLC"),), "VLC")):
            self.open(headers=headers)
            self.assertIn(f"gent: {agent}\r\n", self.asked)
            self.assertEqual(self.asked.lower().count("user-agent"), 1)
        source = Source(SourceKind.HLS, url=URL, headers=(("Cookie", "a=b"), ("Referer", "c")))
        for url, cookie in (("http://origin.test/1.ts", True), ("http://cdn.test/1.ts", False)):
            Deferred.fromCoroutine(self.opener.open_url(source, url, Ask()))
            self.assertEqual(("Cookie: a=b\r\n" in self.asked, "Referer: c\r\n" in self.asked), (cookie, True))
        with self.assertRaisesRegex(UpstreamError, "cannot be used"):
            result(self.opener.http(source, "ftp://origin.test/"))

    def test_who_may_ask(self) -> None:
        """A source needs no headers when it has none but our own name; what is behind a proxy nobody else may ask."""
        cases: tuple[tuple[Headers, bool], ...] = (
            ((), True),
            ((("User-Agent", "iptvd/test"),), True),
            ((("User-Agent", "VLC"),), False),
            ((("Referer", "x"),), False),
        )
        for headers, free in cases:
            source = Source(SourceKind.HLS, url=URL, headers=headers)
            self.assertIs(self.opener.needs_no_headers(source), free)
            self.assertFalse(self.opener.needs_no_headers(evolve(source, proxy=Proxy("proxy.test", 1080))))

    def test_a_film(self) -> None:
        """A film's length, validators and encoding are passed on, with the type of its name; nothing else is."""
        answer = response(
            bytes(9000), "200 OK", 'ETag: "e"', "Server: secret", "Content-Encoding: br", "Set-Cookie: a=b"
        )
        opened = self.successResultOf(self.film(answer))
        expected = {"Content-Length": "9000", "Content-Type": "video/mp4", "Etag": '"e"', "Content-Encoding": "br"}
        self.assertEqual((opened.status, dict(opened.headers)), (200, expected))
        self.assertEqual(self.body(opened), bytes(9000))

    def test_a_film_in_chunks(self) -> None:
        """Beside chunks a length means nothing, and is not passed on."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        opened = self.successResultOf(self.film(head + b"2328\r\n" + bytes(9000) + b"\r\n0\r\n\r\n"))
        self.assertNotIn("Content-Length", dict(opened.headers))
        self.assertEqual(self.body(opened), bytes(9000))

    def test_a_part_of_a_film(self) -> None:
        """What a viewer asks for goes to the origin, and its parts, refusals and heads come back."""
        part = Ask(headers=(("Range", "bytes=0-1"),))
        opened = self.successResultOf(self.film(response(b"G@", "206 Partial", "Content-Range: bytes 0-1/9"), part))
        self.assertIn("Range: bytes=0-1\r\n", self.asked)
        self.assertEqual((opened.status, self.body(opened)), (206, b"G@"))
        answer = response(HTML, "416 x", "Content-Range: bytes */9", 'ETag: "e"')
        opened = self.successResultOf(self.film(answer, part))
        self.assertEqual(
            (opened.upstream, opened.status, opened.headers), (None, 416, (("Content-Range", "bytes */9"),))
        )
        opened = self.successResultOf(self.film(response(b"", "304 x", 'ETag: "e"'), part))
        self.assertEqual((opened.upstream, opened.status), (None, 304))
        head = self.film(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Ask("HEAD"))
        opened = self.successResultOf(head)
        self.assertEqual((opened.upstream, dict(opened.headers)["Content-Length"]), (None, "9"))
        self.assertTrue(self.asked.startswith("HEAD "))
        self.assertEqual(self.counts.failed, [])

    def test_a_film_that_is_none(self) -> None:
        """A page in the place of a film is refused, also when a player asks for it from its start on."""
        self.fails(self.film(response(HTML)), 502, "instead of a file")
        self.fails(self.film(response(b"")), 502, "sent nothing")
        page = response(HTML.ljust(5000), "206 x", "Content-Range: bytes 0-4999/5000")
        self.fails(self.film(page, Ask(headers=(("Range", "bytes=0-"),))), 502, "instead of a file")

    def test_a_head_that_lies(self) -> None:
        """A head with an impossible coding tells a viewer that asks for the head alone what can be told."""
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\nContent-Type: video/mp4\r\n\r\n"
        opened = self.successResultOf(self.film(answer, Ask("HEAD")))
        self.assertEqual(dict(opened.headers), {"Content-Type": "video/mp4"})

    def test_a_command(self) -> None:
        """A command's output is looked at like any stream; when nothing can be made of it the command is ended."""
        work = self.open(url="", command=("player",))
        self.reactor.children[0].protocol.outReceived(TS)
        opened = self.successResultOf(work)
        assert isinstance(opened.upstream, ProcessUpstream)
        work = self.open(url="", command=("player",))
        self.reactor.children[1].protocol.outReceived(HTML)
        self.failureResultOf(work, UpstreamError)
        self.assertEqual(self.reactor.children[1].signals, ["TERM"])
        self.reactor.refusal = FileNotFoundError(2, "No such file")
        self.failureResultOf(self.open(url="", command=("player",)), UpstreamError)

    def test_stopping(self) -> None:
        """Stopping ends all commands that still run at once, and waits for each."""
        works = [self.open(url="", command=("player",)) for _ in range(2)]
        stopped = Deferred.fromCoroutine(self.opener.stop())
        for child in self.reactor.children:
            self.assertEqual(child.signals, ["TERM"])
            self.assertNoResult(stopped)
            child.end()
        self.successResultOf(stopped)
        self.assertEqual([work.called for work in works], [False, False])

    def test_sources_of_a_form(self) -> None:
        """Only those sources count that come in the form that is wanted."""
        hls, ts = Source(SourceKind.HLS, url=URL), Source(SourceKind.TS, url=URL)
        self.assertEqual(playable([("a", hls), ("b", ts)], SourceKind.TS), [("b", ts)])


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_for(self)
        self.film = self.folder / "film.mp4"
        self.film.write_bytes(b"0123456789")
        self.opener = Opener(Clock(), None, Timeouts(), offload, "", Counts())  # type: ignore[arg-type]

    def open(self, path: Path, method: str = "GET", **headers: str) -> Opened:
        given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        source = Source(SourceKind.VOD, path=str(path))
        opened = result(self.opener.open(source, Ask(method, given), path.suffix[1:]))
        if opened.upstream is not None:
            self.addCleanup(opened.upstream.stopProducing)
        return opened

    def test_whole(self) -> None:
        """A file comes whole, with its type and validators."""
        opened = self.open(self.film)
        headers = dict(opened.headers)
        self.assertEqual((opened.status, headers["Content-Type"], headers["Content-Length"]), (200, "video/mp4", "10"))
        self.assertEqual(dict(self.open(self.film, "HEAD").headers), headers)

    def test_parts(self) -> None:
        """Parts of a file are given where they can be, and only if it is still the file the viewer knows."""
        known = dict(self.open(self.film).headers)
        for condition in ({}, {"If_Range": known["ETag"]}, {"If_Range": known["Last-Modified"]}):
            opened = self.open(self.film, Range="bytes=2-4", **condition)
            self.assertEqual((opened.status, dict(opened.headers)["Content-Range"]), (206, "bytes 2-4/10"))
        self.film.write_bytes(b"0123456789A")
        opened = self.open(self.film, Range="bytes=2-4", If_Range=known["ETag"])
        self.assertEqual((opened.status, dict(opened.headers)["Content-Length"]), (200, "11"))
        self.assertEqual(self.open(self.film, Range="bytes=20-").status, 416)

    def test_what_cannot_be_had(self) -> None:
        """A file that is empty or not there is an error without its name."""
        (self.folder / "empty.mp4").touch()
        for name, words in (("empty.mp4", "is empty"), ("gone.mp4", "No such file")):
            with self.assertRaisesRegex(UpstreamError, words) as raised:
                self.open(self.folder / name)
            self.assertNotIn(str(self.folder), raised.exception.sentence)
