"""The best variant is chosen, a live stream is begun behind its edge, and no move of the playlist loses the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.hls_position import Next, Position, choose
from iptvd.protocols.hls_values import MediaPlaylist, MultivariantPlaylist, Rendition, Segment, Variant


def playlist(
    first: int, count: int, duration: float = 2.0, target: float = 2.0, ended: bool = False, broken: int | None = None
) -> MediaPlaylist:
    segments = tuple(
        Segment(f"http://example.com/{number}.ts", duration, number, discontinuity=number == broken)
        for number in range(first, first + count)
    )
    return MediaPlaylist(target, first, 0, segments, ended, False)


def taken(position: Position) -> list[tuple[int, bool]]:
    """The numbers of all that can be taken now, and whether each breaks with what came before."""
    found: list[tuple[int, bool]] = []
    while (following := position.take()) is not None:
        found.append((following.segment.sequence, following.broken))
    return found


class ChooseTests(SynchronousTestCase):
    def chosen(self, *variants: Variant, cap: int = 0, renditions: tuple[Rendition, ...] = ()) -> tuple[str, str]:
        choice = choose(MultivariantPlaylist(variants, renditions, False, {}), cap)
        return choice.variant.uri, choice.audio.name if choice.audio else ""

    def test_the_best_within_the_cap(self) -> None:
        """The best variant that the cap allows is chosen, or the smallest when none is small enough."""
        variants = (Variant("low", 1000), Variant("high", 5000), Variant("middle", 3000))
        self.assertEqual(self.chosen(*variants)[0], "high")
        self.assertEqual(self.chosen(*variants, cap=4000)[0], "middle")
        self.assertEqual(self.chosen(*variants, cap=500)[0], "low")

    def test_sound_that_comes_along(self) -> None:
        """A variant with its sound in it is preferred to a better one whose sound is apart, if there is such a one."""
        apart = Variant("apart", 5000, audio="a")
        sound = (Rendition("AUDIO", "a", "English", uri="u"), Rendition("SUBTITLES", "a", "Text", uri="u"))
        self.assertEqual(self.chosen(apart, Variant("along", 1000), renditions=sound), ("along", ""))
        self.assertEqual(self.chosen(apart, renditions=sound), ("apart", "English"))
        self.assertEqual(self.chosen(apart, cap=10, renditions=sound), ("apart", "English"))

    def test_which_sound(self) -> None:
        """Of sounds that are apart the default is heard; one without an address is in the picture's segments."""
        variant = Variant("v", 1000, audio="a")
        english, german = (
            Rendition("AUDIO", "a", "English", uri="u"),
            Rendition("AUDIO", "a", "German", "", True, uri="w"),
        )
        self.assertEqual(self.chosen(variant, renditions=(english, german)), ("v", "German"))
        self.assertEqual(self.chosen(variant, renditions=(english, Rendition("AUDIO", "a", "In it"))), ("v", ""))
        self.assertEqual(self.chosen(variant, renditions=(Rendition("AUDIO", "b", "Other", uri="u"),)), ("v", ""))

    def test_sound_alone(self) -> None:
        """A variant of sound alone is chosen only when there is nothing else."""
        sound = Variant("sound", 9000, codecs=("mp4a.40.2",))
        self.assertEqual(self.chosen(sound, Variant("low", 1000))[0], "low")
        self.assertEqual(self.chosen(sound, Variant("low", 1000, codecs=("avc1.4d", "mp4a.40.2")))[0], "low")
        self.assertEqual(self.chosen(sound)[0], "sound")


class PositionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.position = Position()

    def test_begins_behind_the_edge(self) -> None:
        """A live stream is begun three segments before its end, or more when they are short, or with the first."""
        for given_playlist, first in (
            (playlist(10, 6), 13),
            (playlist(10, 6, 1.8), 13),
            (playlist(10, 6, 1.0), 11),
            (playlist(10, 6, 0.5), 10),
            (playlist(10, 2), 10),
            (playlist(10, 6, 8.0), 13),
            (playlist(10, 6, ended=True), 10),
        ):
            position = Position()
            self.assertTrue(position.see(given_playlist))
            following = position.take()
            assert following is not None
            self.assertEqual((following.segment.sequence, following.broken), (first, False))

    def test_before_anything(self) -> None:
        """Without a playlist, or with an empty one, there is nothing to take and nothing is over."""
        self.assertIsNone(self.position.take())
        self.assertFalse(self.position.done)
        self.assertEqual(self.position.ahead(10), 0.0)
        self.position.see(playlist(5, 0))
        self.assertIsNone(self.position.take())

    def test_goes_on(self) -> None:
        """Each segment is taken once, as playlists move on, and breaks that are announced are told."""
        self.position.see(playlist(10, 6, broken=13))
        self.assertEqual(taken(self.position), [(13, False), (14, False), (15, False)])
        self.assertFalse(self.position.see(playlist(10, 6)))
        self.assertEqual(taken(self.position), [])
        self.assertTrue(self.position.see(playlist(12, 6, broken=17)))
        self.assertEqual(taken(self.position), [(16, False), (17, True)])

    def test_falls_behind(self) -> None:
        """Segments that left the playlist before their turn are skipped up to the edge, and the break is told."""
        self.position.see(playlist(10, 6))
        self.position.take()
        self.position.see(playlist(30, 6))
        self.assertEqual(taken(self.position), [(33, True), (34, False), (35, False)])

    def test_an_old_copy(self) -> None:
        """An old copy of the playlist, as caches give, changes nothing, however often new and old alternate."""
        self.position.see(playlist(10, 6))
        taken(self.position)
        for step in range(1, 6):
            self.assertFalse(self.position.see(playlist(8 + step, 6)))
            self.assertEqual(taken(self.position), [])
            self.position.see(playlist(10 + step, 6))
            self.assertEqual(taken(self.position), [(15 + step, False)])

    def test_a_reset(self) -> None:
        """When the numbers begin anew, reading goes on at the new edge."""
        self.position.see(playlist(1000, 6))
        taken(self.position)
        self.assertTrue(self.position.see(playlist(0, 4)))
        self.assertEqual(taken(self.position), [(1, True), (2, False), (3, False)])

    def test_a_reset_that_is_hard_to_tell(self) -> None:
        """Numbers that began anew soon after the start are told from an old copy because they go on."""
        self.position.see(playlist(0, 6))
        taken(self.position)
        self.assertFalse(self.position.see(playlist(0, 3)))
        self.assertFalse(self.position.see(playlist(0, 3)))
        self.assertTrue(self.position.see(playlist(0, 4)))
        self.assertEqual(taken(self.position), [(1, True), (2, False), (3, False)])

    def test_a_reset_before_the_first(self) -> None:
        """A reset before anything was taken is no break."""
        self.position.see(playlist(1000, 6))
        self.position.see(playlist(0, 4))
        self.assertEqual(self.position.take(), Next(playlist(0, 4).segments[1], False))

    def test_the_end(self) -> None:
        """It is over when the playlist has ended and all of it was taken."""
        self.position.see(playlist(0, 3))
        taken(self.position)
        self.assertFalse(self.position.done)
        self.assertTrue(self.position.see(playlist(0, 3, ended=True)))
        self.assertTrue(self.position.done)
        self.position.see(playlist(0, 4, ended=True))
        self.assertFalse(self.position.done)

    def test_what_is_ahead(self) -> None:
        """What is listed ahead is counted in seconds, no further than needed."""
        self.position.see(playlist(0, 10, ended=True))
        self.assertEqual(self.position.ahead(99), 0.0)
        self.position.take()
        self.assertEqual(self.position.ahead(99), 18.0)
        self.assertEqual(self.position.ahead(5), 6.0)
        self.position.see(playlist(5, 10, ended=True))
        self.assertEqual(self.position.ahead(99), 20.0)

    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8), st.integers(0, 9)), max_size=30))
    def test_any_moves(self, moves: list[tuple[int, int, int]]) -> None:
        """However playlists jump, a number that does not follow the last is always told as a break."""
        position, last = Position(), None
        for first, count, takes in moves:
            position.see(playlist(first, count))
            for _ in range(takes):
                following = position.take()
                if following is None:
                    break
                if last is not None and following.segment.sequence != last + 1:
                    self.assertTrue(following.broken)
                last = following.segment.sequence
