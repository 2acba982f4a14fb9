"""
Where the segment cache keeps things: by bytes, number and age bounded, the least recently used first to go.

What is being read or on its way is never taken away to make room. So a thing may leave the index, because it is too
old or failed, and still be there for its readers; until the last of them has left, its bytes count.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.locator import Locator
from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.shared_body import SharedBody
from iptvd.delivery.slots import Slot
from iptvd.errors import UpstreamError
from iptvd.model import Headers
from iptvd.protocols.ranges import RangeNotSatisfiable, if_range_matches, parse_range, unsatisfied_content_range
from iptvd.protocols.upstream import Upstream

#: Seconds that a fetch may be silent and still be joined: who asks then asks the origin again.
SILENCE = 5.0
#: Seconds that a fetch has to become whole after its last reader has left.
FINISH = 10.0

#: A thing, and the byte range of it as it was asked for.
Key = tuple[Locator, str]

_OF_A_PART = frozenset({"content-length", "content-range"})
_UNWANTED = "nobody waited for it any more: ask again"


@frozen
class Terms:
    """
    On what a thing is fetched and kept.

    :ivar life: seconds that it is kept from when it was whole, unless it is renewed.
    :ivar provider: whose connections it is fetched by.
    :ivar hold: takes one of them, or raises `LimitError`.
    :ivar finish: whether it is fetched to its end when its last reader leaves and more than half of it is there.
    """

    life: float
    provider: str
    hold: Callable[[], Slot]
    finish: bool = True


def length_of(headers: Headers) -> int | None:
    """What Content-Length says, None where it is missing or no number."""
    value = next((value for name, value in headers if name.lower() == "content-length"), "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None


@define(eq=False)
class Shelf:
    """
    Things of one sort.

    :ivar limit: bytes of them together, those on their way included.
    :ivar biggest: bytes of one.
    :ivar most: how many can be found.
    :ivar longest: seconds that one is kept.
    :ivar ahead: see `SharedBody`.
    :ivar index: those that can be found, the least recently used first.
    :ivar alive: these, and those that are only being read still.
    :ivar charged: bytes that are taken, or will be by what is on its way.
    """

    clock: IReactorTime
    limit: int
    biggest: int
    most: int
    longest: float
    ahead: int
    index: dict[Key, Entry] = field(factory=dict)
    alive: set[Entry] = field(factory=set)
    charged: int = 0

    def find(self, key: Key) -> Entry | None:
        """What there is, or is on its way at a pace that lets one hope; it is the most recently used then."""
        entry = self.index.get(key)
        if entry is None:
            return None
        if entry.body.silent_for > SILENCE:
            entry.forget()
            return None
        self.index[key] = self.index.pop(key)
        return entry

    def put(self, key: Key, opened: Opened, terms: Terms, slot: Slot) -> Entry | None:
        """
        Take in what was opened, None when it is too big, there is no room, or one is there.

        :param slot: given back when all of it has come, or nothing more will.
        """
        size, upstream = length_of(opened.headers) or 0, opened.upstream
        if upstream is None or key in self.index or size > self.biggest or not self.make_room(size, 1):
            return None
        return Entry(self, key, opened, upstream, terms, slot)

    def renew(self, key: Key, life: float) -> None:
        """Keep a thing for so long from now on, if it is there."""
        entry = self.index.get(key)
        if entry is not None:
            entry.renew(life)

    def forget(self, key: Key) -> None:
        """Have nobody find a thing any more: there is another one under its name now, or it is of no use."""
        entry = self.index.get(key)
        if entry is not None:
            entry.forget()

    def let_go(self, provider: str) -> bool:
        """Stop the fetch of something that nobody reads; whether there was one."""
        for entry in self.alive:
            if entry.provider == provider and entry.unwanted:
                entry.drop(UpstreamError(503, _UNWANTED))
                return True
        return False

    def make_room(self, size: int, more: int) -> bool:
        """Let go of what is not in use, until so many bytes and things fit in; False, and nothing, when they can't."""
        room, places = self.limit - self.charged, self.most - len(self.index)
        victims: list[Entry] = []
        for entry in self.index.values():
            if room >= size and places >= more:
                break
            if entry.body.over and not entry.body.read:
                victims.append(entry)
                room += entry.charge
                places += 1
        if room < size or places < more:
            return False
        for entry in victims:
            entry.forget()
        return True

    def clear(self, error: UpstreamError) -> None:
        """Let go of everything; who reads still gets the error."""
        for entry in list(self.alive):
            entry.drop(error)


