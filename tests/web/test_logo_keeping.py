"""Logos on the disk: what is kept, and what goes when there is no room."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.logo import LogoCache
from tests.doubles import folder_for, offload
from tests.web.logos import PNG, Slow

T = TypeVar("T")


class KeepingTests(SynchronousTestCase):
    """`LogoCache` on its disk."""

    def setUp(self) -> None:
        self.folder = folder_for(self) / "logos"
        self.fetcher = Slow()
        self.offload: Callable[..., Awaitable[object]] = offload
        self.now = 0.0

    def cache(self, limit: int = 1000) -> LogoCache:
        return LogoCache(self.folder, lambda provider: self.fetcher, self._offload, lambda: self.now, limit)

    def _offload(self, work: Callable[..., T], /, *args: object) -> Awaitable[T]:
        return self.offload(work, *args)  # type: ignore[return-value]

    def put(self, cache: LogoCache, *names: str, size: int = 300) -> None:
        for name in names:
            asked = Deferred.fromCoroutine(cache.get(f"http://example.com/{name}", "home"))
            self.fetcher.answer(PNG + bytes(size - len(PNG)))
            self.assertEqual(len(self.successResultOf(asked)), size)

    def kept(self, cache: LogoCache, *names: str) -> list[str]:
        """Those of them that need not be fetched."""
        found = []
        for name in names:
            asked = Deferred.fromCoroutine(cache.get(f"http://example.com/{name}", "home"))
            if asked.called:
                found.append(name)
            else:
                asked.cancel()
            asked.addErrback(lambda failure: failure.trap(CancelledError) and None)
        return found

    def size(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir())

    def test_the_oldest_go_first(self) -> None:
        """When all logos together are more than they may be, the oldest are dropped."""
        cache = self.cache()
        self.put(cache, "a", "b", "c", "d")
        self.assertEqual(self.kept(cache, "a", "b", "c", "d"), ["b", "c", "d"])
        self.assertEqual(self.size(), 900)

    def test_over_a_restart(self) -> None:
        """What was there before a restart counts, by its age; a file being written is left alone."""
        self.put(self.cache(), "a", "b", "c")
        for age, name in enumerate(sorted(self.folder.iterdir(), key=lambda file: file.name)):
            os.utime(name, (age, age))
        oldest = min(self.folder.iterdir(), key=lambda file: file.stat().st_mtime)
        partial = self.folder / ".x.1.partial"
        partial.write_bytes(bytes(10**4))
        self.put(self.cache(), "d")
        self.assertFalse(oldest.exists())
        self.assertTrue(partial.exists())
        self.assertEqual(self.size(), 900 + 10**4)

    def test_one_that_is_too_much_by_itself(self) -> None:
        """A logo that is more than all may be is shown and not kept."""
        cache = self.cache(limit=100)
        self.put(cache, "a")
        self.assertEqual(self.kept(cache, "a"), [])
        self.assertEqual(self.size(), 0)

    def test_a_new_bound(self) -> None:
        """A smaller bound counts from the next logo on."""
        cache = self.cache()
        self.put(cache, "a", "b", "c")
        cache.limit = 350
        self.put(cache, "d")
        self.assertEqual(self.kept(cache, "a", "b", "c", "d"), ["d"])

    def test_files_that_vanish(self) -> None:
        """When somebody empties the folder the logos are fetched anew, and dropping what is gone is no fault."""
        cache = self.cache()
        self.put(cache, "a", "b", "c")
        for file in self.folder.iterdir():
            file.unlink()
        self.folder.rmdir()
        self.put(cache, "d", "a", "b", "c")
        self.assertEqual(self.kept(cache, "a", "b", "c", "d"), ["a", "b", "c"])

    def test_a_disk_that_is_full(self) -> None:
        """A logo that cannot be kept is shown all the same, and once it can be, it is kept."""
        self.folder.write_text("in the way")
        cache = self.cache()
        self.put(cache, "a", "b")
        self.folder.unlink()
        self.put(cache, "a")
        self.assertEqual(self.kept(cache, "a"), ["a"])

    def test_several_at_once(self) -> None:
        """Logos that are written at the same time are all counted."""
        waiting: list[tuple[Deferred[object], Callable[..., object], tuple[object, ...]]] = []

        def later(work: Callable[..., object], /, *args: object) -> Awaitable[object]:
            done: Deferred[object] = Deferred()
            waiting.append((done, work, args))
            return done

        def run() -> None:
            for done, work, args in waiting[:]:
                waiting.pop(0)
                done.callback(work(*args))

        cache = self.cache(limit=700)
        self.offload = later
        asked = [Deferred.fromCoroutine(cache.get(f"http://example.com/{number}", "home")) for number in range(4)]
        run()
        for _ in asked:
            self.fetcher.answer(PNG + bytes(300 - len(PNG)))
        while waiting:
            run()
        self.assertEqual([len(self.successResultOf(one)) for one in asked], [300] * 4)
        self.assertEqual(self.size(), 600)

    def test_viewers_that_leave_while_it_is_written(self) -> None:
        """A logo that is written although its viewers have left counts as well."""
        cache = self.cache(limit=700)
        self.put(cache, "a")
        stuck: list[tuple[Callable[..., object], tuple[object, ...]]] = []

        def stick(work: Callable[..., object], /, *args: object) -> Awaitable[object]:
            if "write" in work.__name__:
                stuck.append((work, args))
                return Deferred()
            return offload(work, *args)

        self.offload = stick
        asked = Deferred.fromCoroutine(cache.get("http://example.com/b", "home"))
        self.fetcher.answer(PNG + bytes(300 - len(PNG)))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        ((work, args),) = stuck
        work(*args)
        self.offload = offload
        self.put(cache, "c")
        self.assertEqual(self.kept(cache, "a", "b", "c"), ["b", "c"])
        self.assertEqual(self.size(), 600)
