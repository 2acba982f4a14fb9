"""Ids of tuners, and the datagrams by which they are found."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.hdhomerun import (
    ANY,
    BASE_URL,
    DEVICE_AUTH,
    DEVICE_ID,
    DEVICE_TYPE,
    DEVICE_TYPES,
    DISCOVER_REPLY,
    DISCOVER_REQUEST,
    LARGEST,
    LINEUP_URL,
    TUNER,
    TUNER_COUNT,
    Found,
    Packet,
    check_digit,
    device_ids,
    read_packet,
    read_request,
    write_packet,
    write_reply,
)

#: As libhdhomerun sends it: any tuner.
ASKED = bytes.fromhex("0002000c 0104 00000001 0204 ffffffff 4e507f35".replace(" ", ""))
VALUES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=4).map(tuple)


def sealed(payload: bytes, *, kind: int = DISCOVER_REQUEST, length: int | None = None) -> bytes:
    """A datagram with any payload, its checksum right."""
    size = len(payload) if length is None else length
    body = kind.to_bytes(2, "big") + size.to_bytes(2, "big") + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


class PacketTests(SynchronousTestCase):
    def refused(self, data: bytes, words: str = "HDHomeRun") -> None:
        with self.assertRaises(ProtocolError) as caught:
            read_packet(data)
        self.assertIn(words, caught.exception.sentence)

    def test_as_it_is_on_the_wire(self) -> None:
        """A client's datagram is understood, and written just so."""
        values = ((DEVICE_TYPE, b"\0\0\0\1"), (DEVICE_ID, b"\xff\xff\xff\xff"))
        packet = Packet(DISCOVER_REQUEST, values)
        self.assertEqual(read_packet(ASKED), packet)
        self.assertEqual(write_packet(packet), ASKED)

    def test_lengths(self) -> None:
        """A value of up to 127 bytes has a length of one byte, a longer one of two."""
        for size, length in ((0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (1449, b"\xa9\x0b")):
            data = write_packet(Packet(3, ((7, bytes(size)),)))
            self.assertEqual(data[5:-4], length + bytes(size))
            self.assertEqual(read_packet(data).values, ((7, bytes(size)),))

    @given(st.integers(0, 65535), VALUES)
    def test_there_and_back(self, kind: int, values: tuple[tuple[int, bytes], ...]) -> None:
        """What is written is read as it was."""
        packet = Packet(kind, values)
        self.assertEqual(read_packet(write_packet(packet)), packet)

    def test_too_much(self) -> None:
        """What no datagram can hold is not written."""
        for values in (((1, bytes(LARGEST - 8)),), ((1, bytes(1 << 15)),), ((1, bytes(800)), (2, bytes(800)))):
            with self.assertRaises(ProtocolError):
                write_packet(Packet(2, values))

    def test_cut_short(self) -> None:
        """A datagram is whole or nothing: one that ends anywhere before its end is refused."""
        for end in range(len(ASKED)):
            self.refused(ASKED[:end])

    def test_in_pieces(self) -> None:
        """Datagrams are not put together: neither two in one nor the rest of one is understood."""
        self.refused(ASKED + ASKED)
        for cut in range(1, len(ASKED)):
            self.refused(ASKED[cut:])

    def test_damaged(self) -> None:
        """A datagram of which one byte is another is refused."""
        for at in range(len(ASKED)):
            self.refused(ASKED[:at] + bytes((ASKED[at] ^ 0x10,)) + ASKED[at + 1 :])
        self.refused(ASKED[:-1] + b"\0", "checksum")

    def test_values_that_do_not_end(self) -> None:
        """A value is in its datagram whole, its tag and its length too."""
        for payload in (b"\1", b"\1\2\0", b"\1\x80", b"\1\xff\xff", b"\1\x81\1" + bytes(128), b"\1\0\2"):
            self.refused(sealed(payload), "goes on after its end")
        self.refused(sealed(b"\1\0", length=3), "its length")
        self.refused(sealed(bytes(LARGEST - 7)), "its size")

    @given(st.binary(max_size=64))
    def test_anything(self, payload: bytes) -> None:
        """Whatever comes is understood or refused."""
        for data in (payload, sealed(payload)):
            try:
                packet = read_packet(data)
            except ProtocolError:
                continue
            self.assertEqual(read_packet(write_packet(packet)), packet)


class RequestTests(SynchronousTestCase):
    def wants(self, *values: tuple[int, bytes], device_id: int = 0x1050A28A) -> bool:
        return read_request(write_packet(Packet(DISCOVER_REQUEST, values))).wants(device_id)

    def test_any_tuner(self) -> None:
        """Who looks for tuners, or for anything, is answered."""
        self.assertTrue(read_request(ASKED).wants(0x1050A28A))
        self.assertTrue(self.wants())
        self.assertTrue(self.wants((DEVICE_TYPE, ANY.to_bytes(4, "big"))))
        self.assertTrue(self.wants((DEVICE_TYPES, bytes.fromhex("00000005 00000001"))))
        self.assertTrue(self.wants((0x77, b"unknown")))

    def test_other_devices(self) -> None:
        """Who looks for other devices is not."""
        self.assertFalse(self.wants((DEVICE_TYPE, b"\0\0\0\5")))
        self.assertFalse(self.wants((DEVICE_TYPES, bytes.fromhex("00000005 00000006"))))

    def test_one_tuner(self) -> None:
        """Who looks for one tuner is answered by that one."""
        asked = (DEVICE_ID, bytes.fromhex("1050A28A"))
        self.assertTrue(self.wants(asked))
        self.assertFalse(self.wants(asked, device_id=0x1050A28B))
        self.assertFalse(self.wants((DEVICE_ID, b"")))

    def test_something_else(self) -> None:
        """An answer is no question."""
        with self.assertRaises(ProtocolError):
            read_request(sealed(b"", kind=DISCOVER_REPLY))


class ReplyTests(SynchronousTestCase):
    def test_reply(self) -> None:
        """A tuner tells what it is, and where."""
        url = "http://192.168.1.10:8085"
        packet = read_packet(write_reply(Found(0x1050A28A, 6, url, f"{url}/lineup.json", "iptvd")))
        self.assertEqual(packet.type, DISCOVER_REPLY)
        expected = {
            DEVICE_TYPE: TUNER.to_bytes(4, "big"),
            DEVICE_ID: bytes.fromhex("1050A28A"),
            TUNER_COUNT: b"\6",
            BASE_URL: url.encode(),
            LINEUP_URL: f"{url}/lineup.json".encode(),
            DEVICE_AUTH: b"iptvd",
        }
        self.assertEqual(dict(packet.values), expected)
        self.assertEqual(len(packet.values), len(expected))

    def test_long_urls(self) -> None:
        """URLs may be long, up to what a datagram holds."""
        url = "http://tv.example.com/" + "x" * 400
        packet = read_packet(write_reply(Found(0x1050A28A, 6, url, url, "iptvd")))
        self.assertEqual(dict(packet.values)[BASE_URL], url.encode())
        with self.assertRaises(ProtocolError):
            write_reply(Found(0x1050A28A, 6, url * 2, url * 2, "iptvd"))


class DeviceIdTests(SynchronousTestCase):
    def test_the_check(self) -> None:
        """The digits of an id fit together, as clients check."""
        self.assertEqual(check_digit(0x1050A28A), 0)
        self.assertNotEqual(check_digit(0x12345678), 0)
        for place in range(8):
            self.assertNotEqual(check_digit(0x1050A28A ^ 1 << 4 * place), 0)

    @given(st.binary(min_size=1, max_size=64), st.sets(st.text(max_size=8), max_size=12))
    def test_ids(self, seed: bytes, names: set[str]) -> None:
        """Each name has an id of its own that clients accept, and has it again."""
        ids = device_ids(seed, names)
        self.assertEqual(set(ids), names)
        self.assertEqual(len(set(ids.values())), len(names))
        for device_id in ids.values():
            self.assertEqual((device_id >> 28, check_digit(device_id)), (1, 0))
        self.assertEqual(device_ids(seed, sorted(names, reverse=True)), ids)

    def test_more_names(self) -> None:
        """A name keeps its id when others come, and another installation has others."""
        ids = device_ids(b"one", ["all"])
        self.assertEqual(device_ids(b"one", ["all", "sports"])["all"], ids["all"])
        self.assertNotEqual(device_ids(b"two", ["all"]), ids)

    def test_no_old_model(self) -> None:
        """No id is that of a model which clients speak to in another way."""
        ids = device_ids(b"seed", map(str, range(3000)))
        old = {0x100, 0x101, 0x102, 0x103, 0x111, 0x121, 0x122}
        self.assertEqual({each >> 20 for each in ids.values()} & old, set())
        # Else this could not fail: about one in forty would be.
        self.assertGreater(len({each >> 20 for each in ids.values()}), 200)
