"""Handing bodies to viewers: a shared channel, or a body of one's own, over the viewer's connection."""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import evolve
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from iptvd.delivery.clips import Card, Clips
from iptvd.delivery.isolated import IsolatedRelay, Means
from iptvd.delivery.live import Live, OnAir
from iptvd.delivery.opening import Opened
from iptvd.delivery.relay import Relay
from iptvd.delivery.resuming import Body, Reopen, ResumedUpstream
from iptvd.delivery.session import Session
from iptvd.delivery.viewers import SocketViewer, TransportViewer, Viewer
from iptvd.model import Headers, Outcome
from iptvd.protocols.http_upstream import HTTPUpstream
from iptvd.protocols.upstream import Upstream
from iptvd.web.request import Refusal
from iptvd.web.sockets import watch_over
from iptvd.web.takeover import Taken, head_of, take_over

#: Seconds a viewer has to read what it was given of a stream that broke off.
LINGER = 30
#: Types that a browser would run scripts of: at our address, an origin's page could do what ours can.
_PAGE = re.compile("html|xml|script|multipart", re.IGNORECASE)
_OTHER = "application/octet-stream"
#: Bytes from which on a body is worth a connection of its own; a shorter one leaves it to the next request.
WORTH_TAKING = 1 << 20


class Player:
    """
    Plays.

    :param means: what isolated relays share.
    :ivar clips: what is shown to those who cannot be served; None where nothing is.
    """

    def __init__(self, live: Live, means: Means, clips: Clips | None = None) -> None:
        self.live = live
        self.clips = clips
        self._means = means

    @property
    def means(self) -> Means:
        """What relays share."""
        return self._means

    def set_timeouts(self, stall_timeout: float, client_timeout: float) -> None:
        """Have other timeouts from now on, for what begins."""
        self._means = evolve(self._means, stall_timeout=stall_timeout, client_timeout=client_timeout)

    def watch(self, request: Request, session: Session, on_air: OnAir) -> None:
        """Answer with a channel that is on, from a join point on; the viewer shares it with all others."""
        means = self._means
        taken = take_over(request, lambda: session.end(Outcome.VIEWER_LEFT))
        if taken is None:
            self.live.leave(on_air)
            session.end(Outcome.VIEWER_LEFT)
            return
        ring, clock = on_air.broadcast.ring, means.clock.seconds

        def lost() -> None:
            session.end(Outcome.VIEWER_LEFT)

        viewer: Viewer
        if taken.plain is not None:
            viewer = SocketViewer(session, ring, clock, lost, taken.plain, means.reactor)
        else:
            viewer = TransportViewer(session, ring, clock, lost, taken.transport)
        # What is added last is called first: the viewer stops before its connection closes.
        session.at_end(lambda ended: self._close(taken, ended.outcome))
        viewer.head(head_of(request))
        self.live.show(on_air, viewer)

    def play(
        self,
        request: Request,
        session: Session,
        opened: Opened,
        endless: bool,
        over: Callable[[Outcome, str], object],
        reopen: Reopen | None = None,
    ) -> None:
        """
        Answer with a source that is open, for this viewer alone.

        :param over: is told how it ended, and why.
        :param reopen: asks the origin for the rest of a file that it dropped.
        """
        upstream = opened.upstream
        if upstream is None:
            raise Refusal(500, "there is nothing to play")
        respond(request, opened)
        length = int(dict(opened.headers).get("Content-Length", WORTH_TAKING))
        worth = length >= WORTH_TAKING
        taken = take_over(request, lambda: relay.stop(Outcome.VIEWER_LEFT)) if worth else None
        if taken is None:
            self._pass(request, session, upstream, endless, over, reopen)
            return
        connection = taken

        def finished(outcome: Outcome, reason: str) -> None:
            forget()
            self._close(connection, outcome)
            over(outcome, reason)

        relay = IsolatedRelay(
            session, upstream, taken.transport, head_of(request), self._means, endless, finished, reopen
        )
        forget = session.at_end(lambda ended: relay.stop(ended.outcome or Outcome.DRAINED, ended.reason))
        relay.start()

    async def explain(self, request: Request, card: Card) -> bool:
        """Answer with a clip that says why nothing is played; False, and nothing answered, when there is none."""
        clips = self.clips
        clip = await clips.get(card) if clips is not None else b""
        if clips is None or not clip:
            return False
        taken = take_over(request, lambda: showing.end(False))
        if taken is None:
            return False
        connection = taken

        def over(whole: bool) -> None:
            self._close(connection, Outcome.COMPLETED if whole else Outcome.VIEWER_TOO_SLOW)

        request.setHeader("Content-Type", "video/mp2t")
        request.setHeader("X-Content-Type-Options", "nosniff")
        showing = clips.show(clip, head_of(request), connection.transport, over)
        return True

    def play_short(self, request: Request, session: Session, upstream: Upstream) -> None:
        """Answer with a body whose head is set, and whose connection is for the next request too."""
        self._pass(request, session, upstream, False, lambda outcome, reason: None)

    def _pass(
        self,
        request: Request,
        session: Session,
        upstream: Upstream,
        endless: bool,
        over: Callable[[Outcome, str], object],
        reopen: Reopen | None = None,
    ) -> None:
        """By way of twisted.web, which keeps the connection for the next request."""
        means = self._means
        if reopen is not None and not endless and isinstance(upstream, HTTPUpstream):
            upstream = ResumedUpstream(upstream, Body(upstream.head, means.clock, reopen))
        watch_over(request.transport)

        def finished(outcome: Outcome, reason: str) -> None:
            if outcome is Outcome.COMPLETED:
                request.finish()
            elif outcome is not Outcome.VIEWER_LEFT:
                break_off(request, at_once=outcome is Outcome.VIEWER_TOO_SLOW)
            forget()
            over(outcome, reason)

        relay = Relay(
            session, upstream, request, means.clock, means.stall_timeout, means.client_timeout, endless, finished
        )
        forget = session.at_end(lambda ended: relay.stop(ended.outcome or Outcome.DRAINED, ended.reason))

        def left(failure: Failure) -> None:
            relay.stop(Outcome.VIEWER_LEFT)

        request.notifyFinish().addErrback(left)
        relay.start()

    def _close(self, taken: Taken, outcome: Outcome | None) -> None:
        """Close a viewer's connection; one that reads nothing is not waited for."""
        if outcome is Outcome.VIEWER_TOO_SLOW:
            taken.abort()
        else:
            taken.close(self._means.clock, LINGER)


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
    for name, value in answer_headers(opened.headers):
        request.setHeader(name, value)
    if opened.status == 416:
        request.setHeader("Content-Length", "0")


def answer_headers(headers: Headers) -> Headers:
    """The headers that come from the source, as a viewer may get them."""
    kept = ((name, _OTHER if name == "Content-Type" and _PAGE.search(value) else value) for name, value in headers)
    return (*kept, ("X-Content-Type-Options", "nosniff"))
