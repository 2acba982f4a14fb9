"""Heads of responses as they are read, and heads of requests as they are written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.heads import Framing, ResponseHead, parse_head, render_request


def head_of(block: bytes) -> ResponseHead:
    """A head read with the usual bounds."""
    return parse_head(block, 16384, 200)


class ResponseHeadTests(SynchronousTestCase):
    """What a head says."""

    def test_fields(self) -> None:
        """Version, status, reason and headers are read; names do not depend on case, values lose outer white space."""
        head = head_of(b"HTTP/1.1 404 Not  Found \r\nServer:  a b\t\r\nX-Empty:\r\nset-cookie: a\r\nSet-Cookie: b\r")
        self.assertEqual((head.version, head.status, head.reason), ("HTTP/1.1", 404, "Not  Found"))
        self.assertEqual(head.headers, (("server", "a b"), ("x-empty", ""), ("set-cookie", "a"), ("set-cookie", "b")))
        self.assertEqual((head.get("SERVER"), head.get("Set-Cookie"), head.get("Missing")), ("a b", "a", ""))
        self.assertEqual(head.get_all("Set-Cookie"), ["a", "b"])

    def test_versions(self) -> None:
        """A newer HTTP/1 is read as 1.1; SHOUTcast's own line keeps its name; odd panel statuses are let through."""
        for line, version, status in (
            (b"HTTP/1.1 200 OK", "HTTP/1.1", 200),
            (b"HTTP/1.9 200 OK", "HTTP/1.1", 200),
            (b"HTTP/1.0  200", "HTTP/1.0", 200),
            (b"ICY 200 OK", "ICY", 200),
            (b"HTTP/1.1 884 ", "HTTP/1.1", 884),
        ):
            head = head_of(line)
            self.assertEqual((head.version, head.status), (version, status))

    def test_leniency(self) -> None:
        """Folded lines, white space before the colon and latin-1 are read as they are meant."""
        head = head_of(b"HTTP/1.1 200 OK\r\nX-Long: one\r\n\t two \r\n three\r\nX-Bare :\r\n v\r\nX-Name: Caf\xe9\r")
        self.assertEqual(head.headers, (("x-long", "one two three"), ("x-bare", "v"), ("x-name", "Caf\xe9")))

    def test_refused(self) -> None:
        """A head that is malformed, or larger than it may be, is refused."""
        for block in (
            b"",
            b"HTTP/2 200 OK",
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 200 OK\nNo colon",
            b"HTTP/1.1 200 OK\n: no name",
            b"HTTP/1.1 200 OK\n folded too early",
            b"HTTP/1.1 200 OK\nNul: \0",
            b"HTTP/1.1 200 OK\nBare: \rCR",
        ):
            self.assertRaises(ProtocolError, head_of, block)
        block = b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r"
        self.assertEqual(len(parse_head(block, 15, 2).headers), 2)
        self.assertRaises(ProtocolError, parse_head, block, 14, 2)
        self.assertRaises(ProtocolError, parse_head, block, 15, 1)

    def test_keep_alive(self) -> None:
        """Whether a connection stays open depends on the version and on what the origin says."""
        for block, stays in (
            (b"HTTP/1.1 200 OK", True),
            (b"HTTP/1.1 200 OK\nConnection: upgrade\nConnection: x , Close", False),
            (b"HTTP/1.0 200 OK", False),
            (b"HTTP/1.0 200 OK\nConnection: Keep-Alive", True),
            (b"HTTP/1.0 200 OK\nConnection: Keep-Alive, close", False),
            (b"ICY 200 OK\nConnection: keep-alive", False),
        ):
            self.assertIs(head_of(block).keep_alive, stays)

    def test_secrets_stay_out_of_sight(self) -> None:
        """A head can be logged: what its headers hold is not in it."""
        head = head_of(b"HTTP/1.1 302 http://example.com/secret\r\nLocation: http://u:secret@example.com/\r")
        self.assertNotIn("secret", repr(head))
        self.assertIn("302", repr(head))

    def test_framing(self) -> None:
        """How a body ends can be asked of a head before any of it is there."""
        for block, method, framing in (
            (b"HTTP/1.1 200 OK", "GET", Framing.UNTIL_CLOSE),
            (b"HTTP/1.1 200 OK\nContent-Length: 0", "GET", Framing.LENGTH),
            (b"HTTP/1.1 200 OK\nContent-Length: x", "HEAD", Framing.NONE),
            (b"HTTP/1.1 200 OK\nContent-Length: x\nTransfer-Encoding: chunked", "GET", Framing.CHUNKED),
            (b"ICY 200 OK\nTransfer-Encoding: chunked", "GET", Framing.UNTIL_CLOSE),
        ):
            self.assertIs(head_of(block).framing(method), framing)

    def test_content_length(self) -> None:
        """The length an origin announces can be asked for, also after HEAD, and is refused when it is none."""
        self.assertEqual(head_of(b"HTTP/1.1 200 OK\nContent-Length: 9223372036854775807").content_length(), 2**63 - 1)
        self.assertIsNone(head_of(b"HTTP/1.1 200 OK").content_length())
        self.assertRaises(ProtocolError, head_of(b"HTTP/1.1 200 OK\nContent-Length: +5").content_length)
        self.assertRaises(ProtocolError, head_of(b"HTTP/1.1 200 OK\nTransfer-Encoding: gzip").framing)
        self.assertRaises(
            ProtocolError, head_of("HTTP/1.1 200 OK\nContent-Length: \xb2".encode("latin-1")).content_length
        )


