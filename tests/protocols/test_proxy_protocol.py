"""The PROXY protocol: what is understood, in any pieces, and what is refused."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.proxy_protocol import MAX_LINE, MAX_REST, SIGNATURE, HeaderReader, Relayed

V4 = Relayed((ip_address("192.0.2.1"), 50000), (ip_address("192.0.2.2"), 443))
V6 = Relayed((ip_address("2001:db8::1"), 1), (ip_address("2001:db8::2"), 65535))


def binary(form: int, body: bytes, command: int = 0x21, size: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, form, len(body) if size is None else size) + body


def addresses(relayed: Relayed) -> bytes:
    assert relayed.client is not None
    assert relayed.local is not None
    (one, port), (other, there) = relayed.client, relayed.local
    return one.packed + other.packed + struct.pack("!HH", port, there)


def more(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


TLS = Relayed(V4.client, V4.local, secure=True)
HEADERS: list[tuple[bytes, Relayed]] = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n", V4),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", V6),
    (b"PROXY UNKNOWN\r\n", Relayed()),
    (b"PROXY UNKNOWN 127.0.0.1 127.0.0.1 1 2\r\n", Relayed()),
    (binary(0x11, addresses(V4)), V4),
    (binary(0x21, addresses(V6)), V6),
    (binary(0x11, addresses(V4) + more(5, b"id") + more(0x20, b"\x01\0\0\0\0")), TLS),
    (binary(0x11, addresses(V4) + more(0x20, b"\x02\0\0\0\0")), V4),
    (binary(0x11, addresses(V4) + more(0x20, b"")), V4),
    (binary(0x00, b""), Relayed()),
    (binary(0x31, bytes(216)), Relayed()),
    (binary(0x12, addresses(V4)), Relayed()),
    (binary(0x00, b"", 0x20), Relayed(own=True)),
    (binary(0x11, addresses(V4), 0x20), Relayed(own=True)),
]

WRONG = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"\r\n\r\n\0\r\nquit\n",
    b"PROXY \r\n",
    b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    b"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UNKNOWN " + bytes(200),
    binary(0x11, addresses(V4), 0x11),
    binary(0x11, addresses(V4), 0x22),
    binary(0x11, addresses(V4)[:-1]),
    binary(0x21, addresses(V4)),
    binary(0x11, addresses(V4) + b"\x20\0"),
    binary(0x11, addresses(V4) + more(5, b"id")[:-1]),
    binary(0x11, b"", size=MAX_REST + 1),
]


class HeaderReaderTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """Each form that there is tells who the client is; what follows the header is the client's own."""
        for header, relayed in HEADERS:
            for rest in (b"", b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4", SIGNATURE):
                self.assertEqual(HeaderReader().feed(header + rest), (relayed, rest), header)

    def test_byte_by_byte(self) -> None:
        """A header may come in single bytes."""
        for header, relayed in HEADERS:
            reader = HeaderReader()
            for at in range(len(header) - 1):
                self.assertIsNone(reader.feed(header[at : at + 1]), header)
            self.assertEqual(reader.feed(header[-1:]), (relayed, b""))

    @given(st.sampled_from(HEADERS), st.binary(max_size=40), st.lists(st.integers(1, 60), max_size=8))
    def test_in_any_pieces(self, which: tuple[bytes, Relayed], rest: bytes, cuts: list[int]) -> None:
        """In whatever pieces a header comes, it tells the same, and nothing is lost."""
        header, relayed = which
        data, reader = header + rest, HeaderReader()
        found = None
        for cut in [*cuts, len(data)]:
            piece, data = data[:cut], data[cut:]
            found = reader.feed(piece)
            if found is not None:
                break
        self.assertEqual(found and (found[0], found[1] + data), (relayed, rest))

    def test_what_is_none(self) -> None:
        """What is no such header is refused, however it comes."""
        for data in WRONG:
            with self.assertRaises(ProtocolError):
                HeaderReader().feed(data)
            reader = HeaderReader()
            with self.assertRaises(ProtocolError):
                for at in range(len(data)):
                    reader.feed(data[at : at + 1])

    def test_bounded(self) -> None:
        """A header that does not end is given up at its bound."""
        reader = HeaderReader()
        self.assertIsNone(reader.feed(b"PROXY UNKNOWN ".ljust(MAX_LINE - 1, b"x")))
        with self.assertRaises(ProtocolError):
            reader.feed(b"x")
        long = binary(0x11, addresses(V4) + more(5, bytes(MAX_REST - 15)))
        self.assertIsNone(HeaderReader().feed(long[:-1]))
        self.assertEqual(HeaderReader().feed(long), (V4, b""))

    @given(st.binary(max_size=200))
    def test_rubbish(self, data: bytes) -> None:
        """Whatever comes, it is a header, the beginning of one, or refused."""
        for begin in (b"", b"PROXY ", SIGNATURE):
            try:
                found = HeaderReader().feed(begin + data)
            except ProtocolError:
                continue
            self.assertTrue(found is None or (begin + data).endswith(found[1]))
