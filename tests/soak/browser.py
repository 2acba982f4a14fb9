"""A player in a browser: hls.js in Chromium, as long as Chromium and hls.js are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

from tests.browser.chromium import Theatre, chromium, pages
from tests.soak.players import Complaint, Progress


class BrowserPlayer(Progress):
    """
    One page with one player; it is looked at from the thread that has made it.

    :param theatre: where it plays.
    """

    def __init__(self, name: str, url: str, theatre: Theatre) -> None:
        super().__init__(name)
        self._theatre = theatre
        self._heard = [0, 0]
        theatre.play(name, url)

    def look(self) -> None:
        """See how far it is, and what is said."""
        seen, now = self._theatre.seen()[self.name], monotonic()
        for which, said in enumerate((self._theatre.complaints, seen.errors)):
            self.complaints += [Complaint(now, words) for words in said[self._heard[which] :]]
            self._heard[which] = len(said)
        self.played = seen.played
        self._see(now)


@contextmanager
def theatre() -> Iterator[Theatre]:
    """A page to play in."""
    with ExitStack() as stack:
        address, browser = stack.enter_context(pages()), stack.enter_context(chromium())
        page = Theatre(browser.new_page(), address)
        yield page
        page.close()
