"""What is known of whether channels can be had."""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.hub import SessionObserver
from iptvd.delivery.reach import Reach, Watched
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.model import Channel, ChannelStatus, Outcome, Reachability
from tests.web.building import entries, lineup_of


class Observer:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def session_started(self, session: Session) -> None:
        self.told.append("started")

    def session_ended(self, session: Session) -> None:
        self.told.append("ended")

    def session_refused(self, channel: Channel, reason: str) -> None:
        self.told.append("refused")


class ReachTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.changes: list[tuple[int, str]] = []
        self.reach = Reach(
            lambda: self.now, lambda channel, status: self.changes.append((channel, status.state.value))
        )

    def session(self, outcome: Outcome, sent: int, reason: str = "") -> None:
        """Somebody watches the first channel, until it ends so."""
        (channel,) = lineup_of(*entries(1)).channels
        session = Session("s", channel, Viewer("127.0.0.1"), Face.TS, self.now, sent)
        observer = Observer()
        watched = Watched(cast(SessionObserver, observer), self.reach)
        watched.session_started(session)
        session.end(outcome, reason)
        watched.session_ended(session)
        self.assertEqual(observer.told, ["started", "ended"])
        self.status = self.reach.of(channel.id)

    def test_nothing_is_known_at_first(self) -> None:
        """A channel that was never tried is unknown."""
        self.assertEqual(self.reach.of(1), ChannelStatus())

    def test_watching_tells(self) -> None:
        """A channel that was watched is there; one that could not be had fails, with the reason."""
        self.session(Outcome.VIEWER_LEFT, 1000)
        self.assertEqual(self.status, ChannelStatus(Reachability.OK, "", 100.0, 100.0))
        self.now = 200.0
        self.session(Outcome.EXHAUSTED, 0, "the origin refuses access")
        self.assertEqual(self.status, ChannelStatus(Reachability.FAILING, "the origin refuses access", 100.0, 200.0))
        self.now = 300.0
        self.session(Outcome.VIEWER_LEFT, 0)
        self.assertEqual(self.status.tried, 200.0)
        self.session(Outcome.UPSTREAM_LOST, 5)
        self.assertEqual((self.status.reason, self.status.tried), ("it stopped", 300.0))

    def test_changes_are_told(self) -> None:
        """Whoever listens hears when a channel fails and when it is back, once each."""
        for call in (self.reach.good, lambda channel: self.reach.bad(channel, "x")):
            call(1)
            call(1)
        self.reach.good(1)
        self.reach.bad(2, "x")
        self.assertEqual(self.changes, [(1, "failing"), (1, "ok"), (2, "failing")])

    def test_over_a_restart(self) -> None:
        """What is known can be kept and taken up again; what is gone from the lineup is forgotten."""
        self.reach.good(1)
        self.reach.bad(2, "gone")
        again = Reach(lambda: 0.0)
        for row in self.reach.rows():
            again.take(row)
        self.assertEqual((again.of(1), again.of(2)), (self.reach.of(1), self.reach.of(2)))
        self.assertEqual(again.counts(5), {"ok": 1, "failing": 1, "unknown": 3})
        again.forget_others({2: None})
        self.assertEqual(again.counts(5), {"ok": 0, "failing": 1, "unknown": 4})
        for row in ({}, [1], [1, "no such state", "", None, None]):
            with self.assertRaises((TypeError, ValueError)):
                again.take(row)
