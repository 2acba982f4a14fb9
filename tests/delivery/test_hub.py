"""The one door."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.hub import Hub
from iptvd.delivery.opening import Ask, FoundPlaylist, Opened
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel, Outcome, Source, SourceKind
from tests.delivery.test_relay import CHANNEL
from tests.doubles import result

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

    def __init__(self, results: dict[str, Opened | UpstreamError]) -> None:
        self.results = results
        self.asked: list[str] = []

    async def open(self, source: Source, ask: Ask, extension: str) -> Opened:
        self.asked.append(source.url)
        found = self.results[source.url]
        if isinstance(found, UpstreamError):
            raise found
        return found


class HubTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.observer = Observer()
        self.openings = Openings({})
        self.given = [("a", FIRST), ("b", SECOND)]

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
        )

    def test_a_session_has_one_outcome(self) -> None:
        """A session begins once, ends once, and the first outcome is the one that counts."""
        hub = self.hub()
        session = hub.admit(CHANNEL, VIEWER, Face.TS)
        self.assertEqual(list(hub.sessions.values()), [session])
        session.end(Outcome.VIEWER_LEFT)
        session.end(Outcome.UPSTREAM_LOST)
        self.assertEqual(dict(hub.sessions), {})
        self.assertEqual(self.observer.events, ["started", "viewer_left"])

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
        self.assertIs(result(self.hub().open(CHANNEL, Ask())), good)
        self.assertEqual(self.openings.asked, [FIRST.url, SECOND.url])

    def test_no_source_works(self) -> None:
        """When none works the viewer is told what was wrong with the best."""
        self.openings.results = {FIRST.url: UpstreamError(404, "gone"), SECOND.url: UpstreamError(502, "refused")}
        with self.assertRaisesRegex(UpstreamError, "gone") as raised:
            result(self.hub().open(CHANNEL, Ask()))
        self.assertEqual(raised.exception.status, 404)

    def test_a_source_of_another_form(self) -> None:
        """A source that does not have the channel's form is not used for it."""
        self.given = [("a", Source(SourceKind.HLS, url="http://example.com/x.m3u8"))]
        with self.assertRaises(UpstreamError):
            result(self.hub().open(CHANNEL, Ask()))

    def test_a_stream_that_is_a_playlist(self) -> None:
        """A channel whose stream turns out to be a playlist is an HLS channel from then on."""
        hub = self.hub()
        self.openings.results = {FIRST.url: FoundPlaylist()}
        self.assertIs(hub.kind_of(CHANNEL), SourceKind.TS)
        with self.assertRaises(FoundPlaylist):
            result(hub.open(CHANNEL, Ask()))
        self.assertIs(hub.kind_of(CHANNEL), SourceKind.HLS)
        self.assertIs(hub.kind_of(evolve(CHANNEL, id=2)), SourceKind.TS)

    def test_a_stream_again(self) -> None:
        """After a refresh the providers are believed again about what their channels are."""
        hub = self.hub()
        self.openings.results = {FIRST.url: FoundPlaylist()}
        with self.assertRaises(FoundPlaylist):
            result(hub.open(CHANNEL, Ask()))
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
