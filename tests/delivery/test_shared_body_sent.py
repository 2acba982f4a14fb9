"""A body that is there, for whoever sends it without being a reader."""

from __future__ import annotations

from iptvd.protocols.upstream import HOLD
from tests.delivery.origins import Drinker
from tests.delivery.test_shared_body import BodyTests
from tests.protocols.test_upstream import Tap


class SentTests(BodyTests):
    def test_crumbs_are_put_together(self) -> None:
        """What came in crumbs is kept in pieces that are worth sending, none larger than one read, byte for byte."""
        whole = bytes(range(251)) * 1200
        for crumb in (1316, 5000, HOLD, 3 * HOLD):
            (viewer,) = self.started()
            for at in range(0, len(whole), crumb):
                self.tap.deliver(whole[at : at + crumb])
            self.tap.finish()
            self.assertEqual((viewer.got, viewer.ends), (whole, [None]))
            sizes = [len(block) for block in self.body.blocks]
            self.assertEqual((sum(sizes), b"".join(self.body.blocks)), (len(whole), whole))
            self.assertLessEqual(max(sizes), max(crumb, HOLD))
            self.assertGreaterEqual(min(sizes[:-1]), min(crumb, HOLD - 5000), crumb)
            for start, stop in ((0, None), (1, 2), (HOLD - 1, HOLD + 1), (len(whole) - 1, None)):
                self.assertEqual(Drinker(self.body.reader(start, stop)).got, whole[start:stop])
            self.tap = Tap()

    def test_not_under_a_reader(self) -> None:
        """While somebody is in the middle of it, nothing is moved."""
        slow, quick = self.started(2)
        slow.pause()
        whole = bytes(range(251)) * 1200
        for at in range(0, len(whole), 1000):
            self.tap.deliver(whole[at : at + 1000])
        self.tap.finish()
        self.assertEqual((len(self.body.blocks), quick.over), (302, True))
        slow.resume()
        self.assertEqual((slow.got, slow.ends), (whole, [None]))
        self.assertLess(len(self.body.blocks), 10)

    def test_lent(self) -> None:
        """Whoever sends it counts as a reader until that is over."""
        (viewer,) = self.started()
        self.tap.deliver(b"abc")
        self.tap.finish()
        self.assertFalse(self.body.read)
        self.shelf.told.clear()
        first, second = self.body.lend(), self.body.lend()
        self.assertTrue(self.body.read)
        Drinker(self.body.reader())
        first()
        self.assertEqual(self.shelf.told, [])
        second()
        self.assertEqual((self.shelf.told, self.body.read, viewer.got), (["left"], False, b"abc"))
