"""The playlist and the guide, as panels' clients ask for them."""

from __future__ import annotations

from tests.web.xtream_case import TOKEN, XtreamTestCase

LOGIN = f"username=alice&password={TOKEN}"


class PlaylistTests(XtreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.keep()

    def urls(self, path: str) -> list[str]:
        answer = self.get(path)
        self.assertEqual((answer.status, answer.text.partition(" ")[0]), (200, "#EXTM3U"))
        return [line for line in answer.text.splitlines() if not line.startswith("#")]

    def test_forms(self) -> None:
        """The playlist has live channels in the form that is asked for, with the user's token in every link."""
        for output, endings in (
            ("&output=ts", (".ts", ".ts")),
            ("&output=mpegts", (".ts", ".ts")),
            ("&output=m3u8", (".m3u8", ".m3u8")),
            ("&output=HLS", (".m3u8", ".m3u8")),
            ("", (".ts", ".m3u8")),
        ):
            for kind in ("&type=m3u_plus", "&type=m3u", ""):
                urls = self.urls(f"/get.php?{LOGIN}{kind}{output}")
                self.assertTrue(all(url.startswith(f"http://127.0.0.1/~{TOKEN}/stream/") for url in urls))
                for url, ending in zip(urls, endings, strict=False):
                    self.assertTrue(url.endswith(ending), (url, ending))
                self.assertEqual(len(urls), 9)

    def test_other_ways(self) -> None:
        """A form that is posted, and a panel's address with a token, give the same; a group alone is its own."""
        expected = self.urls(f"/get.php?{LOGIN}")
        answer = self.post("/get.php", username="alice", password=TOKEN, type="m3u_plus")
        self.assertEqual([line for line in answer.text.splitlines() if not line.startswith("#")], expected)
        self.assertEqual(self.urls(f"/get_playlist.php?token={TOKEN}"), expected)
        self.assertEqual(len(self.urls(f"/get.php?{LOGIN}&group=News")), 2)

    def test_refused(self) -> None:
        """What there is not is refused with what there is, and a wrong login with that."""
        for query in ("&type=xspf", "&output=rtmp"):
            answer = self.get(f"/get.php?{LOGIN}{query}")
            self.assertEqual((answer.status, "output is ts or m3u8" in answer.text), (400, True))
        for path in ("get.php", "get_playlist.php", "xmltv.php"):
            self.assertEqual(self.get(f"/{path}").status, 401)
            self.assertEqual(self.get(f"/{path}?username=alice&password=x").status, 403)
            self.assertEqual(self.get(f"/{path}?token=x").status, 403)

    def test_guide(self) -> None:
        """The guide is asked for by its panel's name, too."""
        answer = self.get(f"/xmltv.php?{LOGIN}")
        self.assertEqual((answer.status, answer.text), (503, "The guide is being put together.\n"))
        self.assertEqual(self.post("/xmltv.php", username="alice", password=TOKEN).status, 503)
