"""The provider for M3U playlists: where it has what its channels showed before."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from iptvd.errors import ProviderError
from iptvd.interfaces import IArchive
from iptvd.model import Source, SourceKind
from iptvd.providers.m3u import M3USettings
from tests.doubles import result
from tests.providers.test_m3u import ProviderTestCase

START = 1_772_690_828
LIST = """#EXTM3U catchup="append" catchup-source="?from={{utc}}&to={{utcend}}&now={{lutc}}"
#EXTINF:-1,One
#EXTVLCOPT:http-referrer=http://site.test/
http://origin.test/one.ts{more}
"""


class ArchiveTests(ProviderTestCase):
    def setUp(self) -> None:
        super().setUp()
        assert isinstance(self.context.clock, Clock)
        self.context.clock.advance(START + 7200)

    def past(self, text: str, **options: object) -> Sequence[Source]:
        """What there is of the past of the one entry of a list."""
        (entry,) = self.entries(text)
        return result(self.provider(**options).archive(entry, START + 0.5, 1799.2))  # type: ignore[arg-type]

    def test_asked_for_as_the_list_says(self) -> None:
        """The past is where the list's own words lead, with the headers of the channel."""
        (source,) = self.past(LIST.format(more="?t=1"))
        now = START + 7200
        self.assertEqual(source.url, f"http://origin.test/one.ts?t=1&from={START}&to={START + 1800}&now={now}")
        self.assertEqual(source.kind, SourceKind.VOD)
        self.assertEqual(source.headers, (("Referer", "http://site.test/"), ("User-Agent", "Agent/1")))
        self.assertTrue(source.verify_tls)
        (source,) = self.past(LIST.format(more=""), verify_tls=False)
        self.assertFalse(source.verify_tls)

    def test_a_playlist(self) -> None:
        """A past that is a playlist is one."""
        (source,) = self.past('#EXTINF:-1 catchup="shift",One\nhttp://origin.test/one.m3u8\n')
        self.assertEqual(source.kind, SourceKind.HLS)

    def test_zone(self) -> None:
        """Dates are written in the zone that the settings say, which must be one."""
        text = '#EXTINF:-1 catchup="xc",One\nhttp://origin.test/live/u/p/7.ts\n'
        path, query = self.past(text, timezone="Asia/Kolkata")
        self.assertEqual(path.url, "http://origin.test/timeshift/u/p/31/2026-03-05:11-37/7.ts")
        self.assertIn("start=2026-03-05:11-37&duration=31", query.url)
        self.assertIn("2026-03-05:06-07", self.past(text)[0].url)
        for zone in ("", "Nowhere", "../x", "/etc/passwd"):
            with self.assertRaisesRegex(ValueError, "time zone"):
                M3USettings(timezone=zone)

    def test_what_has_none(self) -> None:
        """What a list says of a past that cannot be asked for is no past, neither is that of another channel."""
        for text in (
            '#EXTINF:-1 catchup="default",One\nhttp://origin.test/one.ts\n',
            '#EXTINF:-1 catchup="vod" catchup-source="http://origin.test/{catchup-id}",One\nhttp://origin.test/one.ts\n',
            '#EXTINF:-1 catchup="flussonic",One\nhttp://origin.test/one.ts\n',
            "#EXTINF:-1,One\nhttp://origin.test/one.ts\n",
        ):
            (entry,) = self.entries(text)
            self.assertEqual(entry.catchup, (), text)
            with self.assertRaisesRegex(ProviderError, "does not tell where its archive is"):
                self.past(text)

    def test_a_source_of_another_kind(self) -> None:
        """A past that is not on the web is not asked for."""
        with self.assertRaisesRegex(ProviderError, "does not tell"):
            self.past(
                '#EXTINF:-1 catchup="default" catchup-source="file:///etc/passwd",One\nhttp://origin.test/one.ts\n'
            )

    def test_interface(self) -> None:
        """It is a provider that has what was shown before."""
        self.assertTrue(verifyObject(IArchive, self.provider()))
