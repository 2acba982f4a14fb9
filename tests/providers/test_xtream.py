"""The provider for Xtream panels: what it lists, what it keeps when a panel fails, and what it never tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from attrs import evolve
from zope.interface.verify import verifyObject

from iptvd.errors import ConfigError, ProviderError
from iptvd.interfaces import IProvider, IProviderMaker
from iptvd.model import Account, ChannelKind, Entry, ProviderState, SourceKind
from iptvd.providers.xtream import CONTENT, XtreamSettings, xtream
from tests.providers.xtream_case import FAULTS, XtreamTestCase
from tests.simulators.panel import CUT_SHORT, Fault
from tests.simulators.panel_content import Shape


class ListingTests(XtreamTestCase):
    """What is listed."""

    def test_everything(self) -> None:
        """Live channels, radio, films and episodes are listed with their groups, and the account with its limits."""
        self.panel.users[0].expires = 4102444800
        listing = self.fetch()
        live, radio, film, first, second = listing.entries
        self.assertEqual((live.key, live.name, live.group, live.number), ("live:51", "One", "News", 1))
        self.assertEqual(live.catchup, (("catchup", "xc"), ("catchup-days", "7")))
        self.assertEqual((radio.key, radio.kind, radio.group), ("live:52", ChannelKind.RADIO, ""))
        self.assertEqual(
            (film.key, film.kind, film.extension, film.group), ("vod:61", ChannelKind.VOD, "mkv", "Films")
        )
        self.assertEqual((first.key, first.name, first.group), ("episode:71", "Show S01E01 Pilot", "Drama"))
        self.assertEqual(second.name, "Show S02E01 Back")
        self.assertEqual(listing.account, Account("Active", 2, 0, 4102444800.0, False))
        self.assertEqual(listing.skipped, {})

    def test_politely(self) -> None:
        """The panel is asked one thing after the other, under the User-Agent of the settings."""
        self.fetch()
        actions = ["", "get_live_categories", "get_live_streams", "get_vod_categories", "get_vod_streams"]
        actions += ["get_series_categories", "get_series", "get_series_info"]
        self.assertEqual(self.panel.actions(), actions)
        self.assertEqual({seen.user_agent for seen in self.panel.seen}, {"TestAgent/1"})

    def test_no_secrets(self) -> None:
        """Nothing that is listed or kept on disk holds the account."""
        entries = self.fetch().entries
        told = repr(entries) + repr([(dict(entry.origin), entry.logo) for entry in entries])
        told += "".join(path.read_text() for path in self.folder.iterdir()) + repr(self.provider) + repr(self.settings)
        self.assertNotIn("canary", told)

    def test_odd_shapes(self) -> None:
        """Whatever shape a panel's answers have, the same is listed."""
        expected = self.fetch()
        for shape in Shape:
            self.panel.shapes = {shape}
            self.folder = Path(self.mktemp())
            self.provider = self.make()
            found = self.fetch()
            # Seasons as a list count from zero.
            names = [entry.name.replace("S00", "S01") for entry in found.entries]
            self.assertEqual(names, [entry.name for entry in expected.entries], shape)
            self.assertEqual([entry.key for entry in found.entries], [entry.key for entry in expected.entries], shape)
            self.assertEqual(found.account, expected.account)

    def test_some_content(self) -> None:
        """What is not wanted is not asked for."""
        self.provider = self.make(content=("vod",))
        self.assertEqual(self.keys(), ["vod:61"])
        self.assertEqual(self.panel.actions(), ["", "get_vod_categories", "get_vod_streams"])

    def test_left_out(self) -> None:
        """What is left out is counted with its reason, by part."""
        self.panel.add_live(51, "Again")
        self.panel.add_film(0, "No id")
        self.panel.series_list.append(dict(self.panel.series_list[0]))
        self.assertEqual(
            self.fetch().skipped,
            {
                "the live channels: listed twice": 1,
                "the films: without a usable id": 1,
                "the series: listed twice": 1,
            },
        )

    def test_unchanged(self) -> None:
        """A panel that answers as before gives no new listing, one that does not gives one."""
        first = self.fetch()
        self.assertIsNone(self.result(self.provider.fetch()))
        self.panel.users[0].max_connections = 5
        second = self.fetch()
        self.assertEqual(second.entries, first.entries)
        self.panel.categories["live"][0]["category_name"] = "Talk"
        self.assertEqual(self.fetch().entries[0].group, "Talk")
        self.panel.series_list[0]["name"] = "Other"
        self.assertEqual(self.fetch().entries[-1].name.split()[0], "Other")
        self.assertIsNone(self.result(self.provider.fetch()))

    def test_slices(self) -> None:
        """While a long list is read, the daemon goes on with other things."""
        for number in range(1000, 3000):
            self.panel.add_live(number, f"Channel {number}")
        steps: list[int] = []

        async def counted(work: Iterator[object]) -> None:
            steps.append(sum(1 for _ in work))

        self.sliced = counted
        self.provider = self.make()
        self.assertEqual(len(self.fetch().entries), 2005)
        self.assertGreater(max(steps), 50)


