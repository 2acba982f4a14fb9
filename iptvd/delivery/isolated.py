"""
One upstream for one viewer whose connection is ours: VOD, and live channels that are not shared.

Where both sides are plain connections and the body is not chunked, its bytes move inside the kernel (`splice`); else,
or when that turns out to be impossible midway, `Relay` carries them under the viewer's backpressure. Outcomes and
timeouts are the same. A file that its origin drops is gone on with at the byte where it stopped (`resuming`).
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorFDSet, IReactorTime, ITransport
from twisted.python.failure import Failure

from iptvd.delivery.direct import DirectWriter
from iptvd.delivery.relay import Relay
from iptvd.delivery.resuming import Body, Reopen, ResumedUpstream, ended_by_origin
from iptvd.delivery.session import Session
from iptvd.errors import UpstreamError
from iptvd.log import Log
from iptvd.model import Outcome
from iptvd.protocols.heads import Framing
from iptvd.protocols.http_upstream import HTTPUpstream
from iptvd.protocols.pipes import PipePool
from iptvd.protocols.splice import AVAILABLE, End, HasFileno, Splice, plain_socket
from iptvd.protocols.upstream import Upstream


@frozen
class Means:
    """
    What all isolated relays share.

    :ivar pipes: None where nothing is to be spliced.
    :ivar stall_timeout: seconds without a byte from a source that is allowed to send, attempts to go on included.
    :ivar client_timeout: seconds a viewer may read nothing.
    """

    reactor: IReactorFDSet
    clock: IReactorTime
    pipes: PipePool | None
    stall_timeout: float
    client_timeout: float


class _Held:
    """Takes what of a body came together with its head."""

    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes | memoryview) -> None:
        self.data += data

    def body_ended(self, error: UpstreamError | None) -> None:
        """By its length, which is counted here as well."""


def spliceable(upstream: Upstream) -> HasFileno | None:
    """The socket of an upstream whose body comes from there as it is, None for any other."""
    if not AVAILABLE or not isinstance(upstream, HTTPUpstream) or upstream.head is None or upstream.ended:
        return None
    if upstream.head.framing() not in (Framing.LENGTH, Framing.UNTIL_CLOSE):
        return None
    return plain_socket(upstream.transport)


class IsolatedRelay:
    """
    Carries one body.

    :param transport: the viewer's, which nothing has been written to yet; whoever has it calls `stop` when it is lost.
    :param head: the response's head, sent first.
    :param endless: whether an end of the body is a loss.
    :param finished: called once, with how the body ended and a sentence; the connection is then the caller's to close
        (`loseConnection`, after which what the transport still holds is sent; anything but a complete body is better
        told by `abortConnection`).
    :param reopen: asks the origin again; None where what it sends cannot be gone on with.
    """

    log = Log()

    def __init__(
        self,
        session: Session,
        upstream: Upstream,
        transport: ITransport,
        head: bytes,
        means: Means,
        endless: bool,
        finished: Callable[[Outcome, str], None],
        reopen: Reopen | None = None,
    ) -> None:
        self._session = session
        self._upstream = upstream
        self._transport = transport
        self._first = head
        self._uncounted = len(head)
        self._means = means
        self._endless = endless
        self._finished = finished
        self._body = Body(upstream.head if isinstance(upstream, HTTPUpstream) else None, means.clock, reopen, endless)
        self._splice: Splice | None = None
        self._relay: Relay | None = None
        self._work: Deferred[None] | None = None
        self._since = means.clock.seconds()
        self._timer: IDelayedCall | None = None
        self._turn: IDelayedCall | None = None
        self._over = False

    @property
    def spliced(self) -> bool:
        """Whether its bytes stay in the kernel just now."""
        return self._splice is not None

    def start(self) -> None:
        """Begin."""
        self._watch()
        self._carry()

    def stop(self, outcome: Outcome, reason: str = "") -> None:
        """End it from outside; nothing happens when it has ended."""
        if self._over:
            return
        if self._relay is not None:
            self._relay.stop(outcome, reason)
            return
        self._over = True
        self._let_go()
        if self._work is not None:
            self._work.cancel()
        self._upstream.stopProducing()
        self._finished(outcome, reason)

    def _let_go(self) -> None:
        for call in (self._timer, self._turn):
            if call is not None and call.active():
                call.cancel()
        if self._splice is not None:
            self._splice.stop()
            self._splice = None

    # The ways

    def _carry(self) -> None:
        """Have the bytes of this upstream moved, after those that are to be sent first."""
        source, sink = spliceable(self._upstream), plain_socket(self._transport)
        means = self._means
        if means.pipes is None or source is None or sink is None:
            self._pass_through()
            return
        try:
            splice = Splice(source, sink, means.pipes, means.reactor, self._moved, self._moved_all)
        except OSError:
            self._pass_through()
            return
        held = _Held()
        self._upstream.attach(held)
        self._upstream.pauseProducing()
        self._splice = splice
        # What tells of an upstream's head may be the very call that brings the first of its body, after the head.
        self._turn = means.clock.callLater(0, self._begin, splice, held)

    def _begin(self, splice: Splice, held: _Held) -> None:
        self._turn = None
        if isinstance(self._upstream, HTTPUpstream):
            # It has told what it has to tell, and a film may last for hours.
            self._upstream.head = None
        left = self._body.left
        # The upstream keeps its receiver: what it held is not kept with it.
        data, held.data = held.data, b""
        first, self._first = self._first + data, b""
        splice.start(first, None if left is None else left - len(data))

    def _pass_through(self) -> None:
        """Have `Relay` do it from here on."""
        self._let_go()
        consumer, means = self._consumer(), self._means
        first, self._first = self._first, b""
        if first:
            consumer.write(first)
        self._relay = Relay(
            self._session,
            ResumedUpstream(self._upstream, self._body),
            consumer,
            means.clock,
            means.stall_timeout,
            means.client_timeout,
            self._endless,
            self._passed,
        )
        self._relay.start()

    def _consumer(self) -> IConsumer:
        """What `Relay` writes to."""
        sink = plain_socket(self._transport)
        if sink is not None:
            try:
                return DirectWriter(sink, self._transport, self._means.reactor)
            except OSError:
                pass
        return self._transport  # type: ignore[return-value]

    def _passed(self, outcome: Outcome, reason: str) -> None:
        self._over = True
        self._finished(outcome, reason)

    # What `Splice` tells

    def _moved(self, count: int) -> None:
        self._since = self._means.clock.seconds()
        if self._uncounted:
            of_head = min(count, self._uncounted)
            self._uncounted -= of_head
            count -= of_head
        self._body.came += count
        if count and not self._session.bytes_sent:
            self._session.first_byte()
        self._session.bytes_sent += count

    def _moved_all(self, end: End) -> None:
        self._splice = None
        whole = end is End.LIMIT or (end is End.SOURCE_CLOSED and self._body.left is None)
        if end is End.SINK_FAILED:
            self.stop(Outcome.VIEWER_LEFT)
        elif end is End.IMPOSSIBLE:
            self._pass_through()
        elif not whole:
            self._go_on(UpstreamError(502, "the origin closed the connection before it had sent everything"))
        elif self._endless:
            self._go_on(ended_by_origin())
        else:
            self.stop(Outcome.COMPLETED)

    # Going on after a loss

    def _go_on(self, lost: UpstreamError) -> None:
        self._upstream.stopProducing()
        self._work = Deferred.fromCoroutine(self._again(lost))
        self._work.addErrback(self._not_again)

    async def _again(self, lost: UpstreamError) -> None:
        self._upstream = await self._body.again(lost)
        self._work = None
        self._carry()

    def _not_again(self, failure: Failure) -> None:
        self._work = None
        if self._over:
            return
        if isinstance(failure.value, UpstreamError):
            self.stop(Outcome.UPSTREAM_LOST, failure.value.sentence)
        else:
            self.log.fault("going on with a file failed", failure, session=self._session.id)
            self.stop(Outcome.UPSTREAM_LOST, "the origin was lost and could not be asked again")

    def _watch(self) -> None:
        """Look whether either side has been silent for too long; the clock is read only here and as bytes pass."""
        means = self._means
        waiting = self._splice is not None and self._splice.waiting
        limit = means.client_timeout if waiting else means.stall_timeout
        left = self._since + limit - means.clock.seconds()
        if left > 0:
            # The limit may change meanwhile: look again within the shorter of the two.
            soon = min(left, means.stall_timeout, means.client_timeout)
            self._timer = means.clock.callLater(soon, self._watch)
        elif waiting:
            self.stop(Outcome.VIEWER_TOO_SLOW, f"the viewer read nothing for {limit:g} s")
        else:
            self.stop(Outcome.UPSTREAM_STALLED, f"the origin sent nothing for {limit:g} s")
