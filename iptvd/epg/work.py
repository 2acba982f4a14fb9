"""The children that write the guide's database, one after another, and what they say of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from twisted.internet.defer import DeferredLock

from iptvd.epg.child import DAMAGED, NOT_UNDERSTOOD
from iptvd.errors import ProviderError, StoreError
from iptvd.model import ProviderState


class DamagedError(StoreError):
    """The database cannot be used any more."""


class Writers:
    """
    Runs the modules of this package that write, each to its end before the next.

    :param run: see `iptvd.children.Children.run`.
    """

    def __init__(self, run: Callable[[Sequence[str]], Awaitable[tuple[int, bytes]]]) -> None:
        self._run = run
        self._lock = DeferredLock()

    async def __call__(self, module: str, *arguments: str) -> dict[str, Any]:
        """
        What a module says when it has done its work.

        :param module: its name within this package.
        :raises ProviderError: when what it was given is not what it should be; the sentence says why.
        :raises DamagedError: when the database is.
        :raises StoreError: when it could not be run or was ended.
        """
        await self._lock.acquire()
        try:
            status, heard = await self._run([sys.executable, "-m", f"iptvd.epg.{module}", *arguments])
        finally:
            self._lock.release()
        said = _last_line(heard)
        if status == 0 and said is not None:
            return said
        if status == NOT_UNDERSTOOD and said is not None:
            raise ProviderError(ProviderState(said["state"]), str(said["sentence"]))
        if status == DAMAGED:
            raise DamagedError("the guide's database is damaged")
        raise StoreError(f"the guide could not be worked on ({module} ended with {status})")


def _last_line(heard: bytes) -> dict[str, Any] | None:
    lines = heard.decode("utf-8", "replace").strip().splitlines()
    try:
        said = json.loads(lines[-1])
    except (IndexError, ValueError):
        return None
    return said if isinstance(said, dict) else None
