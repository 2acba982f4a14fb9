"""Names, titles and ids as websites write them."""

from __future__ import annotations

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.website.texts import LONGEST, channel_id, channel_name, id_in_link, plain, slug


class TextTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """Tags, entities, line breaks and control characters are gone; what only looks like a tag stays."""
        for written, expected in (
            ("Soccer</span>", "Soccer"),
            (" A &amp; B\n vs\tC ", "A & B vs C"),
            ("A &amp;amp; B", "A & B"),
            ("caf&eacute;", "café"),
            ("1 < 2 > 1", "1 < 2 > 1"),
            ("<b>A</b> B<br/>C", "A B C"),
            ("a\x00b\ud800c", "abc"),
            ("<script", ""),
        ):
            self.assertEqual(plain(written), expected)
        self.assertEqual(len(plain("x" * 10_000)), LONGEST)

    def test_channel_name(self) -> None:
        """A leading # and what is in brackets at the end are no part of a name."""
        for written, expected in (
            ("#Demo One", "Demo One"),
            ("# # Demo One [HD]", "Demo One"),
            ("Demo [UK] [51]", "Demo"),
            ("Demo (Local)", "Demo (Local)"),
            ("[HD]", "[HD]"),
            ("[HD] Demo", "[HD] Demo"),
            (" # ", ""),
        ):
            self.assertEqual(channel_name(written), expected)

    def test_ids(self) -> None:
        """An id is letters, digits, hyphens and underscores; whatever could lead elsewhere is none."""
        for written, expected in (
            ("51", "51"),
            (" news-1 ", "news-1"),
            ("", ""),
            ("../x", ""),
            ("5 1", ""),
            ("é", ""),
        ):
            self.assertEqual(channel_id(written), expected)

    def test_links(self) -> None:
        """The id stands in links of both forms."""
        for link, expected in (
            ("/stream/stream-51.php", "51"),
            ("https://tv.example.com/cast/stream-news-1.php?x=1", "news-1"),
            ("/watch.php?id=51", "51"),
            ("watch.php?lang=en&id=51&x=2#top", "51"),
            ("/watch.php?id=", ""),
            ("/watch.php?id=5/../1", ""),
            ("/stream/stream-5/../1.php", ""),
            ("/stream/stream-51.phpx", ""),
            ("/watch.php?vid=51", ""),
            ("/", ""),
        ):
            self.assertEqual(id_in_link(link), expected, link)

    def test_slug(self) -> None:
        """A logo's file is called as the channel is, in small letters and hyphens."""
        self.assertEqual(slug("Demo & One"), "demo-one")
        self.assertEqual(slug("é"), "")

    @given(strategies.text())
    def test_anything(self, text: str) -> None:
        """Whatever is written, names can be shown, and ids can stand in an address."""
        name = channel_name(text)
        self.assertTrue(name.isprintable())
        self.assertLessEqual(len(name), LONGEST)
        name.encode()
        self.assertRegex(channel_id(text) + id_in_link(text), r"\A[A-Za-z0-9_-]*\Z")
