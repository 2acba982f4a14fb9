"""The one door, for those who have accounts."""

from __future__ import annotations

import contextlib

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from iptvd.delivery.hub import Hub
from iptvd.delivery.session import Face, Viewer
from iptvd.errors import LimitError, TokenError
from iptvd.model import Channel, Outcome
from tests.delivery.test_hub import HubTestCase
from tests.delivery.test_relay import CHANNEL
from tests.doubles import Anybody


class Certain(Anybody):
    """Some users, each with a limit; what is not for them is in a group of its own."""

    def __init__(self, **limits: int) -> None:
        self.limits = limits

    def may_watch(self, user: str, channel: Channel) -> bool:
        return user in self.limits and channel.group != "Others"

    def limit_of(self, user: str) -> int:
        return self.limits.get(user, 0)


USERS = ["anna", "bob", "carl", ""]


def device(user: str, number: int = 0, agent: str = "VLC") -> Viewer:
    return Viewer(f"192.168.1.{10 + number}", agent, user)


class RandomTests(HubTestCase):
    @given(
        st.lists(st.tuples(st.sampled_from("adzu"), st.sampled_from(["anna", "bob", "carl", ""]), st.integers(0, 3)))
    )
    def test_whatever_comes(self, steps: list[tuple[str, str, int]]) -> None:
        """Whatever order viewers come, zap, leave and are cut off in, nobody has more than the account allows."""
        self.rights = Certain(anna=2, bob=1, carl=0)
        hub = self.hub()
        for what, user, number in steps:
            if what in "az":
                with contextlib.suppress(LimitError):
                    hub.admit(CHANNEL, device(user, number if what == "a" else 0), Face.TS)
            elif what == "d" and hub.of_user(user):
                hub.of_user(user)[number % len(hub.of_user(user))].end(Outcome.VIEWER_LEFT)
            elif what == "u":
                hub.end_all_of([user], "revoked")
            for name, limit in (("anna", 2), ("bob", 1), ("carl", len(steps)), ("", len(steps))):
                theirs = [session for session in hub.sessions.values() if session.viewer.user == name]
                self.assertLessEqual(len(theirs), limit)
                self.assertEqual(list(hub.of_user(name)), theirs if name else [])


class UserTests(HubTestCase):
    """Those who have accounts."""

    def setUp(self) -> None:
        super().setUp()
        self.rights = Certain(anna=2, bob=1, carl=0)

    def watching(self, hub: Hub, user: str) -> list[str]:
        return [session.viewer.address for session in hub.of_user(user)]

    def test_a_limit_each(self) -> None:
        """Each user has so many connections from any addresses as the account allows, and nobody else's count."""
        hub = self.hub()
        first = hub.admit(CHANNEL, device("anna", 0), Face.TS)
        hub.admit(CHANNEL, device("anna", 1), Face.HLS)
        hub.admit(CHANNEL, device("bob", 0), Face.VOD)
        for user, limit in (("anna", 2), ("bob", 1)):
            with self.assertRaisesRegex(LimitError, f"all {limit} connections of this account are in use"):
                hub.admit(CHANNEL, device(user, 7), Face.TS)
        for number in range(5):
            hub.admit(CHANNEL, device("carl", number), Face.TS)
            hub.admit(CHANNEL, Viewer("192.168.1.99"), Face.TS)
        self.assertEqual(hub.outcomes, {Outcome.REFUSED: 2})
        first.end(Outcome.VIEWER_LEFT)
        hub.admit(CHANNEL, device("anna", 7), Face.TS)
        self.assertEqual([len(hub.of_user(user)) for user in ("anna", "bob", "carl", "")], [2, 1, 5, 0])

    def test_a_zap(self) -> None:
        """A player at its account's limit gets the next channel at once: what it played before ends."""
        hub = self.hub()
        before = hub.admit(CHANNEL, device("bob"), Face.TS)
        now = hub.admit(CHANNEL, device("bob"), Face.HLS)
        self.assertEqual((before.outcome, now.outcome), (Outcome.VIEWER_LEFT, None))
        self.assertEqual(hub.of_user("bob"), [now])
        for other in (device("bob", 1), device("bob", agent="Kodi")):
            self.assertRaises(LimitError, hub.admit, CHANNEL, other, Face.TS)

    def test_whose_place(self) -> None:
        """Only a player of the same kind at the same address makes way, and of several the one that began last."""
        hub = self.hub()
        sessions = [hub.admit(CHANNEL, device("anna", number), Face.TS) for number in (0, 1)]
        hub.admit(CHANNEL, device("anna", 0), Face.TS)
        self.assertEqual([session.outcome for session in sessions], [Outcome.VIEWER_LEFT, None])
        sessions[1].end(Outcome.VIEWER_LEFT)
        later = hub.admit(CHANNEL, device("anna", 0), Face.TS)
        hub.admit(CHANNEL, device("anna", 0), Face.TS)
        self.assertIs(later.outcome, Outcome.VIEWER_LEFT)

    def test_asked_for_late(self) -> None:
        """What a player asks for late of the channel before does not take the place of the one that it plays now."""
        hub = self.hub()
        now = hub.admit(CHANNEL, device("bob"), Face.HLS)
        self.assertRaises(LimitError, hub.admit, CHANNEL, device("bob"), Face.HLS, "before")
        self.assertIsNone(now.outcome)
        now.end(Outcome.VIEWER_LEFT)
        self.assertEqual(hub.admit(CHANNEL, device("bob"), Face.HLS, "before").id, "before")

    def test_what_is_not_theirs(self) -> None:
        """A channel that is not for a user is refused, and nothing else ends for it; so is a user that is gone."""
        hub = self.hub()
        now = hub.admit(CHANNEL, device("bob"), Face.TS)
        for channel, user in ((evolve(CHANNEL, group="Others"), "bob"), (CHANNEL, "gone")):
            with self.assertRaisesRegex(TokenError, "not one of this account's"):
                hub.admit(channel, device(user), Face.TS)
        self.assertIsNone(now.outcome)
        hub.admit(evolve(CHANNEL, group="Others"), Viewer("192.168.1.99"), Face.TS)

    def test_ending_all_of_some(self) -> None:
        """Who may not watch any more is cut off in everything, and nobody else is."""
        hub = self.hub()
        theirs = [hub.admit(CHANNEL, device("anna", number), Face.TS) for number in (0, 1)]
        others = [hub.admit(CHANNEL, device("bob"), Face.TS), hub.admit(CHANNEL, Viewer("192.168.1.9"), Face.TS)]
        hub.end_all_of(["anna", "nobody"], "the account has expired")
        for session in theirs:
            self.assertEqual((session.outcome, session.reason), (Outcome.ENDED_BY_OPERATOR, "the account has expired"))
        self.assertEqual([session.outcome for session in others], [None, None])
        self.assertEqual((list(hub.of_user("anna")), self.watching(hub, "bob")), ([], ["192.168.1.10"]))
