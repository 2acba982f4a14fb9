"""Operations: found by path and method, checked before they are done, and what is told of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import StoreError
from iptvd.log import Fault
from iptvd.web.operations import Call, Operation, Query
from iptvd.web.request import FAULT, Refusal
from tests.web.asking import Program


class Thing(Struct):
    """Something."""

    size: int
    names: list[str] = []


class Answers:
    """What operations do in these tests."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.waiting: Deferred[None] | None = None
        self.error: Exception | None = None
        self.done = 0

    async def struct(self, call: Call) -> Thing:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        if self.waiting is not None:
            await self.waiting
        self.done += 1
        return Thing(1)

    async def mapping(self, call: Call) -> Mapping[str, object]:
        self.calls.append(call)
        return {"things": iter([Thing(1), Thing(2)]), "total": 2}

    async def nothing(self, call: Call) -> None:
        self.calls.append(call)


def operations(does: Answers) -> list[Operation]:
    one, limit = "/things/{id}", Query("limit", "How many.", Annotated[int, Meta(ge=1, le=9)])
    return [
        Operation("GET", "/things", "", does.mapping, Thing, query=(limit, Query("q", ""), Query("live", "", bool))),
        Operation("POST", "/things", "", does.struct, Thing, Thing, status=201),
        Operation("GET", "/things/best", "", does.struct, Thing, manages=False),
        Operation("GET", "/looked-for", "", does.struct, Thing, query=(Query("q", "", required=True),)),
        Operation("POST", "/things/best", "", does.struct, Thing, manages=False),
        Operation("GET", one, "", does.struct, Thing),
        Operation("DELETE", one, "", does.nothing, None),
        Operation("POST", "/things/{thing}/parts/{part}", "", does.nothing, None),
        Operation("GET", "/things/best/parts/{part}", "", does.struct, Thing),
        Operation("GET", "/api/channels", "", None, Thing),
        Operation("POST", "/api/channels", "", does.struct, Thing, Thing),
    ]


class RouterCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.does = Answers()
        self.program = Program(self, *operations(self.does))
        self.ask = self.program.ask

    def last(self) -> Call:
        return self.does.calls[-1]


class FindingTests(RouterCase):
    def test_what_is_there(self) -> None:
        """What is asked for is done and told; where nothing is told the answer is 204 and empty."""
        self.assertEqual(self.program.told("GET", "/things/7"), {"size": 1, "names": []})
        self.assertEqual(self.last().path, {"id": "7"})
        self.program.told("POST", "/things", {"size": 3}, 201)
        answer = self.ask("DELETE", "/things/7")
        self.assertEqual((answer.status, answer.body, answer.headers["Content-Length"]), (204, b"", None))
        told = self.program.told("GET", "/things")
        self.assertEqual(told, {"things": [{"size": 1, "names": []}, {"size": 2, "names": []}], "total": 2})

    def test_names_in_paths(self) -> None:
        """A name of the path goes before any name, and what is encoded is taken for what it stands for."""
        self.program.told("GET", "/things/best")
        self.assertEqual(self.last().path, {})
        self.assertEqual(self.ask("POST", "/things/x/parts/%C3%A4%2Fb").status, 204)
        self.assertEqual(self.last().path, {"thing": "x", "part": "ä/b"})
        self.assertEqual(self.ask("POST", "/things/other/parts/1").status, 204)
        self.program.told("GET", "/things/7/")
        self.assertEqual(self.last().path, {"id": "7"})

    def test_what_is_not_there(self) -> None:
        """An address where nothing is gets a 404 that programs can read."""
        for path in ("/things/7/x", "/things//", "/things/%ff", "/things/x/parts/", "/api/nothing", "/api"):
            self.assertEqual(self.program.problem(404, "GET", path)["title"], "Not Found", path)
        self.assertEqual(self.ask("GET", "/nothing").headers["Content-Type"], "text/plain; charset=utf-8")

    def test_other_methods(self) -> None:
        """A method that an address does not have is refused with those it has, and OPTIONS tells them."""
        for path, allowed in (
            ("/things", "GET, HEAD, OPTIONS, POST"),
            ("/things/7", "DELETE, GET, HEAD, OPTIONS"),
            ("/things/7/parts/1", "OPTIONS, POST"),
            ("/api/channels", "GET, HEAD, OPTIONS, POST"),
        ):
            for method in ("PUT", "PATCH", "TRACE", "X"):
                answer = self.ask(method, path)
                self.assertEqual((answer.status, answer.headers["Allow"]), (405, allowed))
                self.assertEqual(json.loads(answer.text)["title"], "Method Not Allowed")
            answer = self.ask("OPTIONS", path)
            self.assertEqual((answer.status, answer.headers["Allow"], answer.body), (204, allowed, b""))

    def test_head(self) -> None:
        """HEAD gets the head of what GET gets."""
        get, head = self.ask("GET", "/things/7"), self.ask("HEAD", "/things/7")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["Content-Length"], str(len(get.body)))

    def test_beside_a_page(self) -> None:
        """An operation stands beside what the tree has at the same address."""
        self.assertEqual(self.program.told("GET", "/api/channels")["total"], 0)
        self.assertEqual(self.ask("HEAD", "/api/channels").status, 200)
        self.program.told("POST", "/api/channels", {"size": 1})
        self.program.problem(400, "GET", "/api/channels?limit=x")
        preflight = self.ask("OPTIONS", "/api/channels", None, ("Origin", "http://page.test"))
        self.assertEqual(preflight.headers["Access-Control-Allow-Origin"], "*")
        self.assertEqual(preflight.headers["Access-Control-Allow-Methods"], "GET, HEAD, OPTIONS")
        self.assertIsNone(self.ask("OPTIONS", "/things").headers["Access-Control-Allow-Origin"])

    def test_twice(self) -> None:
        """The same operation cannot be there twice."""
        with self.assertRaises(ValueError):
            Program(self, *operations(self.does), Operation("POST", "/things", "", self.does.nothing, None))


