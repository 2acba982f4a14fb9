"""What channels have been to their viewers."""

from __future__ import annotations

from typing import cast

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd import served
from iptvd.delivery.hub import SessionObserver
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.model import Outcome
from iptvd.served import Served, Totals
from tests.delivery.test_reach import Observer
from tests.delivery.test_relay import CHANNEL

OTHER = evolve(CHANNEL, id=2)


class ServedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.observer = Observer()
        self.served = Served(cast(SessionObserver, self.observer), self.clock.seconds)

    def watch(self, name: str, channel: int = 1) -> Session:
        session = Session(name, evolve(CHANNEL, id=channel), Viewer("127.0.0.1"), Face.HLS, self.clock.seconds())
        self.served.session_started(session)
        session.at_end(self.served.session_ended)
        return session

    def test_what_goes_on(self) -> None:
        """What sessions that go on have got counts at once, and stays counted when they are over."""
        first, second = self.watch("a"), self.watch("b")
        first.bytes_sent, first.segments, second.bytes_sent = 100, 2, 10
        self.assertEqual(self.served.of(1), Totals(110, 2, 0, 2, 1000.0))
        self.clock.advance(5)
        self.assertEqual(self.served.of(1).last, 1005.0)
        first.end(Outcome.VIEWER_LEFT)
        second.bytes_sent, second.segments = 20, 1
        self.assertEqual(self.served.of(1), Totals(120, 3, 0, 2, 1005.0))
        second.end(Outcome.COMPLETED)
        self.clock.advance(5)
        self.assertEqual(self.served.of(1), Totals(120, 3, 0, 2, 1005.0))
        self.assertEqual(self.observer.told, ["started", "started", "ended", "ended"])

    def test_channels_apart(self) -> None:
        """Each channel has its own count, and all together have one."""
        one, two = self.watch("a"), self.watch("b", 2)
        one.bytes_sent, two.bytes_sent = 1, 2
        self.assertEqual((self.served.of(1).bytes, self.served.of(2).bytes, self.served.all.bytes), (1, 2, 3))
        self.assertEqual((list(self.served.watched), self.served.sessions(2)), ([1, 2], [two]))
        two.end(Outcome.DRAINED)
        self.assertEqual((list(self.served.watched), self.served.sessions(2)), ([1], []))
        self.assertEqual([self.served.is_watched(channel) for channel in (1, 2, 3)], [True, False, False])
        self.assertEqual((self.served.of(7), self.served.sessions(7)), (Totals(), []))

    def test_errors(self) -> None:
        """A session that failed is an error, and so is a source that did; one that was left by hand is none."""
        for outcome in (Outcome.EXHAUSTED, Outcome.UPSTREAM_LOST, Outcome.UPSTREAM_STALLED, Outcome.VIEWER_LEFT):
            self.watch("a").end(outcome)
        self.served.switched(CHANNEL, "p/0", "p/1", "by hand")
        self.assertEqual((self.served.of(1).errors, self.served.all.errors), (3, 3))
        self.served.switched(CHANNEL, "p/1", "p/0", "it is silent")
        self.assertEqual((self.served.of(1).errors, self.served.all.errors), (4, 4))

    def test_forgetting(self) -> None:
        """A channel that is gone is forgotten unless somebody watches it; what it came to stays in the sum."""
        session = self.watch("a")
        session.bytes_sent = 7
        self.served.forget(1)
        self.served.forget(9)
        self.assertEqual(self.served.of(1).bytes, 7)
        session.end(Outcome.ENDED_BY_OPERATOR)
        self.served.forget(1)
        self.assertEqual((self.served.of(1), self.served.all.bytes), (Totals(), 7))

    def test_the_bound(self) -> None:
        """Of channels beyond a number those are forgotten that were watched longest ago, never one that is watched."""
        self.patch(served, "MOST", 2)
        stays = self.watch("a", 1)
        for number in (2, 3, 4):
            self.watch("b", number).end(Outcome.VIEWER_LEFT)
        self.assertEqual([self.served.of(number).began for number in (1, 2, 3, 4)], [1, 0, 0, 1])
        stays.end(Outcome.VIEWER_LEFT)
        self.assertEqual(self.served.all.began, 4)

    def test_refusals(self) -> None:
        """Who was not admitted is told on."""
        self.served.session_refused(OTHER, "full")
        self.assertEqual(self.observer.told, ["refused"])
