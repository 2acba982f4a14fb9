"""Connections that a provider allows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.session import Viewer
from iptvd.delivery.slots import Slot, Slots


class SlotsTests(SynchronousTestCase):
    def test_the_limit(self) -> None:
        """A provider's connections are given out up to its limit, and again once one is given back."""
        slots = Slots(lambda provider: {"a": 2}.get(provider, 0))
        first, second = slots.take("a"), slots.take("a")
        self.assertIsNone(slots.take("a"))
        assert first is not None
        first.release()
        self.assertIsNotNone(slots.take("a"))
        self.assertIsNotNone(second)
        self.assertEqual((slots.used("a"), slots.total), (2, 2))

    def test_no_limit(self) -> None:
        """A provider without a limit always has one."""
        slots = Slots(lambda provider: 0)
        self.assertTrue(all(slots.take("b") for _ in range(1000)))
        self.assertEqual(slots.used("b"), 1000)

    def test_given_back_once(self) -> None:
        """A slot that is given back twice counts once."""
        slots = Slots(lambda provider: 1)
        slot = slots.take("a")
        assert slot is not None
        slot.release()
        slot.release()
        self.assertEqual(slots.used("a"), 0)

    def test_changes_are_told(self) -> None:
        """Whenever another number is taken it is told of which provider; when none could be had, nothing is."""
        slots = Slots(lambda provider: 1)
        seen: list[tuple[str, int]] = []
        slots.changed = lambda provider: seen.append((provider, slots.used(provider)))
        slot = slots.take("a")
        self.assertIsNone(slots.take("a"))
        assert slot is not None
        slot.release()
        slot.release()
        self.assertEqual(seen, [("a", 1), ("a", 0)])

    def test_what_nobody_watches_makes_way(self) -> None:
        """When all are taken, something that nobody watches is given up for who wants one."""
        slots = Slots(lambda provider: 1)
        idle = slots.take("a")
        given_up: list[str] = []

        def give_up(provider: str, viewer: Viewer | None) -> bool:
            if given_up or idle is None:
                return False
            given_up.append(provider)
            idle.release()
            return True

        slots.on_want(give_up)
        self.assertIsNotNone(slots.take("a"))
        self.assertIsNone(slots.take("a"))
        self.assertEqual(given_up, ["a"])

    def test_shared(self) -> None:
        """Those who share something take one connection together, until the last of them is gone."""
        slots = Slots(lambda provider: 1)
        first, second = slots.share("a", "x"), slots.share("a", "x")
        self.assertIsNone(slots.share("a", "y"))
        assert first is not None
        assert second is not None
        first.release()
        first.release()
        self.assertEqual(slots.used("a"), 1)
        second.release()
        self.assertEqual(slots.used("a"), 0)
        self.assertIsNotNone(slots.share("a", "y"))

    def test_parted(self) -> None:
        """Who shares one and needs it alone gets another where there is one, and the others keep theirs."""
        slots = Slots(lambda provider: 2)
        first, second = slots.share("a", "x"), slots.share("a", "x")
        assert first is not None
        assert second is not None
        self.assertTrue(slots.part("a", "x", first))
        self.assertTrue(slots.part("a", "x", first))
        self.assertEqual(slots.used("a"), 2)
        third = slots.share("a", "x")
        assert third is not None
        second.release()
        self.assertEqual(slots.used("a"), 2)
        third.release()
        self.assertEqual(slots.used("a"), 1)
        first.release()
        first.release()
        self.assertEqual((slots.used("a"), slots.total), (0, 0))

    def test_parted_from_nobody(self) -> None:
        """Who shares it with nobody keeps it, and who comes later has another, if there is one."""
        slots = Slots(lambda provider: 1)
        slot = slots.share("a", "x")
        assert slot is not None
        self.assertTrue(slots.part("a", "x", slot))
        self.assertIsNone(slots.share("a", "x"))
        slot.release()
        other = slots.share("a", "x")
        assert other is not None
        slot.release()
        self.assertEqual(slots.used("a"), 1)
        self.assertIsNotNone(slots.share("a", "x"))

    def test_no_other_to_part_with(self) -> None:
        """Where there is no other, all go on with the one that they share."""
        slots = Slots(lambda provider: 1)
        first, second = slots.share("a", "x"), slots.share("a", "x")
        assert first is not None
        assert second is not None
        self.assertFalse(slots.part("a", "x", first))
        first.release()
        self.assertEqual(slots.used("a"), 1)
        second.release()
        self.assertEqual(slots.used("a"), 0)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 20)), max_size=200))
    def test_nothing_leaks(self, events: list[tuple[str, bool, int]]) -> None:
        """After any order of taking and giving back, the count is that of what is out, and in the end zero."""
        limits = {"a": 1, "b": 3}
        slots = Slots(lambda provider: limits.get(provider, 0))
        out: list[tuple[str, Slot]] = []
        for provider, takes, which in events:
            if takes:
                slot = slots.take(provider)
                if slot is not None:
                    out.append((provider, slot))
            elif out:
                out.pop(which % len(out))[1].release()
            for name in "abc":
                self.assertEqual(slots.used(name), sum(one == name for one, _ in out))
                self.assertTrue(not limits.get(name) or slots.used(name) <= limits[name])
        for _, slot in out:
            slot.release()
        self.assertEqual(slots.total, 0)


class RandomSlotsTests(SynchronousTestCase):
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["take", "share", "part", "release", "release twice", "kill"]), st.integers(0, 5)
            ),
            max_size=80,
        ),
        st.integers(0, 3),
    )
    def test_whatever_happens_it_ends_at_zero(self, course: list[tuple[str, int]], limit: int) -> None:
        """Joins, shares, leaves and failures in any order: never more than there are, and none at the end."""
        slots = Slots(lambda provider: limit)
        held: list[Slot] = []
        idle: list[Slot] = []

        def give_up(provider: str, viewer: Viewer | None) -> bool:
            if not idle:
                return False
            idle.pop().release()
            return True

        slots.on_want(give_up)
        for act, which in course:
            if act in ("take", "share"):
                slot = slots.take("p") if act == "take" else slots.share("p", which)
                if slot is not None:
                    held.append(slot)
            elif act == "part":
                for slot in held[:2]:
                    slots.part("p", which, slot)
            elif held:
                slot = held.pop(which % len(held))
                if act == "kill":
                    # What nobody watches lingers, until it is wanted.
                    idle.append(slot)
                else:
                    slot.release()
                    if act == "release twice":
                        slot.release()
            self.assertTrue(not limit or slots.used("p") <= limit)
        for slot in (*held, *idle):
            slot.release()
        self.assertEqual((slots.used("p"), slots.total), (0, 0))
