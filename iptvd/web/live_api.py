"""
``/api/live``: what happens, as Server-Sent Events (WHATWG HTML, section 9.2).

Who manages hears everything. Others hear what concerns everybody: which of their channels can be had, and what is
about to begin on them.

A client is a position in what `iptvd.activity.Activity` keeps. What is written goes to its connection; while that is
full nothing is, and the client is behind by what happens meanwhile. One that reads again gets what it has missed, one
that does not is let go: neither takes memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from attrs import evolve
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from iptvd.access import Who
from iptvd.accounts import Accounts
from iptvd.activity import Activity, Happening, Kind
from iptvd.lineup import Lineup
from iptvd.web.answering import AnswerResource
from iptvd.web.player import break_off
from iptvd.web.request import Refusal, argument, header, manages, require_manager, require_viewer, who_of
from iptvd.web.sockets import watch_over

#: Clients at once.
MOST = 200
#: Seconds after which a client is told that we are still there; proxies close what is silent for a minute.
HEARTBEAT = 15.0
#: Seconds that a client may take nothing while there is something for it.
PATIENCE = 30.0
#: Happenings that are written at once: some ten kilobytes.
AT_ONCE = 32
#: Milliseconds after which a client whose connection broke is to come back.
RETRY = 3000

#: What those hear who do not manage.
FOR_EVERYBODY = frozenset((Kind.CHANNEL_STATUS, Kind.LIVE_EVENT_SOON, Kind.LIVE_EVENT_STARTED))

_HEADERS = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-store"),
    # Else nginx would keep it until there is enough of it.
    ("X-Accel-Buffering", "no"),
    ("X-Content-Type-Options", "nosniff"),
)


def _kinds_asked(request: Request) -> frozenset[Kind]:
    """
    What a client wants to hear of; all that it may without a word of that.

    :raises Refusal: when there is no such kind, or it is not for the client.
    """
    names = [name.strip() for name in argument(request, "types").split(",") if name.strip()]
    try:
        asked = frozenset(map(Kind, names))
    except ValueError:
        raise Refusal(400, f"types is some of {', '.join(kind.value for kind in Kind)}, with commas between") from None
    if not asked <= FOR_EVERYBODY and not manages(request):
        require_manager(request)
        raise Refusal(403, "This request comes from a page of another site.")
    return asked or (frozenset(Kind) if manages(request) else FOR_EVERYBODY)


def _heard_last(request: Request) -> int | None:
    """
    The number of what a client heard last, None when it does not say.

    The header is what a browser sends when it comes back, whatever its first request had in the query. What is no
    number of ours is one that nothing is known of.
    """
    told = header(request, "Last-Event-ID") or argument(request, "last_event_id")
    if not told:
        return None
    return int(told) if told.isascii() and told.isdigit() and len(told) < 17 else -1


class _Hearing:
    """
    What one client may hear, of what it wants to.

    :param lineup: gives the lineup as it is now.
    """

    def __init__(self, who: Who, kinds: frozenset[Kind], lineup: Callable[[], Lineup]) -> None:
        self._who = who
        self._kinds = kinds
        self._lineup = lineup
        self._all = who.manager or who.user is None or not who.user.groups

    def of(self, happening: Happening) -> bytes:
        """As the client hears it; empty when it does not."""
        if happening.kind not in self._kinds:
            return b""
        if self._all:
            return _written(happening)
        if happening.kind is Kind.CHANNEL_STATUS:
            return _written(happening) if self._sees(happening.channel) else b""
        event = cast("dict[str, Any]", happening.facts["event"])
        channels = [each for each in event["channels"] if self._sees(each["id"])]
        if not channels:
            return b""
        facts = {**happening.facts, "event": {**event, "channels": channels}}
        return _written(evolve(happening, channel=channels[0]["id"], facts=facts))

    def _sees(self, channel_id: int) -> bool:
        channel = self._lineup().by_id.get(channel_id)
        return channel is not None and self._who.may_see(channel)


def _written(happening: Happening) -> bytes:
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (happening.id, happening.kind.value.encode(), happening.json)


def _pieces(happenings: Sequence[Happening]) -> Iterator[Sequence[Happening]]:
    """Some of them at a time: to write each by itself would take long where much has happened at once."""
    for start in range(0, len(happenings), AT_ONCE):
        yield happenings[start : start + AT_ONCE]


class LiveResource(AnswerResource):
    """
    The address itself.

    :param lineup: gives the lineup as it is now.
    """

    guarded = False
    open_to_pages = True

    def __init__(
        self, activity: Activity, clock: IReactorTime, lineup: Callable[[], Lineup], accounts: Accounts
    ) -> None:
        super().__init__()
        self._activity = activity
        self._clock = clock
        self._lineup = lineup
        self._clients: set[_Client] = set()
        accounts.on_change(self._revoked)

    def _revoked(self, users: frozenset[str]) -> None:
        """Who may not hear the same any more has to come back."""
        for client in [each for each in self._clients if each.user in users]:
            client.end()

    async def answer(self, request: Request) -> bytes | None:
        """Begin to tell."""
        if not manages(request):
            require_viewer(request)
        kinds, last = _kinds_asked(request), _heard_last(request)
        full = len(self._clients) >= MOST
        if self._activity.closed or full:
            reason = f"{MOST} clients listen already" if full else "iptvd is stopping"
            raise Refusal(503, reason, (("Retry-After", "5"),))
        for name, value in _HEADERS:
            request.setHeader(name, value)
        if request.method == b"HEAD":
            return b""
        hearing = _Hearing(who_of(request), kinds, self._lineup)
        client = _Client(request, self._activity, self._clock, hearing, self._clients.discard)
        self._clients.add(client)
        client.start(last)
        return None


@implementer(IPushProducer)
class _Client:
    """
    One client.

    :param over: is told when it is gone.
    :ivar user: whose it is, empty for nobody's.
    """

    def __init__(
        self,
        request: Request,
        activity: Activity,
        clock: IReactorTime,
        hearing: _Hearing,
        over: Callable[[_Client], None],
    ) -> None:
        user = who_of(request).user
        self.user = user.name if user is not None else ""
        self._request = request
        self._activity = activity
        self._clock = clock
        self._hearing = hearing
        self._over = over
        self._position = activity.newest
        self._paused = False
        self._forget: Callable[[], None] | None = None
        self._timer: IDelayedCall | None = None

    def start(self, last: int | None) -> None:
        """Tell what has happened since the client heard something last, and go on."""
        request = self._request
        request.notifyFinish().addErrback(self._left)
        self._forget = self._activity.listen(self._go_on)
        self._wait(HEARTBEAT, self._beat)
        request.registerProducer(self, True)
        watch_over(request.transport)
        if last is not None:
            self._position = last
        # Something at once, so that the client knows that it is connected, and where.
        request.write(b"retry: %d\n:\n\n" % RETRY)
        self._go_on()
        self._mark()

    def _mark(self) -> None:
        """Have the client know how far it is, though it was told nothing: it may have asked for few kinds."""
        if not self._paused and self._forget is not None:
            self._request.write(b":\nid: %d\n\n" % self._position)

    def _beat(self) -> None:
        self._wait(HEARTBEAT, self._beat)
        self._mark()

    def _go_on(self) -> None:
        """Tell what there is to tell, as far as there is room."""
        if self._paused or self._forget is None:
            return
        found = self._activity.since(self._position)
        if found is None:
            # It cannot be told what it has missed, only that it has.
            self._position = self._activity.newest
            self._request.write(b"id: %d\nevent: reset\ndata: {}\n\n" % self._position)
        for some in _pieces(found or ()):
            self._position = some[-1].id
            data = b"".join(map(self._hearing.of, some))
            if data and not self._write(data):
                return
        if self._activity.closed:
            self.end()

    def end(self) -> None:
        """There is nothing more to tell."""
        self._stop()
        self._request.unregisterProducer()
        self._request.finish()

    def _write(self, data: bytes) -> bool:
        """Whether there is room for more: writing may fill the connection."""
        self._request.write(data)
        return not self._paused

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(seconds, then)

    def _stop(self) -> None:
        if self._forget is None:
            return
        self._forget()
        self._forget = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._over(self)

    def _left(self, failure: Failure) -> None:
        """The client is gone."""
        self._stop()

    def _let_go(self) -> None:
        """It reads nothing."""
        self._stop()
        self._request.unregisterProducer()
        break_off(self._request, at_once=True)

    # IPushProducer

    def pauseProducing(self) -> None:
        """There is no room: the client reads more slowly than things happen."""
        self._paused = True
        self._wait(PATIENCE, self._let_go)

    def resumeProducing(self) -> None:
        """There is room again."""
        self._paused = False
        self._wait(HEARTBEAT, self._beat)
        self._go_on()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._stop()