class FailureTests(XtreamTestCase):
    """Panels that fail."""

    def test_every_answer(self) -> None:
        """Whatever a panel answers wrongly to whatever question, the reason is told, and never the account."""
        actions = ["", "get_live_categories", "get_live_streams", "get_vod_categories", "get_vod_streams"]
        for action in (*actions, "get_series_categories", "get_series"):
            for fault, state, words in FAULTS:
                self.panel.faults = {action: fault}
                self.provider = self.make()
                error = self.failed()
                self.assertEqual(error.state, state, (action, fault))
                self.assertIn(words, error.sentence)

    def test_account(self) -> None:
        """An account that ended or is wrong says so."""
        for status in ("Expired", "Banned", "Disabled"):
            self.panel.users[0].status = status
            error = self.failed()
            self.assertEqual(error.state, ProviderState.AUTH_FAILED)
            self.assertIn(status.lower(), error.sentence)
        self.panel.users.clear()
        self.assertEqual(self.failed().state, ProviderState.AUTH_FAILED)

    def test_unreachable(self) -> None:
        """When the panel does not answer, that is what is told."""

        def refuse(url: str) -> None:
            raise ProviderError(ProviderState.UNREACHABLE, "no answer within 30 s")

        self.fetcher.before = refuse
        self.assertEqual(self.failed().state, ProviderState.UNREACHABLE)

    def test_nothing_at_all(self) -> None:
        """An empty panel is a fault and never an empty listing."""
        self.panel.live_streams.clear()
        self.panel.vod_streams.clear()
        self.panel.series_list.clear()
        error = self.failed()
        self.assertEqual(error.state, ProviderState.NOT_UNDERSTOOD)
        self.assertIn("nothing at all", error.sentence)

    def test_unconfigured(self) -> None:
        """A missing setting is named before anything is asked."""
        for name in ("url", "username", "password"):
            provider = xtream.make(evolve(self.settings, **{name: ""}), self.context)  # type: ignore[arg-type]
            for work in (provider.fetch(), provider.resolve(Entry("live:1", "One", origin={"type": "live", "id": 1}))):
                error = self.error(work)
                self.assertEqual(error.state, ProviderState.UNCONFIGURED)
                self.assertIn("set url, username and password for provider tv", error.sentence)
        self.assertEqual(self.panel.seen, [])

    def test_one_part_fails(self) -> None:
        """When films or series cannot be had, those of before stay, and live channels are the new ones."""
        self.fetch()
        self.panel.add_live(53, "Three")
        for action, words in (("get_vod_streams", "the films"), ("get_series", "the series")):
            self.panel.faults = {action: Fault.plain(502)}
            listing = self.fetch()
            keys = [entry.key for entry in listing.entries]
            self.assertEqual(keys, ["live:51", "live:52", "live:53", "vod:61", "episode:71", "episode:72"])
            (reason,) = listing.skipped
            self.assertIn("not refreshed", reason)
            self.assertIn(words, reason)
            self.assertIn("502", reason)
        self.panel.faults = {}
        self.assertEqual(self.fetch().skipped, {})

    def test_one_part_fails_at_first(self) -> None:
        """With nothing of before at hand, a part that fails fails all, so that what is on disk stays."""
        for action, part in (("get_vod_streams", "vod"), ("get_series_categories", "series")):
            self.panel.faults = {action: Fault.plain(502)}
            self.provider = self.make()
            error = self.failed()
            self.assertEqual(error.state, ProviderState.UNREACHABLE)
            self.assertIn(f"leave {part} out of content", error.sentence)

    def test_live_fails(self) -> None:
        """When live channels cannot be had, the refresh has failed."""
        self.fetch()
        self.panel.faults = {"get_live_streams": Fault.plain(502)}
        self.assertEqual(self.failed().state, ProviderState.UNREACHABLE)

    def test_all_that_is_wanted_fails(self) -> None:
        """A refresh in which nothing could be had has failed."""
        self.provider = self.make(content=("vod", "series"))
        self.fetch()
        self.panel.faults = {"get_vod_streams": Fault.plain(502), "get_series": CUT_SHORT}
        self.assertEqual(self.failed().state, ProviderState.UNREACHABLE)


