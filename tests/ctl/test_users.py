"""Who may watch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from iptvd.ctl import users
from tests.ctl.double import CtlCase, Reply, problem

ANNA = {
    "username": "anna",
    "token": "t0ken",
    "expires_at": "2100-01-31T12:00:00Z",
    "max_connections": 0,
    "is_active": True,
    "groups": [],
    "notes": "",
    "active_connections": 1,
    "plan": {"a": 1},
}


class UserTests(CtlCase):
    def setUp(self) -> None:
        super().setUp()
        self.double.table["POST /api/users"] = Reply(ANNA, 201)
        self.answers(api__users={"users": [ANNA], "total": 1}, api__users__anna=ANNA)

    def added(self, *words: str, **more: Any) -> Any:
        """What the daemon is asked for when a user is added so."""
        self.call("users", "add", "anna", *words, **more)
        return self.last.body

    def test_add(self) -> None:
        """A new user's token is printed, with the addresses for players."""
        out = self.call("users", "add", "anna")
        self.assertEqual(self.last.body, {"username": "anna"})
        base = self.double.url
        self.assertEqual(
            [line.split(None, 1) for line in out.splitlines()],
            [
                ["User", "anna"],
                ["Token", "t0ken"],
                ["Playlist", f"{base}/playlist.m3u8?token=t0ken"],
                ["EPG", f"{base}/epg.xml?token=t0ken"],
                ["Xtream", f"{base} (user anna, password t0ken)"],
            ],
        )
        self.assertEqual(self.json("users", "add", "anna"), ANNA)

    def test_add_with_everything(self) -> None:
        """Limits, groups and notes are passed on."""
        words = ["--max-connections", "2", "--groups", "News, Sport", "--groups", "A", "--email", "e", "--notes", "n"]
        self.assertEqual(
            self.added(*words),
            {
                "username": "anna",
                "groups": ["News", "Sport", "A"],
                "max_connections": 2,
                "email": "e",
                "notes": "n",
            },
        )

    def test_password(self) -> None:
        """A password is asked for twice where none follows, and shown nowhere."""
        self.assertEqual(self.added("--password", input="s3cret\ns3cret\n")["password"], "s3cret")
        self.assertNotIn("s3cret", self.result.output)
        self.assertEqual(self.added("--password", "given")["password"], "given")
        self.assertNotIn("password", self.added())

    def test_expires(self) -> None:
        """When a user may no longer watch can be said as people say it; a day counts until its end."""
        self.assertIsNone(self.added("--expires", "never")["expires_at"])
        self.assertEqual(self.added("--expires", "2027-01-31T20:00:00Z")["expires_at"], "2027-01-31T20:00:00Z")
        self.assertEqual(self.added("--expires", "2027-01-31T20:00+02:00")["expires_at"], "2027-01-31T18:00:00Z")
        day = datetime.fromisoformat("2027-02-01").astimezone(UTC)
        self.assertEqual(datetime.fromisoformat(self.added("--expires", "2027-01-31")["expires_at"]), day)
        until = datetime.fromisoformat(self.added("--expires", "30d")["expires_at"])
        self.assertLess(abs(until - datetime.now(UTC) - timedelta(days=30)), timedelta(minutes=5))
        for word in ("soon", "0d", "2027-13-01", "99999y", "9999-12-31"):
            self.call("users", "add", "anna", "--expires", word, status=2)
            self.assertIn("30d", self.result.stderr)

    def test_refused(self) -> None:
        """A name that is taken is a sentence."""
        self.double.table["POST /api/users"] = problem(409, "There is a user anna already.")
        self.assertEqual(self.refused("users", "add", "anna", status=1), "There is a user anna already.")

    def test_list(self) -> None:
        """Everybody is told with their limits, and nobody's token."""
        other = {"username": "bob", "is_active": False, "max_connections": 2, "groups": ["A", "B"]}
        carl = {"username": "carl", "is_active": True, "expires_at": "2020-01-31T12:00:00Z"}
        dora = {**carl, "username": "dora", "expires_at": "some day"}
        self.answers(api__users={"users": [ANNA, other, carl, dora]})
        out = self.call("users", "list")
        lines = out.splitlines()
        self.assertRegex(lines[2], r"^anna +yes +1 +no limit +2100-01-\d\d \d\d:\d\d +all *$")
        self.assertRegex(lines[3], r"^bob +no +2 +always +A, B *$")
        self.assertRegex(lines[4], r"^carl +expired +no limit +2020-01-")
        self.assertRegex(lines[5], r"^dora +yes +no limit +some day +")
        self.assertNotIn("t0ken", out)

    def test_show(self) -> None:
        """What is known of a user is told but the token, which is asked for by name."""
        out = self.call("users", "show", "anna")
        told = dict(line.split(None, 1) for line in out.splitlines())
        self.assertEqual((told["is_active"], told["plan"]), ("yes", "a=1"))
        self.assertNotIn("t0ken", out)
        self.assertNotIn("token", self.json("users", "show", "anna"))
        self.assertEqual(self.json("users", "token", "anna"), {"username": "anna", "token": "t0ken"})
        self.assertIn("/playlist.m3u8?token=t0ken", self.call("users", "token", "anna"))
        self.refused("users", "show", "bob", status=5)

    def test_new_token(self) -> None:
        """Another token is one that nobody can guess."""

        def changed(request: Any) -> Reply:
            return Reply({**ANNA, **request.body})

        self.double.table["PUT /api/users/anna"] = changed
        tokens = {self.json("users", "token", "anna", "--new")["token"] for _ in range(2)}
        self.assertEqual({len(token) for token in tokens}, {64})
        self.assertEqual(len(tokens), 2)

    def test_on_and_off(self) -> None:
        """Users are switched off and on, several at once."""
        for name in ("anna", "bob"):
            self.double.table[f"PUT /api/users/{name}"] = Reply({"username": name})
        self.assertEqual(self.call("users", "disable", "anna", "bob"), "anna, bob may not watch any more.\n")
        self.assertEqual((self.last.path, self.last.body), ("/api/users/bob", {"is_active": False}))
        self.assertEqual(self.call("users", "enable", "anna"), "anna may watch.\n")
        self.assertEqual(self.last.body, {"is_active": True})
        self.assertEqual(self.json("users", "enable", "anna"), {"username": "anna"})
        self.assertEqual(len(self.json("users", "enable", "anna", "bob")), 2)

    def test_remove(self) -> None:
        """Users are forgotten; a person is asked before that, a script is not."""
        self.double.table["DELETE /api/users/anna"] = Reply(None, 204)
        self.assertEqual(self.call("users", "remove", "anna"), "anna has been forgotten.\n")
        self.assertEqual(self.json("users", "remove", "anna"), {"removed": ["anna"]})

        def asked(answer: str, *words: str) -> int:
            self.double.asked.clear()
            with patch.object(users, "is_a_person", lambda: True):
                self.call("users", "remove", "anna", *words, input=answer, status=1 if answer == "n\n" else 0)
            return len(self.double.asked)

        self.assertEqual([asked("n\n"), asked("y\n"), asked("", "--yes")], [0, 1, 1])
