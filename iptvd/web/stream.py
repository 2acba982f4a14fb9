"""Playing: ``/stream/<id>`` in all its forms, and the content and keys of HLS."""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.delivery.hls import HlsRelay
from iptvd.delivery.hub import Hub
from iptvd.delivery.opening import Ask, FoundPlaylist, Opened
from iptvd.delivery.relay import Relay
from iptvd.delivery.session import Face, Session
from iptvd.errors import LimitError, UpstreamError
from iptvd.lineup_service import LineupService
from iptvd.model import Channel, Outcome, SourceKind
from iptvd.protocols.m3u8 import Role
from iptvd.web.playlist import path_of
from iptvd.web.request import AnswerResource, Refusal, caller_of, header, viewer_of
from iptvd.web.sockets import limit_unsent

HLS_TYPE = "application/vnd.apple.mpegurl"
#: Seconds a viewer has to read what it was given of a stream that broke off.
LINGER = 30

_NAME = re.compile(r"([0-9]{1,10})(?:\.([A-Za-z0-9]{1,8}))?")
#: Types that a browser would run scripts of: at our address, an origin's page could do what ours can.
_PAGE = re.compile("html|xml|script|multipart", re.IGNORECASE)
#: What of a viewer's request for a file or segment concerns the origin.
_ASKED = ("Range", "If-Range")


class Player:
    """
    Hands bodies to viewers.

    :param stall_timeout: see `iptvd.delivery.relay.Relay`.
    """

    def __init__(self, clock: IReactorTime, stall_timeout: float, client_timeout: float) -> None:
        self._clock = clock
        self.stall_timeout = stall_timeout
        self.client_timeout = client_timeout

    def play(
        self, request: Request, session: Session, opened: Opened, endless: bool, over: Callable[[Outcome, str], object]
    ) -> None:
        """
        Answer with a source that is open.

        :param over: is told how it ended, and why.
        """
        upstream = opened.upstream
        if upstream is None:
            raise Refusal(500, "there is nothing to play")
        respond(request, opened)
        transport = request.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpKeepAlive(True)
            limit_unsent(transport)

        def finished(outcome: Outcome, reason: str) -> None:
            forget()
            if outcome is Outcome.COMPLETED:
                request.finish()
            elif outcome is not Outcome.VIEWER_LEFT:
                break_off(request, at_once=outcome is Outcome.VIEWER_TOO_SLOW)
            over(outcome, reason)

        relay = Relay(
            session,
            upstream,
            request,
            self._clock,
            self.stall_timeout,
            self.client_timeout,
            endless,
            finished,
        )
        forget = session.at_end(lambda ended: relay.stop(ended.outcome or Outcome.DRAINED, ended.reason))

        def left(failure: Failure) -> None:
            relay.stop(Outcome.VIEWER_LEFT)

        request.notifyFinish().addErrback(left)
        relay.start()


def break_off(request: Request, at_once: bool) -> None:
    """
    End an answer that is not whole, so that the viewer can tell, and may ask for the rest.

    :param at_once: whether what the viewer has not read yet is thrown away; else it has some time to read it.
    """
    channel: HTTPChannel | None = request.channel
    if channel is None:
        return
    if at_once:
        channel.forceAbortClient()
    else:
        request.loseConnection()
        # The connection is gone once all of it is read, which may be never.
        channel.setTimeout(LINGER)


def respond(request: Request, opened: Opened) -> None:
    """Set the status and the headers that come from the source."""
    request.setResponseCode(opened.status)
    for name, value in opened.headers:
        if name == "Content-Type" and _PAGE.search(value):
            value = "application/octet-stream"
        request.setHeader(name, value)
    if opened.status == 416:
        request.setHeader("Content-Length", "0")
    request.setHeader("X-Content-Type-Options", "nosniff")


def ask_of(request: Request) -> Ask:
    """What of a request is for the source."""
    return Ask(
        "HEAD" if request.method == b"HEAD" else "GET",
        tuple((name, value) for name in _ASKED if (value := header(request, name))),
    )


