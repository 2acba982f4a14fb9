"""The pages of the login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import KIND, User, to_record
from iptvd.limits import FIRST, FORGIVEN, LONGEST, UNDER_WAY
from iptvd.logins import COOKIE, LIFETIME
from iptvd.passwords import Passwords
from iptvd.web.login import login_pages
from tests.doubles import Kept, admission, offload, result
from tests.web.building import BASE, HOME, PROXY, STRANGER, Answer, Connection, Tree, understood

NAME = COOKIE.decode()
#: What a browser says that it wants when it goes to a page.
PAGE = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
TLS = (("X-Forwarded-For", HOME), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "tv.example.com"))


class LoginTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.passwords = Passwords(offload)
        self.anna = User("anna", "anna-token", password=result(self.passwords.hash("hunter2")))
        self.store = Kept()
        self.store.kinds[KIND] = {each.name: to_record(each) for each in (self.anna, User("bob", "bob-token"))}
        self.tree = Tree()
        self.with_token("secret")

    def with_token(self, api_token: str) -> None:
        """Go by other settings."""
        trusted = self.tree.admission.access.trust
        made = admission(self.tree.clock, self.store, api_token=api_token)
        made.access = evolve(made.access, trust=trusted)
        self.tree.admission = made
        self.tree.site._logins = made.logins
        for name, page in login_pages(made, self.passwords):
            self.tree.root.putChild(name, page)

    def post(self, path: str, *headers: tuple[str, str], peer: str = HOME, **fields: str) -> Answer:
        return self.answer(self.begin(path, *headers, peer=peer, **fields))

    def answer(self, connection: Connection) -> Answer:
        """The answer, however late; who was wrong before is forgiven."""
        received = connection.received()
        self.tree.clock.advance(0 if received else LONGEST)
        self.tree.clock.advance(0 if received else FORGIVEN)
        return understood(received or connection.received())

    def begin(self, path: str, *headers: tuple[str, str], peer: str = HOME, **fields: str) -> Connection:
        form = urlencode(fields).encode()
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if not any(name == "Host" for name, _ in headers):
            lines.append(f"Host: {BASE.partition('://')[2]}")
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}"]
        connection = self.tree.connect(peer)
        connection.send("\r\n".join([*lines, "", ""]).encode() + form)
        return connection

    def cookie_of(self, answer: Answer) -> str:
        """The value of the cookie that an answer sets."""
        return SimpleCookie(answer.headers["Set-Cookie"] or "")[NAME].value

    def logged_in(self, **fields: str) -> tuple[str, str]:
        """The header by which a browser shows that it has logged in."""
        answer = self.post("/login", **fields)
        self.assertEqual(answer.status, 303, answer.text)
        return "Cookie", f"{NAME}={self.cookie_of(answer)}"


class LoginTests(LoginTestCase):
    def test_a_user(self) -> None:
        """With name and password a user comes to where they wanted to, and sees the pages from then on."""
        answer = self.post("/login", name="anna", password="hunter2", next="/?page=2")
        self.assertEqual((answer.status, answer.headers["Location"], answer.body), (303, f"{BASE}/?page=2", b""))
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        page = self.tree.ask("/", ("Cookie", f"{NAME}={self.cookie_of(answer)}"))
        self.assertEqual(page.status, 200)
        self.assertIn(f"{BASE}/~anna-token/playlist.m3u8", page.text)

    def test_the_cookie(self) -> None:
        """No script reads the cookie, no other site sends it with a form, and what came encrypted stays so."""
        for headers, peer, secure in (((), HOME, False), (TLS, PROXY, True)):
            answer = self.post("/login", *headers, peer=peer, name="anna", password="hunter2")
            self.assertEqual(answer.status, 303)
            told = answer.headers["Set-Cookie"].split("; ")
            expected = {"Path=/", f"Max-Age={LIFETIME}", "HttpOnly", "SameSite=lax"}
            self.assertEqual(set(told[1:]), expected | ({"Secure"} if secure else set()))
            self.assertNotIn("anna", told[0])

    def test_who_manages(self) -> None:
        """Who manages logs in with the API token and no name, from anywhere, and sees all."""
        cookie = self.logged_in(name="", password="secret")
        self.assertEqual(self.tree.ask("/", cookie, peer=STRANGER).status, 200)
        self.assertIn("logged in to manage", self.tree.ask("/login", cookie).text)

    def test_wrong(self) -> None:
        """Whatever is wrong, the same page says no more than that."""
        pages = set()
        for fields in (
            {"name": "anna", "password": "wrong"},
            {"name": "anna", "password": ""},
            {"name": "nobody", "password": "hunter2"},
            {"name": "bob", "password": ""},
            {"name": "bob", "password": "bob-token"},
            {"name": "", "password": "wrong"},
            {"name": "", "password": ""},
            {},
        ):
            answer = self.post("/login", peer=STRANGER, **fields)
            self.assertEqual((answer.status, answer.headers["Set-Cookie"]), (403, None), fields)
            pages.add(answer.text)
        (page,) = pages
        self.assertIn("The name or the password is wrong.", page)

    def test_delayed(self) -> None:
        """The answer to a wrong password takes a while, longer each time, and one to a right one does not."""
        took = []
        for password in ("wrong", "wrong", "wrong", "hunter2"):
            connection = self.begin("/login", name="anna", password=password)
            before = self.tree.clock.seconds()
            while not (received := connection.received()):
                self.tree.clock.advance(FIRST)
            took.append(self.tree.clock.seconds() - before)
        self.assertEqual(took, [FIRST, 2 * FIRST, 4 * FIRST, 0])
        self.assertEqual(understood(received).status, 303)

    def test_too_many_at_once(self) -> None:
        """Of an address from which many wrong ones are under way no further password is looked at, right or wrong."""
        for _ in range(UNDER_WAY):
            self.begin("/login", name="anna", password="wrong")
        for password in ("hunter2", "wrong"):
            answer = understood(self.begin("/login", name="anna", password=password).received())
            self.assertEqual(answer.status, 429)
        self.assertEqual(self.post("/login", peer=STRANGER, name="anna", password="hunter2").status, 303)

    def test_without_an_api_token(self) -> None:
        """Where there is no API token, nobody logs in without a name."""
        self.with_token("")
        for password in ("", "secret"):
            self.assertEqual(self.post("/login", name="", password=password).status, 403)

    def test_the_same_work(self) -> None:
        """A name that nobody has takes as much work as one that somebody has."""
        worked: list[object] = []

        def noted(work: Callable[..., Any], /, *values: object) -> Awaitable[Any]:
            worked.append(work)
            return offload(work, *values)

        self.passwords._offload = noted
        for name in ("anna", "bob", "nobody"):
            self.post("/login", name=name, password="wrong")
        self.assertEqual((len(worked), len(set(worked))), (3, 1))

    def test_barred(self) -> None:
        """Who may not watch any more is told so, with the right password only."""
        result(self.tree.admission.accounts.put(evolve(self.anna, active=False)))
        self.assertIn("has been switched off.", self.post("/login", name="anna", password="hunter2").text)
        self.assertNotIn("switched", self.post("/login", name="anna", password="wrong").text)

    def test_changed_meanwhile(self) -> None:
        """Who is changed or removed while the password is looked at has to log in with what holds now."""
        accounts = self.tree.admission.accounts
        for change in (lambda: accounts.put(evolve(self.anna, password="")), lambda: accounts.remove("anna")):
            result(accounts.put(self.anna))
            waiting: Deferred[bool] = Deferred()
            self.passwords._offload = lambda work, *values, until=waiting: until
            connection = self.begin("/login", name="anna", password="hunter2")
            result(change())
            waiting.callback(True)
            self.assertEqual(self.answer(connection).status, 403)

    def test_a_crowd(self) -> None:
        """When too many log in at once the rest is asked to come again."""
        self.passwords._offload = lambda work, *values: Deferred()
        connections = [
            self.begin("/login", peer=f"192.168.7.{number}", name="anna", password="x") for number in range(30)
        ]
        answer = understood(connections[-1].received())
        self.assertEqual((answer.status, int(answer.headers["Retry-After"]) > 0), (503, True))
        for connection in connections:
            connection.leave()

    def test_where_to(self) -> None:
        """After a login nobody is sent to another place than ours."""
        for where, expected in (
            ("/x?y=z#w", "/x?y=z#w"),
            ("/", "/"),
            ("", "/"),
            ("//evil.test/", "/"),
            ("/\\evil.test", "/"),
            ("https://evil.test/", "/"),
            ("x", "/"),
            ("/a\\b", "/"),
            ("/a\r\nSet-Cookie: x=y", "/"),
            ("/ä", "/"),
            ("/" + "x" * 3000, "/"),
        ):
            answer = self.post("/login", name="anna", password="hunter2", next=where)
            self.assertEqual(answer.headers["Location"], BASE + expected)
            self.assertIn(f'name=next value="{expected}"', self.tree.ask(f"/login?{urlencode({'next': where})}").text)

    def test_a_form_of_another_site(self) -> None:
        """A form on a page of another site logs nobody in or out."""
        for path in ("/login", "/logout"):
            for headers, taken in (
                ([("Origin", BASE)], True),
                ([("Sec-Fetch-Site", "same-origin"), ("Origin", "null")], True),
                ([("Sec-Fetch-Site", "none")], True),
                ([], True),
                ([("Origin", "http://evil.test")], False),
                ([("Origin", "null")], False),
                ([("Origin", BASE.replace("8085", "8086"))], False),
                ([("Sec-Fetch-Site", "cross-site"), ("Origin", BASE)], False),
                ([("Sec-Fetch-Site", "same-site")], False),
            ):
                answer = self.post(path, *headers, name="anna", password="hunter2")
                self.assertEqual(answer.status, 303 if taken else 403, headers)
                self.assertEqual(answer.headers["Set-Cookie"] is not None, taken)

    def test_logging_out(self) -> None:
        """Who logs out has no cookie any more; there is a button for that on the page of the login."""
        cookie = self.logged_in(name="anna", password="hunter2")
        page = self.tree.ask("/login", cookie).text
        self.assertIn("logged in as anna", page)
        self.assertIn("action=logout", page)
        answer = self.post("/logout", cookie, ("Origin", BASE))
        self.assertEqual((answer.status, answer.headers["Location"]), (303, f"{BASE}/login"))
        self.assertIn("Max-Age=0", answer.headers["Set-Cookie"])
        self.assertEqual(self.tree.ask("/logout").headers["Location"], f"{BASE}/login")

    def test_the_page(self) -> None:
        """The page has no script, is kept nowhere, and repeats nothing that could be one."""
        answer = self.tree.ask('/login?next=/"><script>')
        self.assertEqual((answer.status, answer.headers["Cache-Control"]), (200, "no-store"))
        self.assertIn("default-src 'none'", answer.headers["Content-Security-Policy"])
        # Without it a browser would name no page that its form comes from.
        self.assertEqual(answer.headers["Referrer-Policy"], "same-origin")
        self.assertNotIn("<script", answer.text)
        self.assertEqual(self.tree.ask("/login", peer=STRANGER).status, 200)
        head = self.tree.ask("/login", method="HEAD")
        self.assertEqual((head.status, head.body), (200, b""))

    def test_other_methods(self) -> None:
        """Nothing else is done there, and what can be is told."""
        for path in ("/login", "/logout"):
            answer = self.tree.ask(path, method="DELETE")
            self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD, POST"))


class SentToTheLoginTests(LoginTestCase):
    def test_a_page(self) -> None:
        """A browser without a login is sent to it, and after that to where it wanted to go."""
        for method in ("GET", "HEAD"):
            answer = self.tree.ask("/?group=A%26B", PAGE, method=method)
            self.assertEqual((answer.status, answer.headers["Vary"]), (303, "Accept"))
            self.assertEqual(answer.headers["Location"], f"{BASE}/login?next=%2F%3Fgroup%3DA%2526B")
        where = self.tree.ask("/login?next=%2F%3Fgroup%3DA%2526B").text
        self.assertIn('value="/?group=A%26B"', where)

    def test_behind_a_prefix(self) -> None:
        """Behind a proxy the way is by what the browser knows."""
        answer = self.tree.ask("/", PAGE, *TLS, ("X-Forwarded-Prefix", "/tv"), peer=PROXY)
        self.assertEqual(answer.headers["Location"], "https://tv.example.com/tv/login?next=%2F")

    def test_others(self) -> None:
        """Players and programs are told what they need, and so is whoever shows a wrong token."""
        for path, headers, status in (
            ("/playlist.m3u8", (), 401),
            ("/playlist.m3u8", (("Accept", "*/*"),), 401),
            ("/playlist.m3u8?token=wrong", (PAGE,), 403),
            ("/~wrong/", (PAGE,), 403),
        ):
            answer = self.answer(self.tree.begin(path, headers))
            self.assertEqual(answer.status, status, (path, headers))
            asks = answer.headers["WWW-Authenticate"] or ""
            self.assertEqual(asks.startswith("Basic "), status == 401)

    def test_a_stranger_where_there_are_no_users(self) -> None:
        """Where there are no users a login would help nobody: a stranger is refused."""
        self.store.kinds[KIND] = {}
        self.with_token("")
        self.assertEqual(self.tree.ask("/", PAGE, peer=STRANGER).status, 403)
