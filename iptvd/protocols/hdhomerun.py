"""
HDHomeRun: ids of tuners, and the datagrams by which they are found.

A datagram is a type and the length of its payload, both of two bytes and big-endian; the payload, which is tags, each
with the length of its value and the value; and the CRC-32 of all that, little-endian. A length below 128 is one byte;
a longer one is two, the lower seven bits first, in a byte whose highest bit is set. So does SiliconDust's libhdhomerun
(``hdhomerun_pkt.h``), which has the check of ids as well (``hdhomerun_discover_validate_device_id``).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from hashlib import blake2b

from attrs import frozen

from iptvd.errors import ProtocolError

#: The UDP port that tuners are looked for at.
DISCOVERY_PORT = 65001
#: Bytes of a datagram.
LARGEST = 1460
#: Characters of a BaseURL. In place of a longer one libhdhomerun takes port 80 of who answers, and of all devices that
#: answer from one address with the same BaseURL it lists only the first (``hdhomerun_discover.c``).
LONGEST_BASE_URL = 28

DISCOVER_REQUEST, DISCOVER_REPLY = 2, 3
DEVICE_TYPE, DEVICE_ID, TUNER_COUNT = 0x01, 0x02, 0x10
LINEUP_URL, BASE_URL, DEVICE_AUTH, DEVICE_TYPES = 0x27, 0x2A, 0x2B, 0x2D

#: The one type of device that we are, and what stands for any type and for any id.
TUNER = 1
ANY = 0xFFFFFFFF

_HEAD, _CRC = 4, 4
_LONGEST_VALUE = 0x7FFF
#: What every other digit of an id, from the first on, is replaced by before the exclusive or of all of them.
_REPLACED = (0xA, 0x5, 0xF, 0x6, 0x7, 0xC, 0x1, 0xB, 0x9, 0x2, 0x8, 0xD, 0x4, 0x3, 0xE, 0x0)
#: Of these first three digits are models that clients speak to by another protocol, whatever such a device answers.
_OLD_MODELS = frozenset((0x100, 0x101, 0x102, 0x103, 0x111, 0x121, 0x122))


@frozen
class Packet:
    """
    A datagram.

    :ivar values: tags and their values, in their order; a tag may be there more than once.
    """

    type: int
    values: tuple[tuple[int, bytes], ...]


@frozen
class Request:
    """
    Somebody looks for devices.

    :ivar types: the types of device that are wanted; empty, or with `ANY`, for all.
    :ivar device_id: the one that is wanted, or `ANY`.
    """

    types: frozenset[int]
    device_id: int

    def wants(self, device_id: int) -> bool:
        """Whether a tuner with this id is to answer."""
        return (not self.types or bool(self.types & {TUNER, ANY})) and self.device_id in (ANY, device_id)


@frozen
class Found:
    """
    A tuner, as it answers.

    :ivar count: streams at once, 1 to 255.
    """

    device_id: int
    count: int
    base_url: str
    lineup_url: str
    auth: str


def read_packet(data: bytes) -> Packet:
    """
    A datagram, read.

    :raises ProtocolError: when it is not whole, or not of this form.
    """
    if not _HEAD + _CRC <= len(data) <= LARGEST:
        raise ProtocolError("this is no datagram of an HDHomeRun: its size is not that of one")
    body, crc = data[:-_CRC], data[-_CRC:]
    if int.from_bytes(body[2:_HEAD], "big") != len(body) - _HEAD:
        raise ProtocolError("this is no datagram of an HDHomeRun: its length is not what it says")
    if crc != _crc_of(body):
        raise ProtocolError("a datagram of an HDHomeRun is damaged: its checksum is wrong")
    values = []
    at = _HEAD
    while at < len(body):
        tag, at = body[at], at + 1
        # What is not there any more reads as 0; that it lies beyond the end is seen with the value's end.
        length, at = int.from_bytes(body[at : at + 1], "big"), at + 1
        if length & 0x80:
            length, at = length & 0x7F | int.from_bytes(body[at : at + 1], "big") << 7, at + 1
        if at + length > len(body):
            raise ProtocolError("a datagram of an HDHomeRun has a value that goes on after its end")
        values.append((tag, body[at : at + length]))
        at += length
    return Packet(int.from_bytes(body[:2], "big"), tuple(values))


def write_packet(packet: Packet) -> bytes:
    """
    A datagram as it is sent.

    :raises ProtocolError: when it is too large.
    """
    payload = b"".join(bytes((tag,)) + _length(len(value)) + value for tag, value in packet.values)
    if len(payload) > LARGEST - _HEAD - _CRC:
        raise ProtocolError("a datagram of an HDHomeRun cannot hold that much")
    body = packet.type.to_bytes(2, "big") + len(payload).to_bytes(2, "big") + payload
    return body + _crc_of(body)


def read_request(data: bytes) -> Request:
    """
    What somebody looks for.

    :raises ProtocolError: when it is something else.
    """
    packet = read_packet(data)
    if packet.type != DISCOVER_REQUEST:
        raise ProtocolError("this datagram of an HDHomeRun does not look for devices")
    types: set[int] = set()
    device_id = ANY
    for tag, value in packet.values:
        if tag in (DEVICE_TYPE, DEVICE_TYPES):
            types.update(int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value), 4))
        elif tag == DEVICE_ID:
            device_id = int.from_bytes(value, "big")
    return Request(frozenset(types), device_id)


def write_reply(found: Found) -> bytes:
    """
    What a tuner answers.

    :raises ProtocolError: when its URLs are too long.
    """
    values = (
        (DEVICE_TYPE, TUNER.to_bytes(4, "big")),
        (DEVICE_ID, found.device_id.to_bytes(4, "big")),
        (TUNER_COUNT, bytes((found.count,))),
        (DEVICE_AUTH, found.auth.encode()),
        (BASE_URL, found.base_url.encode()),
        (LINEUP_URL, found.lineup_url.encode()),
    )
    return write_packet(Packet(DISCOVER_REPLY, values))


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    if length > _LONGEST_VALUE:
        raise ProtocolError("a value in a datagram of an HDHomeRun cannot be that long")
    return bytes((length & 0x7F | 0x80, length >> 7))


def _crc_of(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(_CRC, "little")


# Ids


def check_digit(device_id: int) -> int:
    """What the digits of an id come to, its last one among them: 0 when that one is right."""
    digits = [device_id >> shift & 0xF for shift in range(28, -4, -4)]
    total = 0
    for place, digit in enumerate(digits):
        total ^= digit if place % 2 else _REPLACED[digit]
    return total


def device_ids(seed: bytes, names: Iterable[str]) -> dict[str, int]:
    """
    An id for each of some names, no two the same, that clients accept.

    :param seed: at most 64 bytes, different in each installation; the same seed gives a name the same id.
    """
    ids: dict[str, int] = {}
    for name in sorted(set(names)):
        attempt = 0
        while not (device_id := _device_id(seed, name, attempt)) or device_id in ids.values():
            attempt += 1
        ids[name] = device_id
    return ids


def _device_id(seed: bytes, name: str, attempt: int) -> int:
    """An id; 0 when it would be that of an old model."""
    digest = blake2b(f"{name} {attempt}".encode(), digest_size=3, key=seed, person=b"hdhomerun").digest()
    # As those of all devices there are, it begins with a 1.
    device_id = 1 << 28 | int.from_bytes(digest, "big") << 4
    return 0 if device_id >> 20 in _OLD_MODELS else device_id | check_digit(device_id)
