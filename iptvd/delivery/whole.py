"""A body that is wanted whole: a playlist, a key."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from iptvd.errors import UpstreamError
from iptvd.protocols.upstream import Upstream


class Whole:
    """
    Gathers a body, up to a bound.

    :param what: what it is, for the sentence when it is too long.
    :ivar done: fires with it; cancelling closes the upstream.
    """

    def __init__(self, upstream: Upstream, limit: int, what: str) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: upstream.stopProducing())
        self._upstream = upstream
        self._limit = limit
        self._what = what
        self._parts = bytearray()
        upstream.attach(self)

    def data_received(self, data: bytes | memoryview) -> None:
        if self.done.called:
            return
        self._parts += data
        if len(self._parts) > self._limit:
            self._upstream.stopProducing()
            self.done.errback(UpstreamError(502, f"the origin's {self._what} is longer than {self._limit} bytes"))

    def body_ended(self, error: UpstreamError | None) -> None:
        if self.done.called:
            return
        if error is not None:
            self.done.errback(error)
        else:
            self.done.callback(bytes(self._parts))
