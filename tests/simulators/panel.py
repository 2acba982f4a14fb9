"""
An Xtream panel: accounts with their limits, lists in all the odd shapes that panels give them, faults, and streams.

`Panel.resource` is mounted in a `twisted.web.server.Site`, at its root or under a prefix. What it streams are files
and resources given by whoever makes the panel: the panel checks the account and counts its connections.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import File

from tests.simulators.panel_content import Content, User

Media = Mapping[int, "Path | IResource"]


@frozen
class Fault:
    """A wrong answer: another status, and what becomes of the body."""

    status: int = 200
    body: Callable[[bytes], bytes] = bytes
    content_type: str = "application/json"

    @classmethod
    def page(cls, status: int = 200) -> Fault:
        """A web page instead of JSON."""
        return cls(status, lambda body: b"<!DOCTYPE html>\n<html><title>Just a moment</title></html>", "text/html")

    @classmethod
    def plain(cls, status: int) -> Fault:
        """A status with a word."""
        return cls(status, lambda body: b"no", "text/plain")


CUT_SHORT = Fault(body=lambda body: body[: len(body) * 2 // 3])
NO_BODY = Fault(body=lambda body: b"")
AUTH_ZERO = Fault(body=lambda body: b'{"user_info":{"auth":0}}')


@frozen
class Seen:
    """A request that came: the action of an API call, empty for a login and for everything else."""

    method: str
    path: str
    action: str
    user_agent: str
    username: str = ""
    query: str = ""


@define(eq=False)
class Panel(Content):
    """
    The panel, everything of it can be changed at any time.

    :ivar live: what live streams are served with at ``/live/U/P/ID.ts``.
    :ivar hls: folders with an ``index.m3u8`` for ``/live/U/P/ID.m3u8``, which redirects into ``/hls/U/P/ID/``. As with
        many panels, HLS requests are not counted as connections.
    :ivar series: what is served for an episode, by the episode's id.
    :ivar past: what is served of a channel's past, whenever that was, at ``/timeshift/U/P/MINUTES/TIME/ID.ts`` and by
        ``/streaming/timeshift.php``.
    :ivar guide: what ``xmltv.php`` is.
    :ivar faults: by action, ``""`` for the login and ``"*"`` for every one that is not there itself.
    :ivar delay: seconds until an API call is answered; needs ``clock``.
    :ivar refusal: the status of what is refused because of too many connections.
    """

    live: Media = field(factory=dict)
    hls: Mapping[int, IResource] = field(factory=dict)
    movie: Media = field(factory=dict)
    series: Media = field(factory=dict)
    past: Media = field(factory=dict)
    guide: bytes = b'<?xml version="1.0" encoding="UTF-8"?>\n<tv></tv>\n'
    clock: IReactorTime | None = None
    faults: dict[str, Fault] = field(factory=dict)
    delay: float = 0.0
    refusal: int = 403
    seen: list[Seen] = field(factory=list)

    def resource(self) -> Resource:
        """The tree of everything the panel serves."""
        root = Resource()
        root.putChild(b"player_api.php", _Api(self))
        root.putChild(b"get.php", _Playlist(self))
        root.putChild(b"live", _Streams(self, lambda: self.live))
        root.putChild(b"movie", _Streams(self, lambda: self.movie))
        root.putChild(b"series", _Streams(self, lambda: self.series))
        root.putChild(b"hls", _Hls(self))
        root.putChild(b"timeshift", _Past(self))
        root.putChild(b"streaming", _Past(self))
        root.putChild(b"xmltv.php", _Guide(self))
        return root

    def actions(self) -> list[str]:
        """The actions of the API calls so far, in their order."""
        return [seen.action for seen in self.seen if seen.path.endswith("player_api.php")]

    def note(self, request: Request, action: str = "", username: str = "") -> None:
        """Record a request."""
        agent = (request.getHeader(b"user-agent") or b"").decode("latin-1")
        path = request.path.decode("latin-1")
        query = request.uri.partition(b"?")[2].decode("latin-1")
        self.seen.append(Seen(request.method.decode("ascii"), path, action, agent, username, query))


def _arguments(request: Request) -> dict[str, str]:
    return {name.decode(): values[0].decode("utf-8", "replace") for name, values in (request.args or {}).items()}


def _parts(path: list[bytes] | None) -> list[str]:
    return [part.decode() for part in path or ()]


class _Leaf(Resource):
    isLeaf = True

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self.panel = panel


class _Api(_Leaf):
    """``player_api.php``."""

    def render(self, request: Request) -> int | bytes:
        panel, arguments = self.panel, _arguments(request)
        action = arguments.get("action", "")
        user = panel.user(arguments.get("username", ""), arguments.get("password", ""))
        panel.note(request, action, arguments.get("username", ""))
        body = json.dumps(panel.answer(action, user, arguments)).encode()
        fault = panel.faults.get(action, panel.faults.get("*", Fault()))
        request.setResponseCode(fault.status)
        request.setHeader(b"content-type", fault.content_type.encode())
        body = fault.body(body)
        if panel.clock is None or not panel.delay:
            return body
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)

        def answer() -> None:
            if not gone:
                request.write(body)
                request.finish()

        panel.clock.callLater(panel.delay, answer)
        return NOT_DONE_YET


class _Playlist(_Leaf):
    """``get.php``."""

    def render(self, request: Request) -> bytes:
        arguments = _arguments(request)
        panel, user = self.panel, self.panel.user(arguments.get("username", ""), arguments.get("password", ""))
        panel.note(request, username=arguments.get("username", ""))
        if user is None:
            return _refuse(request, 403)
        request.setHeader(b"content-type", b"audio/x-mpegurl")
        host = (request.getHeader(b"host") or b"").decode("latin-1")
        base = "/".join([f"http://{host}", *_parts(request.prepath)[:-1]])
        account = f"{quote(user.username, safe='')}/{quote(user.password, safe='')}"
        ending = "m3u8" if arguments.get("output") in ("m3u8", "hls") else "ts"
        groups = {row["category_id"]: row["category_name"] for row in panel.categories["live"]}
        lines = ["#EXTM3U"]
        for row in panel.live_streams:
            group = groups.get(row["category_id"], "")
            lines.append(
                f'#EXTINF:-1 tvg-id="{row["epg_channel_id"]}" tvg-name="{row["name"]}" '
                f'tvg-logo="{row["stream_icon"]}" group-title="{group}",{row["name"]}'
            )
            lines.append(f"{base}/live/{account}/{row['stream_id']}.{ending}")
        return ("\n".join(lines) + "\n").encode()


def _refuse(request: Request, status: int) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"text/plain")
    return b"no"


def _serve(what: Path | IResource, request: Request) -> int | bytes:
    resource: IResource = File(str(what)) if isinstance(what, Path) else what
    result: int | bytes = resource.render(request)
    return result


class _Streams(_Leaf):
    """``/live/U/P/ID.ext``, and the same for films and episodes."""

    def __init__(self, panel: Panel, media: Callable[[], Media]) -> None:
        super().__init__(panel)
        self._media = media

    def render(self, request: Request) -> int | bytes:
        panel, path = self.panel, _parts(request.postpath)
        panel.note(request, username=path[0] if path else "")
        if len(path) != 3:
            return _refuse(request, 404)
        user, (stem, _, ending) = panel.user(path[0], path[1]), path[2].partition(".")
        if user is None or user.status != "Active" or not user.auth:
            return _refuse(request, 401)
        number = int(stem) if stem.isdecimal() else 0
        if ending == "m3u8" and number in panel.hls:
            inside = "/".join(quote(part, safe="") for part in (*path[:2], str(number), "index.m3u8"))
            request.redirect(f"../../../hls/{inside}".encode())
            return b""
        media = self._media().get(number)
        if media is None:
            return _refuse(request, 404)
        return _serve_counted(media, panel, user, request)


def _serve_counted(media: Path | IResource, panel: Panel, user: User, request: Request) -> int | bytes:
    """Serve it as one of the account's connections, if there may be another."""
    if user.max_connections and len(user.active) >= user.max_connections:
        return _refuse(request, panel.refusal)
    user.active.append(request)

    def over(reason: Failure | None) -> None:
        user.active.remove(request)

    request.notifyFinish().addBoth(over)
    return _serve(media, request)


