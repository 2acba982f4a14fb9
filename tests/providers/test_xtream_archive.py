"""The provider for Xtream panels: what was shown before, its guide, and what one channel shows next."""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qs, urlsplit

from attrs import evolve
from zope.interface.verify import verifyObject

from iptvd.interfaces import IArchive, IGuided, IShortGuide
from iptvd.model import Entry, Programme, ProviderState, Source, SourceKind
from iptvd.providers.xtream import PROGRAMMES, XtreamProvider
from tests.providers.xtream_case import USER, WORD, XtreamTestCase
from tests.simulators.panel import CUT_SHORT, Fault
from tests.simulators.panel_content import Shape, programme

NOW = 1_772_694_429
START = 1_772_690_828
HOUR = 3600
KEPT = Entry("live:51", "One", catchup=(("catchup", "xc"),), origin={"type": "live", "id": 51})


class PastTestCase(XtreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(NOW)

    @property
    def panel_provider(self) -> XtreamProvider:
        assert isinstance(self.provider, XtreamProvider)
        return self.provider


class ArchiveTests(PastTestCase):
    def past(self, entry: Entry = KEPT) -> list[Source]:
        return cast(list[Source], self.result(self.panel_provider.archive(entry, START, 1800.0)))

    def test_by_the_panels_clock(self) -> None:
        """A panel is asked in whole minutes, in the time zone that it says it is in, in either of its two ways."""
        self.panel.server_info["timezone"] = "Asia/Kolkata"
        self.fetch()
        path, query = self.past()
        account = "canary%20us%2Fer/canary%20p%25ss%3F"
        self.assertEqual(path.url, f"http://panel.test:8080/tv/timeshift/{account}/31/2026-03-05:11-37/51.ts")
        self.assertEqual(urlsplit(query.url).path, "/tv/streaming/timeshift.php")
        asked = {"username": USER, "password": WORD, "stream": "51", "start": "2026-03-05:11-37", "duration": "31"}
        self.assertEqual(parse_qs(urlsplit(query.url).query), {name: [value] for name, value in asked.items()})
        self.assertEqual([source.kind for source in (path, query)], [SourceKind.VOD] * 2)
        self.assertEqual(path.headers, (("User-Agent", "TestAgent/1"),))
        self.assertNotIn("canary", repr(path))

    def test_as_hls(self) -> None:
        """An account whose channels come as HLS has its past so too."""
        self.provider = self.make(output="hls")
        path, _ = self.past()
        self.assertEqual(path.kind, SourceKind.HLS)
        self.assertTrue(path.url.endswith("/51.m3u8"))

    def test_after_a_start(self) -> None:
        """Before the first refresh the panel is asked once what its time is."""
        self.panel.server_info["timezone"] = "Asia/Kolkata"
        for _ in range(2):
            self.assertIn("2026-03-05:11-37", self.past()[0].url)
        self.assertEqual(self.panel.actions(), [""])

    def test_what_is_not_kept(self) -> None:
        """What the panel keeps nothing of, and what is no channel, has no past."""
        film = evolve(KEPT, key="vod:61", origin={"type": "vod", "id": 61})
        for entry in (evolve(KEPT, catchup=()), film, evolve(KEPT, origin={"type": "live"})):
            error = self.error(self.panel_provider.archive(entry, START, 60.0))
            self.assertIn("keeps nothing", error.sentence)

    def test_without_an_account(self) -> None:
        """Without an account it is said what is missing; with one that is refused, that."""
        self.panel.users[0].status = "Banned"
        self.assertIs(self.error(self.panel_provider.archive(KEPT, START, 60.0)).state, ProviderState.AUTH_FAILED)
        self.provider = self.make(password="")
        self.assertIs(self.error(self.panel_provider.archive(KEPT, START, 60.0)).state, ProviderState.UNCONFIGURED)


class GuideTests(PastTestCase):
    def test_the_guide(self) -> None:
        """The panel's guide is one of ours, and nobody is shown its address."""
        (guide,) = self.panel_provider.guides()
        parts = urlsplit(guide.url)
        self.assertEqual(parts.path, "/tv/xmltv.php")
        self.assertEqual(parse_qs(parts.query), {"username": [USER], "password": [WORD]})
        self.assertEqual(guide.headers, (("User-Agent", "TestAgent/1"),))
        self.assertNotIn("canary", repr(guide))

    def test_no_guide(self) -> None:
        """There is none where it is not wanted, or without an account."""
        self.provider = self.make(guide=False)
        self.assertEqual(self.panel_provider.guides(), ())
        self.assertEqual(self.result(self.panel_provider.programmes(KEPT)), ())
        self.provider = self.make(guide=True, username="")
        self.assertEqual(self.panel_provider.guides(), ())

    def test_interfaces(self) -> None:
        """It is a provider with a guide, a short one, and an archive."""
        for interface in (IGuided, IShortGuide, IArchive):
            self.assertTrue(verifyObject(interface, self.provider))


class ProgrammeTests(PastTestCase):
    def setUp(self) -> None:
        super().setUp()
        first = START - START % HOUR
        rows = [programme(first + at * HOUR, first + (at + 1) * HOUR, f"P{at}", "What") for at in range(20)]
        self.panel.listings = {51: rows}

    def programmes(self, entry: Entry = KEPT) -> list[Programme]:
        return cast(list[Programme], self.result(self.panel_provider.programmes(entry)))

    def test_what_comes_next(self) -> None:
        """The panel is asked for the next few programmes of a channel."""
        found = self.programmes()
        self.assertEqual(found[0].title, "P1")
        self.assertEqual(found[0].description, "What")
        self.assertEqual(len(found), PROGRAMMES - 1)
        self.assertTrue(found[0].start <= NOW < found[0].stop)

    def test_odd_shapes(self) -> None:
        """Whatever shape its answer has, the same comes out."""
        expected = self.programmes()
        for shape in (Shape.LISTS_AS_OBJECTS, Shape.NUMBERS_AS_STRINGS):
            self.panel.shapes = {shape}
            self.assertEqual(self.programmes(), expected)

    def test_nothing_known(self) -> None:
        """A channel that it knows nothing of has none, and a film is not asked for."""
        self.assertEqual(self.programmes(evolve(KEPT, origin={"type": "live", "id": 52})), [])
        before = len(self.panel.seen)
        self.assertEqual(list(self.programmes(evolve(KEPT, origin={"type": "vod", "id": 61}))), [])
        self.assertEqual(len(self.panel.seen), before)

    def test_faults(self) -> None:
        """When the panel does not tell, that is an error without anything secret in it."""
        for fault, state in (
            (Fault.page(), ProviderState.NOT_UNDERSTOOD),
            (CUT_SHORT, ProviderState.NOT_UNDERSTOOD),
            (Fault.page(503), ProviderState.UNREACHABLE),
            (Fault.plain(403), ProviderState.AUTH_FAILED),
        ):
            self.panel.faults = {"get_short_epg": fault}
            error = self.error(self.panel_provider.programmes(KEPT))
            self.assertIs(error.state, state)
            self.assertIn("the programmes of a channel", error.sentence)
