"""One viewer watching one channel: it begins when it is admitted and ends with exactly one outcome."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import define, field, frozen

from iptvd.errors import TokenError
from iptvd.model import Channel, Outcome


class Face(Enum):
    """How a session's bytes leave."""

    TS = "ts"
    VOD = "vod"
    HLS = "hls"


@frozen
class Viewer:
    """
    Who watches, as far as the request tells.

    :ivar agent: the User-Agent, cut to 200 characters.
    :ivar user: the name of the user whose request it is, empty where there are none.
    :ivar called: what a program that asks for somebody else calls them; it makes nobody another viewer.
    """

    address: str
    agent: str = ""
    user: str = ""
    called: str = field(default="", eq=False)


@define(eq=False)
class Session:
    """
    A viewer's stay.

    :ivar id: short, random, of URL-safe characters.
    :ivar started: seconds since the epoch.
    :ivar bytes_sent: bytes of media handed to the viewer's connection.
    :ivar segments: of HLS, that it has asked for and that there were.
    :ivar reason: why it ended, in a sentence, where the outcome alone does not say.
    """

    id: str
    channel: Channel
    viewer: Viewer
    face: Face
    started: float
    bytes_sent: int = 0
    segments: int = 0
    outcome: Outcome | None = None
    reason: str = ""
    _at_first: tuple[Callable[[Session], None], ...] = field(default=(), repr=False)
    _at_end: dict[object, Callable[[Session], None]] = field(factory=dict, repr=False)

    def at_end(self, call: Callable[[Session], None]) -> Callable[[], None]:
        """
        Have this called when it ends: last added, first called.

        :return: takes it back. Whatever is over before the session has to: a session of HLS has a body for each
            segment, and may last for weeks.
        """
        mark = object()
        self._at_end[mark] = call

        def forget() -> None:
            self._at_end.pop(mark, None)

        return forget

    def require(self, viewer: Viewer) -> None:
        """
        Let nobody go on with it but the user who began it.

        :raises TokenError: when this is another one.
        """
        if self.viewer.user != viewer.user:
            raise TokenError("this address is another user's: open the channel again")

    def at_first_byte(self, call: Callable[[Session], None]) -> None:
        """Have this called once, when the first of its media has been handed over: first added, first called."""
        self._at_first = (*self._at_first, call)

    def first_byte(self) -> None:
        """The first of its media has been handed over; saying so again does nothing."""
        calls, self._at_first = self._at_first, ()
        for call in calls:
            call(self)

    def end(self, outcome: Outcome, reason: str = "") -> None:
        """End it; only the first outcome counts."""
        if self.outcome is not None:
            return
        self.outcome = outcome
        self.reason = reason
        while self._at_end:
            self._at_end.popitem()[1](self)