class ResolveTests(XtreamTestCase):
    """Where entries are played from."""

    def test_sources(self) -> None:
        """Each entry is played from its place on the panel, with the account escaped and under our User-Agent."""
        account = "canary%20us%2Fer/canary%20p%25ss%3F"
        expected = [
            (SourceKind.TS, f"live/{account}/51.ts"),
            (SourceKind.TS, f"live/{account}/52.ts"),
            (SourceKind.VOD, f"movie/{account}/61.mkv"),
            (SourceKind.VOD, f"series/{account}/71.mkv"),
            (SourceKind.VOD, f"series/{account}/72.mkv"),
        ]
        for entry, (kind, tail) in zip(self.fetch().entries, expected, strict=True):
            # As after a restart: what is on disk is JSON.
            entry = evolve(entry, origin=json.loads(json.dumps(entry.origin)))
            sources = self.result(self.provider.resolve(entry))
            assert isinstance(sources, tuple)
            (source,) = sources
            self.assertEqual((source.kind, source.url), (kind, f"http://panel.test:8080/tv/{tail}"))
            self.assertEqual(source.headers, (("User-Agent", "TestAgent/1"),))
            self.assertNotIn("canary", repr(source))

    def test_hls(self) -> None:
        """Live channels come as HLS when that is wanted, films do not."""
        self.provider = self.make(output="hls")
        live, *_, last = self.fetch().entries
        self.assertEqual((live.source_kind, live.extension), (SourceKind.HLS, "m3u8"))
        for entry, kind, ending in ((live, SourceKind.HLS, "/51.m3u8"), (last, SourceKind.VOD, "/72.mkv")):
            sources = self.result(self.provider.resolve(entry))
            assert isinstance(sources, tuple)
            self.assertEqual(sources[0].kind, kind)
            self.assertTrue(sources[0].url.endswith(ending))

    def test_foreign(self) -> None:
        """An entry that another provider made is refused."""
        error = self.error(self.provider.resolve(Entry("x", "X", origin={"url": "http://panel.test/"})))
        self.assertEqual(error.state, ProviderState.NOT_UNDERSTOOD)


class PluginTests(XtreamTestCase):
    """The plugin and its settings."""

    def test_interfaces(self) -> None:
        """The plugin is what the daemon takes it for."""
        verifyObject(IProviderMaker, xtream)
        verifyObject(IProvider, self.provider)
        self.assertRaises(TypeError, xtream.make, object(), self.context)

    def test_argument(self) -> None:
        """An address with an account, a pasted link or nothing may follow the kind."""
        self.assertEqual(xtream.settings_from_argument(""), {})
        given = xtream.settings_from_argument("http://u:p%40@panel.test:8080/x")
        self.assertEqual(given, {"url": "http://panel.test:8080/x", "username": "u", "password": "p@"})
        XtreamSettings(**given)  # type: ignore[arg-type]
        self.assertRaises(ConfigError, xtream.settings_from_argument, "panel.test")

    def test_defaults(self) -> None:
        """Without any settings everything would be listed, with live channels as TS."""
        settings = XtreamSettings()
        self.assertEqual((settings.output, settings.content, settings.series_per_refresh), ("ts", CONTENT, 200))

    def test_wrong_settings(self) -> None:
        """A wrong setting says what would be right and does not repeat what it was."""
        wrong: tuple[dict[str, object], ...] = (
            {"url": "panel.test"},
            {"url": "ftp://panel.test"},
            {"url": "http://u:canary@panel.test"},
            {"url": "http://panel.test/get.php?password=canary"},
            {"url": "http://panel.test/player_api.php"},
            {"url": "http://[canary"},
            {"url": "http://panel.test:0"},
            {"output": "canary"},
            {"content": ()},
            {"content": ("canary",)},
            {"content": "live"},
            {"series_per_refresh": -1},
            {"series_per_refresh": 10_001},
        )
        for changes in wrong:
            error: ValueError = self.assertRaises(ValueError, XtreamSettings, **changes)
            self.assertNotIn("canary", repr(error))