class Entry:
    """
    One thing, the owner of its body.

    :ivar opened: how the origin answered.
    :ivar provider: whose connection it is fetched by.
    :ivar kept: whether it can be found.
    :ivar charge: bytes that count.
    """

    def __init__(self, shelf: Shelf, key: Key, opened: Opened, upstream: Upstream, terms: Terms, slot: Slot) -> None:
        expected = length_of(opened.headers)
        self.opened = opened
        self.provider = terms.provider
        self.kept = True
        self.charge = expected or 0
        self.body = SharedBody(upstream, expected, self, shelf.clock, shelf.ahead)
        self._shelf = shelf
        self._key = key
        self._slot = slot
        # When it is to be forgotten: first the seconds from when it is whole, then no later than the last.
        self._life = terms.life
        self._finish = terms.finish
        self._until = 0.0
        self._last = 0.0
        self._started = False
        self._passing = False
        self._timer: IDelayedCall | None = None
        shelf.index[key] = self
        shelf.alive.add(self)
        shelf.charged += self.charge

    @property
    def whole(self) -> bool:
        """Whether it is all of a thing, which ranges can be cut from."""
        return self.body.over and self.body.error is None and self.opened.status == 200

    @property
    def unwanted(self) -> bool:
        """Whether it is on its way to nobody."""
        return self._started and not self.body.over and not self.body.read

    def start(self) -> None:
        """Have it come; its first readers are there."""
        self._started = True
        if self.body.read:
            self.body.start()
        else:
            self.drop(UpstreamError(503, _UNWANTED))

    def read(self) -> Opened:
        """All of it, for one more reader."""
        opened, headers = self.opened, self.opened.headers
        if not self.body.over:
            self._set_timer(None)
        elif length_of(headers) is None:
            headers = (*headers, ("Content-Length", str(self.body.size)))
        return Opened(self.body.reader(), opened.status, headers, opened.media)

    def answer(self, ask: Ask) -> Opened:
        """What a request for a thing that is whole is answered with (RFC 9110 sections 13.1.5 and 14.2)."""
        size, media = self.body.size, self.opened.media
        told = {name.lower(): value for name, value in self.opened.headers}
        fits = if_range_matches(ask.get("If-Range"), told.get("etag"), told.get("last-modified"))
        if ask.method == "HEAD":
            return Opened(None, 200, self._headers(size), media)
        try:
            part = parse_range(ask.get("Range"), size) if fits else None
        except RangeNotSatisfiable:
            return Opened(None, 416, (("Content-Range", unsatisfied_content_range(size)),))
        if part is None:
            return self.read()
        headers = (*self._headers(part.length), ("Content-Range", part.content_range(size)))
        return Opened(self.body.reader(part.start, part.stop), 206, headers, media)

    def _headers(self, length: int) -> Headers:
        kept = tuple((name, value) for name, value in self.opened.headers if name.lower() not in _OF_A_PART)
        return (*kept, ("Content-Length", str(length)))

    def renew(self, life: float) -> None:
        """Keep it for so long from now on, within the shelf's bound."""
        self._until = max(self._until, self._shelf.clock.seconds() + life)
        if self.kept and self.body.over:
            self._keep()

    def _keep(self) -> None:
        self._set_timer(max(0.0, min(self._until, self._last) - self._shelf.clock.seconds()))

    def forget(self) -> None:
        """Have nobody find it any more; who reads it reads on."""
        if not self.kept:
            return
        self.kept = False
        del self._shelf.index[self._key]
        self._set_timer(None)
        if not self.body.read:
            self.drop(UpstreamError(503, _UNWANTED))

    def drop(self, error: UpstreamError) -> None:
        """Let go of it; who reads it gets the error."""
        if self not in self._shelf.alive:
            return
        self._shelf.alive.remove(self)
        self.forget()
        self._shelf.charged -= self.charge
        self.body.drop(error)
        self._slot.release()

    # What the body tells

    def body_grew(self) -> None:
        """Count it, or let it pass."""
        shelf, more = self._shelf, self.body.size - self.charge
        if self._passing or more <= 0:
            return
        if self.body.size <= shelf.biggest and shelf.make_room(more, 0):
            self.charge += more
            shelf.charged += more
            return
        self._passing = True
        shelf.charged -= self.charge
        self.charge = 0
        self.body.let_pass()
        self.forget()

    def body_finished(self) -> None:
        """Keep it from now on for its time, unless it failed."""
        self._slot.release()
        if self.body.error is not None:
            self.forget()
        elif self.kept:
            now = self._shelf.clock.seconds()
            self._until = max(self._until, now + self._life)
            self._last = now + self._shelf.longest
            self._keep()

    def readers_left(self) -> None:
        """Keep it, finish it or let go of it."""
        body = self.body
        if not self._started or (self.kept and body.over):
            return
        if self._finish and self.kept and body.expected is not None and body.size * 2 > body.expected:
            self._set_timer(FINISH)
            body.settle()
        else:
            self.drop(UpstreamError(503, _UNWANTED))

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None if seconds is None else self._shelf.clock.callLater(seconds, self.forget)
