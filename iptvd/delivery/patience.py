"""A moment's patience with players that zap: one may open the new channel just before it closes the old one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from iptvd.errors import LimitError

T = TypeVar("T")

#: Seconds that a viewer waits for its own old connection to be gone, before it is refused.
ZAP = 0.2
#: Seconds between two looks whether it is.
ZAP_LOOK = 0.05


async def patiently(clock: IReactorTime, begin: Callable[[], Awaitable[T]]) -> T:
    """
    What ``begin`` gives, which is tried again while a limit is in its way.

    :raises LimitError: when it still is after `ZAP` seconds.
    """
    until = clock.seconds() + ZAP
    while True:
        try:
            return await begin()
        except LimitError:
            if clock.seconds() >= until:
                raise
        await deferLater(clock, ZAP_LOOK)
