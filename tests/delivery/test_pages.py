"""What many viewers are given at once."""

from __future__ import annotations

import os

from iptvd.delivery import pages
from iptvd.protocols.mpegts import PACKET
from tests.delivery import test_viewers
from tests.protocols.tsmaking import made_film


class PagesTests(test_viewers.ViewerTests):
    """The same where viewers are given pages of memory instead of copies."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(pages, "LEAST_BYTES", 1)
        self.patch(pages, "LEAST_SOCKETS", 1)
        self.sent = 0
        send = os.sendfile

        def sendfile(to: int, file: int, offset: int, count: int) -> int:
            self.sent += 1
            return send(to, file, offset, count)

        self.patch(os, "sendfile", sendfile)

    def test_all_that_is_given_to_many(self) -> None:
        """Those who have got all there was are given what comes next from pages, and only those."""
        self.assert_given_from_pages(True)

    def test_where_there_are_none(self) -> None:
        """Where the system gives no such pages, viewers get every byte all the same."""

        def refuse(name: str, flags: int) -> int:
            raise OSError(24, "too many open files")

        self.patch(os, "memfd_create", refuse)
        self.assert_given_from_pages(False)

    def test_where_they_do_not_hold_all(self) -> None:
        """Nor is anything lost where the pages turn out to be too few."""
        self.patch(os, "write", lambda file, data: len(data) - 1)
        self.assert_given_from_pages(False)

    def test_where_there_is_no_room(self) -> None:
        """Nor where there is no memory for them."""

        def refuse(file: int, data: bytes) -> int:
            raise OSError(28, "no space")

        self.patch(os, "write", refuse)
        self.assert_given_from_pages(False)

    def assert_given_from_pages(self, given: bool) -> None:
        film = made_film(seconds=6)
        half = len(film) // 2 // PACKET * PACKET
        self.feed(film[:half])
        players = [make() for make in self.each() * 3]
        for player in players:
            self.broadcast.add(player.viewer, back=100.0)
            self.settle(player)
        before = test_viewers.open_descriptors()
        for start in range(half, len(film), 50 * PACKET):
            self.feed(film[start : start + 50 * PACKET])
            for player in players[1:]:
                self.settle(player)
        self.assertEqual(self.sent > 0, given)
        for player in players:
            self.assertTrue(film.endswith(self.settle(player)[2 * PACKET :]))
        self.assertEqual(test_viewers.open_descriptors(), before)
