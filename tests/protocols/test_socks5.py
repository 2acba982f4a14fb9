"""SOCKS5, the client's side."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.socks5 import REPLIES, Proxy, Socks5Client, read_proxy

OPEN = Proxy("127.0.0.1", 1080)
LOCKED = Proxy("127.0.0.1", 1080, "bob", "s3cret")
CONNECT = b"\x05\x01\x00\x03\x0cexample.test\x01\xbb"
MADE = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"


def conversation(proxy: Proxy, pieces: list[bytes]) -> tuple[bytes, bool, bytes]:
    """What the client sends in all, whether it is done, and what is left for the stream."""
    client = Socks5Client(proxy, "example.test", 443)
    sent = client.begin() + b"".join(map(client.feed, pieces))
    return sent, client.done, client.rest


class Socks5ClientTests(SynchronousTestCase):
    def test_without_password(self) -> None:
        """A proxy that is open to us connects to the host by its name."""
        sent, done, rest = conversation(OPEN, [b"\x05\x00", MADE + b"HTTP"])
        self.assertEqual((sent, done, rest), (b"\x05\x01\x00" + CONNECT, True, b"HTTP"))

    def test_with_password(self) -> None:
        """A proxy that asks gets the user name and password before the host's name."""
        sent, done, _ = conversation(LOCKED, [b"\x05\x02", b"\x01\x00", MADE])
        self.assertEqual((sent, done), (b"\x05\x02\x00\x02" + b"\x01\x03bob\x06s3cret" + CONNECT, True))

    def test_a_password_is_not_sent_unasked(self) -> None:
        """A proxy that needs no password does not get one."""
        sent, done, _ = conversation(LOCKED, [b"\x05\x00", MADE])
        self.assertEqual((sent, done), (b"\x05\x02\x00\x02" + CONNECT, True))

    @given(st.lists(st.integers(0, 60), max_size=6), st.sampled_from([MADE, b"\x05\x00\x00\x03\x02ab\x00\x01"]))
    def test_any_split(self, cuts: list[int], made: bytes) -> None:
        """However the proxy's bytes arrive, the conversation is the same."""
        stream = b"\x05\x02\x01\x00" + made + b"rest"
        edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        pieces = [stream[start:end] for start, end in pairwise(edges)]
        client = Socks5Client(LOCKED, "example.test", 443)
        sent, rest = client.begin(), b""
        for piece in pieces:
            if client.done:
                rest += piece
            else:
                sent += client.feed(piece)
                rest += client.rest
        self.assertEqual((sent, rest), (conversation(LOCKED, [stream])[0], b"rest"))

    def test_an_ipv6_answer(self) -> None:
        """The address that the proxy bound may be of any kind."""
        made = b"\x05\x00\x00\x04" + bytes(16) + b"\x00\x01"
        self.assertEqual(conversation(OPEN, [b"\x05\x00", made[:7], made[7:]])[1:], (True, b""))

    def test_what_it_refuses_is_a_sentence(self) -> None:
        """Each way to fail says what it is."""
        cases: list[tuple[Proxy, list[bytes], str]] = [
            (OPEN, [b"HTTP/1.1 400"], "does not speak SOCKS5"),
            (OPEN, [b"\x05\xff"], "wants another user name and password"),
            (OPEN, [b"\x05\x02"], "wants another user name and password"),
            (OPEN, [b"\x05\x01"], "not offered"),
            (LOCKED, [b"\x05\x02", b"\x01\x01"], "does not accept"),
            (OPEN, [b"\x05\x00", b"\x05\x63"], "in a way of its own"),
            (OPEN, [b"\x05\x00", b"\x05\x00\x00\x09\x00"], "no known kind"),
            *((OPEN, [b"\x05\x00", bytes((5, code))], sentence) for code, sentence in REPLIES.items()),
        ]
        for proxy, pieces, sentence in cases:
            with self.assertRaises(ProtocolError) as caught:
                conversation(proxy, pieces)
            self.assertIn(sentence, str(caught.exception))

    def test_addresses(self) -> None:
        """A host that is known by its address alone is told by that."""
        for host, told in (
            ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
            ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
        ):
            client = Socks5Client(OPEN, host, 80)
            client.begin()
            self.assertEqual(client.feed(b"\x05\x00"), b"\x05\x01\x00" + told + b"\x00\x50")

    def test_names_that_cannot_be_told(self) -> None:
        """A host name has 1 to 255 bytes of ASCII."""
        for host in ("", "x" * 256, "ä.test"):
            with self.assertRaises(ProtocolError):
                Socks5Client(OPEN, host, 80)


class ReadProxyTests(SynchronousTestCase):
    def test_as_it_is_written(self) -> None:
        """Host and port, with or without a user, whose password may hold anything."""
        self.assertEqual(read_proxy("127.0.0.1:1080"), OPEN)
        self.assertEqual(read_proxy("bob:s3cret@127.0.0.1:1080"), LOCKED)
        self.assertEqual(read_proxy("a:b:c@d@[::1]:9"), Proxy("::1", 9, "a", "b:c@d"))
        self.assertEqual(read_proxy("bob@proxy.test:9"), Proxy("proxy.test", 9, "bob", ""))

    def test_what_is_wrong(self) -> None:
        """Anything else is refused with what would be right, and never repeated."""
        for text in (
            "",
            "host",
            ":1",
            "host:",
            "host:0",
            "host:65536",
            "host:x",
            "::1:9",
            "[::1]",
            "a b:1",
            "@host:1",
        ):
            with self.assertRaises(ValueError) as caught:
                read_proxy(text)
            self.assertIn("host:port", str(caught.exception))
        with self.assertRaises(ValueError):
            read_proxy("x" * 256 + ":y@host:1")

    def test_a_proxy_is_not_shown(self) -> None:
        """What is printed of a proxy holds none of it."""
        self.assertEqual(repr(LOCKED), "Proxy()")
