"""Viewers of a broadcast, however blocks, joins, slow readers and leavers come together."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from iptvd.protocols.mpegts import PACKET
from tests.delivery.test_viewers import BroadcastTestCase, Player
from tests.protocols.tsmaking import continuity_errors, made_film

FILM = made_film(seconds=6)
#: What happens between two blocks: somebody joins by a socket or a transport, reads, stops reading, or leaves.
ACTS = st.sampled_from(["nothing", "socket", "transport", "read", "read", "leave"])


class RandomViewersTests(BroadcastTestCase):
    @settings(max_examples=25)
    @given(st.lists(st.tuples(st.integers(1, 120), ACTS, st.integers(0, 9)), min_size=4, max_size=40))
    def test_each_gets_the_film_from_where_it_began(self, course: list[tuple[int, str, int]]) -> None:
        """Whoever stays gets every byte once and in order from a join point on, whatever the others do."""
        self.setUp()
        players: list[Player] = []
        at = 0
        for packets, act, which in course:
            block = FILM[at : at + packets * PACKET]
            at += len(block)
            self.feed(block, 0.05, max(len(block), PACKET))
            self.act(players, act, which)
        self.feed(FILM[at:], 0.05, 100 * PACKET)
        for player in players:
            got = self.settle(player)
            self.assertGreater(len(got), 2 * PACKET)
            self.assertTrue(FILM.endswith(got[2 * PACKET :]), "not the end of the film")
            self.assertEqual(continuity_errors(got), [])
        self.assertEqual(set(self.broadcast.viewers), {player.viewer for player in players})

    def act(self, players: list[Player], act: str, which: int) -> None:
        if act in ("socket", "transport"):
            player = self.on_socket() if act == "socket" else self.on_transport()
            players.append(player)
            self.broadcast.add(player.viewer, back=which / 4)
        elif players and act == "read":
            players[which % len(players)].read()
            self.writers.tell()
        elif players and act == "leave":
            player = players.pop(which % len(players))
            self.broadcast.remove(player.viewer)
            player.viewer.stop()
