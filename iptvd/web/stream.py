"""Playing: ``/stream/<id>`` in all the forms that a channel has."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.access import MARK
from iptvd.delivery.clips import Card
from iptvd.delivery.feed import NotShareable
from iptvd.delivery.hls import HlsRelay
from iptvd.delivery.hub import Hub
from iptvd.delivery.opening import Ask, FoundPlaylist, Opener
from iptvd.delivery.packaged import PackagedHls
from iptvd.delivery.patience import patiently
from iptvd.delivery.session import Face, Session
from iptvd.errors import LimitError, UpstreamError
from iptvd.lineup import Lineup
from iptvd.model import Channel, ChannelKind, Headers, Outcome, Source, SourceKind
from iptvd.protocols.http_upstream import HTTPUpstream
from iptvd.recording import Recording
from iptvd.web.answering import AnswerResource
from iptvd.web.archive import query_of, recording_asked
from iptvd.web.content import HLS_TYPE, NOT_SHAREABLE, ask_of, send_playlist
from iptvd.web.credentials import is_marked
from iptvd.web.player import Player, respond
from iptvd.web.playlist import path_of
from iptvd.web.request import Refusal, argument, caller_of, viewer_of, who_of

#: What live channels are made into.
_TYPES = {"ts": "video/mp2t", "m3u8": HLS_TYPE}
_NAME = re.compile(r"([0-9]{1,10}|[0-9a-f]{32})(?:\.([A-Za-z0-9]{1,8}))?")

#: Gives the channel that has an id of 32 hexadecimal digits, None where there is none.
Named = Callable[[str], Channel | None]


def _nobody(name: str) -> Channel | None:
    return None


@frozen
class Faces:
    """
    What playing takes.

    :ivar shares: whether a channel's viewers share one connection.
    """

    lineup: Callable[[], Lineup]
    hub: Hub
    hls: HlsRelay
    packaged: PackagedHls
    player: Player
    clock: IReactorTime
    shares: Callable[[Channel], bool]


class StreamsResource(Resource):
    """``/stream/``: the names below it are channels."""

    def __init__(self, faces: Faces, named: Named = _nobody) -> None:
        super().__init__()
        self._faces = faces
        self._named = named

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The channel of that name, whether it exists or not."""
        return StreamResource(self._faces, path.decode("utf-8", "replace"), self._named)


