"""M3U lists that name the origin's own URLs: a small one, one of any size, one packed, and one that never ends."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import lru_cache

from tests.simulators.exchange import Reply, Request, Timed, text_reply
from tests.simulators.files import serve
from tests.simulators.knobs import Knobs

#: What the basic list holds: name, group, path.
ENTRIES = (
    ("Film", "Live", "/live/film.ts"),
    ("Other", "Live", "/live/other.ts"),
    ("Film HLS", "HLS", "/hls-live/plain/index.m3u8"),
    ("Film HLS encrypted", "HLS", "/hls-live/aes/index.m3u8"),
    ("Film HLS fMP4", "HLS", "/hls-live/fmp4/index.m3u8"),
    ("Film HLS variants", "HLS", "/hls-live/multi/index.m3u8"),
    ("Film on demand", "Films", "/vod/film.mp4"),
    ("Two tones", "Radio", "/radio/tones.aac"),
    ("Two tones MP3", "Radio", "/radio/tones.mp3"),
)
#: Entries of the big list.
MANY = 100_000


def basic_list(base: str) -> str:
    """The small list, with a guide's address and each kind of entry once."""
    lines = [f'#EXTM3U x-tvg-url="{base}/lists/guide.xml"']
    for number, (name, group, path) in enumerate(ENTRIES, 1):
        radio = ' radio="true"' if group == "Radio" else ""
        lines.append(
            f'#EXTINF:-1 tvg-id="c{number}.test" tvg-chno="{number}" tvg-name="{name}" '
            f'tvg-logo="{base}/logo/{number}.png" group-title="{group}"{radio},{name}'
        )
        lines.append(base + path)
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=2)
def big_list(base: str, count: int) -> bytes:
    """A list of so many live channels in forty groups."""
    entries = (
        f'#EXTINF:-1 tvg-id="big{number}.test" group-title="Group {number % 40}",Channel {number}\n'
        f"{base}/live/big/{number}.ts\n"
        for number in range(1, count + 1)
    )
    return ("#EXTM3U\n" + "".join(entries)).encode()


def _endless(base: str) -> Iterator[Timed]:
    yield 0.0, b"#EXTM3U\n"
    number = 0
    while True:
        lines = (f"#EXTINF:-1,Channel {number + i}\n{base}/live/{number + i}.ts\n" for i in range(500))
        yield 0.0, "".join(lines).encode()
        number += 500


class Lists:
    """``/lists/``: basic.m3u, big.m3u (``count=``), endless.m3u; the first two also packed, as basic.m3u.gz."""

    def answer(self, request: Request, knobs: Knobs) -> Reply:
        """The reply to a request below ``/lists/``."""
        name = request.path.removeprefix("/lists/")
        if name == "endless.m3u":
            return Reply(200, (("Content-Type", "audio/x-mpegurl"),), _endless(request.base), framing="close")
        stem = name.removesuffix(".gz")
        if stem == "basic.m3u":
            text = basic_list(request.base)
            count = int(knobs.number("count", len(ENTRIES)))
            data = "".join(text.splitlines(keepends=True)[: 1 + 2 * count]).encode()
        elif stem == "big.m3u":
            data = big_list(request.base, int(knobs.number("count", MANY)))
        else:
            return text_reply(404, "no such list")
        if knobs.has("crlf"):
            data = data.replace(b"\n", b"\r\n")
        if knobs.has("bom"):
            data = b"\xef\xbb\xbf" + data
        # Without a time in it, so that the same list has the same ETag.
        return serve(request, knobs, gzip.compress(data, compresslevel=1, mtime=0) if name.endswith(".gz") else data)
