"""A channel's sources: which is next, and how one is opened."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.candidates import FIRST_BACKOFF, MINUTE, MOST_ATTEMPTS, MOST_BACKOFF, Candidates, Health
from iptvd.delivery.opening import FoundPlaylist, SourceGone
from iptvd.delivery.session import Viewer
from iptvd.delivery.slots import Slot, Slots
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel, Source, SourceKind
from iptvd.protocols.sniff import Media
from tests.delivery.feeding import Origins
from tests.delivery.test_relay import CHANNEL
from tests.doubles import result

REFUSED = UpstreamError(502, "refused")


class CandidatesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.origins = Origins()
        self.limits: dict[str, int] = {}
        self.slots = Slots(lambda provider: self.limits.get(provider, 0))
        self.resolved = 0
        self.sources = [(name, Source(SourceKind.TS, url=f"http://origin.test/{name}")) for name in "abc"]
        self.candidates = self.make()

    def make(self, listed: Channel = CHANNEL) -> Candidates:
        async def resolve(channel: Channel) -> list[tuple[str, Source]]:
            self.resolved += 1
            return list(self.sources)

        return Candidates(listed, resolve, self.origins, self.slots, self.clock, self.clock.seconds)

    def start(self) -> None:
        result(self.candidates.open_best(None))


class HealthTests(SynchronousTestCase):
    def test_backoff(self) -> None:
        """A source that fails again and again is left alone twice as long each time, but never for ever."""
        health = Health()
        waits = []
        for _ in range(40):
            health.failed(100.0)
            waits.append(health.not_before - 100.0)
        self.assertEqual(waits[:4], [FIRST_BACKOFF * factor for factor in (1, 2, 4, 8)])
        self.assertEqual(max(waits), MOST_BACKOFF)


class OrderTests(CandidatesTestCase):
    def test_in_turn(self) -> None:
        """The next is the one after, and after the last comes the first."""
        self.start()
        self.assertEqual([self.candidates.next_after(index) for index in range(3)], [(1, 0.0), (2, 0.0), (0, 0.0)])

    def test_one_that_failed(self) -> None:
        """One that failed is passed over until it may be tried again; a longer row of failures keeps it longer."""
        self.start()
        self.candidates.failed(1)
        self.assertEqual(self.candidates.next_after(0), (2, 0.0))
        self.clock.advance(FIRST_BACKOFF)
        self.assertEqual(self.candidates.next_after(0), (1, 0.0))
        self.candidates.failed(1)
        self.clock.advance(FIRST_BACKOFF)
        self.assertEqual(self.candidates.next_after(0), (2, 0.0))

    def test_one_that_worked(self) -> None:
        """One that works again is left alone no longer than at first when it fails the next time."""
        self.start()
        for _ in range(10):
            self.candidates.failed(1)
        self.clock.advance(MOST_BACKOFF)
        self.candidates.worked(1)
        self.candidates.failed(1)
        self.clock.advance(FIRST_BACKOFF)
        self.assertEqual(self.candidates.next_after(0), (1, 0.0))

    def test_all_failed(self) -> None:
        """When none may be tried it is the one that may be soonest, and how long that is is told."""
        self.start()
        for index, failures in ((0, 3), (1, 2), (2, 3)):
            for _ in range(failures):
                self.candidates.failed(index)
        self.assertEqual(self.candidates.next_after(0), (1, 2 * FIRST_BACKOFF))

    def test_another_form(self) -> None:
        """A source of another form has its turn like any other."""
        self.sources[1] = ("b", Source(SourceKind.HLS, url="http://origin.test/b"))
        self.sources[2] = ("c", Source(SourceKind.HLS, command=("c",)))
        self.start()
        self.assertEqual([self.candidates.next_after(index) for index in range(3)], [(1, 0.0), (2, 0.0), (0, 0.0)])

    def test_a_film(self) -> None:
        """A film is passed over; where there is nothing else, there is only the one that there was."""
        self.sources[1] = ("b", Source(SourceKind.VOD, url="http://origin.test/b"))
        self.start()
        self.assertEqual(self.candidates.next_after(0), (2, 0.0))
        self.sources[:] = self.sources[1:2] * 3
        for index in range(3):
            self.candidates.expired()
            result(self.candidates.open(index, lambda provider: False))
        self.assertEqual(self.candidates.next_after(1), (1, 0.0))

    @given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 5)), max_size=30), st.integers(0, 2))
    def test_whatever_failed(self, failures: list[tuple[int, float]], index: int) -> None:
        """Whatever has failed and when, there is a next one, and waiting as long as told is enough."""
        self.setUp()
        self.start()
        for failed, pause in failures:
            self.candidates.failed(failed)
            self.clock.advance(pause)
        following, wait = self.candidates.next_after(index)
        self.assertLessEqual(wait, MOST_BACKOFF)
        self.clock.advance(wait + 1e-6)
        self.assertEqual(self.candidates.next_after(index)[1], 0.0)
        self.assertIn(following, range(3))

    def test_attempts(self) -> None:
        """So many attempts in a minute are enough; when the first is a minute ago there may be one more."""
        for _ in range(MOST_ATTEMPTS):
            self.assertFalse(self.candidates.spent)
            self.candidates.attempted(0)
            self.clock.advance(1)
        self.assertTrue(self.candidates.spent)
        self.clock.advance(MINUTE - MOST_ATTEMPTS + 0.5)
        self.assertFalse(self.candidates.spent)

    def test_attempts_that_delivered(self) -> None:
        """The last attempt of a source that has delivered since does not count; those of others do."""
        for number in range(MOST_ATTEMPTS):
            self.candidates.attempted(number % 2)
            self.clock.advance(1)
        self.candidates.delivered(2)
        self.assertTrue(self.candidates.spent)
        self.candidates.delivered(1)
        self.assertFalse(self.candidates.spent)
        self.candidates.attempted(0)
        self.assertTrue(self.candidates.spent)


class OpenBestTests(CandidatesTestCase):
    def test_the_best_that_works(self) -> None:
        """The best that works is opened, with a slot of its provider's alone; one that failed rests."""
        self.origins.script["a"] = [REFUSED]
        connected = result(self.candidates.open_best(None))
        self.assertEqual((connected.index, self.candidates.provider(1)), (1, "b"))
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (0, 1))
        self.assertEqual(self.candidates.next_after(2), (1, 0.0))
        connected.close()
        self.assertEqual((self.slots.total, self.origins.taps[0].stopped), (0, 1))

    def test_none(self) -> None:
        """When none works it is the best one's reason that is told."""
        self.origins.script = {"a": [UpstreamError(404, "gone")], "b": [REFUSED], "c": [REFUSED]}
        with self.assertRaisesRegex(UpstreamError, "gone"):
            self.start()
        self.assertEqual(self.slots.total, 0)

    def test_full(self) -> None:
        """A provider whose connections are in use is passed over; where all are, that is said of the best."""
        self.limits = dict.fromkeys("abc", 1)
        for name in "abc":
            self.assertEqual(self.slots.used(name), 0)
            self.slots.take(name)
        with self.assertRaisesRegex(LimitError, "all 1 connections of a are in use"):
            self.start()
        self.assertEqual(self.origins.asked, [])

    def test_films_alone(self) -> None:
        """When a provider has nothing but a film where a channel was, that is said."""
        self.sources = [("a", Source(SourceKind.VOD, url="http://origin.test/a"))]
        with self.assertRaisesRegex(UpstreamError, "another form"):
            self.start()
        self.assertEqual(self.origins.asked, [])

    def test_in_whatever_form(self) -> None:
        """The best that works is opened in whatever form it delivers."""
        self.sources[0] = ("a", Source(SourceKind.HLS, url="http://origin.test/a"))
        self.assertEqual(result(self.candidates.open_best(None)).index, 0)
        self.sources[1] = ("b", Source(SourceKind.HLS, command=("b",)))
        self.origins.script["a"] = [REFUSED]
        self.assertEqual(result(self.make().open_best(None)).index, 1)

    def test_a_playlist(self) -> None:
        """What turns out to be a playlist is no failure of the source, and no other is tried."""
        self.origins.script["a"] = [FoundPlaylist()]
        with self.assertRaises(FoundPlaylist):
            self.start()
        self.assertEqual((self.origins.asked, self.slots.total), (["a"], 0))

    def test_a_playlist_that_is_followed(self) -> None:
        """Where it is wanted so, what turns out to be a playlist is opened as one, on the same connection's slot."""
        self.limits["a"] = 1
        self.origins.script["a"] = [FoundPlaylist(), Media.TS]
        self.candidates.follows = True
        connected = result(self.candidates.open_best(None))
        self.assertEqual((connected.index, connected.disguised, self.origins.asked), (0, True, ["a", "a"]))
        self.assertIs(self.candidates.source(0).kind, SourceKind.HLS)
        self.assertIs(self.sources[0][1].kind, SourceKind.TS)
        self.assertFalse(result(self.candidates.open(1, lambda provider: False)).disguised)
        connected.close()
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (0, 1))

    def test_a_playlist_that_leads_nowhere(self) -> None:
        """One that nothing can be made of is passed over, whoever wrote it."""
        self.sources[1] = ("b", Source(SourceKind.TS, command=("b",)))
        self.origins.script = {"a": [FoundPlaylist(), REFUSED], "b": [FoundPlaylist()]}
        self.candidates.follows = True
        self.assertEqual(result(self.candidates.open_best(None)).index, 2)
        self.assertEqual((self.origins.asked, self.slots.total), (["a", "a", "b", "c"], 1))
        with self.assertRaisesRegex(UpstreamError, "its command gives a playlist"):
            result(self.candidates.open(1, lambda provider: False))

    def test_who_wants_it(self) -> None:
        """What the same viewer has turned away from makes way."""
        self.limits["a"] = 1
        held = self.slots.take("a")
        assert held is not None
        wanted: list[Viewer | None] = []

        def give_up(provider: str, viewer: Viewer | None) -> bool:
            wanted.append(viewer)
            held.release()
            return True

        self.slots.on_want(give_up)
        viewer = Viewer("192.168.1.2")
        self.assertEqual(result(self.candidates.open_best(viewer)).index, 0)
        self.assertEqual(wanted, [viewer])

    def test_no_mpegts(self) -> None:
        """What is no MPEG-TS is open, but brings nothing that can be shared."""
        self.origins.script["a"] = [Media.MP3]
        connected = result(self.candidates.open_best(None))
        self.assertIsNone(connected.upstream)
        connected.close()
        self.assertEqual((self.slots.total, self.origins.taps[0].stopped), (0, 1))