class StreamResource(AnswerResource):
    """One channel, in the form that its name's ending asks for."""

    open_to_pages = True
    #: The way from its address to the top of the tree.
    root = "../"

    def __init__(self, faces: Faces, name: str, named: Named = _nobody) -> None:
        super().__init__()
        self._faces = faces
        self._name = name
        self._named = named

    async def answer(self, request: Request) -> bytes | None:
        """Play it."""
        channel, extension = self._channel(request)
        if channel.entry.unsupported:
            raise Refusal(501, channel.entry.unsupported)
        kind = self._faces.hub.kind_of(channel)
        native = path_of(channel, kind).rpartition(".")[2]
        form = extension or native
        past = recording_asked(request, channel, self._faces.hub.now)
        mark = _mark_of(request) if form == "m3u8" else None
        if mark is not None:
            # What a playlist names is relative to its address, so that has to say whose it is.
            query = query_of(past) if past is not None else ""
            return self._send_on(request, f"{mark}/stream/{channel.id}.m3u8{query}")
        if past is not None:
            return await self._play_past(request, past, form)
        if not extension and kind is SourceKind.HLS:
            return self._redirect(request, channel)
        if kind is SourceKind.VOD and form == native:
            return await self._play_alone(request, channel)
        if kind is not SourceKind.VOD and form in (native, *_both(channel)):
            return await self._play_live(request, channel, kind, form, bool(extension))
        if form == channel.extension:
            # The playlist said so before the source turned out to be something else.
            return self._redirect(request, channel)
        status = 406 if form in ("ts", "m3u8") or kind is SourceKind.VOD else 404
        raise Refusal(status, f"This channel is not to be had as .{form}; it is as .{native}.")

    def _channel(self, request: Request) -> tuple[Channel, str]:
        match = _NAME.fullmatch(self._name)
        channel = self._of_name(match[1]) if match and not request.postpath else None
        if match is None or channel is None:
            raise Refusal(404, "There is no such channel; the playlist has those there are.")
        if not who_of(request).may_see(channel):
            raise Refusal(403, "This channel is not one of this account's.")
        return channel, (match[2] or "").lower()

    def _of_name(self, name: str) -> Channel | None:
        return self._named(name) if len(name) == 32 else self._faces.lineup().by_id.get(int(name))

    def _redirect(self, request: Request, channel: Channel, query: str = "") -> bytes:
        return self._send_on(request, path_of(channel, self._faces.hub.kind_of(channel)) + query)

    def _send_on(self, request: Request, path: str) -> bytes:
        request.setResponseCode(302)
        request.setHeader("Location", caller_of(request).base_url + path)
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("Content-Length", "0")
        return b""

    # Live

    async def _play_live(
        self, request: Request, channel: Channel, kind: SourceKind, form: str, named: bool
    ) -> bytes | None:
        """
        Play what is live in one form.

        :param named: whether the viewer asked for that form: only who did not is sent on to another.
        """
        request.setHeader("Cache-Control", "no-store")
        if request.method == b"HEAD":
            # Nothing is opened only to tell its type.
            request.setHeader("Content-Type", _TYPES.get(form, "application/octet-stream"))
            return b""
        if form == "m3u8":
            return await self._hls(request, channel, kind)
        if form != "ts":
            return await self._play_alone(request, channel, as_live=True)
        try:
            if self._faces.shares(channel):
                return await self._watch(request, channel, named)
            return await self._play_alone(request, channel, as_live=True, steady=named)
        except (LimitError, UpstreamError) as error:
            # Its session is over, and counted: a clip takes no place of anybody's.
            card = Card.FULL if isinstance(error, LimitError) else Card.UNAVAILABLE
            if not await self._faces.player.explain(request, card):
                raise
            return None

    async def _hls(self, request: Request, channel: Channel, kind: SourceKind) -> bytes:
        faces = self._faces
        try:
            if kind is SourceKind.HLS:
                body = await faces.hls.open(channel, viewer_of(request), self.root)
            else:
                body = await faces.packaged.open(channel, viewer_of(request), self.root)
        except FoundPlaylist:
            faces.hub.found_playlist(channel)
            body = await faces.hls.open(channel, viewer_of(request), self.root)
        except NotShareable:
            raise Refusal(406, NOT_SHAREABLE) from None
        return send_playlist(request, body)

    async def _watch(self, request: Request, channel: Channel, steady: bool) -> bytes | None:
        """Join the viewers of a channel that is on, or turn it on."""
        faces = self._faces
        session = self._admit(request, channel, Face.TS)
        try:
            on_air = await patiently(faces.clock, lambda: faces.player.live.tune(channel, session.viewer, steady))
        except NotShareable:
            session.end(Outcome.COMPLETED, "it cannot be shared")
            return await self._play_alone(request, channel, as_live=True, steady=steady)
        except FoundPlaylist:
            faces.hub.found_playlist(channel)
            session.end(Outcome.COMPLETED, "followed as HLS")
            return self._redirect(request, channel)
        except BaseException as error:
            self._failed(session, error)
            raise
        if on_air.feed.disguised:
            faces.hub.found_playlist(channel)
        if session.outcome is not None:
            faces.player.live.leave(on_air)
            raise _ended(session.reason)
        request.setHeader("Content-Type", "video/mp2t")
        request.setHeader("X-Content-Type-Options", "nosniff")
        faces.player.watch(request, session, on_air)
        return None

    def _admit(self, request: Request, channel: Channel, face: Face) -> Session:
        hub = self._faces.hub
        try:
            return hub.admit(channel, viewer_of(request), face)
        except LimitError as error:
            if hub.draining:
                raise _ended(error.sentence) from None
            raise

    # What was shown before

    async def _play_past(self, request: Request, past: Recording, form: str) -> bytes | None:
        """As its provider has it where a playlist is asked for and there is one, else as one file or stream."""
        faces = self._faces
        if form not in ("m3u8", "ts", past.extension):
            raise Refusal(404, f"What this channel has shown is not to be had as .{form}; it is as .ts.")
        request.setHeader("Cache-Control", "no-store")
        if request.method == b"HEAD":
            # Nothing is opened only to tell its type.
            request.setHeader("Content-Type", HLS_TYPE if form == "m3u8" else "video/mp2t")
            return b""
        kinds = await faces.hub.kinds(past)
        if form != "m3u8":
            return await self._play_alone(request, past.of_kind(kinds[0]))
        if SourceKind.HLS not in kinds:
            return self._redirect(request, past, query_of(past))
        return send_playlist(request, await faces.hls.open(past.of_kind(SourceKind.HLS), viewer_of(request)))

    # For one viewer alone

    async def _play_alone(
        self, request: Request, channel: Channel, as_live: bool = False, steady: bool = False
    ) -> bytes | None:
        hub = self._faces.hub
        live = self._faces.player.live.opener if as_live or channel.source_kind is SourceKind.HLS else None
        ask = Ask() if live is not None else ask_of(request)
        session = self._admit(request, channel, Face.TS if as_live else Face.VOD)
        try:
            source, opened = await patiently(self._faces.clock, lambda: hub.open(session, ask, live, steady))
        except FoundPlaylist:
            session.end(Outcome.COMPLETED, "followed as HLS")
            if isinstance(channel, Recording):
                return await self._play_alone(request, channel.of_kind(SourceKind.HLS, disguised=True))
            return self._redirect(request, channel)
        except BaseException as error:
            self._failed(session, error)
            raise
        if opened.upstream is None:
            session.end(Outcome.COMPLETED)
            respond(request, opened)
            return b""
        if session.outcome is not None:
            opened.upstream.stopProducing()
            raise _ended(session.reason)
        # What is made of a playlist looks after itself.
        whole = source.url and (live is None or source.kind is SourceKind.TS)
        reopen = partial(_reopen, hub.opener, source) if whole else None
        self._faces.player.play(request, session, opened, as_live, session.end, reopen)
        return None

    def _failed(self, session: Session, error: BaseException) -> None:
        """What a session ends with that nothing was played in."""
        if isinstance(error, UpstreamError):
            session.end(Outcome.EXHAUSTED, error.sentence)
        elif isinstance(error, LimitError):
            session.end(Outcome.REFUSED, error.sentence)
        else:
            session.end(Outcome.VIEWER_LEFT)


