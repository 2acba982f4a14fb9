"""What the parts of the daemon tell of themselves."""

from __future__ import annotations

import json
from typing import Any, cast

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.activity import Activity, Happening
from iptvd.delivery.hub import SessionObserver
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.delivery.slots import Slots
from iptvd.model import Channel, ChannelStatus, Outcome, ProviderState, Reachability
from iptvd.recording import recording_of
from iptvd.reporting import SLOTS_PAUSE, Reporter
from tests.delivery.test_reach import Observer
from tests.web.building import UPSTREAM, entries, lineup_of

LEAK = f"it fails at http://bob:canary@{UPSTREAM}/1.ts"


class ReporterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.activity = Activity(self.clock, self.clock.seconds)
        self.lineup = lineup_of(*entries(2))
        self.channel, self.other = self.lineup.channels
        self.observer = Observer()
        observer = cast(SessionObserver, self.observer)
        self.reporter = Reporter(self.activity, observer, self.lineup.by_id.get, self.clock)
        self.limits = {"home": 3}
        self.slots = Slots(lambda provider: self.limits.get(provider, 0))
        self.reporter.watch(self.slots)
        self.seen = self.activity.newest
        self.shown: dict[str, object] = {"channel": {"id": self.channel.id, "name": "Channel 1"}, "provider": "home"}
        whose: dict[str, object] = {"ip_address": "127.0.0.1", "user_agent": "Player/1", "username": "anna"}
        self.client = {**self.shown, "client_id": "s", **whose, "face": "ts"}

    def happenings(self) -> list[Happening]:
        """What has happened since this was asked last."""
        found = self.activity.since(self.seen)
        assert found is not None
        self.seen = self.activity.newest
        return found

    def kinds(self) -> list[str]:
        return [each.kind.value for each in self.happenings()]

    def watch(self, name: str, channel: Channel | None = None) -> Session:
        viewer = Viewer("127.0.0.1", "Player/1", called="anna")
        session = Session(name, channel or self.channel, viewer, Face.TS, self.clock.seconds())
        self.reporter.session_started(session)
        return session

    def end(self, session: Session, outcome: Outcome, reason: str = "") -> None:
        session.end(outcome, reason)
        self.reporter.session_ended(session)

    def test_a_viewer(self) -> None:
        """A session is told with its channel when it begins, and with its outcome when it ends."""
        session = self.watch("s")
        (connected,) = self.happenings()
        self.assertEqual((connected.kind.value, connected.channel), ("client_connected", self.channel.id))
        self.assertEqual(connected.facts, self.client)
        session.first_byte()
        session.bytes_sent, session.segments = 188, 2
        self.clock.advance(2.5)
        (started,) = self.happenings()
        self.assertEqual((started.kind.value, started.facts), ("stream_started", self.shown))
        self.end(session, Outcome.VIEWER_LEFT)
        gone, stopped = self.happenings()
        how = {"outcome": "viewer_left", "reason": ""}
        expected = {**self.client, **how, "seconds": 2.5, "bytes_served": 188, "segments_served": 2}
        self.assertEqual((gone.kind.value, gone.facts), ("client_disconnected", expected))
        self.assertEqual((stopped.kind.value, stopped.facts), ("stream_stopped", {**self.shown, **how}))
        self.assertEqual(self.observer.told, ["started", "ended"])

    def test_a_stream_of_the_api(self) -> None:
        """A stream that a program has posted is told by the id that it was given there, any other by the channel's."""
        entry = evolve(self.channel.entry, key="stream/0123abcd")
        kept = evolve(self.channel, entries=(("api", entry),))
        self.end(self.watch("s", kept), Outcome.EXHAUSTED)
        self.end(self.watch("s"), Outcome.EXHAUSTED)
        self.reporter.switched(kept, "api/0", "api/1", "")
        told = [json.loads(each.json)["stream_id"] for each in self.happenings()]
        self.assertEqual(told, ["0123abcd"] * 3 + [str(self.channel.id)] * 3 + ["0123abcd"])

    def test_viewers_of_one_stream(self) -> None:
        """A stream begins with the first byte that anybody gets and ends with the last who watches."""
        first, second = self.watch("a"), self.watch("b")
        second.first_byte()
        first.first_byte()
        self.assertEqual(self.kinds(), ["client_connected", "client_connected", "stream_started"])
        self.end(first, Outcome.UPSTREAM_LOST)
        self.assertEqual(self.kinds(), ["client_disconnected"])
        self.end(second, Outcome.VIEWER_LEFT)
        self.assertEqual(self.kinds(), ["client_disconnected", "stream_stopped"])

    def test_a_failure(self) -> None:
        """A channel that could not be had, or no longer, has failed, and it is told once for all who watched."""
        for outcome in (Outcome.EXHAUSTED, Outcome.UPSTREAM_LOST, Outcome.UPSTREAM_STALLED):
            sessions = [self.watch("a"), self.watch("b")]
            self.happenings()
            for session in sessions:
                self.end(session, outcome, "no source is left")
            *_, failed = found = self.happenings()
            self.assertEqual(
                [each.kind.value for each in found],
                ["client_disconnected", "client_disconnected", "stream_failed"],
            )
            self.assertEqual(failed.facts, {**self.shown, "outcome": outcome.value, "reason": "no source is left"})

    def test_nothing_came(self) -> None:
        """Who leaves before anything came, or is refused, neither stops a stream nor makes it fail."""
        for outcome in (Outcome.VIEWER_LEFT, Outcome.REFUSED, Outcome.COMPLETED):
            self.end(self.watch("s"), outcome)
            self.assertEqual(self.kinds(), ["client_connected", "client_disconnected"])
        self.reporter.session_refused(self.channel, "full")
        self.assertEqual((self.kinds(), self.observer.told[-1]), ([], "refused"))

    def test_a_recording(self) -> None:
        """What a channel has shown is told as such, and is a stream beside what it shows."""
        live, past = self.watch("live"), self.watch("past", recording_of(self.channel, 1000, 60))
        live.first_byte()
        past.first_byte()
        started = [each for each in self.happenings() if each.kind.value == "stream_started"]
        self.assertEqual([each.facts.get("catchup") for each in started], [None, True])
        self.end(past, Outcome.COMPLETED)
        self.assertEqual(self.kinds(), ["client_disconnected", "stream_stopped"])
        self.end(live, Outcome.VIEWER_LEFT)
        self.assertEqual(self.kinds(), ["client_disconnected", "stream_stopped"])

    def test_a_switch(self) -> None:
        """Another source is told with what was before, what is now, and why."""
        self.reporter.switched(self.channel, "home/0", "other/1", "it is silent")
        (switch,) = self.happenings()
        self.assertEqual((switch.kind.value, switch.channel), ("failover_triggered", self.channel.id))
        facts = {"provider": "other", "from": "home/0", "to": "other/1", "reason": "it is silent"}
        self.assertEqual(switch.facts, {**self.shown, **facts})

    def test_reach(self) -> None:
        """A channel that fails or is back is told; one that is gone from the lineup is not."""
        self.reporter.reach_changed(self.channel.id, ChannelStatus(Reachability.FAILING, "no source is left"))
        self.reporter.reach_changed(1, ChannelStatus(Reachability.OK))
        (status,) = self.happenings()
        facts = {**self.shown, "state": "failing", "reason": "no source is left"}
        self.assertEqual((status.kind.value, status.facts), ("channel_status", facts))

    def test_providers(self) -> None:
        """A provider's state is told when it is another, or has another reason."""
        for state, sentence in (
            (ProviderState.OK, ""),
            (ProviderState.OK, ""),
            (ProviderState.UNREACHABLE, "it does not answer"),
            (ProviderState.UNREACHABLE, "it does not answer"),
            (ProviderState.UNREACHABLE, "its name is not known"),
        ):
            self.reporter.refreshed("home", state, sentence)
        found = self.happenings()
        self.assertEqual({each.kind.value for each in found}, {"provider_state"})
        self.assertEqual([each.facts["state"] for each in found], ["ok", "unreachable", "unreachable"])
        self.assertEqual(found[1].facts, {"provider": "home", "state": "unreachable", "reason": "it does not answer"})

    def connections(self) -> list[tuple[Any, ...]]:
        return [tuple(each.facts.values()) for each in self.happenings()]

    def test_connections(self) -> None:
        """Connections are told as they are, at once and then once a second at most."""
        taken = [self.slots.take("home") for _ in range(2)]
        self.assertEqual(self.connections(), [])
        self.clock.advance(0)
        self.assertEqual(self.connections(), [("home", 2, 3)])
        for slot in taken:
            assert slot is not None
            slot.release()
        other = self.slots.take("other")
        self.clock.advance(SLOTS_PAUSE - 0.01)
        self.assertEqual(self.connections(), [])
        self.clock.advance(0.01)
        self.assertEqual(self.connections(), [("home", 0, 3), ("other", 1, 0)])
        self.clock.advance(5)
        assert other is not None
        other.release()
        self.clock.advance(0)
        self.assertEqual(self.connections(), [("other", 0, 0)])

    def test_what_is_over_at_once(self) -> None:
        """A connection that was there for less than a second changes nothing."""
        slot = self.slots.take("home")
        assert slot is not None
        slot.release()
        self.clock.advance(5)
        self.assertEqual(self.connections(), [])

    def test_the_end(self) -> None:
        """After the end nothing is waited for."""
        slot = self.slots.take("home")
        self.reporter.close()
        assert slot is not None
        slot.release()
        self.reporter.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_without_slots(self) -> None:
        """One that was never told of connections can be closed as well."""
        Reporter(self.activity, cast(SessionObserver, Observer()), lambda channel: None, self.clock).close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_secrets(self) -> None:
        """Whatever a plugin says, no address of an origin is told."""
        self.end(self.watch("s"), Outcome.EXHAUSTED, LEAK)
        self.reporter.switched(self.channel, "home/0", "home/1", LEAK)
        self.reporter.reach_changed(self.channel.id, ChannelStatus(Reachability.FAILING, LEAK))
        self.reporter.refreshed("home", ProviderState.UNREACHABLE, LEAK)
        found = self.happenings()
        self.assertEqual(len(found), 6)
        for each in found:
            self.assertNotIn(UPSTREAM.encode(), each.json)
            self.assertNotIn(b"canary", each.json)