class _Past(_Leaf):
    """What was shown before, asked for in either way; a time that is not written as panels do is not there."""

    def render(self, request: Request) -> int | bytes:
        panel, path, arguments = self.panel, _parts(request.postpath), _arguments(request)
        if path == ["timeshift.php"]:
            path = [arguments.get(name, "") for name in ("username", "password", "duration", "start", "stream")]
        panel.note(request, username=path[0] if path else "")
        if len(path) != 5:
            return _refuse(request, 404)
        user, number = panel.user(path[0], path[1]), path[4].partition(".")[0]
        if user is None:
            return _refuse(request, 401)
        media = panel.past.get(int(number)) if number.isdecimal() else None
        good = path[2].isdecimal() and re.fullmatch(r"\d{4}-\d\d-\d\d:\d\d-\d\d", path[3])
        if media is None or not good:
            return _refuse(request, 404)
        return _serve_counted(media, panel, user, request)


class _Guide(_Leaf):
    """``xmltv.php``."""

    def render(self, request: Request) -> int | bytes:
        panel, arguments = self.panel, _arguments(request)
        panel.note(request, username=arguments.get("username", ""))
        if panel.user(arguments.get("username", ""), arguments.get("password", "")) is None:
            return _refuse(request, 403)
        request.setHeader(b"content-type", b"application/xml")
        return panel.guide


class _Hls(_Leaf):
    """``/hls/U/P/ID/...``: the playlist and the segments of a channel."""

    def render(self, request: Request) -> int | bytes:
        panel, path = self.panel, _parts(request.postpath)
        panel.note(request, username=path[0] if path else "")
        if len(path) < 4 or panel.user(path[0], path[1]) is None:
            return _refuse(request, 401)
        resource = panel.hls.get(int(path[2])) if path[2].isdecimal() else None
        if resource is None:
            return _refuse(request, 404)
        request.postpath = [part.encode() for part in path[3:]]
        while request.postpath and not resource.isLeaf:
            resource = resource.getChildWithDefault(request.postpath.pop(0), request)
        return _serve(resource, request)
