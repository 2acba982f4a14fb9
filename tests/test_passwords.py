"""Passwords for the pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import LimitError
from iptvd.passwords import AT_ONCE, LONGEST, MOST_WAITING, Passwords
from tests.doubles import offload, result


class PasswordsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.passwords = Passwords(offload)

    def test_a_password(self) -> None:
        """A password fits what was kept of it, and another one does not; what is kept does not have it."""
        kept = result(self.passwords.hash("geheim ☃"))
        self.assertTrue(kept.startswith("$argon2id$"))
        self.assertNotIn("geheim", kept)
        self.assertNotEqual(kept, result(self.passwords.hash("geheim ☃")))
        for password, fits in (("geheim ☃", True), ("geheim", False), ("", False)):
            self.assertIs(result(self.passwords.fits(password, kept)), fits)

    def test_what_cannot_fit(self) -> None:
        """Nothing fits where no password is kept, or something that is none; and no password is endless."""
        kept = result(self.passwords.hash("x" * (LONGEST + 1)))
        for password, text in (("", ""), ("x", ""), ("x", "no hash"), ("x", "$argon2id$v=19$"), ("x" * 2000, kept)):
            self.assertIs(result(self.passwords.fits(password, text)), False, text)


class CrowdTests(SynchronousTestCase):
    """Threads that take their time."""

    def setUp(self) -> None:
        self.running: list[Deferred[Any]] = []
        self.passwords = Passwords(self.slowly)

    def slowly(self, work: Callable[..., Any], /, *args: object) -> Awaitable[Any]:
        done: Deferred[Any] = Deferred()
        self.running.append(done)
        return done

    def begin(self, count: int) -> list[Deferred[bool]]:
        return [Deferred.fromCoroutine(self.passwords.fits("x", "")) for _ in range(count)]

    def test_a_storm(self) -> None:
        """Of a thousand at once two are worked on and some wait; the others are told so at once."""
        works = self.begin(1000)
        self.assertEqual(len(self.running), AT_ONCE)
        told = works[AT_ONCE + MOST_WAITING :]
        self.assertEqual(len(told), 1000 - AT_ONCE - MOST_WAITING)
        for work in told:
            self.assertIn("try again", str(self.failureResultOf(work, LimitError).value))
        while len(self.running) < AT_ONCE + MOST_WAITING:
            self.running[len(self.running) - AT_ONCE].callback(False)
        for done in self.running[-AT_ONCE:]:
            done.callback(True)
        self.assertEqual([self.successResultOf(work) for work in works[: AT_ONCE + MOST_WAITING]][-1], True)
        self.begin(1)
        self.assertEqual(len(self.running), AT_ONCE + MOST_WAITING + 1)

    def test_leaving(self) -> None:
        """Who leaves makes room for another only when the thread is done, or at once where it has not begun."""
        works = self.begin(AT_ONCE + 1)
        for work in works:
            work.cancel()
            self.failureResultOf(work, CancelledError)
        (last,) = self.begin(1)
        self.assertEqual(len(self.running), AT_ONCE)
        self.running[0].callback(True)
        self.assertEqual(len(self.running), AT_ONCE + 1)
        self.running[-1].errback(ValueError("a fault"))
        self.failureResultOf(last, ValueError)
        self.begin(1)
        self.assertEqual(len(self.running), AT_ONCE + 2)
