"""The places that channels come from."""

from __future__ import annotations

from tests.ctl.double import CtlCase, Reply

HOME = {
    "name": "home",
    "kind": "xtream",
    "state": "unreachable",
    "sentence": "it does not answer",
    "entries": 1200,
    "last_good": "2026-01-31T12:00:00Z",
    "next_refresh": None,
    "account": {"status": "Active", "active_connections": 1, "max_connections": 2, "expires": "2026-02-01T00:00:00Z"},
}
DEMO = {"name": "demo", "kind": "demo", "state": "ok", "sentence": "", "entries": 5, "account": {"status": ""}}


class ProviderTests(CtlCase):
    def setUp(self) -> None:
        super().setUp()
        self.answers(api__providers={"providers": [HOME, DEMO]})
        for each in (HOME, DEMO):
            self.double.table[f"POST /api/providers/{each['name']}/refresh"] = Reply(each, 202)

    def test_list(self) -> None:
        """Each is told with its state, why, and its account."""
        lines = self.call("providers", "list").splitlines()
        self.assertRegex(lines[2], r"^home +xtream +unreachable +1,200 +2026-0[12]-\d\d \d\d:\d\d ")
        self.assertRegex(lines[2], r" Active, 1 of 2 connections, until 2026-0[12].{11} +it does not answer$")
        self.assertEqual(lines[3].split(), ["demo", "demo", "ok", "5"])
        self.assertEqual(self.json("providers", "list"), {"providers": [HOME, DEMO]})

    def test_refresh(self) -> None:
        """Those that are named are asked anew, else all of them."""
        self.assertEqual(self.call("providers", "refresh", "demo"), "Being asked now: demo\n")
        self.assertEqual([each.method for each in self.double.asked], ["POST"])
        self.assertEqual(self.call("providers", "refresh"), "Being asked now: home, demo\n")
        self.assertEqual(self.json("providers", "refresh", "demo"), [DEMO])
        self.refused("providers", "refresh", "none", status=5)

    def test_none(self) -> None:
        """Where there are none, that is said."""
        self.answers(api__providers={"providers": []})
        self.assertEqual(self.call("providers", "list"), "There are no providers.\n")
        self.assertEqual(self.call("providers", "refresh"), "There are no providers.\n")
