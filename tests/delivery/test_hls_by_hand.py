"""Having viewers of HLS go over to a channel's next source by hand."""

from __future__ import annotations

from tests.delivery.hls_switching import DOWN, OTHER, THREE, TWO, SwitchingTestCase
from tests.delivery.test_hub import VIEWER


class ByHandTests(SwitchingTestCase):
    @property
    def channel_id(self) -> int:
        assert self.channel is not None
        return self.channel.id

    def test_in_order(self) -> None:
        """Each time the player's playlist goes on with the next source in order, from the last to the first."""
        self.offer("r", THREE)
        (token,) = self.begin()
        end = self.read(token, seconds=0).end
        for host, place in (("two", 1), ("three", 2), ("one", 0)):
            self.assertEqual(self.relay.fail_over(self.channel_id), 1)
            now = self.read(token)
            self.assertTrue(self.urls(now)[0].startswith(f"{host}.test"))
            self.assertEqual((now.media_sequence, now.segments[0].discontinuity), (end, True))
            self.assertEqual(self.relay.leading(self.channel_id), place)
            self.assertEqual(self.switches.pop()[2], "by hand")
            end = now.end
            # It stays there.
            self.assertTrue(self.urls(self.read(token))[-1].startswith(f"{host}.test"))
            end += 1
        self.assertEqual(len(self.hub.sessions), 1)

    def test_at_hand(self) -> None:
        """A playlist that is at hand is not given to a player that is to go over."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.assertIsNotNone(self.relay.playlist_at_once(token, VIEWER))
        self.relay.fail_over(self.channel_id)
        self.assertIsNone(self.relay.playlist_at_once(token, VIEWER))

    def test_all_of_them(self) -> None:
        """All who watch the channel go over, and nobody else; that is told once."""
        (token,), (another,) = self.begin(), self.begin(OTHER)
        self.read(token, seconds=0)
        self.read(another, OTHER, 0)
        self.assertEqual((self.relay.fail_over(self.channel_id), self.relay.fail_over(self.channel_id + 1)), (2, 0))
        self.assertTrue(self.urls(self.read(token))[0].startswith("two.test"))
        self.assertTrue(self.urls(self.read(another, OTHER, 0))[0].startswith("two.test"))
        self.assertEqual(len(self.switches), 1)

    def test_none_that_works(self) -> None:
        """Where no other works the player stays with what it has, and it is not tried again and again."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(TWO, DOWN)
        self.relay.fail_over(self.channel_id)
        self.assertTrue(self.urls(self.read(token))[0].startswith("one.test"))
        asked = self.asks.count(TWO)
        self.read(token)
        self.read(token)
        self.assertEqual((self.asks.count(TWO), asked), (1, 1))

    def test_nobody(self) -> None:
        """A channel that nobody watches so has no source."""
        self.assertEqual((self.relay.fail_over(self.channel_id), self.relay.leading(self.channel_id)), (0, None))
