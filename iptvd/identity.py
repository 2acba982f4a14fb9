"""
Channel ids and numbers that are for life.

An id is derived from the provider's name and the provider's own key, so that even without its file an installation
comes back to the same ids; the file keeps what cannot be derived: numbers, ids that had to make way for another, and
the id of a channel that several providers have in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

#: Clients hold ids in a signed 32-bit integer.
MAX_ID = 2**31 - 1


def _derive(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big") & MAX_ID


class Identities:
    """Gives ids and numbers, and never gives one away twice."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._numbers: dict[int, int] = {}
        self._taken_ids: set[int] = {0}
        self._taken_numbers: set[int] = set()
        self._next_number = 1
        #: Whether something was given since the rows were last taken.
        self.changed = False

    @staticmethod
    def name_of(provider: str, key: str) -> str:
        """What a provider's entry is known by here."""
        return f"{provider}\0{key}"

    def find(self, name: str) -> int | None:
        """The id of a name that has one, else None."""
        return self._ids.get(name)

    def id_of(self, name: str) -> int:
        """The id of a name, the same for ever: 1 to `MAX_ID`."""
        known = self._ids.get(name)
        if known is not None:
            return known
        candidate, tries = _derive(name), 0
        while candidate in self._taken_ids:
            tries += 1
            candidate = _derive(f"{name}\0{tries}")
        self._remember(name, candidate)
        self.changed = True
        return candidate

    def id_of_shared(self, tvg_id: str, first: str) -> int:
        """
        The id of a channel that several providers may have under one tvg-id: that of the name seen first, for ever.

        Turning the merging of channels on or off therefore changes no id of the provider that was there first.
        """
        shared = f"\0{tvg_id}"
        known = self._ids.get(shared)
        if known is None:
            known = self.id_of(first)
            self._remember(shared, known)
            self.changed = True
        return known

    def number_of(self, channel_id: int, wanted: int | None) -> int:
        """The number of a channel, the same for ever: the wanted one when it is free at first sight."""
        known = self._numbers.get(channel_id)
        if known is not None:
            return known
        if wanted is not None and 0 < wanted <= MAX_ID and wanted not in self._taken_numbers:
            number = wanted
        else:
            while self._next_number in self._taken_numbers:
                self._next_number += 1
            number = self._next_number
        self._number(channel_id, number)
        self.changed = True
        return number

    def rows(self) -> Iterator[tuple[str, int, int]]:
        """Everything to keep, one after the other, nothing being given meanwhile: name, id, number (0 for none)."""
        self.changed = False
        return ((name, channel_id, self._numbers.get(channel_id, 0)) for name, channel_id in self._ids.items())

    def take(self, row: object) -> None:
        """
        Bring back a row.

        :raises ValueError, TypeError: when it is none.
        """
        if not isinstance(row, list):
            raise TypeError("a row is a list")
        name, channel_id, number = row
        if not (isinstance(name, str) and isinstance(channel_id, int) and isinstance(number, int)):
            raise TypeError("a row is a name, an id and a number")
        self._remember(name, channel_id)
        if number:
            self._number(channel_id, number)

    def _remember(self, name: str, channel_id: int) -> None:
        self._ids[name] = channel_id
        self._taken_ids.add(channel_id)

    def _number(self, channel_id: int, number: int) -> None:
        self._numbers[channel_id] = number
        self._taken_numbers.add(number)
