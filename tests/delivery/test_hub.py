"""The one door."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import hub as hub_module
from iptvd.delivery.hub import Hub
from iptvd.delivery.opening import Ask, FoundPlaylist, Opened, SourceGone
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.delivery.slots import Slots
from iptvd.errors import LimitError, TokenError, UpstreamError
from iptvd.model import Channel, Outcome, Source, SourceKind
from iptvd.protocols.sniff import Media
from iptvd.recording import recording_of
from tests.delivery.feeding import Origins
from tests.delivery.test_relay import CHANNEL
from tests.doubles import Anybody, result

VIEWER = Viewer("192.168.1.2", "VLC")
FIRST = Source(SourceKind.TS, url="http://example.com/1")
SECOND = Source(SourceKind.TS, url="http://example.com/2")


class Observer:
    def __init__(self) -> None:
        self.events: list[str] = []

    def session_started(self, session: Session) -> None:
        self.events.append("started")

    def session_ended(self, session: Session) -> None:
        self.events.append(session.outcome.value if session.outcome else "")

    def session_refused(self, channel: Channel, reason: str) -> None:
        self.events.append("refused")


class Openings:
    """Opens what its table says."""

    def __init__(self, results: dict[str, Opened | UpstreamError | Deferred[Opened]]) -> None:
        self.results = results
        self.asked: list[str] = []

    async def open(self, source: Source, ask: Ask, extension: str) -> Opened:
        self.asked.append(source.url)
        found = self.results[source.url]
        if isinstance(found, UpstreamError):
            raise found
        if isinstance(found, Deferred):
            return await found
        return found


class HubTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.observer = Observer()
        self.openings = Openings({})
        self.given = [("a", FIRST), ("b", SECOND)]
        self.limits: dict[str, int] = {}
        self.slots = Slots(lambda provider: self.limits.get(provider, 0))
        self.rights: Anybody = Anybody()

    def hub(self, max_streams: int = 0) -> Hub:
        async def sources(channel: Channel) -> list[tuple[str, Source]]:
            return self.given

        return Hub(
            sources,
            self.openings,  # type: ignore[arg-type]
            self.observer,
            self.clock,
            self.clock.seconds,
            max_streams,
            self.slots,
            self.rights,
        )

    def open(self, hub: Hub | None = None) -> tuple[Source, Opened]:
        """What a viewer gets; the session is `session`."""
        hub = hub or self.hub()
        self.session = hub.admit(CHANNEL, VIEWER, Face.TS)
        return result(hub.open(self.session, Ask()))


class HubTests(HubTestCase):
    def test_a_session_has_one_outcome(self) -> None:
        """A session begins once, ends once, and the first outcome is the one that counts."""
        hub = self.hub()
        session = hub.admit(CHANNEL, VIEWER, Face.TS)
        self.assertEqual(list(hub.sessions.values()), [session])
        session.end(Outcome.VIEWER_LEFT)
        session.end(Outcome.UPSTREAM_LOST)
        self.assertEqual(dict(hub.sessions), {})
        self.assertEqual(self.observer.events, ["started", "viewer_left"])
        self.assertEqual(hub.outcomes, {Outcome.VIEWER_LEFT: 1})

    def test_the_limit(self) -> None:
        """When all streams are in use the next viewer is refused with a sentence, until one is free."""
        hub = self.hub(max_streams=2)
        first = hub.admit(CHANNEL, VIEWER, Face.TS)
        hub.admit(CHANNEL, VIEWER, Face.HLS)
        with self.assertRaisesRegex(LimitError, "all 2 streams are in use"):
            hub.admit(CHANNEL, VIEWER, Face.TS)
        first.end(Outcome.VIEWER_LEFT)
        hub.admit(CHANNEL, VIEWER, Face.TS)
        self.assertEqual(self.observer.events.count("refused"), 1)
        self.assertEqual(hub.outcomes, {Outcome.VIEWER_LEFT: 1, Outcome.REFUSED: 1})

    def test_sessions_have_names_of_their_own(self) -> None:
        """No two sessions share an id, and one that is taken up again keeps its own."""
        hub = self.hub()
        ids = {hub.admit(CHANNEL, VIEWER, Face.TS).id for _ in range(100)}
        self.assertEqual(len(ids), 100)
        self.assertEqual(hub.admit(CHANNEL, VIEWER, Face.HLS, "again").id, "again")

    def test_the_best_source_that_works(self) -> None:
        """The best source is tried first, the next when it fails."""
        good = Opened(None, 200, ())
        self.openings.results = {FIRST.url: UpstreamError(502, "refused"), SECOND.url: good}
        self.assertEqual(self.open(), (SECOND, good))
        self.assertEqual(self.openings.asked, [FIRST.url, SECOND.url])

    def test_resolved_anew_before_it_counts(self) -> None:
        """Where every source refuses, the channel is resolved anew once: what was remembered may be old."""
        good, fresh = Opened(None, 200, ()), Source(SourceKind.TS, url="http://example.com/new")
        refused = SourceGone(502, "refused")
        self.openings.results = {FIRST.url: refused, SECOND.url: refused, fresh.url: good}
        with self.assertRaises(SourceGone):
            self.open()
        self.assertEqual(len(self.openings.asked), 2)
        test = self

        class Moving(Openings):
            async def open(self, source: Source, ask: Ask, extension: str) -> Opened:
                test.given = [("a", fresh)]
                return await super().open(source, ask, extension)

        self.openings = Moving(self.openings.results)
        self.assertEqual(self.open(), (fresh, good))

    def test_no_source_works(self) -> None:
        """When none works the viewer is told what was wrong with the best."""
        self.openings.results = {FIRST.url: UpstreamError(404, "gone"), SECOND.url: UpstreamError(502, "refused")}
        with self.assertRaisesRegex(UpstreamError, "gone") as raised:
            self.open()
        self.assertEqual(raised.exception.status, 404)

    def test_a_source_of_another_form(self) -> None:
        """A source that does not have the channel's form is not used for it."""
        self.given = [("a", Source(SourceKind.HLS, url="http://example.com/x.m3u8"))]
        with self.assertRaises(UpstreamError):
            self.open()

    def test_a_connection_for_each_session(self) -> None:
        """A session holds one of its provider's connections until it ends, and no other."""
        self.openings.results = {FIRST.url: UpstreamError(502, "refused"), SECOND.url: Opened(None, 200, ())}
        self.open()
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (0, 1))
        self.session.end(Outcome.COMPLETED)
        self.assertEqual(self.slots.total, 0)

    def test_all_connections_in_use(self) -> None:
        """A provider whose connections are all in use is passed over; when there is no other, that is what is said."""
        self.openings.results = {FIRST.url: Opened(None, 200, ()), SECOND.url: Opened(None, 200, ())}
        self.limits = {"a": 1, "b": 1}
        hub = self.hub()
        self.assertEqual([self.open(hub)[0], self.open(hub)[0]], [FIRST, SECOND])
        with self.assertRaisesRegex(LimitError, "all 1 connections of a are in use"):
            self.open(hub)
        self.assertEqual(self.openings.asked, [FIRST.url, SECOND.url])
        for session in list(hub.sessions.values()):
            session.end(Outcome.VIEWER_LEFT)
        self.assertEqual(self.slots.total, 0)

    def test_what_was_wrong_comes_before_what_was_full(self) -> None:
        """Where one provider is full and the other fails, the viewer is told of the failure."""
        self.openings.results = {SECOND.url: UpstreamError(504, "late")}
        self.limits = {"a": 1}
        self.assertIsNotNone(self.slots.take("a"))
        with self.assertRaisesRegex(UpstreamError, "late"):
            self.open()
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (1, 0))

    def test_leaving_while_it_is_opened(self) -> None:
        """A viewer that leaves while a source is being opened for it leaves no connection taken."""
        waiting: Deferred[Opened] = Deferred()
        self.openings.results = {FIRST.url: waiting}
        hub = self.hub()
        work = Deferred.fromCoroutine(hub.open(hub.admit(CHANNEL, VIEWER, Face.TS), Ask()))
        self.assertEqual(self.slots.used("a"), 1)
        work.cancel()
        self.failureResultOf(work, CancelledError)
        self.assertEqual(self.slots.total, 0)

    def test_ended_while_it_is_opened(self) -> None:
        """A session that was ended while its source was being opened holds no connection either."""
        waiting: Deferred[Opened] = Deferred()
        self.openings.results = {FIRST.url: waiting}
        hub = self.hub()
        session = hub.admit(CHANNEL, VIEWER, Face.TS)
        work = Deferred.fromCoroutine(hub.open(session, Ask()))
        session.end(Outcome.DRAINED)
        waiting.callback(Opened(None, 200, ()))
        self.successResultOf(work)
        self.assertEqual(self.slots.total, 0)

    def test_a_stream_that_is_a_playlist(self) -> None:
        """A channel whose stream turns out to be a playlist is an HLS channel from then on."""
        hub = self.hub()
        self.openings.results = {FIRST.url: FoundPlaylist()}
        self.assertIs(hub.kind_of(CHANNEL), SourceKind.TS)
        with self.assertRaises(FoundPlaylist):
            self.open(hub)
        self.assertIs(hub.kind_of(CHANNEL), SourceKind.HLS)
        self.assertIs(hub.kind_of(evolve(CHANNEL, id=2)), SourceKind.TS)
        self.assertEqual(self.slots.total, 0)

    def test_a_playlist_as_a_stream(self) -> None:
        """Where a stream is wanted of it, it is opened as one, and the channel is an HLS channel all the same."""
        hub, origins = self.hub(), Origins()
        origins.script["1"] = [FoundPlaylist(), Media.TS]
        session = hub.admit(CHANNEL, VIEWER, Face.TS)
        source, opened = result(hub.open(session, Ask(), origins, steady=True))
        self.assertEqual((source, origins.asked), (evolve(FIRST, kind=SourceKind.HLS), ["1", "1"]))
        self.assertIs(opened.upstream, origins.taps[0])
        self.assertIs(hub.kind_of(CHANNEL), SourceKind.HLS)
        self.assertEqual(self.slots.total, 1)

    def test_the_past_says_nothing_of_the_present(self) -> None:
        """That what a channel has shown is a playlist does not make a playlist of the channel."""
        hub = self.hub()
        hub.found_playlist(recording_of(CHANNEL, 5, 60))
        self.assertIs(hub.kind_of(CHANNEL), SourceKind.TS)

    def test_kinds(self) -> None:
        """The kinds that a channel is to be had in are told, that of the best source first."""
        self.given = [
            ("a", evolve(FIRST, kind=SourceKind.VOD)),
            ("b", evolve(FIRST, kind=SourceKind.HLS)),
            *self.given,
        ]
        found = result(self.hub().kinds(CHANNEL))
        self.assertEqual(found, [SourceKind.VOD, SourceKind.HLS, SourceKind.TS])

    def test_a_stream_again(self) -> None:
        """After a refresh the providers are believed again about what their channels are."""
        hub = self.hub()
        self.openings.results = {FIRST.url: FoundPlaylist()}
        with self.assertRaises(FoundPlaylist):
            self.open(hub)
        hub.forget_forms()
        self.assertIs(hub.kind_of(CHANNEL), SourceKind.TS)

    def test_draining(self) -> None:
        """When we stop, live viewers end at once, films have the drain time, and nobody new is admitted."""
        hub = self.hub()
        live = hub.admit(CHANNEL, VIEWER, Face.TS)
        film = hub.admit(CHANNEL, VIEWER, Face.VOD)
        slow = hub.admit(CHANNEL, VIEWER, Face.VOD)
        drained = hub.drain(5.0)
        self.assertIs(live.outcome, Outcome.DRAINED)
        with self.assertRaises(LimitError):
            hub.admit(CHANNEL, VIEWER, Face.TS)
        self.clock.advance(3)
        film.end(Outcome.COMPLETED)
        self.assertNoResult(drained)
        self.clock.advance(2)
        self.successResultOf(drained)
        self.assertEqual((film.outcome, slow.outcome), (Outcome.COMPLETED, Outcome.DRAINED))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_draining_when_nobody_watches(self) -> None:
        """With nobody watching there is nothing to wait for."""
        self.successResultOf(self.hub().drain(5.0))


