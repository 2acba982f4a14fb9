"""Whole packets come out of a byte stream, whatever was done to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.mpegts import NULL_PID, PACKET, Packets, announced_gap, null_packets, pids
from tests.protocols.tsmaking import each_packet, made_film, packet, pid_of, unannounced_errors

FILM = made_film(1, picture_size=600)
COUNT = len(FILM) // PACKET
#: Bytes that are kept at most.
KEPT = 900
JUNK = bytes(range(256)) * 8


def as_m2ts(data: bytes) -> bytes:
    """The stream with a time stamp before each packet, as discs and recorders have it."""
    return b"".join(number.to_bytes(4, "big") + one for number, one in enumerate(each_packet(data)))


def with_fec(data: bytes) -> bytes:
    """The stream with error correction after each packet, as some tuners give it."""
    return b"".join(one + bytes((number % 251,)) * 16 for number, one in enumerate(each_packet(data)))


def fed(data: bytes, sizes: tuple[int, ...] = ()) -> tuple[bytes, int, int, int]:
    """What comes out of ``data`` in pieces of these sizes and then the rest, and what was counted."""
    packets = Packets()
    out, at = [], 0
    for size in sizes:
        out.append(packets.feed(data[at : at + size]))
        at += size
    out.append(packets.feed(data[at:]))
    return b"".join(out), packets.dropped, packets.losses, packets.distance


class HelperTests(SynchronousTestCase):
    """What is known of packets without cutting them."""

    def test_null_packets(self) -> None:
        """Null packets are packets that no decoder looks at, as many as are asked for."""
        self.assertEqual(null_packets(0), b"")
        self.assertEqual(pids(null_packets(3)), (NULL_PID,) * 3)
        self.assertEqual(fed(null_packets(9))[0], null_packets(9))

    @given(st.lists(st.tuples(st.integers(0, NULL_PID), st.booleans(), st.booleans(), st.booleans()), max_size=40))
    def test_pids(self, wanted: list[tuple[int, bool, bool, bool]]) -> None:
        """The PID of each packet is read, whatever its flags."""
        block = b"".join(
            packet(pid, b"x", start=start, priority=priority, damaged=damaged)
            for pid, start, priority, damaged in wanted
        )
        self.assertEqual(pids(block), tuple(pid for pid, *_ in wanted))


class GapTests(SynchronousTestCase):
    """A stream of which a part is left out."""

    @given(*[st.integers(0, COUNT)] * 4)
    def test_announced(self, end: int, begin: int, known_before: int, known_after: int) -> None:
        """A decoder is told on each PID that is known that it begins anew there, and finds no counter wrong then."""
        before = FILM[max(0, begin - known_before) * PACKET : begin * PACKET]
        after = FILM[begin * PACKET : (begin + known_after) * PACKET]
        gap = announced_gap(before, after)
        known = {*pids(before), *pids(after)}
        self.assertEqual(pids(gap), tuple(sorted(known)))
        stream = FILM[: end * PACKET] + gap + FILM[begin * PACKET :]
        self.assertEqual([pid for pid, _ in unannounced_errors(stream) if pid in known], [])

    def test_what_is_sent(self) -> None:
        """An announcement has nothing else in it, and the counter that the next packet of its PID goes on from."""
        before = packet(0x1FFE, b"x", counter=9) + packet(0x102, b"x", counter=3) + null_packets(1)
        after = packet(0x101, b"x", counter=0) + packet(0x102, b"x", counter=7) + packet(0x101, b"x", counter=1)
        expected = ((0x101, 15), (0x102, 6), (0x1FFE, 9))
        made = b"".join(packet(pid, discontinuity=True, counter=counter) for pid, counter in expected)
        self.assertEqual(announced_gap(before, after), made)

    def test_without_payload(self) -> None:
        """A packet that had no payload has not counted."""
        clock = packet(0x101, pcr=0, counter=5)
        made = packet(0x101, discontinuity=True, counter=5)
        self.assertEqual((announced_gap(b"", clock), announced_gap(clock, b"")), (made, made))


class InStepTests(SynchronousTestCase):
    """A stream without faults."""

    def test_not_copied(self) -> None:
        """Whole packets go through as the very object that came in."""
        packets = Packets()
        for _ in range(3):
            self.assertIs(packets.feed(FILM), FILM)
        self.assertEqual((packets.dropped, packets.losses, packets.distance), (0, 0, PACKET))

    def test_whole_at_each_time(self) -> None:
        """Once there are packets, each comes out as soon as its last byte is there."""
        packets = Packets()
        out = len(packets.feed(FILM[: 10 * PACKET]))
        for at in range(10 * PACKET, len(FILM)):
            out += len(packets.feed(FILM[at : at + 1]))
            self.assertEqual(out, (at + 1) // PACKET * PACKET)

    def test_time_stamped_at_each_time(self) -> None:
        """A packet that has a time stamp does not wait for the next one's."""
        packets, data = Packets(), as_m2ts(FILM)
        out = [packets.feed(data[at : at + 192]) for at in range(0, len(data), 192)]
        self.assertEqual(out[6:], list(each_packet(FILM))[6:])

    def test_other_distances(self) -> None:
        """Packets with a time stamp and packets with error correction come out bare, and all of them."""
        self.assertEqual(fed(as_m2ts(FILM)), (FILM, 0, 0, 192))
        self.assertEqual(fed(with_fec(FILM)), (FILM, 0, 0, 204))

    def test_nothing(self) -> None:
        """Nothing makes nothing."""
        packets = Packets()
        self.assertEqual((packets.feed(b""), packets.feed(FILM), packets.feed(b"")), (b"", FILM, b""))


