"""URI references mean what RFC 3986 says, and what is not http or https means nothing."""

from __future__ import annotations

from urllib.parse import urljoin

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.references import Base

PLAYLIST = "http://cdn.example.com/live/one/index.m3u8?token=abc"

#: RFC 3986 sections 5.4.1 and 5.4.2, for http://a/b/c/d;p?q, fragments left out.
RFC_3986 = {
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g/",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q",
    "g#s": "http://a/b/c/g",
    "g?y#s": "http://a/b/c/g?y",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    "g;x?y#s": "http://a/b/c/g;x?y",
    "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../": "http://a/",
    "../../g": "http://a/g",
    "../../../g": "http://a/g",
    "../../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "g#s/../x": "http://a/b/c/g",
}

NAMES = st.text(alphabet="abcXYZ019-_~!$&'()*+,=@%", min_size=1, max_size=6)


class ResolveTests(SynchronousTestCase):
    """What a reference means."""

    def resolve(self, reference: str | bytes, base: str = PLAYLIST) -> str | None:
        raw = reference.encode() if isinstance(reference, str) else reference
        return Base(base).resolve(raw)

    def test_rfc_examples(self) -> None:
        """Every example of RFC 3986 section 5.4 comes out as it is printed there."""
        for reference, url in RFC_3986.items():
            self.assertEqual(self.resolve(reference, "http://a/b/c/d;p?q"), url, reference)

    @given(st.lists(st.one_of(NAMES, st.sampled_from([".", "..", "a.b"])), min_size=1), st.one_of(st.none(), NAMES))
    def test_like_urljoin(self, segments: list[str], query: str | None) -> None:
        """Where the standard library has no traps, it agrees."""
        reference = "/".join(segments) + ("" if query is None else f"?{query}")
        self.assertEqual(self.resolve(reference), urljoin(PLAYLIST, reference))

    @given(st.text(alphabet="ab.-/?;%", max_size=12))
    def test_fragment_changes_nothing(self, reference: str) -> None:
        """A fragment is never part of what is fetched."""
        self.assertEqual(self.resolve(reference), self.resolve(reference + "#fragment"))

    def test_absolute(self) -> None:
        """An absolute URL stays, whatever the case of its scheme."""
        self.assertEqual(self.resolve("HTTPS://b.test:8443/x/y.ts?z=1#f"), "https://b.test:8443/x/y.ts?z=1")
        self.assertEqual(self.resolve("http://user:p%40ss@b.test/x"), "http://user:p%40ss@b.test/x")
        self.assertEqual(self.resolve("http://[2001:db8::1]:80/x"), "http://[2001:db8::1]:80/x")
        self.assertEqual(self.resolve("http://b.test?x=1"), "http://b.test/?x=1")
        self.assertEqual(self.resolve("http://b.test/a/../c/./d"), "http://b.test/c/d")

    def test_scheme_of_the_document(self) -> None:
        """A reference that starts with two slashes has the document's scheme."""
        self.assertEqual(self.resolve("//b.test/x.ts", "https://a.test/"), "https://b.test/x.ts")

    def test_empty_segments_stay(self) -> None:
        """Double slashes in paths are kept, because some origins sign them."""
        self.assertEqual(self.resolve("s.ts", "http://a.test/x//y/i.m3u8"), "http://a.test/x//y/s.ts")
        self.assertEqual(self.resolve("/x//s.ts"), "http://cdn.example.com/x//s.ts")
        self.assertEqual(self.resolve("x//../s.ts"), "http://cdn.example.com/live/one/x/s.ts")

    def test_empty_query_stays(self) -> None:
        """A question mark at the end is part of the URL."""
        self.assertEqual(self.resolve("s.ts?"), "http://cdn.example.com/live/one/s.ts?")
        self.assertEqual(self.resolve("?"), "http://cdn.example.com/live/one/index.m3u8?")

    def test_odd_characters(self) -> None:
        """Spaces, quotes and bytes beyond ASCII are percent-encoded, and escapes are left alone."""
        folder = "http://cdn.example.com/live/one/"
        self.assertEqual(self.resolve("a b.ts"), folder + "a%20b.ts")
        self.assertEqual(self.resolve("ü%20.ts"), folder + "%C3%BC%20.ts")
        self.assertEqual(self.resolve(b"\xfc.ts"), folder + "%FC.ts")
        self.assertEqual(self.resolve('a"<>\\^`{|}\t.ts'), folder + "a%22%3C%3E%5C%5E%60%7B%7C%7D%09.ts")
        self.assertEqual(self.resolve("a[1]@x!.ts?b=c:d/e"), folder + "a[1]@x!.ts?b=c:d/e")

    def test_international_names(self) -> None:
        """A host beyond ASCII is given in the form it is looked up in."""
        self.assertEqual(self.resolve("http://bücher.test/x"), "http://xn--bcher-kva.test/x")
        self.assertEqual(self.resolve("x", "http://bücher.test/"), "http://xn--bcher-kva.test/x")

    def test_nothing_to_fetch(self) -> None:
        """Other schemes, and http URLs that are broken, mean nothing that could be fetched."""
        for reference in (
            "file:///etc/passwd",
            "ftp://a.test/x",
            "data:text/plain,x",
            "skd://key",
            "rtmp://a.test/x",
            "seg-1:2.ts",
            "http:x.ts",
            "http:///x.ts",
            "http://:80/x",
            "http://a.test:port/x",
            "http://a b/x",
            "http://%2F/x",
            "http://%00/x",
            "http://" + "%C3%BC" * 200 + "/x",
            "http://" + "%61." * 200 + "/x",
            "///x",
        ):
            self.assertIsNone(self.resolve(reference), reference)

    def test_bad_base(self) -> None:
        """A document that came from elsewhere than http or https has no references."""
        for url in ("file:///etc/passwd", "", "http://", "/x", "http://%2F/"):
            with self.assertRaises(ProtocolError):
                Base(url)

    def test_query_of_the_document(self) -> None:
        """The document's own query is told with its question mark."""
        self.assertEqual(Base(PLAYLIST).query, "?token=abc")
        self.assertEqual(Base("http://a.test").query, "")