class OpenTests(CandidatesTestCase):
    def nobody(self, provider: str) -> bool:
        return False

    def test_room_is_made(self) -> None:
        """Where a provider has no connection left what holds one is asked to make way."""
        self.start()
        self.limits["b"] = 1
        held = self.slots.take("b")
        assert held is not None
        asked: list[str] = []

        def make_room(provider: str) -> bool:
            asked.append(provider)
            held.release()
            return True

        self.assertEqual(result(self.candidates.open(1, make_room)).index, 1)
        self.assertEqual((asked, self.slots.used("b")), (["b"], 1))

    def test_no_room(self) -> None:
        """Where nothing makes way it is not opened, and that is said."""
        self.start()
        self.limits["b"] = 1
        self.assertIsInstance(self.slots.take("b"), Slot)
        with self.assertRaisesRegex(UpstreamError, "all 1 connections of b are in use"):
            result(self.candidates.open(1, self.nobody))
        self.assertEqual(self.origins.asked, ["a"])

    def test_a_failure(self) -> None:
        """One that does not work holds no slot."""
        self.start()
        self.origins.script["b"] = [REFUSED]
        with self.assertRaisesRegex(UpstreamError, "refused"):
            result(self.candidates.open(1, self.nobody))
        self.assertEqual(self.slots.used("b"), 0)

    def test_an_address_that_expired(self) -> None:
        """An address is resolved anew when it has expired by its own time, or when one is said to be old."""
        self.sources[1] = ("b", evolve(self.sources[1][1], expires=5.0))
        self.start()
        result(self.candidates.open(1, self.nobody))
        self.assertEqual(self.resolved, 1)
        self.sources[1] = ("b", Source(SourceKind.TS, url="http://origin.test/d"))
        self.clock.advance(5.0)
        result(self.candidates.open(1, self.nobody))
        result(self.candidates.open(1, self.nobody))
        self.assertEqual((self.resolved, self.origins.asked), (2, ["a", "b", "d", "d"]))
        self.candidates.expired()
        result(self.candidates.open(0, self.nobody))
        result(self.candidates.open(0, self.nobody))
        self.assertEqual(self.resolved, 3)

    def test_fewer_than_before(self) -> None:
        """Where there are fewer sources by now, one that is not there any more is tried as it was."""
        self.start()
        del self.sources[1:]
        self.candidates.expired()
        result(self.candidates.open(2, self.nobody))
        self.assertEqual(self.origins.asked, ["a", "c"])
        self.assertEqual(self.candidates.source(2).url, "http://origin.test/c")


