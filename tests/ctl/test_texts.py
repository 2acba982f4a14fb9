"""Values as people read them."""

from __future__ import annotations

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.ctl.texts import count, duration, listed, moment, number, of, plain, rate, size


class TextTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """Lists, pairs, yes and no are written as people say them."""
        told = (None, True, False, 3, 1.5, ["a", 2], {"a": 1, "b": [True]})
        self.assertEqual([*map(plain, told)], ["", "yes", "no", "3", "1.5", "a, 2", "a=1 b=yes"])

    def test_control_characters(self) -> None:
        """What a terminal would obey is shown and not sent to it; words and pictures stay whole."""
        self.assertEqual(plain("a\x1b[31mb\r\n\x9b\u202e\u2028\ud800"), r"a\x1b[31mb\r\n\x9b\u202e\u2028\ud800")
        for text in ("News\xa0HD", "\U0001f468\u200d\U0001f469", "\u0645\u06cc\u200c\u062e", "[bold]x[/bold]"):
            self.assertEqual(plain(text), text)

    @given(strategies.text())
    def test_any_text(self, text: str) -> None:
        """No text whatever has more than one line, or an escape, on the terminal."""
        shown = plain(text)
        self.assertEqual(len((shown + "x").splitlines()), 1)
        self.assertFalse(set(shown) & set(map(chr, [*range(32), *range(127, 160)])))

    def test_numbers(self) -> None:
        """What is no number counts as none, and thousands are set apart."""
        odd: tuple[object, ...] = (None, "x", [], "nan", float("inf"), 10**400)
        self.assertEqual([*map(number, odd)], [0.0] * 6)
        self.assertEqual([number("1.5"), number(2)], [1.5, 2.0])
        self.assertEqual(count(1234567), "1,234,567")

    def test_sizes(self) -> None:
        """Bytes and rates have the unit that leaves few digits."""
        told = {0: "0 B", 999: "999 B", 1000: "1.0 kB", 99_499: "99.5 kB", 99_500: "100 kB", 999_500: "1.0 MB"}
        self.assertEqual({value: size(value) for value in told}, told)
        self.assertEqual(size(2 * 10**18), "2000 PB")
        self.assertEqual([rate(62_500), rate(1_250_000)], ["500 kbit/s", "10.0 Mbit/s"])

    def test_durations(self) -> None:
        """Of a time the two largest units are told."""
        told = {0: "0s", 59.9: "59s", 725: "12m 5s", 3600: "1h 0m", 100_000: "1d 3h", -5: "0s"}
        self.assertEqual({value: duration(value) for value in told}, told)

    def test_moments(self) -> None:
        """Times are told in the zone of this machine; what is no time stays as it is."""
        self.assertEqual(moment("2026-01-31T12:00:00Z"), moment(1769860800))
        self.assertRegex(moment(1769860800.5), r"^2026-0[12]-\d\d \d\d:00$")
        self.assertEqual([moment(None), moment(""), moment("soon"), moment(1e300)], ["", "", "soon", "1e+300"])

    def test_looking(self) -> None:
        """What the daemon does not say is not there, whatever it says in its place."""
        facts = {"a": {"b": [1, {"c": 2}]}, "d": 3}
        self.assertEqual([of(facts, "a", "b"), of(facts, "d", "e"), of(None, "a")], [[1, {"c": 2}], None, None])
        self.assertEqual([listed(facts, "a", "b"), listed(facts, "d"), listed([], "x")], [[{"c": 2}], [], []])
