"""Streams of one's own."""

from __future__ import annotations

from tests.ctl.double import CtlCase, Reply, problem

URL = "http://origin.example.com/a.ts"
STREAM = {
    "stream_id": "ab12",
    "name": "Own",
    "original_url": URL,
    "failover_urls": [URL + "?2"],
    "client_count": 2,
    "total_bytes_served": 1_500_000,
    "error_count": 0,
    "last_access": "2026-01-31T12:00:00+00:00",
    "metadata": {"a": "b"},
}


class StreamTests(CtlCase):
    def test_create(self) -> None:
        """A stream is made of a URL alone, and its addresses are printed."""
        made = {"stream_id": "ab12", "message": "Stream created", "stream_endpoint": "/stream/ab12"}
        made |= {"playlist_url": "/hls/ab12/playlist.m3u8", "direct_url": "/stream/ab12"}
        self.double.table["POST /streams"] = Reply(made)
        out = self.call("streams", "create", URL)
        self.assertEqual(self.last.body, {"url": URL})
        base = self.double.url
        self.assertEqual(
            out.splitlines(),
            [
                "Stream     ab12",
                f"Plays at   {base}/stream/ab12",
                f"As HLS at  {base}/hls/ab12/playlist.m3u8",
                "Done       Stream created",
            ],
        )

    def test_all_of_it(self) -> None:
        """Other sources, headers and words about it are passed on."""
        self.double.table["POST /streams"] = Reply({"stream_id": "ab12"})
        words = ["--failover", "http://b.test/", "--failover", "http://c.test/", "--user-agent", "UA", "--name", "N"]
        words += ["--header", "Referer: http://x.test/", "--header", "X-A:1", "--metadata", "a=b=c"]
        self.assertEqual(self.json("streams", "create", URL, *words), {"stream_id": "ab12"})
        self.assertEqual(
            self.last.body,
            {
                "url": URL,
                "failover_urls": ["http://b.test/", "http://c.test/"],
                "user_agent": "UA",
                "headers": {"Referer": "http://x.test/", "X-A": "1"},
                "name": "N",
                "metadata": {"a": "b=c"},
            },
        )

    def test_wrong_usage(self) -> None:
        """A header or word that is no pair is not sent."""
        for option in ("--header", "--metadata"):
            self.call("streams", "create", URL, option, "x", status=2)
            self.assertIn(option, self.result.stderr)
        self.assertEqual(self.double.asked, [])

    def test_refused(self) -> None:
        """Why the daemon does not take a URL is told."""
        self.double.table["POST /streams"] = problem(422, "url: it has to be an http or https URL")
        said = self.refused("streams", "create", "ftp://x", status=1)
        self.assertEqual(said, "url: it has to be an http or https URL")

    def test_list(self) -> None:
        """The streams are told with their viewers."""
        self.answers(streams={"streams": [STREAM, {"stream_id": "x"}], "total": 2})
        lines = self.call("streams", "list").splitlines()
        self.assertEqual(lines[2].split(), ["ab12", "Own", "2", "1.5", "MB", "0", "1", URL])
        self.assertEqual(lines[3].split(), ["x", "0", "0", "B", "0", "0"])
        self.answers(streams={"streams": [], "total": 0})
        self.assertEqual(self.call("streams", "list"), "There are no streams.\n")

    def test_info(self) -> None:
        """All that is known of a stream is told, line by line."""
        facts = {"stream": STREAM, "clients": [{"client_id": "c1", "ip_address": "192.168.1.5"}], "client_count": 1}
        self.answers(streams__ab12=facts)
        out = self.call("streams", "info", "ab12")
        self.assertRegex(out, r"(?m)^c1 +192\.168\.1\.5 +0 B$")
        told = dict(line.split(None, 1) for line in out.splitlines() if " " in line)
        self.assertEqual((told["total_bytes_served"], told["metadata"]), ("1.5 MB", "a=b"))
        self.assertRegex(told["last_access"], r"^2026-0[12]-\d\d \d\d:\d\d$")
        self.assertEqual(self.json("streams", "info", "ab12"), facts)
        self.refused("streams", "info", "cd", status=5)

    def test_failover_and_delete(self) -> None:
        """A stream goes on with its next source, or is gone; what the daemon says of it is printed."""
        self.double.table["POST /streams/ab12/failover"] = Reply({"message": "Failover triggered", "current_url": URL})
        self.assertEqual(self.call("streams", "failover", "ab12"), "Failover triggered\n")
        self.double.table["DELETE /streams/ab12"] = Reply({"message": "Stream ab12 deleted"})
        self.double.table["DELETE /streams/cd"] = Reply(None, 204)
        self.assertEqual(self.call("streams", "delete", "ab12", "cd"), "Stream ab12 deleted\nIt is gone.\n")
        self.assertEqual(self.json("streams", "delete", "ab12"), {"message": "Stream ab12 deleted"})
        self.assertEqual(self.json("streams", "delete", "cd", "ab12")[0], None)