class FaultTests(SynchronousTestCase):
    """What origins and networks do to a stream."""

    def test_mid_packet(self) -> None:
        """A stream that starts inside of a packet is given from the next packet on."""
        for form in (bytes, as_m2ts, with_fec):
            data = form(FILM)
            size = len(data) // COUNT
            for cut in (1, 2, 5, 100, 187):
                out, dropped, losses, distance = fed(data[cut:])
                self.assertEqual((out, losses, distance), (FILM[PACKET:], 0, size))
                self.assertEqual(dropped, size - cut)

    def test_junk_before(self) -> None:
        """What comes before the first packet is thrown away and counted, sync bytes in it or not."""
        for junk in (JUNK, b"G" * 500, b"HTTP junk \r\n" * 99):
            self.assertEqual(fed(junk + b"\0" + FILM)[:2], (FILM, len(junk) + 1))

    def test_flipped_sync_byte(self) -> None:
        """A packet whose first byte is wrong is left out, and it alone."""
        for form in (bytes, as_m2ts, with_fec):
            data = bytearray(form(FILM))
            size = len(data) // COUNT
            data[20 * size + (4 if size == 192 else 0)] = 0
            out, dropped, losses, _ = fed(bytes(data))
            self.assertEqual(out, FILM[: 20 * PACKET] + FILM[21 * PACKET :])
            self.assertEqual((dropped, losses), (size, 1))

    def test_bytes_lost(self) -> None:
        """After lost bytes the stream goes on with the next whole packet."""
        data = FILM[: 20 * PACKET + 50] + FILM[20 * PACKET + 60 :]
        out, dropped, losses, _ = fed(data)
        self.assertEqual((out[: 20 * PACKET], out[21 * PACKET :]), (FILM[: 20 * PACKET], FILM[22 * PACKET :]))
        self.assertEqual((dropped, losses), (PACKET - 10, 1))

    def test_junk_between(self) -> None:
        """What comes between packets is thrown away, and the packets on both sides are kept."""
        half = COUNT // 2 * PACKET
        out, dropped, losses, _ = fed(FILM[:half] + b"<html>" * 70 + FILM[half:])
        self.assertEqual((out, dropped, losses), (FILM, 420, 1))

    def test_other_form_between(self) -> None:
        """A source that changes its form in the middle is followed."""
        out, dropped, losses, distance = fed(FILM + as_m2ts(FILM) + with_fec(FILM) + FILM)
        self.assertEqual((losses, distance), (3, PACKET))
        self.assertGreaterEqual(len(out) + 4 * PACKET, 4 * len(FILM))
        self.assertLess(dropped, 4 * 204)

    def test_bounded(self) -> None:
        """However long nothing is found, next to nothing is kept."""
        for junk in (JUNK, b"G" * 2048, b"\0" * 2048):
            packets = Packets()
            for number in range(1, 20):
                self.assertEqual(packets.feed(junk), b"")
                self.assertLess(number * len(junk) - packets.dropped, KEPT)
            self.assertEqual(packets.losses, 0)


DAMAGED = b"".join(
    (
        FILM[77 : 40 * PACKET],
        FILM[40 * PACKET + 9 : 60 * PACKET],
        JUNK,
        as_m2ts(FILM)[2 : 30 * 192],
        FILM[:40],
        with_fec(FILM)[: 22 * 204],
        b"G" * 1000,
        FILM[: 3 * PACKET],
        b"\0",
        FILM,
    )
)


class SplitTests(SynchronousTestCase):
    """The pieces that a stream comes in make no difference."""

    def test_byte_by_byte(self) -> None:
        """Byte by byte comes out what comes out at once."""
        self.assertEqual(fed(DAMAGED, (1,) * len(DAMAGED)), fed(DAMAGED))

    @given(st.lists(st.integers(0, 3000), max_size=60))
    def test_random(self, sizes: list[int]) -> None:
        """In random pieces comes out what comes out at once."""
        for data in (FILM, DAMAGED, as_m2ts(FILM), with_fec(FILM)[100:]):
            self.assertEqual(fed(data, tuple(sizes)), fed(data))

    @given(st.binary(max_size=3000), st.lists(st.integers(0, 500), max_size=20), st.integers(0, 40))
    def test_packets_only(self, junk: bytes, sizes: list[int], count: int) -> None:
        """Whatever comes in, what comes out is whole packets, and all bytes are accounted for."""
        data = junk + FILM[: count * PACKET] + junk
        out, dropped, _, distance = fed(data, tuple(sizes))
        self.assertEqual(len(out) % PACKET, 0)
        self.assertTrue(all(one[0] == 0x47 and 0 <= pid_of(one) <= NULL_PID for one in each_packet(out)))
        if distance in (0, PACKET):
            self.assertTrue(0 <= len(data) - len(out) - dropped < KEPT)
        self.assertEqual((out, dropped), fed(data)[:2])
