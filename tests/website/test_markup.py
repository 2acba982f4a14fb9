"""HTML parsed within bounds."""

from __future__ import annotations

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.website.markup import LONGEST_TAG, MOST_OPEN, MOST_STYLES, bounded, parse
from tests.website.pages import text_vector


class BoundedTests(SynchronousTestCase):
    def test_pages(self) -> None:
        """Real pages are as they were, however long."""
        for name in (
            "l1.html",
            "l2.html",
            "l4.html",
            "s2.html",
            "stream.html",
            "p1.html",
            "p2.html",
            "challenge.html",
        ):
            text = text_vector(name)
            self.assertEqual(bounded(text), text, name)
        rows = '<div class="row"><a href="/x"><b>One</b></a><br><img src="x"></div>' * 2000
        self.assertEqual(bounded(rows), rows)

    def test_deep(self) -> None:
        """Elements deeper in one another than any page needs are cut off, and what is before them is there."""
        for tag, most in (
            ("<div>", MOST_OPEN),
            ("<ul><li>", MOST_OPEN // 2),
            ("<b>", MOST_STYLES),
            ("<b></p>", MOST_STYLES),
            ('<FONT size="1"><p>', MOST_STYLES),
        ):
            self.assertEqual(bounded("<h1>x</h1>" + tag * 5000).count(tag), most, tag)
            self.assertEqual(len(parse("<h1>x</h1>" + tag * 5000).css("h1")), 1)

    def test_long_tags(self) -> None:
        """A start tag that is too long is left out, and the page goes on."""
        long = f'<img src="data:{"x" * LONGEST_TAG}">'
        self.assertEqual(bounded(f"<p>a{long}b</p>{long}<i>c</i>"), "<p>a>b</p>><i>c</i>")

    def test_scripts(self) -> None:
        """What looks like markup in a script, a style or a comment is none."""
        for before, after in (
            ("<script>", "</SCRIPT>"),
            ("<style>", "</style>"),
            ("<!--", "-->"),
            ("<title>", "</title>"),
        ):
            text = f"<p>{before}{'if (a<b) x<s;' * 100}{after}<i>c</i>"
            self.assertEqual(bounded(text), text, before)
            self.assertEqual(bounded(text.replace(after, "")), text.replace(after, ""), before)

    def test_closing(self) -> None:
        """What is closed again is not open, and what was never opened does not count."""
        text = "</div></b>" * 500 + "<div><b>x</b></div>" * 500
        self.assertEqual(bounded(text), text)

    @given(
        strategies.lists(
            strategies.sampled_from(["<b>", "</b>", "<p ", ">", "<!--", "-->", "<script>", "</script>", "x", "<"])
        )
    )
    def test_anything(self, parts: list[str]) -> None:
        """What is short is never touched but for what is open at a time."""
        text = "".join(parts)
        if text.count("<b>") <= MOST_STYLES and text.count("<") <= MOST_OPEN:
            self.assertEqual(bounded(text), text)
        parse(text)
