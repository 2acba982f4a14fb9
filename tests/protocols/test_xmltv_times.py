"""Times of guides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.xmltv_times import TimeReader, write_time

NOON = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp())


class TimeReaderTests(SynchronousTestCase):
    def test_the_forms_that_guides_use(self) -> None:
        """However a guide writes its zone and however short, the moment is the same."""
        read = TimeReader()
        for text in (
            "20260701120000 +0000",
            "20260701120000",
            "20260701120000 Z",
            "20260701120000 GMT",
            "202607011200 UTC",
            "2026070112",
            "20260701130000 BST",
            "20260701130000 +0100",
            "20260701130000 +01:00",
            "20260701140000+0200",
            "20260701080000 edt",
            "20260701120000.123 +0000",
            " 20260701063000 -0530 ",
        ):
            self.assertEqual(read(text), NOON, text)
        self.assertEqual(read("20260701"), NOON - 43200)
        self.assertEqual(read("20260630240000"), NOON - 43200)

    def test_a_time_without_zone_is_of_the_guides_own(self) -> None:
        """Summer time counts where the guide's zone has it."""
        read = TimeReader(ZoneInfo("Europe/London"))
        self.assertEqual(read("20260701130000"), NOON)
        self.assertEqual(read("20260101120000"), int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()))

    def test_what_is_no_time(self) -> None:
        """Anything else is refused."""
        for text in (
            "",
            "tomorrow",
            "2026-07-01",
            "20261301120000",
            "20260231120000",
            "20260701250000",
            "20260701126000",
            "20260701120061",
            "18000101000000",
            "21500101000000",
            "20260701120000 +2500",
            "20260701120000 XYZ",
            "\uff12\uff10\uff12\uff16\uff10\uff17\uff10\uff11",
        ):
            with self.assertRaises(ProtocolError):
                TimeReader()(text)

    def test_many_days(self) -> None:
        """However many days a guide has, each is read right."""
        read = TimeReader()
        for day in range(1500):
            moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
            self.assertEqual(read(moment.strftime("%Y%m%d%H%M%S")), int(moment.timestamp()))

    @given(st.integers(700_000_000, 4_000_000_000), st.integers(-12 * 60, 14 * 60))
    def test_there_and_back(self, moment: int, minutes: int) -> None:
        """What was written in any zone is read as the same moment, and so is what we write."""
        there = datetime.fromtimestamp(moment, timezone(timedelta(minutes=minutes)))
        self.assertEqual(TimeReader()(there.strftime("%Y%m%d%H%M%S %z")), moment)
        self.assertEqual(TimeReader()(write_time(moment)), moment)
