"""
The addresses at which Xtream clients play, each with a user's name and app token in its path.

Who it is from is judged by these two alone. What is asked for is then played as at ``/stream/``; HLS is played there,
too, since what is relative in it has to lead to where the user's token is in the path.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

from attrs import evolve, frozen
from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.model import Channel, ChannelKind
from iptvd.web.answering import AnswerResource
from iptvd.web.archive import query_of, recording_asked
from iptvd.web.request import Refusal, argument
from iptvd.web.router import Router
from iptvd.web.site import Root, nothing
from iptvd.web.stream import Faces, StreamResource
from iptvd.web.xtream_api import PhpResource
from iptvd.web.xtream_login import judge_login

_FILE = re.compile(r"([0-9]{1,10})(?:\.([A-Za-z0-9]{1,8}))?")
_OF_PANEL = re.compile(r"stream_([^/]{1,200}?)(?:\.(m3u8|ts))?")
# As panels have it, with seconds, and as other servers write it.
_START = re.compile(r"(\d{4}-\d{2}-\d{2})[:_ T](\d{2})[-:](\d{2})(?:[-:](\d{2}))?", re.ASCII)
_SECONDS = re.compile(r"\d{9,11}", re.ASCII)
_MINUTES = re.compile(r"\d{1,6}", re.ASCII)


@frozen
class Asked:
    """
    What is to be played.

    :ivar name: the id of a channel, empty for none.
    :ivar form: the ending, in lower case, or empty.
    :ivar past: from when on, in seconds since the epoch, and for how many of them, 0 for until now; None for what is
        on now.
    """

    name: str
    form: str = ""
    past: tuple[int, int] | None = None


def file_asked(text: str) -> Asked:
    """
    What the last part of a path asks for.

    :raises Refusal: when it is nothing that there can be.
    """
    match = _FILE.fullmatch(text)
    if match is None:
        raise Refusal(404, "There is no such channel.")
    return Asked(match[1], (match[2] or "").lower())


def past_asked(asked: Asked, start: str, minutes: str) -> Asked:
    """
    The same as it was shown before.

    :param start: in UTC, which is what we tell clients that we count in.
    :raises Refusal: for times that are none.
    """
    text, match = start.strip(), _START.fullmatch(start.strip())
    if _MINUTES.fullmatch(minutes.strip()) is None or (match is None and _SECONDS.fullmatch(text) is None):
        raise Refusal(400, "A time is written 2026-01-31:20-15, in UTC, and how long it is in minutes.")
    if match is None:
        seconds = int(text)
    else:
        day, hour, minute, second = match.groups()
        try:
            moment = datetime.strptime(f"{day} {hour}:{minute}:{second or '00'}", "%Y-%m-%d %H:%M:%S")
        except ValueError:
            raise Refusal(400, "There is no such time.") from None
        seconds = timegm(moment.timetuple())
    return evolve(asked, past=(seconds, int(minutes) * 60))


class PlayResource(StreamResource):
    """What is asked for, to be played."""

    def __init__(self, faces: Faces, asked: Asked) -> None:
        super().__init__(faces, asked.name)
        self._asked = asked

    async def answer(self, request: Request) -> bytes | None:
        """Play it, or lead to where it is played."""
        channel, form = self._channel(request)
        past, arguments = self._asked.past, {}
        if past is not None:
            arguments = {b"utc": [b"%d" % past[0]], b"duration": [b"%d" % past[1]] if past[1] else []}
        # Those of the request are for Xtream's own addresses.
        request.args = arguments
        if form != "m3u8":
            return await super().answer(request)
        recording = recording_asked(request, channel, self._faces.hub.now)
        return self._send_on(request, f"/stream/{channel.id}.m3u8{query_of(recording) if recording else ''}")

    def _channel(self, request: Request) -> tuple[Channel, str]:
        channel, _ = super()._channel(request)
        form = self._asked.form
        if channel.kind is ChannelKind.VOD:
            # A film has only its own form, whatever the client calls it.
            return channel, ""
        return channel, "m3u8" if form == "m3u" else form or "ts"


class MediaResource(AnswerResource):
    """
    One of the folders that hold everything there is: ``/live``, ``/movie``, ``/series`` and ``/timeshift``.

    :param parts: how many parts the path has before its last, user and token included.
    """

    open_to_pages = True
    # The path says who asks.
    guarded = False

    def __init__(self, faces: Faces, parts: int = 2) -> None:
        super().__init__()
        self.faces = faces
        self._parts = parts

    async def answer(self, request: Request) -> bytes | None:
        """Judge who asks, then play it."""
        path = [part.decode("utf-8", "replace") for part in cast("list[bytes]", request.postpath)]
        request.postpath = []
        return await PlayResource(self.faces, self.asked(request, path)).guarded_answer(request)

    def asked(self, request: Request, path: Sequence[str]) -> Asked:
        """
        What a path asks for; who asks is who it says.

        :raises Refusal: when it is none.
        """
        if len(path) != self._parts + 1:
            raise Refusal(404, "There is nothing at this address.")
        judge_login(request, path[0], path[1])
        return file_asked(path[-1])


class LiveResource(MediaResource):
    """
    ``/live``: here, too, what panels give their viewers, ``/live/stream_<id>.m3u8?token=…``.

    :param named: gives the channel that a panel knows by a name, or that has an id.
    """

    def __init__(self, faces: Faces, named: Callable[[str], Channel | None]) -> None:
        super().__init__(faces)
        self._named = named

    def asked(self, request: Request, path: Sequence[str]) -> Asked:
        """See `MediaResource.asked`."""
        match = _OF_PANEL.fullmatch(path[0]) if len(path) == 1 else None
        if match is not None:
            channel = self._named(match[1])
            return Asked(str(channel.id) if channel is not None else "", match[2] or "")
        return super().asked(request, path)


class TimeshiftResource(MediaResource):
    """``/timeshift/<user>/<token>/<minutes>/<start>/<id>``: what was shown before."""

    def __init__(self, faces: Faces) -> None:
        super().__init__(faces, 4)

    def asked(self, request: Request, path: Sequence[str]) -> Asked:
        """See `MediaResource.asked`."""
        asked = super().asked(request, path)
        return past_asked(asked, path[3], path[2])


class TimeshiftQuery(PhpResource, MediaResource):
    """``/streaming/timeshift.php``: the same by arguments, of which user and token have been judged already."""

    def asked(self, request: Request, path: Sequence[str]) -> Asked:
        """See `MediaResource.asked`."""
        if path:
            raise Refusal(404, "There is nothing at this address.")
        asked = file_asked(argument(request, "stream"))
        extension = argument(request, "extension").lower()
        asked = asked if asked.form or extension not in ("ts", "m3u8") else evolve(asked, form=extension)
        return past_asked(asked, argument(request, "start"), argument(request, "duration"))


class ShortPaths(Root):
    """
    The top of the tree, where ``/<user>/<token>/<id>`` is what ``/live/<user>/<token>/<id>`` is.

    :param others: gives what else is below a name there, None where nothing is.
    """

    def __init__(
        self, index: Resource, router: Router, faces: Faces, others: Callable[[bytes], Resource | None]
    ) -> None:
        super().__init__(index, router)
        self._router = router
        self._media = MediaResource(faces)
        self._others = others

    def getChild(self, path: bytes, request: Request) -> Resource:
        """What is asked for in three parts, or one of the others, or nothing."""
        rest = cast("list[bytes]", request.postpath)
        if self._router.begins(path):
            return nothing()
        if len(rest) != 2 or _FILE.fullmatch(rest[1].decode("utf-8", "replace")) is None:
            return self._others(path) or nothing()
        rest.insert(0, path)
        return self._media