class NamedHls(StreamResource):
    """``/hls/<id>/playlist.m3u8``: where programs that know m3u-proxy look for the HLS of a stream."""

    root = "../../"

    def __init__(self, faces: Faces, named: Named, name: str) -> None:
        super().__init__(faces, f"{name}.m3u8", named)


def _mark_of(request: Request) -> str | None:
    """What a path has to have in front to say whose it is, beside our own URL; None where it need not, or does."""
    who = who_of(request)
    if is_marked(request) or who.user is not None:
        return None if is_marked(request) else ""
    token = (argument(request, "api_token") or argument(request, "token")) if who.manager else ""
    return f"/{MARK}{quote(token, safe='')}" if token else None


async def _reopen(opener: Opener, source: Source, headers: Headers) -> HTTPUpstream:
    """Ask for a source again."""
    return await opener.http(source, source.url, Ask("GET", headers))


def _ended(reason: str) -> Refusal:
    """For a viewer that is not served because we are stopping, or because somebody has ended its session."""
    return Refusal(503, reason or "iptvd is stopping", (("Retry-After", "5"),))


def _both(channel: Channel) -> tuple[str, ...]:
    """The forms that we make of what is live; a film has only its own."""
    return () if channel.kind is ChannelKind.VOD else ("ts", "m3u8")