class StreamsResource(Resource):
    """``/stream/``: the names below it are channels."""

    def __init__(self, lineup: LineupService, hub: Hub, hls: HlsRelay, player: Player) -> None:
        super().__init__()
        self.lineup = lineup
        self.hub = hub
        self.hls = hls
        self.player = player

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The channel of that name, whether it exists or not."""
        return StreamResource(self, path.decode("utf-8", "replace"))


class StreamResource(AnswerResource):
    """One channel, in the form that its name's ending asks for."""

    open_to_pages = True

    def __init__(self, parent: StreamsResource, name: str) -> None:
        super().__init__()
        self._parent = parent
        self._name = name

    async def answer(self, request: Request) -> bytes | None:
        """Play it."""
        channel, extension = self._channel(request)
        if channel.entry.unsupported:
            raise Refusal(501, channel.entry.unsupported)
        kind = self._parent.hub.kind_of(channel)
        native = path_of(channel, kind).rpartition(".")[2]
        if not extension and kind is SourceKind.HLS:
            return self._redirect(request, channel)
        if extension and extension != native:
            return self._other_form(request, channel, extension, kind, native)
        if kind is SourceKind.HLS:
            return await self._hls(request, channel)
        if kind is SourceKind.TS and request.method == b"HEAD":
            # Nothing is opened only to tell its type.
            request.setHeader("Content-Type", "video/mp2t" if native == "ts" else "application/octet-stream")
            request.setHeader("Cache-Control", "no-store")
            return b""
        return await self._play(request, channel)

    def _channel(self, request: Request) -> tuple[Channel, str]:
        match = _NAME.fullmatch(self._name)
        channel = self._parent.lineup.lineup.by_id.get(int(match[1])) if match and not request.postpath else None
        if match is None or channel is None:
            raise Refusal(404, "There is no such channel; the playlist has those there are.")
        return channel, (match[2] or "").lower()

    def _other_form(self, request: Request, channel: Channel, extension: str, kind: SourceKind, native: str) -> bytes:
        if extension == channel.extension:
            # The playlist said so before the source turned out to be something else.
            return self._redirect(request, channel)
        if extension in ("ts", "m3u8") or kind is SourceKind.VOD:
            raise Refusal(406, f"This channel is not to be had as .{extension}; it is as .{native}.")
        raise Refusal(404, f"This channel is not to be had as .{extension}; it is as .{native}.")

    def _redirect(self, request: Request, channel: Channel) -> bytes:
        path = path_of(channel, self._parent.hub.kind_of(channel))
        request.setResponseCode(302)
        request.setHeader("Location", caller_of(request).base_url + path)
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("Content-Length", "0")
        return b""

    async def _hls(self, request: Request, channel: Channel) -> bytes:
        request.setHeader("Content-Type", HLS_TYPE)
        request.setHeader("Cache-Control", "no-store")
        if request.method == b"HEAD":
            return b""
        body = await self._parent.hls.open(channel, viewer_of(request))
        request.setHeader("Content-Length", str(len(body)))
        return body

    async def _play(self, request: Request, channel: Channel) -> bytes | None:
        hub = self._parent.hub
        endless = channel.source_kind is SourceKind.TS
        ask = Ask() if endless else ask_of(request)
        session = hub.admit(channel, viewer_of(request), Face.TS if endless else Face.VOD)
        try:
            opened = await hub.open(channel, ask)
        except FoundPlaylist:
            session.end(Outcome.COMPLETED, "followed as HLS")
            return self._redirect(request, channel)
        except UpstreamError as error:
            session.end(Outcome.EXHAUSTED, error.sentence)
            raise
        except BaseException:
            session.end(Outcome.VIEWER_LEFT)
            raise
        if opened.upstream is None:
            session.end(Outcome.COMPLETED)
            respond(request, opened)
            return b""
        if session.outcome is not None:
            opened.upstream.stopProducing()
            raise LimitError(session.reason or "iptvd is stopping")
        if endless:
            request.setHeader("Cache-Control", "no-store")
        self._parent.player.play(request, session, opened, endless, session.end)
        return None


class ContentResource(AnswerResource):
    """
    ``/content/<token>.<ext>`` and ``/key/<token>``.

    :param keys: whether this is where keys are.
    """

    open_to_pages = True
    isLeaf = False

    def __init__(self, hls: HlsRelay, player: Player, keys: bool) -> None:
        super().__init__()
        self._hls = hls
        self._player = player
        self._keys = keys

    def getChild(self, path: bytes, request: Request) -> Resource:
        """What the token stands for, whether it is good or not."""
        return self

    async def answer(self, request: Request) -> bytes | None:
        """Relay it."""
        name = (request.prepath or [b""])[-1].decode("ascii", "replace")
        token, _, extension = name.partition(".")
        viewer = viewer_of(request)
        if extension == "m3u8" and not self._keys:
            request.setHeader("Content-Type", HLS_TYPE)
            request.setHeader("Cache-Control", "no-store")
            query = request.uri.partition(b"?")[2].decode("ascii", "replace")
            body = await self._hls.playlist(token, query, viewer)
            request.setHeader("Content-Length", str(len(body)))
            return b"" if request.method == b"HEAD" else body
        role = Role.KEY if self._keys else None
        session, opened, over = await self._hls.content(token, role, ask_of(request), viewer)
        request.setHeader("Cache-Control", "no-store" if self._keys else "private, max-age=300")
        if opened.upstream is None:
            respond(request, opened)
            return b""
        self._player.play(request, session, opened, endless=False, over=over)
        return None
