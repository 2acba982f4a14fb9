"""Users, as a panel pushes them."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.session import Face, Viewer
from iptvd.passwords import Passwords
from iptvd.web import users_api
from tests.doubles import Kept, offload, result
from tests.web.asking import Program
from tests.web.building import entries, lineup_of

TOKEN = "0123456789abcdef" * 4
ANNA = {
    "username": "anna",
    "token": TOKEN,
    "email": "anna@example.com",
    "expires_at": "2030-12-31T23:59:59Z",
    "max_connections": 2,
    "is_active": True,
    "groups": ["News"],
    "notes": "ground floor",
}


class UsersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.program = Program(self)
        self.told = self.program.told
        self.accounts = self.program.stage.admission.accounts

    def add(self, **fields: object) -> Any:
        return self.told("POST", "/api/users", {"username": "anna", **fields}, 201)

    def change(self, **fields: object) -> Any:
        return self.told("PUT", "/api/users/anna", fields)

    def wrong(self, method: str, path: str, body: object) -> str:
        told = self.program.problem(422, method, path, body)
        (wrong,) = told["errors"]
        return str(wrong["field"])

    def test_a_user(self) -> None:
        """A user is given back as it was pushed, with what is known besides, and never with a password."""
        made = self.add(**{**ANNA, "password": "of the pages"})
        created = made.pop("created_at")
        self.assertTrue(created.endswith("Z"))
        self.assertEqual(made, {**ANNA, "has_password": True, "active_connections": 0})
        one = self.told("GET", "/api/users/anna")
        self.assertEqual(one, {**made, "created_at": created})
        self.assertEqual(self.told("GET", "/api/users"), {"users": [one], "total": 1})
        kept = self.accounts.users["anna"].password
        self.assertTrue(result(Passwords(offload).fits("of the pages", kept)))

    def test_with_a_name_alone(self) -> None:
        """A user needs nothing but a name: the token is made here, and there is no end and no limit."""
        first, other = self.add(), self.add(username="ben@example.com")
        for made in (first, other):
            self.assertTrue(re.fullmatch(r"[A-Za-z0-9_-]{32}", made["token"]))
            self.assertEqual((made["expires_at"], made["max_connections"], made["groups"]), (None, 0, []))
            self.assertTrue(made["is_active"])
            self.assertFalse(made["has_password"])
        self.assertNotEqual(first["token"], other["token"])
        self.assertEqual(self.told("GET", "/api/users/ben@example.com"), other)

    def test_nulls(self) -> None:
        """A panel that sends null where it has nothing is understood."""
        nothing = dict.fromkeys(("token", "email", "expires_at", "max_connections", "password", "groups", "notes"))
        made = self.add(**nothing)
        self.assertEqual((made["email"], made["max_connections"], made["groups"], made["notes"]), ("", 0, [], ""))
        changed = self.change(**nothing)
        self.assertEqual(changed, made)

    def test_other_fields(self) -> None:
        """Fields that mean nothing here are kept, given back, and changed."""
        made = self.add(plan={"id": 7}, reseller=None)
        self.assertEqual((made["plan"], made["reseller"]), ({"id": 7}, None))
        self.change(reseller="x")
        told = self.told("GET", "/api/users/anna")
        self.assertEqual((told["plan"], told["reseller"]), ({"id": 7}, "x"))
        self.program.problem(422, "PUT", "/api/users/anna", {"more": "x" * 20_000})

    def test_pushed_back(self) -> None:
        """A user that is pushed as it was read is the same; what is counted here is not a panel's to say."""
        made = self.add(plan="x")
        self.assertEqual(self.change(**{**made, "active_connections": 7, "has_password": True}), made)

    def test_changes(self) -> None:
        """A change changes what it names, and nothing else."""
        made = self.add(**{**ANNA, "password": "x"})
        changes: tuple[dict[str, Any], ...] = (
            {"token": "another-token"},
            {"expires_at": None},
            {"expires_at": "2031-01-01T00:00:00Z"},
            {"max_connections": 0},
            {"is_active": False},
            {"groups": []},
            {"notes": "", "email": ""},
        )
        for fields in changes:
            made |= fields
            self.assertEqual(self.change(**fields), made)
        self.assertTrue(self.change(password=None, token="")["has_password"])
        self.assertFalse(self.change(password="")["has_password"])
        self.assertEqual(self.told("GET", "/api/users/anna")["token"], "another-token")

    def test_times(self) -> None:
        """An expiry in another zone is told in UTC, and one without a zone is in UTC."""
        for given, told in (
            ("2030-01-01T01:00:00+01:00", "2030-01-01T00:00:00Z"),
            ("2030-01-01T00:00:00", "2030-01-01T00:00:00Z"),
            ("2030-01-01T00:00:00.250Z", "2030-01-01T00:00:00Z"),
        ):
            self.assertEqual(self.add(username=f"u{abs(hash(given))}", expires_at=given)["expires_at"], told)

    def test_wrong_fields(self) -> None:
        """What is not as it should be is said with the field, and nobody is there then."""
        for field, values in (
            ("username", ("", "a/b", "ä", ".", "..", "-a", "a b", "a\n", "x" * 65, 1, None)),
            ("token", ("short", "with a blank", "a/b/c/d/e", "x" * 129, "12345678\n", 1)),
            ("email", (1, "x" * 321)),
            ("expires_at", ("tomorrow", "2030-01-01", 1, "2030-13-01T00:00:00Z")),
            ("max_connections", (-1, "2", 1.5, True, 10_001)),
            ("is_active", ("yes", 1, None)),
            ("groups", ("News", [1])),
            ("password", (1, "x" * 1025)),
            ("notes", (1, [])),
        ):
            for value in values:
                with self.subTest(field=field, value=value):
                    body = {"username": "anna", field: value}
                    self.assertEqual(self.wrong("POST", "/api/users", body).partition("[")[0], field)
        self.assertEqual(self.wrong("POST", "/api/users", {}), "username")
        self.assertEqual(dict(self.accounts.users), {})
        self.add()
        self.assertEqual(self.wrong("PUT", "/api/users/anna", {"username": "ben"}), "username")
        self.change(username="anna")

    def test_the_edges_of_time(self) -> None:
        """An expiry before our time has passed, and one at the end of time is far away."""
        for name, text, told in (
            ("first", "0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z"),
            ("last", "9999-12-31T23:59:59-14:00", "9000-12-31T00:00:00Z"),
        ):
            self.assertEqual(self.add(username=name, expires_at=text)["expires_at"], told)

    def test_how_many(self) -> None:
        """There is an end to how many users there are."""
        self.patch(users_api, "MOST", 1)
        self.add()
        self.assertIn("1 users", self.program.problem(409, "POST", "/api/users", {"username": "ben"})["detail"])
        self.change(notes="x")

    def test_who_is_there_already(self) -> None:
        """A name, and a token, belongs to one alone, and the API token to nobody."""
        self.program.stage.trust(api_token="the-api-token")
        manager = ("X-API-Token", "the-api-token")
        for body in ({"username": "anna", "token": TOKEN}, {"username": "ben"}):
            self.assertEqual(self.program.ask("POST", "/api/users", body, manager).status, 201)
        for body in ({"username": "anna"}, {"username": "b", "token": TOKEN}, {"username": "b", "token": manager[1]}):
            self.program.problem(409, "POST", "/api/users", body, manager)
        self.program.problem(409, "PUT", "/api/users/ben", {"token": TOKEN}, manager)
        self.assertEqual(self.program.ask("PUT", "/api/users/anna", {"token": TOKEN}, manager).status, 200)

    def test_gone(self) -> None:
        """A user that is forgotten is not there any more, and neither is anybody else."""
        self.add()
        self.assertEqual(self.program.ask("DELETE", "/api/users/anna").status, 204)
        for method in ("GET", "PUT", "DELETE"):
            for name in ("anna", "nobody", "%00", "%ff", "a%2Fb"):
                self.program.problem(404, method, f"/api/users/{name}", {})

    def test_two_at_once(self) -> None:
        """Of two programs that push the same name at the same moment one is told that it is there."""
        clients = [self.program.begin("POST", "/api/users", {"username": "anna", "password": "x"}) for _ in range(2)]
        self.program.stage.loop.settle()
        self.assertEqual(sorted(client.answer().status for client in clients), [201, 409])

    def test_active_connections(self) -> None:
        """What a user watches now is counted."""
        self.add()
        stage = self.program.stage
        self.assertEqual(self.told("GET", "/api/users/anna")["active_connections"], 0)
        (channel,) = lineup_of(*entries(1)).channels
        stage.hub.admit(channel, Viewer("192.168.1.2", "VLC", "anna"), Face.TS)
        self.assertEqual(self.told("GET", "/api/users")["users"][0]["active_connections"], 1)
        stage.hub.end_all_of(["anna"], "over")
        self.assertEqual(self.told("GET", "/api/users/anna")["active_connections"], 0)

    def test_only_managers(self) -> None:
        """Who there is, and with which tokens, is for those who manage; a user's token is not enough."""
        self.add(token=TOKEN)
        self.program.stage.trust(api_token="the-api-token")
        for method, path in (("GET", "/api/users"), ("GET", "/api/users/anna"), ("DELETE", "/api/users/anna")):
            self.program.problem(401, method, path)
            self.program.problem(403, method, path, None, ("Authorization", f"Bearer {TOKEN}"))
            self.program.problem(403, method, f"/~{TOKEN}{path}")

    def test_what_cannot_be_read(self) -> None:
        """While it is not known who there is nobody is told of, and nobody made."""
        self.program.stage.admission.records.unreadable = "api.db is damaged"
        for method, path in (("GET", "/api/users"), ("POST", "/api/users"), ("DELETE", "/api/users/anna")):
            told = self.program.problem(503, method, path, {"username": "anna"})
            self.assertIn("api.db is damaged", told["detail"])

    def test_forgotten_meanwhile(self) -> None:
        """A user that is forgotten while another program changes it does not come back."""
        self.add()
        waiting: Deferred[None] = Deferred()
        hashed = Passwords.hash

        async def slowly(passwords: Passwords, password: str) -> str:
            await waiting
            return await hashed(passwords, password)

        self.patch(Passwords, "hash", slowly)
        changing = self.program.begin("PUT", "/api/users/anna", {"password": "x"})
        removing = self.program.begin("DELETE", "/api/users/anna")
        waiting.callback(None)
        self.assertEqual((changing.answer("PUT").status, removing.answer("DELETE").status), (200, 204))
        self.assertEqual(dict(self.accounts.users), {})

    def test_what_cannot_be_kept(self) -> None:
        """A store that fails is said with when to try again, and everything is as it was."""
        made = self.add()
        store: Kept = vars(self.program.stage.admission.records)["_store"]
        store.failure = "api.db is locked"
        for method, path, body in (
            ("POST", "/api/users", {"username": "ben"}),
            ("PUT", "/api/users/anna", {"notes": "x"}),
            ("DELETE", "/api/users/anna", None),
        ):
            answer = self.program.ask(method, path, body)
            self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "5"))
            self.assertIn("locked", answer.text)
        self.assertEqual(self.told("GET", "/api/users"), {"users": [made], "total": 1})
