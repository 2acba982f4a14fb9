"""Programmes out of the database."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.details import programme_of
from iptvd.model import Programme


class DetailsTests(SynchronousTestCase):
    def test_what_a_programme_says(self) -> None:
        """The first subtitle and description, every category once, and the episode as it is shown."""
        xml = (
            "<title>T &amp; U</title><sub-title>S</sub-title><sub-title>Z</sub-title><desc>D &lt;</desc>"
            "<credits><actor>A</actor></credits><category>News</category><category>News</category>"
            '<category>Live</category><episode-num system="xmltv_ns">1.4.</episode-num>'
            "<episode-num>S2 E5 (of 9)</episode-num>"
        )
        self.assertEqual(
            programme_of(1, 2, "T & U", xml),
            Programme(1, 2, "T & U", "S", "D <", ("News", "Live"), "S2 E5 (of 9)"),
        )

    def test_what_it_does_not_say_is_empty(self) -> None:
        """A title is enough."""
        self.assertEqual(programme_of(1, 2, "T", "<title>T</title>"), Programme(1, 2, "T"))

    def test_episodes_by_number(self) -> None:
        """Numbers that count from zero are shown from one."""
        for number, shown in (
            ("1.4.0/1", "S2 E5"),
            ("1 . 4 . 0", "S2 E5"),
            ("1/3.4/10.", "S2 E5"),
            (".4.", "E5"),
            ("1..", "S2"),
            ("x", ""),
        ):
            xml = f'<title>T</title><episode-num system="xmltv_ns">{number}</episode-num>'
            self.assertEqual(programme_of(1, 2, "T", xml).episode, shown, number)
