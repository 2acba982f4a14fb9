"""``get.php``, ``get_playlist.php`` and ``xmltv.php``: the playlist and the guide, as panels' clients ask for them."""

from __future__ import annotations

from twisted.web.server import Request

from iptvd.web.answering import AnswerResource
from iptvd.web.request import Refusal, argument
from iptvd.web.xtream_api import PhpResource

#: What the playlist calls the forms that clients ask for.
_FORMS = {"ts": b"ts", "mpegts": b"ts", "m3u8": b"hls", "hls": b"hls"}
_TYPES = ("", "m3u", "m3u_plus")


class PlaylistScript(PhpResource):
    """
    The playlist.

    :param playlist: answers for it.
    """

    def __init__(self, playlist: AnswerResource) -> None:
        super().__init__()
        self._playlist = playlist

    async def answer(self, request: Request) -> bytes | None:
        """See `iptvd.web.playlist.PlaylistResource`; ``type`` and ``output`` are ours by other names."""
        output = argument(request, "output").lower()
        if argument(request, "type") not in _TYPES or output not in ("", *_FORMS):
            raise Refusal(400, "type is m3u_plus or m3u, and output is ts or m3u8")
        given = request.args or {}
        request.args = {name: values for name, values in given.items() if name in (b"group", b"provider")}
        if output:
            request.args[b"format"] = [_FORMS[output]]
        return await self._playlist.answer(request)


class GuideScript(PhpResource):
    """
    The guide.

    :param guide: answers for it.
    """

    def __init__(self, guide: AnswerResource) -> None:
        super().__init__()
        self._guide = guide

    async def answer(self, request: Request) -> bytes | None:
        """See `iptvd.web.guide.GuideResource`."""
        return await self._guide.answer(request)