class PutOutTests(HubTestCase):
    def test_not_again(self) -> None:
        """A player of a session that the operator has ended cannot take it up again, but can begin another."""
        hub = self.hub()
        for outcome, again in ((Outcome.VIEWER_LEFT, True), (Outcome.ENDED_BY_OPERATOR, False)):
            session = hub.admit(CHANNEL, VIEWER, Face.HLS)
            session.end(outcome)
            if again:
                hub.admit(CHANNEL, VIEWER, Face.HLS, session.id).end(outcome)
                continue
            with self.assertRaisesRegex(TokenError, "the operator has ended this session"):
                hub.admit(CHANNEL, VIEWER, Face.HLS, session.id)
        hub.admit(CHANNEL, VIEWER, Face.HLS)

    def test_the_bound(self) -> None:
        """Only the last of them are remembered."""
        self.patch(hub_module, "_PUT_OUT", 2)
        hub = self.hub()
        sessions = [hub.admit(CHANNEL, VIEWER, Face.HLS) for _ in range(3)]
        for session in sessions:
            session.end(Outcome.ENDED_BY_OPERATOR)
        self.assertRaises(TokenError, hub.admit, CHANNEL, VIEWER, Face.HLS, sessions[1].id)
        hub.admit(CHANNEL, VIEWER, Face.HLS, sessions[0].id)