class CheckingTests(RouterCase):
    def test_bodies(self) -> None:
        """A body is what its type says; what that does not name is kept for the operation."""
        self.program.told("POST", "/things", {"size": 3, "names": ["a"], "colour": {"r": 1}, "x": None}, 201)
        self.assertEqual(self.last().body, Thing(3, ["a"]))
        self.assertEqual(self.last().extra, {"colour": {"r": 1}, "x": None})
        self.program.told("POST", "/things", b'{"size": 3.0}', 201)
        self.assertEqual(self.last().body, Thing(3))

    def test_wrong_fields(self) -> None:
        """What is wrong with a body is said with the field, and nothing is done."""
        for body, name in (
            ({}, "size"),
            (None, "size"),
            ({"size": "3"}, "size"),
            ({"size": 3, "names": [1]}, "names[0]"),
            ({"size": 3, "names": None}, "names"),
            ({"size": 3.5}, "size"),
        ):
            told = self.program.problem(422, "POST", "/things", body)
            ((wrong,), detail) = told["errors"], told["detail"]
            self.assertEqual((wrong["field"], detail), (name, f"{name}: {wrong['detail']}."))
        self.assertEqual(self.does.calls, [])

    def test_arguments(self) -> None:
        """An argument of the query is of its kind, or refused with its name; those nobody asked for do not matter."""
        self.program.told("GET", "/things?limit=5&q=%C3%A4&live=true&zzz=1")
        self.assertEqual(self.last().query, {"limit": 5, "q": "ä", "live": True})
        self.program.told("GET", "/things")
        self.assertEqual(self.last().query, {})
        for query in ("limit=0", "limit=10", "limit=x", "limit=1.5", "limit=", "live=x"):
            told = self.program.problem(422, "GET", f"/things?{query}")
            self.assertEqual(told["errors"][0]["field"], query.partition("=")[0])
        self.program.told("GET", "/looked-for?q=")
        for query in ("", "?q2=a"):
            self.assertEqual(self.program.problem(422, "GET", f"/looked-for{query}")["detail"], "q: it is missing.")

    def test_too_long(self) -> None:
        """A body that is too long is refused by any address, and costs nothing."""
        for path in ("/things", "/nothing", "/ping"):
            self.assertEqual(self.ask("POST", path, b" " * (1 << 20) + b"{}").status, 413, path)
        self.assertEqual(self.ask("GET", "/things", b" " * (1 << 20) + b"{}").status, 200)
        form = ("Content-Type", "application/x-www-form-urlencoded")
        self.assertEqual(self.ask("POST", "/things", b"a=" + b"b" * 20_000, form).status, 413)

    def test_as_pieces(self) -> None:
        """A body may come in pieces of no announced length, and is bounded as well."""
        head = b"POST /things HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        piece = b"80000\r\n" + b" " * 0x80000 + b"\r\n"
        for pieces, status in ((piece, 201), (piece * 2, 413), (piece * 5, 413)):
            client = self.program.begin("OPTIONS", "/ping")
            client.read()
            client.data = b""
            client.send(head)
            for at in range(0, len(pieces), 65536):
                client.send(pieces[at : at + 65536])
            client.send(b'a\r\n{"size":1}\r\n0\r\n\r\n')
            self.assertEqual(client.answer().status, status)

    def test_where_none_is_taken(self) -> None:
        """An operation that takes no body does not look at one."""
        form = ("Content-Type", "application/x-www-form-urlencoded")
        self.assertEqual(self.ask("POST", "/things/x/parts/1", b"]]", form).status, 204)


