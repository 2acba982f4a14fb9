"""The response parser: framing, bounds, and the same result however the bytes are cut."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.http1 import END, EndOfResponse, Event, ResponseHead, ResponseParser, TruncatedResponseError

#: Whole responses, each with its body, whether its connection can be used again, and what follows it.
RESPONSES: list[tuple[str, bytes, bytes, bool, bytes]] = [
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", True, b""),
    ("GET", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhellomore", b"hello", False, b"more"),
    ("GET", b"HTTP/1.1 200\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", b"", False, b""),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello", b"hello", True, b""),
    ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", False, b""),
    ("GET", b"HTTP/1.0 200 OK\r\nConnection: x, Keep-Alive\r\nContent-Length: 2\r\n\r\nhi", b"hi", True, b""),
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"", True, b""),
    ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"", True, b""),
    ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", True, b""),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True, b""),
    (
        "GET",
        b"\r\n\nHTTP/1.1 100 Continue\r\n\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
        b"!",
        True,
        b"",
    ),
    (
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5\r\nhello\r\n6;name="value"\r\n world\r\n00 \r\nDigest: x\r\nExpires: never\r\n\r\nrest',
        b"hello world",
        False,
        b"rest",
    ),
    (
        "GET",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\nA\n0123456789\n0\n\n",
        b"0123456789",
        True,
        b"",
    ),
    (
        "GET",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"hi",
        False,
        b"",
    ),
    ("GET", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi", False, b""),
]

#: Responses whose body ends with the connection.
OPEN_ENDED: list[tuple[bytes, str]] = [
    (b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n", "HTTP/1.1"),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0"),
    (b"ICY 200 OK\r\nicy-name:Radio\r\nContent-Length: 3\r\n\r\n", "ICY"),
]

#: What is no response, or not one that can be trusted.
FAULTS: dict[str, bytes] = {
    "another protocol": b"\x16\x03\x01\x02",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 Odd\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nContent-Length 5\r\n\r\n",
    "no name": b"HTTP/1.1 200 OK\r\n: 5\r\n\r\n",
    "a name with a space": b"HTTP/1.1 200 OK\r\nContent Length: 5\r\n\r\n",
    "a fold before any header": b"HTTP/1.1 200 OK\r\n Content-Length: 5\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nServer: a\0b\r\n\r\n",
    "a bare CR": b"HTTP/1.1 200 OK\r\nServer: a\rb\r\n\r\n",
    "a bare CR in the status line": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "empty lines without end": b"\r\n" * 9,
    "CR and no LF": b"\rX",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "two lengths in a list": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "a length in words": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    "a length beyond 64 bits": b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000000000000\r\n\r\n",
    "gzip as a transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "another protocol offered": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "interim responses without end": b"HTTP/1.1 102 Processing\r\n\r\n" * 17,
    "a head too long": b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 66 + b"\r\n",
    "a line too long": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 16384 + b"\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 201 + b"\r\n",
}

#: What is wrong after "Transfer-Encoding: chunked".
CHUNK_FAULTS: dict[str, bytes] = {
    "no size": b"\r\n",
    "a size that is no number": b"x\r\n",
    "a negative size": b"-1\r\n",
    "a size with a prefix": b"0x5\r\nhello\r\n",
    "a size beyond 60 bits": b"1" + b"0" * 15 + b"\r\n",
    "a bare CR in an extension": b"5;a\rb\r\nhello\r\n",
    "an endless extension": b"5;" + b"a" * 4096,
    "more than the chunk's size": b"5\r\nhello world\r\n",
    "no line end after a chunk": b"5\r\nhello5\r\nhello\r\n",
    "one odd byte after a chunk": b"5\r\nhellox\n",
    "an endless trailer": b"0\r\nX: " + b"y" * 16384,
    "too many trailers": b"0\r\n" + b"X: y\r\n" * 201,
    "too many bytes of trailers": b"0\r\n" + (b"X: " + b"y" * 10000 + b"\r\n") * 7,
}

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The pieces of ``data`` between the places, empty ones among them."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


def bytewise(data: bytes) -> list[bytes]:
    """The single bytes."""
    return [data[i : i + 1] for i in range(len(data))]


def parse(parser: ResponseParser, pieces: list[bytes]) -> list[Event]:
    """All the events, with the body in one piece if there is any."""
    heads: list[Event] = []
    ends: list[Event] = []
    body = b""
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, bytes):
                assert event
                assert heads
                assert not ends
                body += event
            else:
                (heads if isinstance(event, ResponseHead) else ends).append(event)
    return heads + ([body] if body else []) + ends


class FramingTests(SynchronousTestCase):
    """Where a body begins and ends."""

    def test_whole(self) -> None:
        """Each kind of response gives its head, its body and its end, and tells if the connection can be reused."""
        for method, data, body, reusable, unused in RESPONSES:
            parser = ResponseParser(method)
            head, *rest = parse(parser, [data])
            self.assertIsInstance(head, ResponseHead)
            self.assertEqual(rest, [body, END] if body else [END], data)
            self.assertEqual((parser.reusable, parser.unused, parser.bytes_left), (reusable, unused, 0), data)

    def test_bytewise(self) -> None:
        """A response that trickles in gives the same as one that comes at once."""
        for method, data, *_ in RESPONSES:
            whole, trickled = ResponseParser(method), ResponseParser(method)
            self.assertEqual(parse(trickled, bytewise(data)), parse(whole, [data]))
            self.assertEqual((trickled.reusable, trickled.unused), (whole.reusable, whole.unused))

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(RESPONSES), st.lists(st.integers(0, 10_000), max_size=8))
    def test_cut_anywhere(self, response: tuple[str, bytes, bytes, bool, bytes], places: list[int]) -> None:
        """It does not matter how the network cuts a response."""
        method, data, *_ = response
        whole, pieces = ResponseParser(method), ResponseParser(method)
        self.assertEqual(parse(pieces, cut(data, places)), parse(whole, [data]))
        self.assertEqual((pieces.reusable, pieces.unused), (whole.reusable, whole.unused))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(0, 1000), max_size=8))
    def test_any_chunks(self, chunks: list[bytes], places: list[int]) -> None:
        """Whatever a body holds and however it is chunked, it arrives as it was."""
        data = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        parser = ResponseParser()
        _, *rest = parse(parser, cut(data, places))
        body = b"".join(chunks)
        self.assertEqual(rest, [body, END] if body else [END])
        self.assertTrue(parser.reusable)

    def test_until_close(self) -> None:
        """A response without a length goes on until the origin hangs up, and that is its proper end."""
        for data, version in OPEN_ENDED:
            for pieces in ([data + b"abcdef"], bytewise(data + b"abcdef")):
                parser = ResponseParser()
                head, *rest = parse(parser, pieces)
                assert isinstance(head, ResponseHead)
                self.assertEqual((head.version, rest, parser.bytes_left), (version, [b"abcdef"], None))
                self.assertEqual(parser.feed_eof(), [END])
                self.assertEqual(parser.feed_eof(), [])
                self.assertFalse(parser.reusable)

    def test_nothing_fed(self) -> None:
        """An empty read means nothing."""
        parser = ResponseParser()
        self.assertEqual(parser.feed(b""), [])
        parser.feed(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(parser.feed(b""), [])

    def test_hang_up_after_the_end(self) -> None:
        """A complete response stays complete when the origin then hangs up, but its connection is gone."""
        parser = ResponseParser()
        parser.feed(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertTrue(parser.reusable)
        self.assertEqual(parser.feed_eof(), [])
        self.assertFalse(parser.reusable)

    def test_goes_on_after_the_end(self) -> None:
        """What an origin sends after its response is kept apart, bounded, and spoils the connection."""
        parser = ResponseParser(max_head=100)
        parser.feed(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertEqual(parser.feed(b"a" * 60), [])
        self.assertEqual(parser.feed(b"b" * 60), [])
        self.assertEqual(parser.unused, b"a" * 60 + b"b" * 40)
        self.assertFalse(parser.reusable)

    def test_end_is_recognised_by_its_type(self) -> None:
        """The end of a response can be told by its class."""
        self.assertIsInstance(END, EndOfResponse)


class HotPathTests(SynchronousTestCase):
    """Body bytes are not copied and not held back."""

    def test_same_object(self) -> None:
        """What is body as a whole is handed on as it came."""
        data = bytes(1000)
        for head in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            CHUNKED + b"7d0\r\n",
        ):
            parser = ResponseParser()
            parser.feed(head)
            for _ in range(2):
                (event, *_) = parser.feed(data)
                self.assertIs(event, data)

    def test_large_chunk_is_passed_on(self) -> None:
        """A chunk larger than memory flows through as it arrives."""
        parser = ResponseParser()
        parser.feed(CHUNKED + b"fffffffffffffff\r\n")
        piece = bytes(65536)
        tracemalloc.start()
        try:
            for _ in range(1000):
                self.assertEqual(len(parser.feed(piece)), 1)
            self.assertLess(tracemalloc.get_traced_memory()[1], 1_000_000)
        finally:
            tracemalloc.stop()

    def test_small_chunks_are_joined(self) -> None:
        """Many small chunks that come together are handed on together."""
        parser = ResponseParser()
        events = parser.feed(CHUNKED + b"3\r\nabc\r\n" * 100)
        self.assertEqual(events[1:], [b"abc" * 100])


class FaultTests(SynchronousTestCase):
    """What an origin gets wrong."""

    def test_faults(self) -> None:
        """What is no proper response is refused, in one piece or in many, with a sentence that says what to do."""
        faults = FAULTS | {name: CHUNKED + data for name, data in CHUNK_FAULTS.items()}
        for name, data in faults.items():
            sentences = set()
            for pieces in ([data], bytewise(data)):
                parser = ResponseParser()
                with self.assertRaises(ProtocolError) as caught:
                    parse(parser, pieces)
                self.assertNotIsInstance(caught.exception, TruncatedResponseError)
                sentences.add(caught.exception.sentence)
                self.assertFalse(parser.reusable)
            self.assertEqual(len(sentences), 1, name)
            self.assertRegex(sentences.pop(), r"^[A-Z].*: .*\.$")

    def test_after_a_fault(self) -> None:
        """A connection that once broke the rules is not listened to any more."""
        parser = ResponseParser()
        self.assertRaises(ProtocolError, parser.feed, b"nonsense")
        self.assertRaises(ProtocolError, parser.feed, b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertRaises(ProtocolError, parser.feed_eof)

    def test_bounds_are_exact(self) -> None:
        """A head, a line and a number of headers that just fit are taken."""
        head = b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n"
        for pieces in ([head], bytewise(head)):
            parser = ResponseParser(max_head=len(head), max_line=len(b"HTTP/1.1 200 OK"), max_headers=2)
            self.assertEqual(len(parse(parser, pieces)), 1)
            for parser in (
                ResponseParser(max_head=len(head) - 1),
                ResponseParser(max_line=len(b"HTTP/1.1 200 OK") - 1),
                ResponseParser(max_headers=1),
            ):
                self.assertRaises(ProtocolError, parse, parser, pieces)

    def test_head_that_never_ends(self) -> None:
        """A head that trickles in without end is given up at its bound."""
        parser = ResponseParser()
        fed = 0

        def trickle() -> None:
            nonlocal fed
            parser.feed(b"HTTP/1.1 200 OK\r\n")
            while True:
                parser.feed(b"X: y\r\n")
                fed += 6

        self.assertRaises(ProtocolError, trickle)
        self.assertLess(fed, 65536)

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from([data for _, data, *_ in RESPONSES] + [CHUNKED + b"5\r\nhello\r\n"]),
        st.integers(0, 10_000),
        st.binary(max_size=4),
        st.lists(st.integers(0, 10_000), max_size=6),
    )
    def test_damage(self, data: bytes, place: int, damage: bytes, places: list[int]) -> None:
        """A damaged response is refused or read, the same way however it is cut, and never breaks the parser."""
        place %= len(data)
        damaged = data[:place] + damage + data[place + len(damage) :]
        results: list[object] = []
        for pieces in ([damaged], cut(damaged, places), bytewise(damaged)):
            parser = ResponseParser()
            try:
                results.append((parse(parser, pieces), parser.reusable, parser.unused))
            except ProtocolError as error:
                results.append(error.sentence)
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])


class CutShortTests(SynchronousTestCase):
    """What an origin does not finish."""

    def test_every_prefix(self) -> None:
        """A response that ends before its end is told from a complete one, wherever it is cut."""
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        for stop in range(len(data)):
            parser = ResponseParser()
            parser.feed(data[:stop])
            with self.assertRaises(TruncatedResponseError) as caught:
                parser.feed_eof()
            left = len(data) - stop
            self.assertEqual(caught.exception.bytes_left, left if left <= 5 else None)
            self.assertIn("cut short", caught.exception.sentence)
            self.assertFalse(parser.reusable)

    def test_chunked(self) -> None:
        """A chunked response is complete only after its last chunk; trailers may be lost."""
        body = b"5\r\nhello\r\n0\r\n"
        for stop in range(len(body)):
            parser = ResponseParser()
            parser.feed(CHUNKED + body[:stop])
            self.assertRaises(TruncatedResponseError, parser.feed_eof)
        for rest in (b"", b"\r", b"Digest: x\r\n"):
            parser = ResponseParser()
            parser.feed(CHUNKED + body + rest)
            self.assertEqual(parser.feed_eof(), [END])
            self.assertFalse(parser.reusable)

    def test_how_much_is_missing(self) -> None:
        """While a body of known length comes in, it is known how much is still to come."""
        parser = ResponseParser()
        self.assertIsNone(parser.bytes_left)
        parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        self.assertEqual(parser.bytes_left, 1000)
        parser.feed(bytes(400))
        self.assertEqual(parser.bytes_left, 600)
        with self.assertRaises(TruncatedResponseError) as caught:
            parser.feed_eof()
        self.assertIn("600 bytes", caught.exception.sentence)
