"""
What every way to a source has in common: it holds its first bytes until someone has looked at them, then feeds one
receiver as fast as that takes them.

An upstream is an `IPushProducer`. Until a receiver is attached it collects at most `HOLD` bytes and then stops
reading; from then on the receiver (or the transport behind it) pauses and resumes it. It ends once, with or without
an error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from iptvd.errors import UpstreamError

#: Bytes held before anyone takes them.
HOLD = 65536


class Receiver(Protocol):
    """What is fed by an upstream."""

    def data_received(self, data: bytes | memoryview) -> None:
        """Some of the body arrived."""

    def body_ended(self, error: UpstreamError | None) -> None:
        """Nothing more comes: the body was whole, or ``error`` says why it is not."""


@implementer(IPushProducer)
class Upstream(ABC):
    """
    The part that is the same for all kinds; a kind says how to pause, resume and close.

    :ivar ended: whether all of the body has come, or it failed.
    """

    def __init__(self) -> None:
        self.ended = False
        self._error: UpstreamError | None = None
        self._receiver: Receiver | None = None
        self._held: list[bytes | memoryview] = []
        self._held_size = 0
        self._enough = 0
        self._first: Deferred[bytes] | None = None

    # For whoever opened it.

    def first_bytes(self, enough: int) -> Deferred[bytes]:
        """The first ``enough`` bytes, or all there are when it ends before; they stay and are delivered later."""
        self._enough = enough
        first: Deferred[bytes] = Deferred(lambda _: self.stopProducing())
        self._first = first
        self._look()
        return first

    def attach(self, receiver: Receiver) -> None:
        """Feed this receiver from now on, with what was held first."""
        self._receiver = receiver
        held, self._held = self._held, []
        was_ended = self.ended
        if not was_ended:
            # Before the first byte is handed over: a receiver that it is too much for pauses, and that has to last.
            self.resumeProducing()
        for data in held:
            receiver.data_received(data)
        if was_ended:
            receiver.body_ended(self._error)

    # For the kinds.

    def _deliver(self, data: bytes | memoryview) -> None:
        if self._receiver is not None:
            self._receiver.data_received(data)
            return
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size >= HOLD:
            self.pauseProducing()
        self._look()

    def _end(self, error: UpstreamError | None) -> None:
        if self.ended:
            return
        self.ended = True
        self._error = error
        self._look()
        if self._receiver is not None:
            self._receiver.body_ended(error)

    def _look(self) -> None:
        first = self._first
        if first is None or first.called or not (self.ended or self._held_size >= self._enough):
            return
        # It goes with its answer: an upstream may last for weeks.
        self._first = None
        if self._error is not None and not self._held_size:
            first.errback(self._error)
        else:
            first.callback(b"".join(self._held))

    # IPushProducer

    @abstractmethod
    def pauseProducing(self) -> None:
        """Stop reading from the source."""

    @abstractmethod
    def resumeProducing(self) -> None:
        """Read on."""

    @abstractmethod
    def stopProducing(self) -> None:
        """Close it at once; the receiver is not told."""
