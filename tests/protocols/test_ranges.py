"""Byte ranges and their conditions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.ranges import (
    ByteRange,
    RangeNotSatisfiable,
    if_none_match,
    if_range_matches,
    parse_content_range,
    parse_range,
    unsatisfied_content_range,
)


class RangeTests(SynchronousTestCase):
    """What a player asks for."""

    def test_satisfied(self) -> None:
        """A player gets the part of the file that it asks for, and no more than there is."""
        for header, start, stop in (
            ("bytes=0-0", 0, 1),
            ("bytes=0-99", 0, 100),
            ("bytes=10-19", 10, 20),
            ("bytes=10-", 10, 100),
            ("bytes=99-", 99, 100),
            ("bytes=90-1000", 90, 100),
            ("bytes=0-9999999999999999999", 0, 100),
            ("bytes=-1", 99, 100),
            ("bytes=-100", 0, 100),
            ("bytes=-101", 0, 100),
            ("Bytes= 5-6\t", 5, 7),
        ):
            self.assertEqual(parse_range(header, 100), ByteRange(start, stop), header)

    def test_ignored(self) -> None:
        """A header that makes no sense, or asks for several parts, gets the whole file."""
        for header in (
            None,
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=0-1,5-6",
            "bytes=--5",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes = 1-2",
            "bytes=0-10000000000000000000",
            "bytes=\u0661-\u0662",
            "byte\u017f=0-1",
            "items=0-1",
            "0-1",
        ):
            self.assertIsNone(parse_range(header, 100), header)

    def test_not_satisfiable(self) -> None:
        """A player that asks for what is not there is told how much there is."""
        for header, size in (("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0)):
            with self.assertRaises(RangeNotSatisfiable) as caught:
                parse_range(header, size)
            self.assertEqual(caught.exception.size, size)
        self.assertEqual(unsatisfied_content_range(100), "bytes */100")

    def test_end_of_nothing(self) -> None:
        """The last bytes of an empty file are the whole of it."""
        self.assertIsNone(parse_range("bytes=-5", 0))

    @given(st.integers(0, 10**18), st.integers(1, 10**18), st.integers(0, 10**18))
    def test_content_range(self, start: int, length: int, more: int) -> None:
        """What we say of a part is read back as the same part."""
        part = ByteRange(start, start + length)
        self.assertEqual(part.length, length)
        size = part.stop + more
        self.assertEqual(parse_content_range(part.content_range(size)), (part.start, part.stop, size))
        self.assertEqual(parse_range(f"bytes={part.start}-{part.stop - 1}", size), part)


class ContentRangeTests(SynchronousTestCase):
    """What an origin says it sends."""

    def test_read(self) -> None:
        """The part and the size, or that the size is not known, are understood."""
        self.assertEqual(parse_content_range("bytes 0-4/10"), (0, 5, 10))
        self.assertEqual(parse_content_range(" Bytes  5-9/10 "), (5, 10, 10))
        self.assertEqual(parse_content_range("bytes 0-4/*"), (0, 5, None))

    def test_refused_range(self) -> None:
        """An origin that refuses a range tells the size all the same."""
        with self.assertRaises(RangeNotSatisfiable) as caught:
            parse_content_range("bytes */10")
        self.assertEqual(caught.exception.size, 10)

    def test_faults(self) -> None:
        """A part that cannot be is not believed."""
        for header in (
            "",
            "bytes",
            "bytes 0-4",
            "bytes */*",
            "bytes=0-4/10",
            "items 0-4/10",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes 0-4/-10",
            "bytes 0-4/10, 5-6/10",
            "bytes 0-10000000000000000000/*",
        ):
            with self.assertRaises(ProtocolError) as caught:
                parse_content_range(header)
            self.assertNotIsInstance(caught.exception, RangeNotSatisfiable)


class ConditionTests(SynchronousTestCase):
    """Ranges and answers that depend on what the other side has."""

    date = "Sun, 06 Nov 1994 08:49:37 GMT"

    def test_if_range(self) -> None:
        """A download goes on only when the file is surely the same: strong tags and exact dates."""
        for header, etag, matches in (
            (None, '"a"', True),
            ('"a"', '"a"', True),
            (' "a" ', '"a"', True),
            ('"b"', '"a"', False),
            ('W/"a"', 'W/"a"', False),
            ('"a"', 'W/"a"', False),
            ('W/"a"', '"a"', False),
            ('"a"', None, False),
            (self.date, '"a"', True),
            (self.date.replace("37", "38"), '"a"', False),
            ("", "", False),
            ("nonsense", '"a"', False),
        ):
            self.assertEqual(if_range_matches(header, etag, self.date), matches, header)
        self.assertFalse(if_range_matches(self.date, None, None))
        self.assertFalse(if_range_matches("", None, ""))

    def test_if_none_match(self) -> None:
        """A player that has what we have does not get it again: weak tags, lists, and anything."""
        for header, etag, matches in (
            (None, '"a"', False),
            ("", '"a"', False),
            ('"a"', '"a"', True),
            ('W/"a"', '"a"', True),
            ('"a"', 'W/"a"', True),
            ('"b", W/"a","c"', '"a"', True),
            ('"b", "c"', '"a"', False),
            ('"a,b"', '"a"', False),
            ('"a,b"', '"a,b"', True),
            ("a", '"a"', False),
            ('"a', '"a"', False),
            ('"b" "a"', '", "', False),
            ('""', '""', True),
            (" * ", '"a"', True),
            ("*", None, True),
            ('"a"', None, False),
        ):
            self.assertEqual(if_none_match(header, etag), matches, header)