class RequestTests(SynchronousTestCase):
    """What is written."""

    def test_defaults(self) -> None:
        """A request says who asks and for what, and that it does not come back."""
        self.assertEqual(
            render_request("GET", "/live/1.ts?a=b", "example.com:8080"),
            b"GET /live/1.ts?a=b HTTP/1.1\r\nHost: example.com:8080\r\nUser-Agent: iptvd\r\nAccept: */*\r\n"
            b"Connection: close\r\n\r\n",
        )
        self.assertIn(b"\r\nConnection: keep-alive\r\n", render_request("HEAD", "/", "h", keep_alive=True))
        self.assertIn(b"\r\nUser-Agent: Player/1\r\n", render_request("HEAD", "/", "h", user_agent="Player/1"))

    def test_callers_headers_win(self) -> None:
        """A source's own headers replace ours, whatever their case, and Host still comes first."""
        headers = (("user-agent", "Caf\xe9"), ("Referer", "http://example.com/"), ("HOST", "other.test"))
        self.assertEqual(
            render_request("GET", "/", "example.com", headers),
            b"GET / HTTP/1.1\r\nHOST: other.test\r\nAccept: */*\r\nConnection: close\r\nuser-agent: Caf\xe9\r\n"
            b"Referer: http://example.com/\r\n\r\n",
        )

    def test_injection(self) -> None:
        """Nothing that is put into a request can end a line, a header or the head early."""
        good = {"method": "GET", "target": "/", "host": "h", "name": "X", "value": "v"}
        bad = {
            "method": ("", "GE T", "GET\r\n", "GÉT"),
            "target": ("", "/a b", "/a\r\nX: y", "/a\nb", "/a\0", "/a\x7f", "/\u00e9", "/\u0142"),
            "host": ("a\r\nX: y", "a\0", "\u0142"),
            "name": ("", "X Y", "X:", "X\r\n", "X\0", "\u00e9", "\u0142"),
            "value": ("a\rb", "a\nb", "a\r\n", "\0", "\x01", "\u0142"),
        }
        for part, texts in bad.items():
            for text in texts:
                parts = good | {part: text}
                header = (parts["name"], parts["value"])
                with self.assertRaises(ProtocolError) as caught:
                    render_request(parts["method"], parts["target"], parts["host"], (header,))
                if len(text) > 1:
                    self.assertNotIn(text, caught.exception.sentence)

    @given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
    def test_lines_are_ours(self, target: str, name: str, value: str) -> None:
        """Whatever is put in, the head has the lines it should have or is not written."""
        try:
            data = render_request("GET", target, "h", ((name, value),))
        except ProtocolError:
            return
        lines = data.split(b"\r\n")
        self.assertEqual(lines[0], b"GET " + target.encode("ascii") + b" HTTP/1.1")
        self.assertEqual(lines[-2:], [b"", b""])
        self.assertIn(f"{name}: {value}".encode("latin-1"), lines)
        self.assertEqual(data.count(b"\n"), len(lines) - 1)
