"""Who watches, how much, and how the daemon is."""

from __future__ import annotations

from tests.ctl.double import CtlCase, Reply, problem

TOTALS = {
    "uptime_seconds": 100_000,
    "total_streams": 9,
    "active_streams": 2,
    "total_clients": 1234,
    "active_clients": 3,
    "total_bytes_served": 2_500_000_000,
    "total_segments_served": 7,
}
CLIENT = {
    "client_id": "c1",
    "stream_id": "s1",
    "username": "anna",
    "ip_address": "192.168.1.5",
    "user_agent": "VLC \x1b]0;x\x07",
    "bytes_served": 1000,
}
HEALTH = {
    "status": "degraded",
    "reasons": {"home": "unreachable: it does not answer"},
    "channels_count": 12,
    "total_active_streams": 2,
    "max_concurrent_streams": 5,
    "uptime_seconds": 65,
    "version": "1.2.3",
}


class ViewerTests(CtlCase):
    def test_clients(self) -> None:
        """Who watches what, from where and with what is told."""
        self.answers(clients={"clients": [CLIENT]})
        lines = self.call("clients").splitlines()
        self.assertEqual(lines[2].split(), ["c1", "s1", "anna", "192.168.1.5", "VLC", r"\x1b]0;x\x07", "1.0", "kB"])
        long = {**CLIENT, "channel": "c" * 100, "user_agent": "u" * 100}
        self.answers(clients={"clients": [long]})
        lines = self.call("clients", env={"COLUMNS": "70"}).splitlines()
        self.assertEqual((len(lines), max(map(len, lines))), (3, 70))
        self.assertTrue(lines[2].startswith("c1 "), lines[2])
        self.assertTrue(lines[2].endswith("1.0 kB"), lines[2])
        self.answers(clients={"clients": []})
        self.assertEqual(self.call("clients"), "Nobody watches.\n")
        self.assertEqual(self.json("clients"), {"clients": []})

    def test_kick(self) -> None:
        """Clients are ended by their ids; one that is not there is told so."""
        self.double.table["DELETE /clients/c1"] = Reply({"message": "Client c1 disconnected"})
        self.assertEqual(self.call("kick", "c1"), "Client c1 disconnected\n")
        self.double.table["DELETE /clients/c2"] = problem(404, "There is no such client.")
        self.assertEqual(self.refused("kick", "c1", "c2", status=5), "There is no such client.")
        self.call("kick", status=2)
        for identity in ("-hJs_x", "--token_"):
            self.double.table[f"DELETE /clients/{identity}"] = Reply({"message": "Gone"})
            self.assertEqual(self.call("kick", identity), "Gone\n")

    def test_stats(self) -> None:
        """How much is watched and sent is told with units."""
        self.answers(stats={"proxy_stats": TOTALS, "streams": [], "clients": []})
        told = dict(line.split(None, 1) for line in self.call("stats").replace("Up for", "Up").splitlines())
        self.assertEqual((told["Up"], told["Sent"]), ("1d 3h", "2.5 GB"))
        self.assertEqual((told["Streams"], told["Viewers"]), ("2 on air, 9 in all", "3 now, 1,234 in all"))
        self.assertEqual(self.json("stats")["proxy_stats"], TOTALS)

    def test_health(self) -> None:
        """How the daemon is, and why."""
        self.answers(health=HEALTH)
        out = self.call("health")
        self.assertIn("Status    degraded\n", out)
        self.assertIn("Viewers   2 of 5\n", out)
        self.assertIn("home: unreachable: it does not answer\n", out)
        self.assertEqual(self.json("health"), HEALTH)

    def test_failing(self) -> None:
        """A daemon with nothing to watch ends the command with 1, having said why."""
        self.double.table["GET /health"] = Reply({**HEALTH, "status": "failing"}, 503)
        self.assertIn("failing", self.call("health", status=1))
        self.assertEqual(self.result.stderr, "")
        self.assertIn('"failing"', self.call("health", "--json", status=1))

    def test_detailed(self) -> None:
        """Providers, guides and what the operator should know are told where they are asked for."""
        more = {
            "providers": [{"name": "home", "state": "stale", "last_good": 1769860800}],
            "guides": [{"name": "guide", "state": "ok"}],
            "notices": ["A notice."],
        }
        self.answers(health__detailed={**HEALTH, **more})
        out = self.call("health", "--detailed")
        self.assertRegex(out, r"home: stale, last good 2026-0[12]-\d\d \d\d:\d\d\nguide: ok\nA notice\.\n$")

    def test_not_the_daemon(self) -> None:
        """What answers with something else is not taken for a daemon that is well."""
        self.answers(health=[1])
        self.assertIn("is not iptvd", self.refused("health", status=3))
