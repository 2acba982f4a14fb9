"""Ids and numbers for life."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.identity import MAX_ID, Identities

NAMES = st.lists(st.text(min_size=1), unique=True, max_size=50)


def restarted(identities: Identities) -> Identities:
    again = Identities()
    for row in json.loads(json.dumps(list(identities.rows()))):
        again.take(row)
    return again


class IdentitiesTests(SynchronousTestCase):
    @given(NAMES)
    def test_ids_survive_a_restart(self, names: list[str]) -> None:
        """An id is the same after a restart, whatever is asked first."""
        first = Identities()
        ids = {name: first.id_of(name) for name in names}
        again = restarted(first)
        for name in reversed(names):
            self.assertEqual(again.id_of(name), ids[name])

    @given(NAMES)
    def test_ids_survive_the_loss_of_the_file(self, names: list[str]) -> None:
        """Without its file an installation comes back to the same ids."""
        self.assertEqual([Identities().id_of(name) for name in names], [Identities().id_of(name) for name in names])

    @given(NAMES)
    def test_ids_are_distinct_and_small(self, names: list[str]) -> None:
        """No two names share an id, and every id fits into 31 bits."""
        identities = Identities()
        ids = [identities.id_of(name) for name in names]
        self.assertEqual(len(set(ids)), len(names))
        self.assertTrue(all(0 < one <= MAX_ID for one in ids))

    def test_a_collision(self) -> None:
        """A name whose derived id is taken gets another, and keeps it."""
        identities = Identities()
        wanted = Identities().id_of("a")
        identities.take(["other", wanted, 0])
        other = identities.id_of("a")
        self.assertNotEqual(other, wanted)
        self.assertEqual(restarted(identities).id_of("a"), other)

    def test_numbers(self) -> None:
        """A number is the provider's where it is free, else the next free one, and stays."""
        identities = Identities()
        self.assertEqual(identities.number_of(11, 7), 7)
        self.assertEqual(identities.number_of(12, 7), 1)
        self.assertEqual(identities.number_of(13, None), 2)
        self.assertEqual(identities.number_of(11, 99), 7)
        for _ in range(5):
            identities.number_of(20 + _, None)
        self.assertNotIn(7, [identities.number_of(20 + n, None) for n in range(5)])
        self.assertEqual(identities.number_of(30, -4), 9)

    def test_shared(self) -> None:
        """A channel that providers have in common has the id of the one seen first, also when that is gone."""
        identities = Identities()
        alone = identities.id_of("a\0one")
        self.assertEqual(identities.id_of_shared("bbc", "a\0one"), alone)
        again = restarted(identities)
        self.assertEqual(again.id_of_shared("bbc", "b\0one"), alone)

    def test_rows_that_are_none(self) -> None:
        """A row of another shape is an error, never a wrong id."""
        rows: tuple[object, ...] = ({}, [1, 2, 3], ["a", "b", 3], ["a", 1], "abc")
        for row in rows:
            with self.assertRaises((TypeError, ValueError)):
                Identities().take(row)

    def test_finding(self) -> None:
        """A name that has no id yet is not given one by being looked for."""
        identities = Identities()
        self.assertIsNone(identities.find("p\0x"))
        self.assertFalse(identities.changed)
        self.assertEqual(identities.find("p\0x"), None)
        self.assertEqual(identities.id_of("p\0x"), identities.find("p\0x"))
