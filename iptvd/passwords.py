"""Passwords for the pages: argon2 hashes, made and checked in threads, two at once and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.internet.defer import DeferredSemaphore

from iptvd.errors import LimitError
from iptvd.finishing import finished
from iptvd.store import Offload

T = TypeVar("T")

#: Hashes that are worked on at once, and how many wait for that: each takes a core for some 30 ms.
AT_ONCE, MOST_WAITING = 2, 16
#: Characters of a password.
LONGEST = 1024

# The least that OWASP's Password Storage Cheat Sheet has for argon2id: one thread, 19 MiB. Media come first here.
_PASSES, _MEMORY_KIB, _LANES = 2, 19_456, 1
_HASHER = PasswordHasher(_PASSES, _MEMORY_KIB, _LANES)
#: Of no password: checking against it is the same work as against any other.
_NOBODYS = f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_LANES}${'A' * 22}${'A' * 43}"


class Passwords:
    """
    Makes and checks them.

    :param offload: does work in a thread; argon2 leaves the interpreter lock alone.
    """

    def __init__(self, offload: Offload) -> None:
        self._offload = offload
        self._slots = DeferredSemaphore(AT_ONCE)

    async def hash(self, password: str) -> str:
        """
        What is kept of a password.

        :raises LimitError: when too many are waiting already.
        """
        return await self._in_turn(_HASHER.hash, password)

    async def fits(self, password: str, kept: str) -> bool:
        """
        Whether this is the password that something was kept of.

        :param kept: empty where there is none: that takes as long, and does not fit.
        :raises LimitError: when too many are waiting already.
        """
        return len(password) <= LONGEST and await self._in_turn(_fits, password, kept)

    async def _in_turn(self, work: Callable[..., T], *values: str) -> T:
        if len(self._slots.waiting) >= MOST_WAITING:
            raise LimitError("too many are logging in at the same time: try again in a moment")
        await self._slots.acquire()
        # A thread cannot be stopped: its place is free when it is done.
        return await finished(self._work(work, *values))

    async def _work(self, work: Callable[..., T], *values: str) -> T:
        try:
            return await self._offload(work, *values)
        finally:
            self._slots.release()


def _fits(password: str, kept: str) -> bool:
    try:
        return _HASHER.verify(kept or _NOBODYS, password)
    except (VerificationError, InvalidHashError):
        return False
