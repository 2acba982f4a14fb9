"""The provider for websites that list channels: what they announce."""

from __future__ import annotations

from iptvd.errors import ProviderError
from iptvd.model import ProviderState
from iptvd.providers import daddylive as module
from tests.providers.daddylive_case import HOME, LIST, S1, DaddyliveTestCase
from tests.website.pages import text_vector, vector


class ScheduleTests(DaddyliveTestCase):
    def test_shapes(self) -> None:
        """Events are announced whatever shape the schedule has."""
        self.web.pages = {S1: vector("s1.json")}
        self.assertEqual(len(self.schedule().events), 6)
        self.assertEqual(sum(self.schedule().skipped.values()), 16)
        for page in (404, 500, b"<html>", b"{}", b"[1]"):
            self.web.pages = {S1: page, HOME: vector("s2.html")}
            self.assertEqual(len(self.schedule().events), 5)

    def test_pages_that_fail(self) -> None:
        """Where one page fails and the other has none, it is said what failed; a refusal ends it at once."""
        for page, home, state in (
            (500, b"<html>", ProviderState.UNREACHABLE),
            (403, vector("s2.html"), ProviderState.BLOCKED),
        ):
            self.web.pages = {S1: page, HOME: home}
            with self.assertRaises(ProviderError) as caught:
                self.schedule()
            self.assertEqual(caught.exception.state, state)

    def test_channels(self) -> None:
        """An event names its channels by the keys of the entries."""
        self.web.pages = {S1: vector("s1.json"), LIST: vector("l1.html")}
        keys = {entry.key for entry in self.fetch().entries}
        self.assertEqual(self.schedule().events[0].channels, ("51", "52"))
        self.assertLessEqual({"51", "52"}, keys)

    def test_zone(self) -> None:
        """The time zone of the settings counts before that of the schedule."""
        self.web.pages = {S1: vector("s1.json")}
        first = self.schedule().events[0].start
        self.provider = self.make(timezone="UTC")
        self.assertEqual(self.schedule().events[0].start - first, 3600)

    def test_unknown_zone(self) -> None:
        """On a machine without time zones it says what to install."""
        self.web.pages = {S1: vector("s1.json")}

        def missing(name: str) -> object:
            raise KeyError(name)

        self.patch(module, "ZoneInfo", missing)
        self.assert_state(self.failure(self.schedule), ProviderState.UNCONFIGURED, "install tzdata")

    def test_not_understood(self) -> None:
        """A schedule in no known shape is a failure that names the place."""
        self.web.pages = {S1: b"<html>", HOME: b"<html>"}
        words = ("schedule, shape S1, the JSON is", "shape S2, 0 of 1 selectors matched")
        self.assert_state(self.failure(self.schedule), ProviderState.NOT_UNDERSTOOD, *words)
        self.web.pages = {S1: 404, HOME: text_vector("s2.html").replace("data-time", "data-t").encode()}
        words = ("shape S1, there is no such page", "shape S2, 1 of 2 selectors matched: none for time")
        self.assert_state(self.failure(self.schedule), ProviderState.NOT_UNDERSTOOD, *words)

    def test_blocked(self) -> None:
        """A refusal is blocked, and the other shape is not tried."""
        for page in (403, vector("challenge.html")):
            self.web.pages = {S1: page, HOME: vector("s2.html")}
            self.assert_state(self.failure(self.schedule), ProviderState.BLOCKED, "status")
