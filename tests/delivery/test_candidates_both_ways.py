"""A channel of HLS sources that is watched as HLS too, by viewers who hold a connection to the best of them."""

from __future__ import annotations

from attrs import evolve

from iptvd.delivery.candidates import Connected
from iptvd.delivery.opening import FoundPlaylist
from iptvd.delivery.slots import Slot
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.protocols.sniff import Media
from iptvd.recording import connection_of
from tests.delivery.test_candidates import CandidatesTestCase
from tests.delivery.test_relay import CHANNEL
from tests.doubles import result


class BothWaysTests(CandidatesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.limits = {"a": 1, "b": 1}
        self.sources = [(name, Source(SourceKind.HLS, url=f"http://origin.test/{name}")) for name in "ab"]
        self.candidates = self.make(evolve(CHANNEL, source_kind=SourceKind.HLS))
        self.viewers = self.watched("a", 0)

    def watched(self, provider: str, place: int) -> Slot:
        slot = self.slots.share(provider, connection_of(CHANNEL, place))
        assert slot is not None
        return slot

    def nobody(self, provider: str) -> bool:
        return False

    def test_one_connection(self) -> None:
        """Both ways take one connection, which is given back when nobody watches in either."""
        connected = result(self.candidates.open_best(None))
        self.assertEqual((connected.index, self.slots.used("a")), (0, 1))
        self.viewers.release()
        self.assertEqual(self.slots.used("a"), 1)
        self.viewers = self.watched("a", 0)
        connected.close()
        self.assertEqual(self.slots.used("a"), 1)
        self.viewers.release()
        self.assertEqual(self.slots.total, 0)

    def test_the_next_one(self) -> None:
        """Another source that is connected beside it is one more, and shared in its turn."""
        first = result(self.candidates.open_best(None))
        second = result(self.candidates.open(1, self.nobody))
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (1, 1))
        others = self.watched("b", 1)
        for each in (first, second):
            each.close()
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (1, 1))
        others.release()
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (1, 0))

    def test_places_among_what_is_hls(self) -> None:
        """Sources of other forms between them change nothing: viewers of HLS do not know of those."""
        self.sources.insert(0, ("b", Source(SourceKind.TS, url="http://origin.test/c")))
        connected = result(self.candidates.open_best(None))
        self.assertEqual((connected.index, self.slots.used("b")), (0, 1))
        self.assertEqual(result(self.candidates.open(1, self.nobody)).index, 1)
        self.assertEqual(self.slots.used("a"), 1)

    def test_what_is_not_shared(self) -> None:
        """A stream, a command, a playlist that is listed as a stream: each has a connection of its own."""
        stream = Source(SourceKind.TS, url="http://origin.test/a")
        for source in (stream, Source(SourceKind.HLS, command=("a",))):
            self.sources[0] = ("a", source)
            self.assertEqual(result(self.candidates.open_best(None)).index, 1)
            self.candidates = self.make(evolve(CHANNEL, source_kind=SourceKind.HLS))
            self.limits["b"] += 1
        self.sources[0] = ("a", stream)
        self.origins.script["a"] = [FoundPlaylist(), Media.TS]
        self.limits["a"] = 2
        self.candidates.follows = True
        self.assertTrue(result(self.candidates.open_best(None)).disguised)
        self.assertEqual(self.slots.used("a"), 2)
        self.limits["a"] = 3
        result(self.candidates.open(0, self.nobody))
        self.assertEqual(self.slots.used("a"), 3)

    def test_a_channel_of_streams(self) -> None:
        """Of a channel that is no HLS for its viewers nothing is shared."""
        self.candidates = self.make()
        self.assertEqual(result(self.candidates.open_best(None)).index, 1)

    def test_what_has_to_be_read_alone(self) -> None:
        """What another program reads takes a connection of its own, and is refused where there is none."""
        self.origins.alone = {"a", "b"}
        connected = result(self.candidates.open_best(None))
        self.assertEqual((connected.index, self.slots.used("a"), self.slots.used("b")), (1, 1, 1))
        self.assertIsNone(self.slots.share("b", connection_of(CHANNEL, 1)))
        with self.assertRaisesRegex(UpstreamError, "all 1 connections of a are in use"):
            result(self.candidates.open(0, self.nobody))
        del self.sources[1]
        with self.assertRaisesRegex(LimitError, "all 1 connections of a are in use"):
            result(self.make(evolve(CHANNEL, source_kind=SourceKind.HLS)).open_best(None))
        self.assertEqual(self.slots.used("a"), 1)
        self.limits["a"] = 2
        result(self.candidates.open(0, self.nobody)).close()
        self.assertEqual(self.slots.used("a"), 1)

    def test_the_same_again(self) -> None:
        """The same source once more, beside its silent connection, is one more, whoever else has it."""
        self.limits["a"] = 2
        first = result(self.candidates.open_best(None))
        second = result(self.candidates.open(0, self.nobody))
        self.assertEqual(self.slots.used("a"), 2)
        first.close()
        self.assertEqual(self.slots.used("a"), 1)
        self.viewers.release()
        second.close()
        self.assertEqual(self.slots.used("a"), 0)

    def test_the_same_again_where_there_is_one(self) -> None:
        """Where a provider allows one connection the silent one is closed first, also when others share it."""
        for others in (True, False):
            if not others:
                self.viewers.release()
            first = result(self.candidates.open_best(None))
            asked: list[str] = []

            def make_room(provider: str, first: Connected = first, asked: list[str] = asked) -> bool:
                asked.append(provider)
                first.close()
                return True

            second = result(self.candidates.open(0, make_room))
            self.assertEqual((asked, self.slots.used("a")), (["a"], 1))
            second.close()
            self.assertEqual(self.slots.used("a"), int(others))
