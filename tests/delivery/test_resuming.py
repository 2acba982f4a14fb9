"""Going on with a file where its origin dropped it: what is asked, and which answers are believed."""

from __future__ import annotations

from collections.abc import Awaitable

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.resuming import DELAYS, PROGRESS, Body, ResumedUpstream, validator
from iptvd.errors import UpstreamError
from iptvd.model import Headers
from iptvd.protocols.heads import ResponseHead, parse_head
from iptvd.protocols.http_upstream import HTTPUpstream

LOST = UpstreamError(502, "lost")
TAG = 'ETag: "a"'
DATED = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"


class Transport(StringTransport):
    """Knows when it was closed."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


def lines(status: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} OK", *headers]).encode()


def head(status: int, *headers: str) -> ResponseHead:
    return parse_head(lines(status, *headers), 1000, 100)


def answer(status: int, *headers: str, body: bytes = b"") -> HTTPUpstream:
    """An upstream that has this head, and so much of its body."""
    upstream = HTTPUpstream("GET", b"")
    upstream.makeConnection(Transport())
    upstream.dataReceived(lines(status, *headers) + b"\r\n\r\n" + body)
    return upstream


@define
class Asked:
    """Answers in order; the last answer again and again."""

    answers: list[HTTPUpstream | UpstreamError]
    headers: list[dict[str, str]] = field(factory=list)

    def __call__(self, headers: Headers) -> Awaitable[HTTPUpstream]:
        self.headers.append(dict(headers))
        one = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return fail(one) if isinstance(one, UpstreamError) else succeed(one)


class Gathered:
    """A receiver that keeps everything."""

    def __init__(self) -> None:
        self.data = b""
        self.ends: list[UpstreamError | None] = []

    def data_received(self, data: bytes | memoryview) -> None:
        self.data += data

    def body_ended(self, error: UpstreamError | None) -> None:
        self.ends.append(error)


class ValidatorTests(SynchronousTestCase):
    def test_what_tells_versions_apart(self) -> None:
        """A strong tag does, else a date that was old when it was told; a weak tag and a fresh date do not."""
        for headers, expected in (
            ((TAG, DATED), '"a"'),
            (('ETag: W/"a"', DATED, "Date: Tue, 02 Jan 2024 00:00:00 GMT"), ""),
            (("ETag: bare",), ""),
            ((DATED, "Date: Mon, 01 Jan 2024 00:00:01 GMT"), "Mon, 01 Jan 2024 00:00:00 GMT"),
            ((DATED, "Date: Mon, 01 Jan 2024 00:00:00 GMT"), ""),
            ((DATED,), ""),
            ((DATED, "Date: today"), ""),
            ((DATED, "Date: Mon, 01 Jan 99999999999999999999 00:00:01 GMT"), ""),
            (("Last-Modified: Monday", "Date: Mon, 01 Jan 2024 00:00:01 GMT"), ""),
            ((), ""),
        ):
            self.assertEqual(validator(head(200, *headers)), expected)

    def test_dates_without_a_zone(self) -> None:
        """A date that does not say where it is told is not compared with one that does."""
        self.assertEqual(
            validator(
                head(200, "Last-Modified: Mon, 01 Jan 2024 00:00:00 -0000", DATED.replace("Last-Modified", "Date"))
            ),
            "",
        )


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def body(self, asked: Asked | None, status: int = 200, *headers: str) -> Body:
        return Body(head(status, *headers), self.clock, asked)

    def again(self, body: Body) -> Deferred[HTTPUpstream]:
        work = Deferred.fromCoroutine(body.again(LOST))
        self.clock.pump([max(DELAYS)] * len(DELAYS))
        return work

    def test_how_much_is_missing(self) -> None:
        """What is missing is known from the length, or from the range, but not without either."""
        for expected, status, headers in (
            (90, 200, ("Content-Length: 100",)),
            (None, 200, ()),
            (None, 200, ("Content-Length: 100", "Transfer-Encoding: chunked")),
            (20, 206, ("Content-Length: 30", "Content-Range: bytes 100-129/1000")),
            (20, 206, ("Transfer-Encoding: chunked", "Content-Range: bytes 100-129/1000")),
            (20, 206, ("Content-Range: bytes 100-129/*",)),
            (30, 206, ("Content-Length: 40", "Content-Range: bytes 100-129/1000")),
            (30, 206, ("Content-Length: 40", "Content-Type: multipart/byteranges; boundary=x")),
        ):
            body = self.body(None, status, *headers)
            body.came = 10
            self.assertEqual(body.left, expected)
        self.assertIsNone(Body(None, self.clock, None).left)

    def test_what_can_be_asked_for_again(self) -> None:
        """Only a file with a place, a validator and an origin that does not say no to ranges."""
        asked = Asked([LOST])
        for expected, status, headers in (
            (True, 200, ("Content-Length: 100", TAG)),
            (True, 200, (TAG,)),
            (True, 206, ("Content-Range: bytes 100-129/1000", TAG)),
            (False, 206, ("Content-Length: 40", "Content-Range: bytes 100-129/1000", TAG)),
            (False, 206, ("Content-Type: multipart/byteranges; boundary=x", TAG)),
            (False, 200, ("Content-Length: 100",)),
            (False, 200, ("Content-Length: 100", TAG, "Accept-Ranges: none")),
        ):
            self.assertEqual(self.body(asked, status, *headers).resumable, expected)
        self.assertFalse(self.body(None, 200, TAG).resumable)
        self.assertFalse(Body(None, self.clock, asked).resumable)
        self.assertIs(self.failureResultOf(self.again(self.body(asked))).value, LOST)
        self.assertEqual(asked.headers, [])

    def test_the_rest_is_asked_for(self) -> None:
        """The origin is asked for exactly what is missing, on the condition that the file is the same."""
        for start, status, headers, wanted, ranged in (
            (0, 200, ("Content-Length: 100", TAG), "bytes=10-99", "bytes 10-99/100"),
            (0, 200, (TAG,), "bytes=10-", "bytes 10-99/100"),
            (50, 206, ("Content-Range: bytes 50-99/200", TAG), "bytes=60-99", "bytes 60-99/200"),
            (50, 206, ("Content-Range: bytes 50-99/*", TAG), "bytes=60-99", "bytes 60-99/200"),
        ):
            rest = answer(206, f"Content-Range: {ranged}", TAG)
            asked = Asked([rest])
            body = self.body(asked, status, *headers)
            body.came = 10
            self.assertIs(self.successResultOf(self.again(body)), rest)
            self.assertEqual(asked.headers, [{"Range": wanted, "If-Range": '"a"'}])
            self.assertEqual(body.left, 100 - start - 10)

    def test_what_is_no_continuation(self) -> None:
        """Any answer that is not the very rest of the same file ends it, and its connection."""
        for status, headers in (
            (200, ("Content-Length: 100", TAG)),
            (206, ("Content-Range: bytes 10-99/100", 'ETag: "b"')),
            (206, ("Content-Range: bytes 10-99/100", DATED.replace("2024", "2025"))),
            (206, ("Content-Range: bytes 11-99/100", TAG)),
            (206, ("Content-Range: bytes 10-98/100", TAG)),
            (206, ("Content-Range: bytes 10-99/101", TAG)),
            (206, ("Content-Range: bytes 10-99/100", "Content-Length: 91", TAG)),
            (206, ("Content-Range: bytes", TAG)),
            (206, (TAG,)),
            (404, ()),
            (416, ("Content-Range: bytes */5",)),
        ):
            other = answer(status, *headers)
            asked = Asked([other])
            body = self.body(asked, 200, "Content-Length: 100", TAG, DATED)
            body.came = 10
            self.assertIn("another version", self.failureResultOf(self.again(body), UpstreamError).value.sentence)
            self.assertEqual(len(asked.headers), 1)
            transport = other.transport
            assert isinstance(transport, Transport)
            self.assertTrue(transport.aborted)

    def test_failures_that_pass(self) -> None:
        """An origin that is down or overloaded is asked again, later and later, but not for ever."""
        rest = answer(206, "Content-Range: bytes 0-99/100")
        asked = Asked([UpstreamError(502, "down"), answer(503), answer(429), rest])
        body = self.body(asked, 200, "Content-Length: 100", TAG)
        self.assertIs(self.successResultOf(self.again(body)), rest)
        asked = Asked([UpstreamError(504, "down")])
        self.assertIs(self.failureResultOf(self.again(self.body(asked, 200, TAG))).value, LOST)
        self.assertEqual(len(asked.headers), len(DELAYS))

    def test_progress(self) -> None:
        """An origin that gets on between two drops may drop often; one that does not is given up."""
        for came, expected in ((PROGRESS, 3 * len(DELAYS)), (1, len(DELAYS))):
            asked = Asked(
                [answer(206, f"Content-Range: bytes {came * number}-999999/1000000") for number in range(1, 99)]
            )
            body = self.body(asked, 200, "Content-Length: 1000000", TAG)
            for _ in range(3 * len(DELAYS)):
                body.came += came
                work = self.again(body)
                work.addErrback(lambda failure: None)
            self.assertEqual(len(asked.headers), expected)


class ResumedUpstreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.gathered = Gathered()

    def test_it_ends_where_its_length_says(self) -> None:
        """What comes beyond the length is not passed on, nor waited for."""
        first = answer(200, "Content-Length: 5")
        body = Body(first.head, self.clock, None)
        body.came = 2  # by another way
        ResumedUpstream(first, body).attach(self.gathered)
        first.dataReceived(b"cdefg")
        self.assertEqual((self.gathered.data, self.gathered.ends), (b"cde", [None]))
        first.body_left = None  # type: ignore[attr-defined]
        first.dataReceived(b"late")
        self.assertEqual(self.gathered.data, b"cde")

    def test_an_end_of_unknown_length(self) -> None:
        """What has no length ends with its connection."""
        first = answer(200, body=b"abc")
        ResumedUpstream(first, Body(first.head, self.clock, None)).attach(self.gathered)
        first.connectionLost()
        self.assertEqual((self.gathered.data, self.gathered.ends), (b"abc", [None]))

    def test_paused_while_it_is_asked_for_again(self) -> None:
        """A viewer that does not read when the origin is back does not get more than was held for it."""
        first = answer(200, "Content-Length: 10", TAG, body=b"abc")
        rest = answer(206, "Content-Range: bytes 3-9/10", TAG, body=b"d")
        asked = Asked([rest])
        resumed = ResumedUpstream(first, Body(first.head, self.clock, asked))
        resumed.attach(self.gathered)
        first.connectionLost()
        resumed.pauseProducing()
        self.clock.pump(DELAYS)
        self.assertEqual(self.gathered.data, b"abcd")
        transport = rest.transport
        assert isinstance(transport, Transport)
        self.assertEqual(transport.producerState, "paused")
        resumed.resumeProducing()
        self.assertEqual(transport.producerState, "producing")
        rest.dataReceived(b"efghij")
        self.assertEqual((self.gathered.data, self.gathered.ends), (b"abcdefghij", [None]))

    def test_cut_short_without_an_error(self) -> None:
        """A range whose chunks end early is lost like any other."""
        first = answer(206, "Content-Range: bytes 0-9/10", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")
        ResumedUpstream(first, Body(first.head, self.clock, None)).attach(self.gathered)
        self.assertEqual(self.gathered.data, b"abc")
        self.assertEqual(
            [error and error.sentence for error in self.gathered.ends],
            ["the origin closed the connection before it had sent everything"],
        )

    def test_stopped(self) -> None:
        """After it was stopped nothing is passed on, and nobody is asked again."""
        first = answer(200, "Content-Length: 10", TAG, body=b"abc")
        asked = Asked([LOST])
        resumed = ResumedUpstream(first, Body(first.head, self.clock, asked))
        resumed.attach(self.gathered)
        first.connectionLost()
        resumed.stopProducing()
        resumed.data_received(b"late")
        resumed.body_ended(None)
        self.clock.pump(DELAYS)
        self.assertEqual((self.gathered.data, self.gathered.ends, asked.headers), (b"abc", [], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])
