"""A viewer's stay."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.session import Face, Session, Viewer
from iptvd.errors import TokenError
from iptvd.model import Outcome
from tests.delivery.test_relay import CHANNEL


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.session = Session("s", CHANNEL, Viewer("192.168.1.2", "VLC"), Face.TS, 1.0)

    def test_one_outcome(self) -> None:
        """However often a session is ended, it ended once, and the first reason is the one."""
        ends: list[Session] = []
        self.session.at_end(ends.append)
        self.session.end(Outcome.UPSTREAM_LOST, "the origin ended the stream")
        self.session.end(Outcome.VIEWER_LEFT, "late")
        self.assertEqual(ends, [self.session])
        self.assertIs(self.session.outcome, Outcome.UPSTREAM_LOST)
        self.assertEqual(self.session.reason, "the origin ended the stream")

    def test_whose_it_is(self) -> None:
        """Nobody goes on with a session but the user who began it, wherever that is."""
        self.session.require(Viewer("192.168.1.3", "Kodi"))
        session = Session("s", CHANNEL, Viewer("192.168.1.2", "VLC", "anna"), Face.HLS, 1.0)
        session.require(Viewer("192.168.1.3", "Kodi", "anna"))
        for user in ("bob", ""):
            with self.assertRaisesRegex(TokenError, "open the channel again"):
                session.require(Viewer("192.168.1.2", "VLC", user))

    def test_order(self) -> None:
        """What began last is ended first, and sees how it ended."""
        seen: list[tuple[str, object]] = []
        self.session.at_end(lambda session: seen.append(("first", session.outcome)))
        self.session.at_end(lambda session: seen.append(("second", session.outcome)))
        self.session.end(Outcome.DRAINED)
        self.assertEqual(seen, [("second", Outcome.DRAINED), ("first", Outcome.DRAINED)])

    def test_taken_back(self) -> None:
        """What was over before the session is not ended with it, nor is it kept."""
        seen: list[str] = []
        forget = self.session.at_end(lambda session: seen.append("over"))
        self.session.at_end(lambda session: seen.append("on"))
        forget()
        self.session.end(Outcome.DRAINED)
        forget()
        self.assertEqual(seen, ["on"])

    def test_the_first_byte(self) -> None:
        """Those who wait for the first byte are told once, however often it is said; and nobody has to wait for it."""
        seen: list[tuple[str, Session]] = []
        self.session.first_byte()
        self.session.at_first_byte(lambda session: seen.append(("first", session)))
        self.session.at_first_byte(lambda session: seen.append(("second", session)))
        self.session.first_byte()
        self.session.first_byte()
        self.assertEqual(seen, [("first", self.session), ("second", self.session)])

    def test_an_end_within_the_end(self) -> None:
        """What is ended with a session may end it again without harm."""
        self.session.at_end(lambda session: session.end(Outcome.VIEWER_LEFT))
        self.session.end(Outcome.DRAINED)
        self.assertIs(self.session.outcome, Outcome.DRAINED)