class WhoMayTests(RouterCase):
    def test_managers(self) -> None:
        """What changes something is for who manages, what others may do for them as well."""
        self.program.stage.trust(api_token="secret", trusted_networks=())
        for path in ("/things", "/things/7", "/things/best"):
            self.program.problem(401 if path != "/things/best" else 403, "GET", path)
            self.assertEqual(self.program.problem(403, "GET", f"{path}?token=wrong")["title"], "Forbidden")
            self.assertEqual(self.ask("GET", path, None, ("X-API-Token", "secret")).status, 200)
            self.assertEqual(self.ask("GET", path, None, ("Authorization", "Bearer secret")).status, 200)
            self.assertEqual(self.ask("GET", f"{path}?api_token=secret").status, 200)
        self.assertIn("WWW-Authenticate", self.ask("GET", "/things").headers)

    def test_viewers(self) -> None:
        """Whoever may watch may do what is not for managers alone."""
        self.program.stage.trust(api_token="secret")
        self.program.told("GET", "/things/best")
        self.program.problem(401, "GET", "/things")

    def test_pages_of_other_sites(self) -> None:
        """A page of another site changes nothing, whoever looks at it."""
        foreign = ("Origin", "http://page.test")
        for path, body in (("/things", {"size": 1}), ("/things/best", None)):
            self.program.problem(403, "POST", path, body, foreign)
            self.assertLess(self.ask("POST", path, body, ("Origin", "http://127.0.0.1")).status, 300)
        self.assertEqual(self.ask("GET", "/things", None, foreign).status, 200)

    def test_names_of_ours(self) -> None:
        """A program that asks by a name that is not ours is told so in JSON."""
        client = self.program.begin("OPTIONS", "/ping")
        client.read()
        client.data = b""
        client.send(b"GET /things HTTP/1.1\r\nHost: rebound.test\r\n\r\n")
        self.assertEqual(json.loads(client.answer().text)["status"], 421)


class FailingTests(RouterCase):
    def test_refused(self) -> None:
        """A refusal is told with its status and sentence."""
        self.does.error = Refusal(409, "it is there already", errors=())
        self.assertEqual(self.program.problem(409, "GET", "/things/7")["detail"], "It is there already.")

    def test_the_store(self) -> None:
        """What cannot be kept is a 503 that says when to try again; why is told to those who manage."""
        self.does.error = StoreError("api.db is locked")
        for path, sentence in (("/things", "Api.db is locked."), ("/things/best", "This cannot be kept now.")):
            answer = self.ask("POST", path, {"size": 1})
            self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "5"))
            self.assertEqual(json.loads(answer.text)["detail"], sentence)

    def test_faults(self) -> None:
        """A fault of ours is told as one, without what it was."""
        self.does.error = ValueError("secret")
        self.assertEqual(self.program.problem(500, "GET", "/things/7")["detail"], FAULT)
        self.assertEqual(len(self.flushLoggedErrors(Fault)), 1)

    def test_who_leaves(self) -> None:
        """A change that has begun is made, even when its program hangs up; what is only asked is given up."""
        for method, path, body, done in (("POST", "/things", {"size": 1}, 1), ("GET", "/things/7", None, 0)):
            self.does.done, self.does.waiting = 0, Deferred()
            client = self.program.begin(method, path, body)
            client.leave()
            if not self.does.waiting.called:
                self.does.waiting.callback(None)
            self.assertEqual(self.does.done, done, method)


class WholeTests(SynchronousTestCase):
    def test_all_of_it(self) -> None:
        """What the daemon itself can do is found, and what goes wrong with the API is told as JSON."""
        program = Program(self)
        program.told("GET", "/api/users")
        answer: Any = program.problem(405, "POST", "/api/events")
        self.assertEqual(answer["detail"], "Only GET, HEAD, OPTIONS work here.")
        self.assertEqual(program.problem(404, "GET", "/api/channels/x")["status"], 404)
