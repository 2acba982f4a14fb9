"""From one upstream to one viewer, under the viewer's backpressure: what it does not read is not fetched."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IConsumer, IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from iptvd.delivery.session import Session
from iptvd.errors import UpstreamError
from iptvd.model import Outcome
from iptvd.protocols.upstream import Upstream


@implementer(IPushProducer)
class Relay:
    """
    Carries one body.

    :param finished: called once, with how the body ended and a sentence; the consumer is unregistered by then, and
        what it was given may still be on its way.
    :param stall_timeout: seconds without a byte from a source that is allowed to send.
    :param client_timeout: seconds a viewer may read nothing.
    :param endless: whether an end of the body is a loss.
    """

    def __init__(
        self,
        session: Session,
        upstream: Upstream,
        consumer: IConsumer,
        clock: IReactorTime,
        stall_timeout: float,
        client_timeout: float,
        endless: bool,
        finished: Callable[[Outcome, str], None],
    ) -> None:
        self._session = session
        self._upstream = upstream
        self._consumer = consumer
        self._clock = clock
        self._stall_timeout = stall_timeout
        self._client_timeout = client_timeout
        self._endless = endless
        self._finished = finished
        self._paused = False
        self._since = clock.seconds()
        self._timer: IDelayedCall | None = None
        self._over = False

    def start(self) -> None:
        """Begin."""
        self._watch()
        self._consumer.registerProducer(self, True)
        self._upstream.attach(self)

    def stop(self, outcome: Outcome, reason: str = "") -> None:
        """End it from outside; nothing happens when it has ended."""
        if self._over:
            return
        self._over = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._upstream.stopProducing()
        self._consumer.unregisterProducer()
        self._finished(outcome, reason)

    # What the upstream tells.

    def data_received(self, data: bytes | memoryview) -> None:
        """Pass it on."""
        if self._over:
            return
        self._since = self._clock.seconds()
        first = not self._session.bytes_sent
        self._session.bytes_sent += len(data)
        self._consumer.write(data if isinstance(data, bytes) else bytes(data))
        if first:
            self._session.first_byte()

    def body_ended(self, error: UpstreamError | None) -> None:
        """There is no more."""
        if error is not None:
            self.stop(Outcome.UPSTREAM_LOST, error.sentence)
        elif self._endless:
            self.stop(Outcome.UPSTREAM_LOST, "the origin ended the stream")
        else:
            self.stop(Outcome.COMPLETED)

    # What the viewer's transport tells.

    def pauseProducing(self) -> None:
        """The viewer does not read."""
        if not self._over:
            self._paused = True
            self._since = self._clock.seconds()
            self._upstream.pauseProducing()

    def resumeProducing(self) -> None:
        """The viewer reads again."""
        if not self._over:
            self._paused = False
            self._since = self._clock.seconds()
            self._upstream.resumeProducing()

    def stopProducing(self) -> None:
        """The viewer's connection is gone."""
        self.stop(Outcome.VIEWER_LEFT)

    def _watch(self) -> None:
        """Look whether either side has been silent for too long; the clock is read only here and as bytes pass."""
        limit = self._client_timeout if self._paused else self._stall_timeout
        left = self._since + limit - self._clock.seconds()
        if left > 0:
            # A pause and its end both change the limit: look again within the shorter of the two.
            self._timer = self._clock.callLater(min(left, self._stall_timeout, self._client_timeout), self._watch)
        elif self._paused:
            self.stop(Outcome.VIEWER_TOO_SLOW, f"the viewer read nothing for {limit:g} s")
        else:
            self.stop(Outcome.UPSTREAM_STALLED, f"the origin sent nothing for {limit:g} s")
