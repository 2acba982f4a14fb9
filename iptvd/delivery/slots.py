"""How many connections a provider allows at once: one counter each for everything that is open with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from iptvd.delivery.session import Viewer

#: Closes something of a provider for a viewer, and says whether it did.
GiveUp = Callable[[str, Viewer | None], bool]


class Slot:
    """One connection; given back exactly once, however often it is released."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Give it back."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def become(self, other: Slot) -> None:
        """Be another one, which is not to be used any more, and give back what this one was."""
        former, self._release, other._release = self._release, other._release, None
        if former is not None:
            former()


class Slots:
    """
    The counters.

    :param limit_of: gives a provider's limit as it is now, 0 for none.
    :ivar changed: called with a provider of which another number is taken now.
    """

    def __init__(self, limit_of: Callable[[str], int]) -> None:
        self.changed: Callable[[str], None] = lambda provider: None
        self._limit_of = limit_of
        self._used: Counter[str] = Counter()
        self._shared: dict[tuple[str, object], tuple[Slot, list[Slot]]] = {}
        self._spare: list[GiveUp] = []

    def used(self, provider: str) -> int:
        """How many are taken now."""
        return self._used[provider]

    @property
    def total(self) -> int:
        """How many are taken of all providers together."""
        return self._used.total()

    def limit(self, provider: str) -> int:
        """How many there are, 0 for no limit."""
        return self._limit_of(provider)

    def full(self, provider: str) -> str:
        """The sentence for a provider whose connections are all in use."""
        return f"all {self.limit(provider)} connections of {provider} are in use"

    def free(self, provider: str) -> bool:
        """Whether one can be had without anything being given up."""
        limit = self._limit_of(provider)
        return not limit or self._used[provider] < limit

    def on_want(self, give_up: GiveUp) -> None:
        """
        Have this called with a provider whose slots are all taken when one is wanted, and who wants it.

        It closes something that nobody watches, or that this very viewer has turned away from, and says whether it
        did.
        """
        self._spare.append(give_up)

    def share(self, provider: str, key: object, viewer: Viewer | None = None) -> Slot | None:
        """
        One slot for all who say the same key: it is given back when the last of them has released theirs.

        None when there is none.
        """
        present = self._shared.get((provider, key))
        if present is None:
            slot = self.take(provider, viewer)
            if slot is None:
                return None
            present = self._shared[provider, key] = (slot, [])
        slot, holders = present

        def release() -> None:
            holders.remove(mine)
            if not holders:
                if self._shared.get((provider, key)) is present:
                    del self._shared[provider, key]
                slot.release()

        mine = Slot(release)
        holders.append(mine)
        return mine

    def part(self, provider: str, key: object, mine: Slot) -> bool:
        """
        Have one of those who share a slot hold one that nobody shares from now on; False when there is none for it.

        Whoever has none to share, or has parted from the others already, stays as it is.
        """
        _, holders = self._shared.get((provider, key), (mine, []))
        if mine not in holders:
            return True
        if len(holders) == 1:
            del self._shared[provider, key]
            return True
        own = self.take(provider)
        if own is None:
            return False
        mine.become(own)
        return True

    def take(self, provider: str, viewer: Viewer | None = None) -> Slot | None:
        """A slot, None when all are taken and nothing could be given up."""
        while not self.free(provider):
            if not any(give_up(provider, viewer) for give_up in self._spare):
                return None
        self._used[provider] += 1
        self.changed(provider)

        def release() -> None:
            self._used[provider] -= 1
            self.changed(provider)

        return Slot(release)
