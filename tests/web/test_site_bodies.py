"""What requests bring along: kept in memory, within bounds."""

from __future__ import annotations

from io import BytesIO

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from iptvd.web import bodies
from iptvd.web.answering import AnswerResource
from iptvd.web.bodies import MOST
from iptvd.web.request import send
from tests.web.building import Answer, Tree, understood

_FORM = "{b'a': [b'b'], b'group': [b'a b', b'c'], b'x': [b'']}"


class Posted(AnswerResource):
    """Tells its arguments, and remembers the bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: list[bytes] = []

    def render(self, request: Request) -> object:
        assert isinstance(request.content, BytesIO), "a temporary file"
        self.contents.append(request.content.getvalue())
        request.method = b"GET"
        return super().render(request)

    async def answer(self, request: Request) -> bytes:
        return send(request, repr(request.args).encode(), "text/plain")


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()

    def posted(self, body: bytes, *headers: str, method: str = "POST") -> Answer:
        """What `Posted` makes of a body."""
        head = "\r\n".join(["Host: localhost", f"Content-Length: {len(body)}", *headers])
        connection = self.tree.connect()
        connection.send(f"{method} /x?a=b HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
        return understood(connection.received())

    def test_bodies(self) -> None:
        """What a request brings along is kept in memory, and a form is read."""
        posted = Posted()
        self.tree.add("x", posted)
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            self.assertEqual(self.posted(b"{}", method=method).text, "{b'a': [b'b']}")
        form = "Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8"
        self.assertEqual(self.posted(b"group=a+b&group=c&x=", form).text, _FORM)
        self.assertEqual(self.posted(b"group=a", form, method="PUT").text, "{b'a': [b'b']}")
        multipart = "Content-Type: multipart/form-data; boundary=x"
        self.assertEqual(self.posted(b"--x", multipart).text, "{b'a': [b'b']}")
        self.assertEqual(posted.contents, [b"{}"] * 4 + [b"", b"group=a", b"--x"])

    def test_bodies_in_pieces(self) -> None:
        """A body of no announced length is kept as well."""
        posted = Posted()
        self.tree.add("x", posted)
        connection = self.tree.connect()
        connection.send(
            b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )
        self.assertEqual(understood(connection.received()).text, "{}")
        self.assertEqual(posted.contents, [b"abc"])

    def test_bodies_that_are_not_kept(self) -> None:
        """One that is too long is refused, and one of a request that has none is dropped; both cost nothing."""
        posted = Posted()
        self.tree.add("x", posted)
        form = "Content-Type: application/x-www-form-urlencoded"
        for body, headers in ((b"x" * (MOST + 1), ()), (b"group=secret&" * 20_000, (form,))):
            self.assertEqual(self.posted(body, *headers).status, 413)
        self.assertEqual(self.posted(b"x" * (MOST + 1), method="GET").status, 200)
        self.assertEqual(self.posted(b"group=a", form, method="GET").text, "{b'a': [b'b']}")
        self.assertEqual(posted.contents, [b"", b""])

    def test_bodies_of_many(self) -> None:
        """All bodies together have a bound, and what is answered, dropped or left makes room again."""
        self.patch(bodies, "MOST_AT_ONCE", 1000)
        self.tree.add("x", Posted())
        head = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 700\r\n\r\n"
        first = self.tree.connect()
        first.send(head + b"x" * 699)
        self.assertEqual(self.tree.site.room.taken, 699)
        answer = self.posted(b"x" * 400)
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "5"))
        self.assertEqual(self.posted(b"x" * 300).status, 200)
        self.assertEqual(self.posted(b"x" * 300, method="GET").status, 200)
        first.send(b"x")
        self.assertEqual(understood(first.received()).status, 200)
        self.assertEqual(self.tree.site.room.taken, 0)
        second = self.tree.connect()
        second.send(head + b"x" * 600)
        second.leave()
        self.assertEqual(self.tree.site.room.taken, 0)
