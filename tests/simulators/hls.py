"""HLS (RFC 8216): the film's sets as ffmpeg made them, and the same as live channels that move on with the time."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import md5
from pathlib import PurePosixPath

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.simulators.exchange import Reply, Request, text_reply
from tests.simulators.files import serve
from tests.simulators.knobs import Knobs
from tests.simulators.looped import LoopedTs
from tests.simulators.media import HLS_SETS, SECONDS, SEGMENT_SECONDS, SEGMENTS, Media

#: Segments that a live channel's key is used for before the next takes over.
KEY_PERIOD = 4

_KEY_URI = re.compile(r'(#EXT-X-KEY:.*?URI=")([^"]*)')
_LIVE_NAME = re.compile(r"(s|r|key)(\d+)\.\w+$")
_SEGMENT = re.compile(r"(#EXTINF:.*\n(?:#EXT-X-BYTERANGE:.*\n)?)(.+)\n")


def segment_key(period: int) -> bytes:
    """The key of one period of the encrypted live channel."""
    return md5(b"period %d" % period, usedforsecurity=False).digest()


def encrypted(data: bytes, key: bytes, sequence: int) -> bytes:
    """A segment under AES-128 with its media sequence number as the initialization vector (RFC 8216, 5.2)."""
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(sequence.to_bytes(16, "big"))).encryptor()
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


def dressed(text: str, knobs: Knobs) -> bytes:
    """A playlist with its lines changed as the knobs want."""
    lines = []
    for line in text.splitlines():
        if line and not line.startswith("#") and not line.endswith(".m3u8"):
            line = _with_extension(line, knobs.text("disguise")) + _query(knobs.text("segment_query"))
        lines.append(_KEY_URI.sub(lambda found: found[0] + _query(knobs.text("key_query")), line))
    end = "\r\n" if knobs.has("crlf") else "\n"
    return (b"\xef\xbb\xbf" if knobs.has("bom") else b"") + "".join(line + end for line in lines).encode()


def _with_extension(uri: str, extension: str) -> str:
    return uri.rpartition(".")[0] + extension if extension else uri


def _query(query: str) -> str:
    return f"?{query}" if query else ""


def _read_sets(media: Media) -> dict[str, bytes]:
    """All files of all sets, by their path below ``hls/``."""
    root = media.path("hls")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class HlsFiles:
    """``/hls/SET/…``: the sets as files. A segment is found under any extension."""

    def __init__(self, media: Media) -> None:
        self._files = _read_sets(media)
        self._stems = {name.rpartition(".")[0]: name for name in self._files if "/s" in name}

    def answer(self, request: Request, knobs: Knobs) -> Reply:
        """The reply to a request below ``/hls/``."""
        name = request.path.removeprefix("/hls/")
        data = self._files.get(name) or self._files.get(self._stems.get(name.rpartition(".")[0], ""))
        if data is None:
            return text_reply(404, "no such file")
        return serve(request, knobs, dressed(data.decode(), knobs) if name.endswith(".m3u8") else data)


class _LiveSet:
    """
    One media playlist's files, round and round.

    The TS sets go on with clocks and counters unbroken; fMP4 starts again after a discontinuity. A set with byte
    ranges is one file a round, as from a recorder that begins a new one now and then.
    """

    def __init__(self, folder: str, files: dict[str, bytes]) -> None:
        source = "plain" if folder == "aes" else folder
        playlist = files[f"{source}/index.m3u8"].decode()
        own = {PurePosixPath(name).name: data for name, data in files.items() if name.startswith(f"{source}/")}
        self.encrypted = folder == "aes"
        self.tags, names = zip(*_SEGMENT.findall(playlist), strict=True)
        self.ranged = len(set(names)) == 1
        self.suffix = PurePosixPath(names[0]).suffix
        self.init = own.get("init.mp4", b"")
        self._segments = [own[name] for name in names]
        whole = self._segments[0] if self.ranged else b"".join(self._segments)
        self._looped = None if self.init else LoopedTs(whole, SECONDS)

    def segment(self, sequence: int) -> bytes:
        """The bytes of a segment."""
        number, index = divmod(sequence, SEGMENTS)
        if self._looped is None:
            return self._segments[index]
        start = sum(map(len, self._segments[:index]))
        data = self._looped.round(number)[start : start + len(self._segments[index])]
        return encrypted(data, segment_key(sequence // KEY_PERIOD), sequence) if self.encrypted else data

    def recording(self, number: int) -> bytes:
        """The file of one round, empty where segments are files of their own."""
        return self._looped.round(number) if self.ranged and self._looped is not None else b""

    def playlist(self, first: int, last: int, ended: bool) -> str:
        """The playlist with the segments from ``first`` to ``last``."""
        lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:2", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        if self.init:
            # How many breaks have left the playlist: the one before its first segment is still in it.
            lines += [f"#EXT-X-DISCONTINUITY-SEQUENCE:{max(0, first - 1) // SEGMENTS}", '#EXT-X-MAP:URI="init.mp4"']
        for sequence in range(first, last + 1):
            number, index = divmod(sequence, SEGMENTS)
            if self.encrypted and (sequence == first or sequence % KEY_PERIOD == 0):
                lines.append(f'#EXT-X-KEY:METHOD=AES-128,URI="key{sequence // KEY_PERIOD}.bin"')
            if self.init and sequence and index == 0:
                lines.append("#EXT-X-DISCONTINUITY")
            name = f"r{number}" if self.ranged else f"s{sequence}"
            lines += [self.tags[index].rstrip("\n"), name + self.suffix]
        return "\n".join([*lines, "#EXT-X-ENDLIST"] if ended else lines)


class HlsLive:
    """
    ``/hls-live/SET/…``: the sets as channels.

    A segment is there from its playlist on, and for a while after it has left it; later and earlier there is a 404.

    :param now: seconds since the channels began.
    """

    def __init__(self, media: Media, now: Callable[[], float]) -> None:
        self._files = _read_sets(media)
        folders = [*(name for name in HLS_SETS if name != "multi"), "multi/0", "multi/1", "multi/2"]
        self._sets = {folder: _LiveSet(folder, self._files) for folder in folders}
        self._now = now
        self._stuck: dict[str, int] = {}

    def answer(self, request: Request, knobs: Knobs) -> Reply:
        """The reply to a request below ``/hls-live/``."""
        folder, _, name = request.path.removeprefix("/hls-live/").rpartition("/")
        if (folder, name) == ("multi", "index.m3u8"):
            return self._playlist_reply(self._files["multi/index.m3u8"].decode(), knobs)
        chosen = self._sets.get(folder)
        if chosen is None:
            return text_reply(404, "no such channel")
        last = int(self._now() // SEGMENT_SECONDS) - 1
        window = max(1, int(knobs.number("window", 6)))
        if name == "index.m3u8":
            last = self._stuck.setdefault(folder, last) if knobs.has("stuck") else last
            if not knobs.has("stuck"):
                self._stuck.pop(folder, None)
            first = max(0, last - window + 1)
            return self._playlist_reply(chosen.playlist(first, last, knobs.has("ended")), knobs)
        data = _live_file(chosen, name, last, 2 * window)
        return serve(request, knobs, data) if data else text_reply(404, "no such file")

    def reset(self) -> None:
        """Let the playlists that are stuck move on."""
        self._stuck.clear()

    def _playlist_reply(self, text: str, knobs: Knobs) -> Reply:
        headers = (("Content-Type", "application/vnd.apple.mpegurl"), ("Cache-Control", "no-cache"))
        return Reply(200, headers, dressed(text, knobs))


def _live_file(chosen: _LiveSet, name: str, last: int, kept: int) -> bytes:
    """One of a channel's files other than its playlist, empty when there is no such file now."""
    found = _LIVE_NAME.match(name)
    if found is None:
        return chosen.init if name == "init.mp4" else b""
    number = int(found[2])
    if found[1] == "key":
        return segment_key(number)
    if found[1] == "r":
        return chosen.recording(number)
    return chosen.segment(number) if last - kept < number <= last else b""
