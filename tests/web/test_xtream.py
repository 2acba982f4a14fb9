"""The addresses that an Xtream panel has."""

from __future__ import annotations

from iptvd.web.xtream import xtream_children
from tests.web.test_request import Scripted
from tests.web.xtream_case import TOKEN, XtreamTestCase

SCRIPTS = ("player_api.php", "panel_api.php", "get.php", "get_playlist.php", "xmltv.php")
FOLDERS = ("live", "movie", "series", "timeshift", "streaming")


class AddressTests(XtreamTestCase):
    def test_all_of_them(self) -> None:
        """A panel has these addresses at its top, each once."""
        names = [name.decode() for name, _ in xtream_children(self.stage.parts, Scripted(), Scripted())]
        self.assertEqual(sorted(names), sorted((*SCRIPTS, *FOLDERS)))

    def test_methods(self) -> None:
        """Scripts are asked by GET and by POST, folders by GET alone."""
        self.keep()
        for name in ("player_api.php", "panel_api.php", "get.php", "get_playlist.php"):
            asked = self.get(f"/{name}?username=alice&password={TOKEN}")
            posted = self.post(f"/{name}", username="alice", password=TOKEN)
            self.assertEqual((asked.status, posted.status), (200, 200), name)
        for name in FOLDERS[:3]:
            self.assertEqual(self.post(f"/{name}/alice/{TOKEN}/1.ts").status, 405, name)

    def test_folders(self) -> None:
        """A folder is nothing in itself."""
        self.keep()
        for name in FOLDERS:
            self.assertEqual(self.get(f"/{name}?token={TOKEN}").status, 404, name)
            self.assertEqual(self.get(f"/{name}/x/y/z/more/and/more?token={TOKEN}").status, 404, name)
