"""What there is to watch, and how the guide fits."""

from __future__ import annotations

from tests.ctl.double import CtlCase, Reply

NEWS = {
    "id": 7,
    "number": 1,
    "name": "News [b]24[/b]",
    "group": "News",
    "status": {"state": "failing", "reason": "no answer"},
    "now": {"title": "The \x1b[31mWeather"},
}
FILM = {"id": 8, "name": "Film", "status": {"state": "unknown"}}


class ChannelTests(CtlCase):
    def test_channels(self) -> None:
        """The channels are told with what is on, nothing in their names being taken for markup or a command."""
        self.answers(api__channels={"channels": [NEWS, FILM], "offset": 0, "limit": 100, "total": 2})
        lines = self.call("channels").splitlines()
        self.assertEqual(lines[0].split(), ["No.", "Id", "Name", "Group", "On", "now", "State"])
        self.assertEqual(lines[2].split()[:5], ["1", "7", "News", "[b]24[/b]", "News"])
        self.assertIn(r"The \x1b[31mWeather", lines[2])
        self.assertIn("failing: no answer", lines[2])
        self.assertEqual(lines[3].split(), ["8", "Film"])
        self.assertEqual(len(lines), 4)

    def test_asked_for(self) -> None:
        """Filters, words and the page are what the daemon is asked for."""
        self.answers(api__channels={"channels": [NEWS], "total": 41})
        words = ("--group", "News", "--provider", "home", "--type", "live", "--search", "a b")
        out = self.call("channels", *words, "--page", "3", "--limit", "20")
        self.assertTrue(out.endswith("Page 3 of 3: 1 of 41 channels.\n"))
        wanted = {"group": "News", "provider": "home", "type": "live", "q": "a b", "offset": "40", "limit": "20"}
        self.assertEqual(self.last.query, wanted)

    def test_none(self) -> None:
        """Where there is nothing to tell, a sentence says so."""
        self.answers(api__channels={"channels": [], "total": 0}, api__search={"results": []})
        self.answers(api__epg__matches={"matches": []})
        self.assertEqual(self.call("channels"), "There are no such channels.\n")
        self.assertEqual(self.call("search", "x"), "Nothing was found.\n")
        self.assertEqual(self.call("epg", "matches"), "No channel was found in a guide.\n")

    def test_fits(self) -> None:
        """A table is as wide as the terminal; where the output is no terminal, nothing is cut off."""
        long = {**NEWS, "name": "x" * 300}
        self.answers(api__channels={"channels": [long], "total": 1})
        self.assertIn("x" * 300, self.call("channels"))
        lines = self.call("channels", env={"COLUMNS": "60"}).splitlines()
        self.assertLessEqual(max(map(len, lines)), 60)
        self.assertIn("…", lines[2])

    def test_json(self) -> None:
        """Programs are given what the daemon says, whole."""
        for path in ("channels", "search", "epg/matches"):
            self.double.table[f"GET /api/{path}"] = Reply({"x": ["\x1b", 1]})
        for words in (("channels",), ("search", "x"), ("epg", "matches")):
            self.assertEqual(self.json(*words), {"x": ["\x1b", 1]})

    def test_search(self) -> None:
        """Channels, programmes and events are found."""
        results = [
            {"type": "channel", "id": 7, "name": "News"},
            {"type": "programme", "title": "Weather", "live": True, "channel": {"id": 7, "name": "News"}},
            {
                "type": "event",
                "title": "Match",
                "start": "2026-01-31T12:00:00Z",
                "live": False,
                "channels": [{"id": 8, "name": "A"}, {"id": 9, "name": "B"}],
            },
            {"type": "event", "title": "Lost", "channels": []},
        ]
        self.answers(api__search={"query": "a b", "results": results})
        lines = self.call("search", "a", "b", "--limit", "5").splitlines()
        self.assertEqual(self.last.query, {"q": "a b", "limit": "5"})
        self.assertEqual(lines[2].split(), ["channel", "News", "News", "7"])
        self.assertEqual(lines[3].split(), ["programme", "Weather", "now", "News", "7"])
        self.assertRegex(lines[4], r"^event +Match +2026-01-31 \d\d:\d\d +A, B +8$")
        self.assertEqual(lines[5].split(), ["event", "Lost"])
        self.call("search", status=2)

    def test_matches(self) -> None:
        """How channels were found in the guide is told, the way and the page as asked for."""
        match = {
            "channel": {"id": 7, "name": "News"},
            "source": "guide",
            "guide_id": "n.test",
            "how": "id",
            "score": 1,
        }
        self.answers(api__epg__matches={"matches": [match]})
        lines = self.call("epg", "matches", "--how", "id", "--page", "2", "--limit", "50").splitlines()
        self.assertEqual(self.last.query, {"how": "id", "offset": "50", "limit": "50"})
        self.assertEqual(lines[2].split(), ["7", "News", "n.test", "guide", "id", "1"])
        self.call("epg", "matches", "--how", "luck", status=2)
