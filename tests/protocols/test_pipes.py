"""Pipes that streams share."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.pipes import ENOUGH, LARGE, SMALL, Pipe, PipePool
from tests.protocols.splicing import descriptors


class PipePoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.before = descriptors()

    def pool(self, **options: int) -> PipePool:
        pool = PipePool(**options)
        self.addCleanup(pool.close)
        return pool

    def test_few_are_large(self) -> None:
        """While few are in use they are large; the rest are small, so that an unprivileged user has a thousand."""
        pool = self.pool(few=2)
        pipes = [pool.borrow() for _ in range(4)]
        self.assertEqual([pipe.size for pipe in pipes], [LARGE, LARGE, SMALL, SMALL])
        self.assertEqual(fcntl.fcntl(pipes[0].reader, fcntl.F_GETPIPE_SZ), LARGE)
        self.assertEqual([pipe.enough for pipe in pipes], [ENOUGH, ENOUGH, SMALL // 2, SMALL // 2])
        self.assertEqual([pipe.pieces for pipe in pipes], [pipe.size // mmap.PAGESIZE for pipe in pipes])
        self.assertEqual(pool.in_use, 4)
        for pipe in pipes:
            pool.give_back(pipe)
        self.assertEqual(pool.in_use, 0)
        self.assertEqual({pool.borrow().size, pool.borrow().size}, {LARGE})
        self.assertIn(pool.borrow(), pipes[2:])

    def test_pipes_are_used_again(self) -> None:
        """Borrowing and giving back a thousand times opens one pipe."""
        pool = self.pool()
        for _ in range(1000):
            pool.give_back(pool.borrow())
        self.assertEqual(descriptors(), self.before + 2)
        pool.close()
        self.assertEqual(descriptors(), self.before)

    def test_none_are_kept_when_it_is_quiet(self) -> None:
        """Pipes that nobody uses can be closed, and are made anew when they are needed, the first ones large."""
        pool = self.pool(few=1)
        for pipe in [pool.borrow() for _ in range(3)]:
            pool.give_back(pipe)
        used = pool.borrow()
        self.assertEqual(used.size, LARGE)
        pool.shrink()
        self.assertEqual(descriptors(), self.before + 2)
        pool.give_back(used)
        pool.shrink()
        self.assertEqual(descriptors(), self.before)
        self.assertEqual([pool.borrow().size, pool.borrow().size], [LARGE, SMALL])

    def test_not_more_are_kept_than_are_spared(self) -> None:
        """After a rush only some pipes stay open."""
        pool = self.pool(few=1, spare=3)
        pipes = [pool.borrow() for _ in range(10)]
        for pipe in pipes:
            pool.give_back(pipe)
        self.assertEqual(descriptors(), self.before + 2 * 4)

    def test_one_with_leftovers_is_closed(self) -> None:
        """No stream ever gets bytes that another left in its pipe."""
        pool = self.pool(few=1)
        for _ in range(3):
            pipe = pool.borrow()
            self.assertEqual(pipe.size, LARGE)
            os.write(pipe.writer, b"left")
            pipe.held = 4
            pool.give_back(pipe)
            self.assertEqual(descriptors(), self.before)

    def test_an_unprivileged_user(self) -> None:
        """Who may not have large pipes gets what there is, and is not asked again and again."""
        real = fcntl.fcntl
        asked = []

        def refuse(number: int, command: int, *value: int) -> int:
            if command == fcntl.F_SETPIPE_SZ:
                asked.append(value)
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return real(number, command, *value)

        pool = self.pool(few=5)
        with mock.patch("fcntl.fcntl", side_effect=refuse):
            pipes = [pool.borrow() for _ in range(4)]
        self.assertEqual({pipe.size for pipe in pipes}, {SMALL})
        self.assertEqual(len(asked), 1)
        for pipe in pipes:
            pool.give_back(pipe)
        self.assertEqual(descriptors(), self.before + 8)

    def test_a_user_who_has_too_many(self) -> None:
        """A pipe of two pages, which the kernel gives to who has too many, works and is not kept."""
        real = fcntl.fcntl

        def scant(number: int, command: int, *value: int) -> int:
            if command == fcntl.F_SETPIPE_SZ:
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return real(number, fcntl.F_SETPIPE_SZ, 8192)

        pool = self.pool()
        with mock.patch("fcntl.fcntl", side_effect=scant):
            pipe = pool.borrow()
        self.assertEqual(pipe.size, 8192)
        pool.give_back(pipe)
        self.assertEqual(descriptors(), self.before)

    def test_closed_while_in_use(self) -> None:
        """A pipe that comes back after the pool was closed is closed too."""
        pool = self.pool()
        pipe: Pipe = pool.borrow()
        pool.close()
        pool.give_back(pipe)
        self.assertEqual(descriptors(), self.before)
