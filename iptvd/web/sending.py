"""What is in memory, on its way to a viewer's socket: nothing is copied, and only what is left to send is kept."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IDelayedCall, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.delivery.isolated import Means
from iptvd.model import Outcome

#: Pieces that are given to the kernel at once.
_GATHERED = 64

Piece = bytes | memoryview


@implementer(IWriteDescriptor)
class Sending:
    """
    Sends some pieces.

    The descriptor that waits for room is a duplicate, as that of `iptvd.delivery.viewers.SocketViewer`.

    :param means: what relays share: the reactor, the clock, and how long a viewer may read nothing.
    :param took: told how many bytes the kernel has taken.
    """

    def __init__(
        self, connection: socket.socket, pieces: Sequence[Piece], means: Means, took: Callable[[int], None]
    ) -> None:
        self._socket = connection
        self._left = list(pieces)
        # Last first, because what is sent is taken from the end.
        self._left.reverse()
        self._means = means
        self._took = took
        self._over: Callable[[Outcome], None] | None = None
        self._timer: IDelayedCall | None = None
        self._descriptor = -1
        # The reactor asks for it once more after we have let go.
        self._waited = -1

    def start(self) -> bool:
        """Send what the kernel takes now; whether that was all. An error is told by what waits afterwards."""
        try:
            return self._send()
        except OSError:
            return False

    def go_on(self, over: Callable[[Outcome], None]) -> None:
        """
        Send the rest as there is room.

        :param over: told once how it ended, unless it is stopped: completed, viewer_left or viewer_too_slow.
        """
        self._over = over
        self._descriptor = self._waited = os.dup(self._socket.fileno())
        self._means.reactor.addWriter(self)
        self._be_patient()

    def stop(self) -> None:
        """Send nothing more."""
        self._over = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._descriptor >= 0:
            self._means.reactor.removeWriter(self)
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
        self._left.clear()

    def _send(self) -> bool:
        left = self._left
        while left:
            pieces = left[: -_GATHERED - 1 : -1]
            given = sum(map(len, pieces))
            try:
                sent = self._socket.sendmsg(pieces)
            except (BlockingIOError, InterruptedError):
                return False
            if sent == given:
                del left[-len(pieces) :]
            else:
                self._cut(sent)
            self._took(sent)
            if sent < given:
                return False
        return True

    def _cut(self, sent: int) -> None:
        left = self._left
        while sent >= len(left[-1]):
            sent -= len(left.pop())
        if sent:
            left[-1] = memoryview(left[-1])[sent:]

    def _end(self, outcome: Outcome) -> None:
        over = self._over
        self.stop()
        if over is not None:
            over(outcome)

    def _be_patient(self) -> None:
        limit = self._means.client_timeout
        if self._timer is not None and self._timer.active():
            self._timer.reset(limit)
        else:
            self._timer = self._means.clock.callLater(limit, self._end, Outcome.VIEWER_TOO_SLOW)

    # IWriteDescriptor

    def fileno(self) -> int:
        """The descriptor that waits for room, or the last that did."""
        return self._waited

    def doWrite(self) -> None:
        """There is room."""
        try:
            whole = self._send()
        except OSError:
            self._end(Outcome.VIEWER_LEFT)
            return
        if whole:
            self._end(Outcome.COMPLETED)
        else:
            self._be_patient()

    def connectionLost(self, reason: Failure) -> None:
        """The connection broke while we waited for room."""
        self._end(Outcome.VIEWER_LEFT)

    def logPrefix(self) -> str:
        """What it is called in Twisted's own messages."""
        return "viewer"