class RenewalTests(CandidatesTestCase):
    def test_resolved_anew_before_it_counts(self) -> None:
        """A source that is refused is tried again where it is now, before the next one is."""
        self.origins.script["a"] = [SourceGone(502, "refused")]
        fresh = Source(SourceKind.TS, url="http://origin.test/a2")
        resolve = self.candidates._resolve

        async def moves(channel: Channel) -> list[tuple[str, Source]]:
            sources = await resolve(channel)
            self.sources = [("a", fresh)]
            return sources

        self.candidates._resolve = moves
        self.sources = self.sources[:1]
        self.start()
        self.assertEqual((self.resolved, self.candidates.source(0)), (2, fresh))

    def test_the_next_resolved_anew(self) -> None:
        """The next source that is refused is tried where it is now, with a slot of its own, before that counts."""
        self.start()
        self.origins.script["b"] = [SourceGone(502, "refused")]
        fresh = Source(SourceKind.TS, url="http://origin.test/d")
        self.sources[1] = ("b", fresh)
        connected = result(self.candidates.open(1, lambda provider: False))
        self.assertEqual((self.resolved, self.candidates.source(1)), (2, fresh))
        self.assertEqual((self.origins.asked, self.slots.used("b")), (["a", "b", "d"], 1))
        connected.close()
        self.origins.script["d"] = [SourceGone(404, "gone")]
        with self.assertRaises(SourceGone):
            result(self.candidates.open(1, lambda provider: False))
        self.assertEqual((self.resolved, self.origins.asked[3:], self.slots.used("b")), (3, ["d"], 0))

    def test_resolving_fails(self) -> None:
        """An address that is old, and could not be resolved anew, is resolved at the next attempt."""
        self.start()
        self.candidates.expired()
        resolve = self.candidates._resolve

        async def fails(channel: Channel) -> list[tuple[str, Source]]:
            raise REFUSED

        self.candidates._resolve = fails
        with self.assertRaisesRegex(UpstreamError, "refused"):
            result(self.candidates.open(1, lambda provider: False))
        self.candidates._resolve = resolve
        self.sources[1] = ("b", Source(SourceKind.TS, url="http://origin.test/d"))
        result(self.candidates.open(1, lambda provider: False))
        self.assertEqual(self.origins.asked, ["a", "d"])

    def test_still_at_the_same_place(self) -> None:
        """Where nothing has changed it is not tried twice."""
        for name in "abc":
            self.origins.script[name] = [SourceGone(404, "gone")]
        with self.assertRaises(SourceGone):
            self.start()
        self.assertEqual(self.resolved, 2)
