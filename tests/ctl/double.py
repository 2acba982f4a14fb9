"""A daemon that answers from a table, and ``iptvctl`` run against it."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import frozen
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from iptvd.aliases import ALIASES
from iptvd.ctl import asked
from iptvd.ctl.main import iptvctl
from iptvd.ctl.place import find

#: Where no settings file is.
NOWHERE = (Path("/nonexistent/iptvd.toml"), Path("/nonexistent/iptvd.env"))


@frozen
class Request:
    """What was asked; header names in lower case, the body read as JSON."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@frozen
class Reply:
    """What is answered: JSON, or text that stays as it is."""

    content: Any = None
    status: int = 200
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def problem(status: int, detail: str, **more: object) -> Reply:
    """A refusal in problem details."""
    return Reply({"type": "about:blank", "detail": detail, **more}, status, "application/problem+json")


class Double:
    """
    The daemon.

    :param pem: a key and a certificate, to speak TLS with.
    :ivar table: what is answered, by method and path; what is called is given the request.
    :ivar asked: what it was asked.
    """

    def __init__(self, pem: Path | None = None) -> None:
        self.table: dict[str, Reply | Callable[[Request], Reply]] = {}
        self.asked: list[Request] = []
        double = self

        class Answers(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                value = json.loads(body) if body else None
                request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), headers, value)
                double.asked.append(request)
                self.reply(double.reply(request))

            def reply(self, reply: Reply) -> None:
                content = reply.content
                data = json.dumps(content).encode() if not isinstance(content, str) else content.encode()
                data = b"" if content is None else data
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.kind)
                self.send_header("Content-Length", str(len(data)))
                for name, text in reply.headers:
                    self.send_header(name, text)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        if pem is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=partial(self._server.serve_forever, 0.01), daemon=True)
        self._thread.start()
        self.url = f"http{'s' if pem else ''}://127.0.0.1:{self._server.server_address[1]}"

    def reply(self, request: Request) -> Reply:
        """What is answered to a request."""
        found = self.table.get(f"{request.method} {request.path}")
        if found is None:
            return problem(404, "There is nothing at this address.")
        return found(request) if callable(found) else found

    def close(self) -> None:
        """Be there no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class CtlCase(SynchronousTestCase):
    """
    A test with a daemon and a command line.

    :ivar result: of the last command.
    """

    def setUp(self) -> None:
        self.double = Double()
        self.addCleanup(self.double.close)
        self.patch(asked, "find", partial(find, files=NOWHERE))
        self.result: Result

    def answers(self, **table: Any) -> None:
        """Have it answer a GET of these paths: their parts with ``__`` between."""
        for name, content in table.items():
            self.double.table[f"GET /{name.replace('__', '/')}"] = Reply(content)

    def call(self, *arguments: str, status: int = 0, env: Mapping[str, str] | None = None, **more: Any) -> str:
        """What a command says on standard output; it has to end with this status."""
        own = {each.name: None for each in ALIASES} | {"COLUMNS": None}
        own |= {name: None for name in os.environ if name.startswith("IPTVD_")}
        environment: dict[str, str | None] = {**own, "IPTVD_URL": self.double.url, **(env or {})}
        self.result = CliRunner().invoke(iptvctl, arguments, env=environment, **more)
        self.assertEqual(self.result.exit_code, status, self.result.output + repr(self.result.exception))
        return self.result.stdout

    def refused(self, *arguments: str, status: int, env: Mapping[str, str] | None = None) -> str:
        """The sentence with which a command ends that says nothing else."""
        self.assertEqual(self.call(*arguments, status=status, env=env), "")
        lines = self.result.stderr.splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("iptvctl: "), lines)
        return lines[0].removeprefix("iptvctl: ")

    def json(self, *arguments: str) -> Any:
        """What a command says to programs."""
        return json.loads(self.call(*arguments, "--json"))

    @property
    def last(self) -> Request:
        """What the daemon was asked last."""
        return self.double.asked[-1]
