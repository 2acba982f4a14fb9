"""What the API has been told to keep, in memory: users, streams, channels, webhooks. Each change is on disk first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import DeferredLock
from twisted.python.failure import Failure

from iptvd.errors import StoreError
from iptvd.finishing import finished
from iptvd.interfaces import IStore
from iptvd.log import Log

#: One object: JSON values by name.
Record = Mapping[str, object]

_NOTHING: Mapping[str, Record] = MappingProxyType({})


class Records:
    """
    All of it.

    A change that has begun is made, whether or not whoever asked for it still waits: what is in memory is what is on
    disk.

    :ivar unreadable: why what was kept cannot be read, empty when it could; nothing is known then, and nothing is
        kept until the daemon is started again.
    :ivar failure: why the last change could not be kept, empty when it was.
    """

    log = Log()

    def __init__(self, store: IStore) -> None:
        self.unreadable = ""
        self.failure = ""
        self._store = store
        self._kinds: dict[str, dict[str, Record]] = {}
        self._listeners: dict[str, list[Callable[[str], None]]] = {}
        # One change at a time, so that they are made in the order in which they were asked for.
        self._changing = DeferredLock()

    def load(self) -> None:
        """Read what was kept; what cannot be read is said by ``unreadable``."""
        try:
            self._kinds = {kind: dict(records) for kind, records in self._store.load().items()}
        except StoreError as error:
            self.unreadable = error.sentence
            self.log.error("what the API has kept cannot be read: {reason}", reason=error.sentence)

    def all(self, kind: str) -> Mapping[str, Record]:
        """Those of one kind, by name, in the order in which they came."""
        return self._kinds.get(kind, _NOTHING)

    def on_change(self, kind: str, call: Callable[[str], None]) -> None:
        """Have this called with the name of each record of a kind that has been kept, changed or removed."""
        self._listeners.setdefault(kind, []).append(call)

    async def put(self, kind: str, name: str, value: Record) -> None:
        """
        Keep a record in place of what has its name.

        :raises StoreError: when it cannot be kept; nothing has changed then.
        """
        await finished(self._change(kind, name, value))

    async def remove(self, kind: str, name: str) -> None:
        """
        Forget a record, or do nothing where there is none.

        :raises StoreError: when that cannot be kept; nothing has changed then.
        """
        await finished(self._change(kind, name, None))

    async def _change(self, kind: str, name: str, value: Record | None) -> None:
        if self.unreadable:
            raise StoreError(f"nothing can be kept: {self.unreadable}")
        await self._changing.acquire()
        try:
            if value is None and name not in self.all(kind):
                return
            await self._keep(kind, name, value)
        finally:
            self._changing.release()
        for call in self._listeners.get(kind, ()):
            try:
                call(name)
            except Exception:
                # It is kept, and the others have to hear of it: one of them ends what is no longer allowed.
                self.log.fault("a fault of ours, with what was kept", Failure())

    async def _keep(self, kind: str, name: str, value: Record | None) -> None:
        store: Any = self._store
        try:
            await (store.remove(kind, name) if value is None else store.put(kind, name, value))
        except StoreError as error:
            self.failure = error.sentence
            self.log.error("what the API was told cannot be kept: {reason}", reason=error.sentence)
            raise
        self.failure = ""
        records = self._kinds.setdefault(kind, {})
        if value is None:
            records.pop(name, None)
        else:
            records[name] = value
