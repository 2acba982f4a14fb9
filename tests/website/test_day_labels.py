"""Days and times as schedules write them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.website.day_labels import Day, Wrap, read_label, read_time, start_of
from tests.website.pages import vector

TODAY = date(2025, 10, 20)
VECTORS = json.loads(vector("day_labels.json"))


def wrapped(times: Iterable[int]) -> list[int]:
    """The places of all times of a list."""
    wrap = Wrap()
    return [wrap.place(each) for each in times]


class LabelTests(SynchronousTestCase):
    def test_days(self) -> None:
        """Every form of label that was seen names its day and its time zone."""
        self.assertGreater(len(VECTORS["days"]), 15)
        for label, day, zone in VECTORS["days"]:
            self.assertEqual(read_label(label, TODAY), Day(date.fromisoformat(day), zone), label)

    def test_no_days(self) -> None:
        """What names no day says so."""
        for label in (*VECTORS["none"], "x" * 5000):
            with self.assertRaises(ProtocolError, msg=label):
                read_label(label, TODAY)

    def test_times(self) -> None:
        """Times are told by the 24-hour clock or with am and pm."""
        for text, minutes in (
            ("18:45", 1125),
            (" 00:30 ", 30),
            ("9:05", 545),
            ("09.05", 545),
            ("18:45:30", 1125),
            ("6:45 PM", 1125),
            ("12:15am", 15),
            ("12:15 pm", 735),
        ):
            self.assertEqual(read_time(text), minutes, text)
        for text in ("", "24:00", "12:60", "12", "TBA", "13:00 pm pm", "1:2", "-1:00", "\u0661\u0662:\u0660\u0660"):
            with self.assertRaises(ProtocolError, msg=text):
                read_time(text)

    def test_wrap(self) -> None:
        """Behind the evening comes the next morning; a list that is merely out of order has one day."""
        hour = 60
        for times, days in (
            ((10, 18, 23, 0, 2), (0, 0, 0, 1, 1)),
            ((0, 2, 10), (0, 0, 0)),
            ((18, 17, 19), (0, 0, 0)),
            ((20, 22, 1, 3, 2), (0, 0, 1, 1, 1)),
            ((22, 0, 23, 1), (0, 1, 0, 1)),
            ((), ()),
        ):
            places = wrapped(each * hour for each in times)
            self.assertEqual([place // (24 * hour) for place in places], list(days), times)
            self.assertEqual([place % (24 * hour) for place in places], [each * hour for each in times])

    def test_starts(self) -> None:
        """A time is that of the clocks in its zone on that day, in summer and winter and behind midnight."""
        london = ZoneInfo("Europe/London")
        summer, winter = datetime(2025, 10, 6, 17, 45, tzinfo=UTC), datetime(2025, 12, 6, 18, 45, tzinfo=UTC)
        self.assertEqual(start_of(date(2025, 10, 6), 1125, london), summer.timestamp())
        self.assertEqual(start_of(date(2025, 12, 6), 1125, london), winter.timestamp())
        # The clocks go back in the night between.
        after = datetime(2025, 10, 26, 3, 0, tzinfo=UTC)
        self.assertEqual(start_of(date(2025, 10, 25), 24 * 60 + 180, london), after.timestamp())
        with self.assertRaises(ProtocolError):
            start_of(date(9999, 12, 31), 24 * 60, UTC)

    @given(strategies.text(), strategies.dates())
    def test_any_label(self, text: str, today: date) -> None:
        """Whatever a label is, it names a day or it is an error of ours."""
        try:
            self.assertIsInstance(read_label(text, today), Day)
        except ProtocolError as error:
            self.assertTrue(error.sentence)

    @given(strategies.dates(date(2000, 1, 1), date(2099, 12, 31)), strategies.dates())
    def test_any_date(self, day: date, today: date) -> None:
        """Every date is read as it was written, in each form."""
        for form in ("%A %dth %b %Y", "%A %dst %b%Y", "%a %d %b %b %Y - Schedule", "%B %dnd, %Y", "%Y-%m-%d"):
            self.assertEqual(read_label(day.strftime(form), today).date, day)

    @given(strategies.lists(strategies.integers(0, 1439)))
    def test_any_times(self, times: Sequence[int]) -> None:
        """Each time of a list is on its day or the next."""
        self.assertEqual([place % 1440 for place in wrapped(times)], list(times))
        self.assertTrue(all(0 <= place < 2160 for place in wrapped(times)))
