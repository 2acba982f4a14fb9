"""What a request shows of who it is from."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from iptvd.access import Shown
from iptvd.accounts import KIND, User, to_record
from iptvd.logins import COOKIE
from iptvd.web.answering import AnswerResource
from iptvd.web.credentials import is_marked, shown_by
from iptvd.web.request import send
from tests.doubles import Kept, admission
from tests.web.building import Tree, understood

ANNA = User("anna", "anna-token")


class Asked(AnswerResource):
    """Notes what it is asked with."""

    guarded = False
    isLeaf = True

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self._tree = tree
        self.shown = Shown()
        self.marked = False
        self.path: list[bytes] = []

    async def answer(self, request: Request) -> bytes:
        self.marked = is_marked(request)
        self.path = list(request.postpath or [])
        marks = [each for each in request.prepath or [] if each.startswith(b"~")]
        self.shown = shown_by(request, marks[0][1:].decode() if marks else "", self._tree.admission.logins)
        return send(request, b"", "text/plain")

    render_POST: Any = AnswerResource.render_GET

    def render(self, request: Request) -> Any:
        return self.render_GET(request)


def basic(text: str) -> tuple[str, str]:
    return "Authorization", "Basic " + b64encode(text.encode()).decode()


class ShownTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()
        store = Kept()
        store.kinds[KIND] = {"anna": to_record(ANNA)}
        self.tree.admission = admission(self.tree.clock, store, api_token="secret")
        self.tree.site._logins = self.tree.admission.logins
        self.asked = Asked(self.tree)
        self.tree.add("x", self.asked)

    def shown(self, path: str, *headers: tuple[str, str]) -> Shown:
        self.assertEqual(self.tree.ask(path, *headers).status, 200)
        return self.asked.shown

    def test_nothing(self) -> None:
        """Most requests show nothing, and what is empty is nothing."""
        for path in ("/x", "/x?token=", "/x?token", "/~/x", "/x?other=1", "/x?username=anna"):
            self.assertEqual(self.shown(path), Shown(), path)

    def test_in_the_query(self) -> None:
        """A token is in the query by one of its names, where a password has the user's name beside it."""
        for name in ("token", "api_token", "password"):
            self.assertEqual(self.shown(f"/x?{name}=a%2Db"), Shown(("a-b",)))
        self.assertEqual(self.shown("/x?username=anna&password=t"), Shown(("t",), "anna"))
        self.assertEqual(self.shown("/x?username=somebody&token=t"), Shown(("t",)))
        self.assertEqual(self.shown("/x?token=a&token=b"), Shown(("b",)))
        self.assertEqual(self.shown("/x?token=%ff"), Shown(("\ufffd",)))

    def test_in_the_path(self) -> None:
        """A token at the beginning of the path shows who asks, and what is asked for is the same for all."""
        for path, rest in (("/~anna-token/x", []), ("/~anna-token/x/y/z", [b"y", b"z"])):
            self.assertEqual(self.shown(path), Shown(("anna-token",)))
            self.assertEqual((self.asked.marked, self.asked.path), (True, rest))
        self.shown("/x/~anna-token")
        self.assertEqual((self.asked.marked, self.asked.path), (False, [b"~anna-token"]))

    def test_in_headers(self) -> None:
        """A token is in its own header, in that of a bearer, or the password of Basic, or its name without one."""
        for header, shown in (
            (("X-API-Token", "t"), Shown(("t",))),
            (("Authorization", "Bearer t"), Shown(("t",))),
            (("Authorization", "bearer   t "), Shown(("t",))),
            (basic("anna:t"), Shown(("t",), "anna")),
            (basic(":t"), Shown(("t",))),
            (basic("t:"), Shown(("t",))),
            (basic("t"), Shown(("t",))),
            (basic("ä:ö:ü"), Shown(("ö:ü",), "ä")),
            (("Authorization", "Basic !!"), Shown()),
            (("Authorization", "Basic"), Shown()),
            (("Authorization", "Digest t"), Shown()),
            (("Authorization", ""), Shown()),
        ):
            self.assertEqual(self.shown("/x", header), shown, header)

    def test_all_of_it(self) -> None:
        """All tokens that are shown count, that of the path first."""
        shown = self.shown("/~a/x?token=b&api_token=c", ("X-API-Token", "d"), basic("anna:e"))
        self.assertEqual(shown, Shown(("a", "b", "c", "d", "e"), "anna"))

    def test_one_that_is_too_long(self) -> None:
        """A token longer than any can be is wrong, and is not looked at."""
        self.assertEqual(self.shown(f"/x?token={'t' * 513}"), Shown(("-",)))
        self.assertEqual(self.shown(f"/x?token={'t' * 512}"), Shown(("t" * 512,)))

    def test_the_cookie(self) -> None:
        """A login shows whose it is, beside whatever else is shown."""
        for user, shown in ((ANNA, Shown(user="anna")), (None, Shown(manager=True))):
            cookie = "Cookie", f"a=b; {COOKIE.decode()}={self.tree.admission.logins.cookie(user)}"
            self.assertEqual(self.shown("/x", cookie), shown)
        self.assertEqual(self.shown("/x", ("Cookie", f"{COOKIE.decode()}=x")), Shown())

    def test_in_a_form(self) -> None:
        """Players that post a form show in it what others show in the query."""
        form = b"username=anna&password=t"
        head = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}"
        connection = self.tree.connect()
        connection.send(f"POST /x HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode() + form)
        self.assertEqual(understood(connection.received()).status, 200)
        self.assertEqual(self.asked.shown, Shown(("t",), "anna"))
