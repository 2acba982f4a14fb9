"""How the provider for Xtream panels comes to know the episodes of series, and what it keeps of them."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from iptvd.providers.xtream import SERIES_FAILURES, SERIES_TIME
from tests.providers.xtream_case import FAULTS, XtreamTestCase
from tests.simulators.panel import Fault
from tests.simulators.panel_content import episode


class SeriesTests(XtreamTestCase):
    """How episodes are asked for."""

    def setUp(self) -> None:
        super().setUp()
        self.panel.series_list.clear()
        for number in range(1, 7):
            rows = [episode(number * 10, 1, 1, "")]
            self.panel.add_series(number, f"Show {number}", rows, last_modified=str(1_700_000_000 + number))

    def asked(self) -> int:
        """How often episodes were asked for since the last time."""
        count = self.panel.actions().count("get_series_info")
        self.panel.seen.clear()
        return count

    def episodes(self) -> list[str]:
        """The ids of the listed episodes."""
        return [key.partition(":")[2] for key in self.keys() if key.startswith("episode:")]

    def test_a_few_at_a_time(self) -> None:
        """One refresh asks for so many series at most, the newest first, and lists all that it knows."""
        self.provider = self.make(series_per_refresh=2)
        self.assertEqual(self.episodes(), ["50", "60"])
        listing = self.fetch()
        self.assertEqual(
            [entry.key for entry in listing.entries[3:]], [f"episode:{number}0" for number in (3, 4, 5, 6)]
        )
        self.assertEqual(listing.skipped, {"the series: series not asked for yet": 2})
        self.assertEqual(self.episodes(), ["10", "20", "30", "40", "50", "60"])
        self.assertEqual(self.asked(), 6)

    def test_none_asked(self) -> None:
        """With a limit of zero no episodes are asked for."""
        self.provider = self.make(series_per_refresh=0)
        self.assertEqual(self.episodes(), [])
        self.assertEqual(self.asked(), 0)

    def test_only_changed(self) -> None:
        """A series is asked for again when the panel says that it changed."""
        self.fetch()
        self.asked()
        self.panel.episodes[3].append(episode(31, 1, 2, ""))
        self.assertIsNone(self.result(self.provider.fetch()))
        self.panel.series_list[2]["last_modified"] = "1800000000"
        self.assertEqual(self.episodes(), ["10", "20", "30", "31", "40", "50", "60"])
        self.assertEqual(self.asked(), 1)

    def test_undated(self) -> None:
        """Where the panel tells no time of change, series are asked for again in turn."""
        for row in self.panel.series_list:
            row["last_modified"] = ""
        self.provider = self.make(series_per_refresh=6)
        self.fetch()
        self.panel.episodes[3].append(episode(31, 1, 2, ""))
        self.assertIn("31", self.episodes())

    def test_restart(self) -> None:
        """After a restart nothing that is known is asked for again."""
        self.fetch()
        self.asked()
        self.provider = self.make()
        self.assertEqual(self.episodes(), ["10", "20", "30", "40", "50", "60"])
        self.assertEqual(self.asked(), 0)

    def test_damaged_notes(self) -> None:
        """When the notes are damaged, or cannot be written, that is logged and all is asked for again."""
        self.folder.mkdir()
        (self.folder / "series.json").mkdir()
        told: list[str] = []

        @implementer(ILogObserver)
        def observer(event: LogEvent) -> None:
            told.append(str(event.get("reason")))

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.assertEqual(len(self.episodes()), 6)
        self.assertEqual(["cannot be read" in told[0], "cannot be written" in told[1]], [True, True])

    def test_one_fails(self) -> None:
        """A series whose episodes cannot be had keeps the former ones."""
        self.fetch()
        self.panel.series_list[2]["last_modified"] = "1800000000"
        self.panel.add_live(53, "Three")
        for fault, _, _ in FAULTS:
            self.panel.faults = {"get_series_info": fault}
            self.panel.live_streams[-1]["name"] = repr(fault)
            self.assertEqual(self.episodes(), ["10", "20", "30", "40", "50", "60"])

    def test_failures_counted(self) -> None:
        """A panel that fails again and again is left alone, and the next time other series come first."""
        self.panel.faults = {"get_series_info": Fault.plain(502)}
        listing = self.fetch()
        self.assertEqual(
            listing.skipped,
            {
                "the series: series whose episodes could not be had": SERIES_FAILURES,
                "the series: series not asked for yet": 6,
            },
        )
        self.assertEqual(self.asked(), SERIES_FAILURES)
        self.panel.faults = {}
        order: list[str] = []
        self.fetcher.before = lambda url: order.extend(url.split("series_id=")[1:])
        self.fetch()
        self.assertEqual(order, ["3", "2", "1", "6", "5", "4"])

    def test_time(self) -> None:
        """A slow panel does not hold up the lineup for long: the rest is asked for the next time."""

        def slowly(url: str) -> None:
            if "get_series_info" in url:
                self.clock.advance(SERIES_TIME / 2)

        self.fetcher.before = slowly
        self.assertEqual(self.episodes(), ["50", "60"])
