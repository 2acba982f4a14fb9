"""An origin that answers when a test says so, and viewers that read what they are given."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.defer import Deferred

from iptvd.delivery.opening import Opened
from iptvd.errors import UpstreamError
from iptvd.model import Headers
from iptvd.protocols.upstream import Upstream
from tests.protocols.test_upstream import Tap


class Asked:
    """One request to the origin."""

    def __init__(self) -> None:
        self.cancelled = False
        self.tap = Tap()
        self.reply: Deferred[Opened] = Deferred(self._cancel)

    def _cancel(self, reply: Deferred[Opened]) -> None:
        self.cancelled = True

    def answer(self, length: int | None = None, status: int = 200, headers: Headers = ()) -> Tap:
        """Send the head."""
        if length is not None:
            headers = (*headers, ("Content-Length", str(length)))
        self.reply.callback(Opened(self.tap, status, headers))
        return self.tap

    def answer_whole(self, body: bytes, status: int = 200, headers: Headers = ()) -> None:
        """Send all at once."""
        self.answer(len(body), status, headers)
        self.tap.deliver(body)
        self.tap.finish()


class Origin:
    """Notes each request; ``fetch`` is one."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def fetch(self) -> Awaitable[Opened]:
        self.asked.append(Asked())
        return self.asked[-1].reply

    @property
    def last(self) -> Asked:
        return self.asked[-1]


class Drinker:
    """
    A receiver.

    :param sip: bytes after which it pauses by itself, 0 for never.
    """

    def __init__(self, upstream: Upstream, sip: int = 0) -> None:
        self.upstream = upstream
        self.got = b""
        self.ends: list[UpstreamError | None] = []
        self.paused = False
        self._sip = sip
        self._since = 0
        upstream.attach(self)

    @property
    def over(self) -> bool:
        """Whether it was told the end."""
        return bool(self.ends)

    def data_received(self, data: bytes | memoryview) -> None:
        self.got += data
        self._since += len(data)
        if self._sip and self._since >= self._sip:
            self.pause()

    def body_ended(self, error: UpstreamError | None) -> None:
        self.ends.append(error)

    def pause(self) -> None:
        self.paused = True
        self.upstream.pauseProducing()

    def resume(self) -> None:
        self.paused = False
        self._since = 0
        self.upstream.resumeProducing()

    def leave(self) -> None:
        self.upstream.stopProducing()


def drink(opened: Opened, sip: int = 0) -> Drinker:
    """Read what was opened."""
    if opened.upstream is None:
        raise AssertionError("there is no body")
    return Drinker(opened.upstream, sip)
