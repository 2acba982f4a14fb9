"""The daemon's API as the command line asks it: what goes wrong is an exit status and a sentence."""

from __future__ import annotations

import os
import socket
import time
from threading import Thread
from typing import Any
from unittest.mock import patch

from iptvd.ctl import api
from iptvd.ctl.api import Api
from iptvd.ctl.exits import Ended, Exit
from iptvd.ctl.place import Place
from tests.ctl.double import CtlCase, Double, Reply, problem
from tests.daemon.test_listen import certificate
from tests.doubles import folder_for


class ApiTests(CtlCase):
    def setUp(self) -> None:
        super().setUp()
        self.api = self.api_of(self.double.url)

    def api_of(self, url: str, token: str = "t0ken", timeout: float = 30.0) -> Api:
        return Api(Place(url, token, "option --url", ("A note.",), url), timeout)

    def ended(self, status: Exit, *path: str, of: Api | None = None) -> str:
        """The sentence with which a request ends."""
        error = self.assertRaises(Ended, (of or self.api).get, *path)
        self.assertEqual(error.exit_code, status)
        return str(error.message)

    def test_asks(self) -> None:
        """A request shows the token in a header, and what stands in the path is quoted."""
        self.double.table["GET /a%2Fb/%C3%A4%3F"] = Reply({"x": [1]})
        self.assertEqual(self.api.get("a/b", "ä?", q="x y", none=None, empty="", zero=0), {"x": [1]})
        self.assertEqual(self.last.query, {"q": "x y", "zero": "0"})
        self.assertEqual(self.last.headers["x-api-token"], "t0ken")
        self.assertNotIn("content-type", self.last.headers)
        self.assertTrue(self.last.headers["user-agent"].startswith("iptvctl/"))

    def test_methods(self) -> None:
        """What is made and changed is sent as JSON; an answer without a body is nothing."""
        for method in ("POST", "PUT", "DELETE"):
            self.double.table[f"{method} /a"] = Reply(None)
        self.assertIsNone(self.api.post("a", body={"b": 1}))
        self.assertEqual((self.last.body, self.last.headers["content-type"]), ({"b": 1}, "application/json"))
        self.api.post("a")
        self.assertEqual((self.last.body, "content-type" in self.last.headers), (None, False))
        self.api.put("a", body={"c": 2})
        self.assertEqual(self.last.body, {"c": 2})
        self.api.delete("a")
        self.assertEqual(self.last.method, "DELETE")

    def test_refusals(self) -> None:
        """The daemon's own sentence is told, and the status tells what kind of refusal it is."""
        told = {401: 4, 403: 4, 404: 5, 409: 1, 422: 1, 429: 1, 500: 1, 503: 1}
        for status, exit_status in told.items():
            self.double.table["GET /a"] = problem(status, f"Sentence {status}.")
            self.assertEqual(self.ended(Exit(exit_status), "a"), f"Sentence {status}.")
        self.double.table["GET /a"] = Reply({"title": "Conflict"}, 409, "application/problem+json; charset=utf-8")
        self.assertEqual(self.ended(Exit.REFUSED, "a"), "Conflict")
        self.double.table["GET /a"] = Reply("In plain words.\n", 502, "text/plain; charset=utf-8")
        self.assertEqual(self.ended(Exit.REFUSED, "a"), "In plain words.")
        for reply in (Reply("{", 400), Reply("[1]", 400), Reply({"detail": 3}, 400), Reply("x", 400, "image/png")):
            self.double.table["GET /a"] = reply
            self.assertEqual(self.ended(Exit.REFUSED, "a"), "The daemon answers with status 400.")

    def test_wrong_fields(self) -> None:
        """Of several fields that are wrong each is told."""
        errors = [{"field": "url", "detail": "it is missing"}, {"field": "b", "detail": "it is no number"}, 3]
        self.double.table["GET /a"] = problem(422, "url: it is missing", errors=errors)
        self.assertEqual(self.ended(Exit.REFUSED, "a"), "url: it is missing; b: it is no number")

    def test_notes(self) -> None:
        """Who is refused without a token is told what could not be read."""
        self.double.table["GET /a"] = problem(401, "Managing needs a token.")
        self.assertEqual(self.ended(Exit.NOT_ALLOWED, "a"), "Managing needs a token.")
        said = self.ended(Exit.NOT_ALLOWED, "a", of=self.api_of(self.double.url, ""))
        self.assertEqual(said, "Managing needs a token. A note.")

    def test_not_the_daemon(self) -> None:
        """What is no daemon of ours is told from one that refuses."""
        for reply in (Reply("<html>"), Reply("[" * 200_000), Reply("<html>", 502, "text/html"), Reply("hi", 200)):
            self.double.table["GET /a"] = reply
            self.assertIn("is not the API of iptvd", self.ended(Exit.UNREACHABLE, "a"))

    def test_redirects(self) -> None:
        """A redirect is not followed: nobody else is told the token."""
        self.double.table["GET /a"] = Reply(None, 302, headers=(("Location", f"{self.double.url}/b"),))
        self.assertIn("redirects", self.ended(Exit.REFUSED, "a"))
        self.assertEqual([each.path for each in self.double.asked], ["/a"])

    def test_proxies_of_the_environment(self) -> None:
        """A proxy that is set in the environment is told neither what is asked nor the token."""
        self.double.table["GET /a"] = Reply({})
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            self.patch(os, "environ", {**os.environ, "http_proxy": f"http://127.0.0.1:{proxy.getsockname()[1]}"})
            self.assertEqual(self.api_of(self.double.url).get("a"), {})

    def test_nobody_there(self) -> None:
        """Where nothing listens, the sentence says where that was and how it was found."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        said = self.ended(Exit.UNREACHABLE, "a", of=self.api_of(f"http://127.0.0.1:{port}"))
        where = f"The daemon at http://127.0.0.1:{port} (option --url)"
        self.assertEqual(said, f"{where} cannot be reached: connection refused. A note.")

    def test_no_such_host(self) -> None:
        """A name that nobody has is a sentence."""

        def unknown(*_: object) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        self.patch(socket, "getaddrinfo", unknown)
        self.assertIn("cannot be reached", self.ended(Exit.UNREACHABLE, "a", of=self.api_of("http://nowhere.invalid")))

    def raw(self, *pieces: bytes) -> Api:
        """One that answers the first request with these bytes, and then waits to be left."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)
                if pieces:
                    connection.shutdown(socket.SHUT_WR)
                connection.recv(1)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 10)
        return self.api_of(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30.0 if pieces else 0.3)

    def test_silence(self) -> None:
        """A daemon that says nothing is given up."""
        self.assertIn("nothing came for 0.3 s", self.ended(Exit.UNREACHABLE, "a", of=self.raw()))

    def test_nonsense(self) -> None:
        """What does not speak HTTP, or stops in the middle, is not reached."""
        self.assertIn("cannot be reached", self.ended(Exit.UNREACHABLE, "a", of=self.raw(b"SSH-2.0-x\r\n")))
        cut = self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nabc")
        self.assertIn("cannot be reached", self.ended(Exit.UNREACHABLE, "a", of=cut))

    def test_endless(self) -> None:
        """An answer that is too long, or takes too long, is given up."""
        self.patch(api, "LARGEST", 1000)
        self.double.table["GET /a"] = Reply("[" + "1," * 1000 + "1]")
        self.assertIn("is longer than", self.ended(Exit.REFUSED, "a"))
        self.patch(api, "LARGEST", 1 << 20)
        times = iter(range(0, 1000, 100))
        self.patch(time, "monotonic", lambda: next(times))
        self.assertIn("nothing came", self.ended(Exit.UNREACHABLE, "a"))

    def test_certificates(self) -> None:
        """A certificate that nobody vouches for is refused before anything is said, unless any may be taken."""
        pem = certificate(folder_for(self) / "pem")
        double = Double(pem)
        self.addCleanup(double.close)
        double.table["GET /a"] = Reply({})
        self.assertIn("(self-signed certificate): ", self.ended(Exit.UNREACHABLE, "a", of=self.api_of(double.url)))
        self.assertEqual(double.asked, [])
        self.assertEqual(Api(self.api_of(double.url).place, 30.0, verify=False).get("a"), {})
        with patch.dict(os.environ, {"SSL_CERT_FILE": str(pem)}):
            self.assertEqual(self.api_of(double.url).get("a"), {})

    def test_even_failing(self) -> None:
        """What a failing daemon says of itself is told; another refusal is one."""
        facts = {"status": "failing", "uptime_seconds": 1}
        self.double.table["GET /health"] = Reply(facts, 503)
        self.assertEqual(self.api.even_failing("health"), (False, facts))
        self.double.table["GET /health"] = Reply(facts)
        self.assertEqual(self.api.even_failing("health"), (True, facts))
        for reply in (problem(503, "No."), problem(403, "No.")):
            self.double.table["GET /health"] = reply
            self.assertEqual(self.assertRaises(Ended, self.api.even_failing, "health").message, "No.")

    def test_allows(self) -> None:
        """Whether something is given to everybody is asked without the token."""
        for status, allowed in {200: True, 401: False, 403: False}.items():
            self.double.table["HEAD /a"] = Reply(None, status)
            self.assertEqual(self.api.allows("/a"), allowed)
            self.assertNotIn("x-api-token", self.last.headers)
        self.double.table["HEAD /a"] = Reply(None, 503)
        self.assertRaises(Ended, self.api.allows, "/a")

    def test_stream(self) -> None:
        """A stream is read as it comes, with the token; one that is refused is a sentence."""
        self.double.table["GET /a"] = Reply("media", 200, "video/mp2t")
        with self.api.stream("/a") as answer:
            self.assertEqual(answer.read(), b"media")
        self.assertIn("x-api-token", self.last.headers)
        self.double.table["GET /a"] = Reply("Full.", 503, "text/plain")
        self.assertEqual(self.assertRaises(Ended, self.api.stream, "/a").message, "Full.")
