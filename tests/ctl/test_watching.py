"""What is on air, anew each second."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from iptvd.ctl.asked import Asked
from iptvd.ctl.watching import Rates, frame
from tests.ctl.double import CtlCase, Reply, Request, problem
from tests.ctl.test_viewers import CLIENT, TOTALS

STREAM = {
    "stream_id": "s1",
    "name": "News",
    "original_url": "http://origin.example.com/secret.ts",
    "client_count": 1,
    "total_bytes_served": 0,
    "error_count": 0,
}
STATS = {"proxy_stats": TOTALS, "streams": [STREAM], "clients": [CLIENT]}


def drawn(facts: Any, rates: Rates | None = None, now: float = 0.0, rows: int = 0, width: int = 200) -> str:
    """A frame as it is on a terminal of this width."""
    console = Console(file=io.StringIO(), width=width, markup=False)
    console.print(frame(facts, rates or Rates(), now, rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class MonitorTests(CtlCase):
    def setUp(self) -> None:
        super().setUp()
        self.answers(stats=STATS)

    def looks(self, *replies: Reply) -> Callable[[Request], Reply]:
        """Have the daemon answer so, one after the other, and then Ctrl-C be pressed."""
        left = list(replies)

        def sleep(seconds: float) -> None:
            if not left:
                raise KeyboardInterrupt

        self.patch(time, "sleep", sleep)
        return lambda request: left.pop(0)

    def test_once(self) -> None:
        """One look tells what is on and who watches, without the address that a stream comes from."""
        out = self.call("monitor", "--once")
        self.assertIn("Streams: 1", out)
        self.assertRegex(out, r"(?m)^News +1 +0 B +0 *$")
        self.assertRegex(out, r"(?m)^c1 +News +192\.168\.1\.5 +VLC \\x1b\]0;x\\x07 +1\.0 kB *$")
        self.assertNotIn("origin.example.com", out)
        self.assertNotIn("\x1b", out)
        self.assertEqual(self.json("monitor", "--once"), STATS)

    def test_rates(self) -> None:
        """From the second look on it is told how fast bytes go out; a counter that begins anew is no rate."""
        rates = Rates()
        later = {**STATS, "streams": [{**STREAM, "total_bytes_served": 2_500_000}]}
        self.assertNotIn("bit/s", drawn(STATS, rates, 1.0))
        self.assertIn("10.0 Mbit/s", drawn(later, rates, 3.0))
        self.assertIn("0 kbit/s", drawn(STATS, rates, 4.0))
        self.assertNotIn("bit/s", drawn({**STATS, "streams": [], "clients": []}, rates, 5.0))
        self.assertNotIn("bit/s", drawn(STATS, rates, 6.0))

    def test_fits(self) -> None:
        """A frame is no wider than the terminal, and what has no room is counted."""
        many = {**STATS, "clients": [{**CLIENT, "client_id": f"c{number}"} for number in range(50)]}
        lines = drawn(many, rows=10, width=60).splitlines()
        self.assertLess(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 60)
        self.assertIn("and 46 more", drawn(many, rows=10))

    def test_piped(self) -> None:
        """Where the output is no terminal, looks follow one another as plain text until Ctrl-C."""
        self.double.table["GET /stats"] = self.looks(Reply(STATS), problem(503, "Not now."), Reply(STATS))
        out = self.call("monitor")
        self.assertEqual(out.count("Streams: 1"), 2)
        self.assertIn("\nNot now.\n", out)
        self.assertNotIn("\x1b", out)

    def test_json(self) -> None:
        """Programs are given a line of JSON for each look."""
        self.double.table["GET /stats"] = self.looks(Reply(STATS), problem(503, "Not now."))
        lines = [json.loads(line) for line in self.call("monitor", "--json").splitlines()]
        self.assertEqual(lines, [STATS, {"error": "Not now."}])

    def test_on_a_terminal(self) -> None:
        """On a terminal it fills the screen, and leaves it as it was."""
        console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
        self.patch(Asked, "console", console)
        self.double.table["GET /stats"] = self.looks(Reply(STATS), Reply(STATS))
        self.call("monitor")
        assert isinstance(console.file, io.StringIO)
        shown = console.file.getvalue()
        self.assertTrue(shown.startswith("\x1b[?1049h"), shown[:40])
        self.assertIn("\x1b[?1049l", shown)
        self.assertIn("News", shown)

    def test_not_there(self) -> None:
        """It does not begin where there is no daemon."""
        self.refused("monitor", "--url", "http://127.0.0.1:1", status=3)
        self.call("monitor", "--interval", "0", status=2)
