"""The host that a website's players get their media from: live HLS under paths that expire, for those it knows."""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import define, evolve, field

from tests.simulators.exchange import Reply, Request, text_reply
from tests.simulators.hls import HlsLive, segment_key
from tests.simulators.knobs import Knobs
from tests.simulators.media import Media
from tests.simulators.website_stations import DECODED, Way

#: The name and the media type that a disguised segment has.
DISGUISES = {Way.IMAGE: (".png", "image/png"), Way.STYLE: (".css", "text/css")}
#: Paths that are not handed out but known: they do not expire.
FIXED = "top1/cdn"

_MEDIA = re.compile(r"/(top1/cdn|zz\d+)/([a-z]+)(\d+)/(.+)")
_KEY = re.compile(r"/key/[a-z]+\d+/(\d{1,9})")
_KEY_LINE = re.compile(r'URI="key(\d+)\.bin"')


@define
class _Pass:
    """A path that was handed out."""

    born: float
    asked: int = 0
    over: bool = False


@define(eq=False)
class Passes:
    """
    The paths that are handed out to players, each of which is good for a while.

    :ivar requests: of a playlist, after which its path is over; 0 for no limit.
    :ivar seconds: after which a path is over; likewise.
    """

    now: Callable[[], float]
    requests: int = 0
    seconds: float = 0.0
    _made: list[_Pass] = field(factory=list)
    _last: dict[str, int] = field(factory=dict)

    def hand_out(self, key: str) -> str:
        """The path for a channel: the same until that is over, then another."""
        if not self._good(self._last.get(key)):
            self._made.append(_Pass(self.now()))
            self._last[key] = len(self._made) - 1
        return f"zz{self._last[key]}"

    def _good(self, number: int | None) -> bool:
        if number is None or number >= len(self._made):
            return False
        known = self._made[number]
        if self.seconds and self.now() - known.born > self.seconds:
            known.over = True
        return not known.over

    def enter(self, name: str, playlist: bool) -> bool:
        """Whether what is asked for under a path is to be had."""
        if name == FIXED:
            return True
        number = int(name.removeprefix("zz"))
        if playlist and self._good(number):
            known = self._made[number]
            known.asked += 1
            known.over = bool(self.requests) and known.asked > self.requests
        return self._good(number)

    def end(self) -> None:
        """All that were handed out so far are over."""
        for known in self._made:
            known.over = True

    def clear(self) -> None:
        """No limits any more, and everything that was handed out is over."""
        self.requests, self.seconds = 0, 0.0
        self.end()


class MediaHost:
    """
    ``/PATH/CHANNEL/mono.m3u8`` (``index.m3u8`` where there are variants), segments beside it, ``/key/CHANNEL/N``.

    The key changes every few segments, as that of `tests.simulators.hls.HlsLive` does.

    :param url: gives its address.
    """

    def __init__(self, media: Media, now: Callable[[], float], url: Callable[[], str]) -> None:
        self.passes = Passes(now)
        self._hls = HlsLive(media, now)
        self._url = url

    def way_of(self, path: str) -> Way | None:
        """Whose player a path is for, None when there is nothing at it."""
        found = re.match(r".*/([a-z]+)\d+/", path)
        return None if found is None else next((way for way in Way if way.value == found[1]), None)

    def answer(self, request: Request, knobs: Knobs, expired: int) -> Reply:
        """
        The reply to a request.

        :param expired: the status of what was under a path that is over.
        """
        key = _KEY.fullmatch(request.path)
        if key is not None:
            return Reply(200, (("Content-Type", "application/octet-stream"),), segment_key(int(key[1])))
        found, way = _MEDIA.fullmatch(request.path), self.way_of(request.path)
        if found is None or way is None:
            return text_reply(404, "nothing here")
        folder, name = found[1], found[4]
        playlist = name.endswith(".m3u8")
        if not self.passes.enter(folder, playlist):
            return text_reply(expired, "this address is an old one")
        if way is Way.HOLLOW:
            return Reply(200, (("Content-Type", "text/html"),), b"<html><body>Stream offline</body></html>\n")
        return self._media(request, knobs, way, name)

    def _media(self, request: Request, knobs: Knobs, way: Way, name: str) -> Reply:
        if name == "mono.m3u8" and way is not Way.WIDE:
            name = "index.m3u8"
        source = {Way.WIDE: "multi", Way.STYLE: "plain"}.get(way, "aes")
        extension, kind = DISGUISES.get(way, ("", ""))
        dressing = Knobs({**({"disguise": extension} if extension else {}), **knobs.values})
        reply = self._hls.answer(evolve(request, path=f"/hls-live/{source}/{name}"), dressing)
        if reply.status == 200 and name.endswith(".m3u8"):
            assert isinstance(reply.body, bytes)
            text = reply.body.decode() if way is Way.WIDE else self._absolute(request.path, reply.body.decode())
            return evolve(reply, body=text.encode())
        return reply.header("Content-Type", kind) if kind and reply.status == 200 else reply

    def _absolute(self, path: str, text: str) -> str:
        """A media playlist whose keys and segments are named by their whole addresses."""
        folder, channel = path.rpartition("/")[0], path.split("/")[-2]
        text = _KEY_LINE.sub(lambda found: f'URI="{self._url()}/key/{channel}/{found[1]}"', text)
        lines = (line if line.startswith("#") else f"{self._url()}{folder}/{line}" for line in text.splitlines())
        return "".join(f"{line}\n" for line in lines)

    def from_frame(self, path: str) -> bool:
        """Whether the player that a path is for lies in a nested frame, on a host of its own."""
        return self.way_of(path) in DECODED

    def reset(self) -> None:
        """Everything as at the start; what was handed out is over."""
        self.passes.clear()
        self._hls.reset()
