"""A program that uses the API."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.operations import Operation
from iptvd.web.router import Router
from tests.doubles import sliced
from tests.web.building import Answer
from tests.web.loop import Client, Stage, connected

JSON = ("Content-Type", "application/json")


class Program:
    """
    Asks a whole tree, from this machine.

    :ivar stage: the tree; it has the operations of the daemon, unless others are given.
    """

    def __init__(self, test: SynchronousTestCase, *operations: Operation) -> None:
        self.test = test
        self.stage = Stage(test)
        if operations:
            root: Any = self.stage.root
            root.router = Router(operations, sliced)

    def begin(self, method: str, path: str, body: object = None, *headers: tuple[str, str]) -> Client:
        """
        Ask and do not wait for the answer.

        :param body: bytes, or what is sent as JSON.
        """
        client = connected(self.stage.loop, self.stage.site.buildProtocol(None), self.test)
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        told = (("Host", "127.0.0.1"), ("Content-Length", str(len(raw))), *headers)
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told), "", ""])
        client.send(head.encode() + raw)
        return client

    def ask(self, method: str, path: str, body: object = None, *headers: tuple[str, str]) -> Answer:
        """The answer; those who show a wrong token wait for it."""
        client = self.begin(method, path, body, *headers)
        if not client.read():
            self.stage.loop.advance(60)
        return client.answer(method)

    def told(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        """What an answer with that status says."""
        answer = self.ask(method, path, body)
        self.test.assertEqual(answer.status, status, answer.text)
        return json.loads(answer.plain)

    def problem(self, status: int, method: str, path: str, body: object = None, *headers: tuple[str, str]) -> Any:
        """What is said of a problem with that status."""
        answer = self.ask(method, path, body, *headers)
        self.test.assertEqual(answer.status, status, answer.text)
        self.test.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        told = json.loads(answer.text)
        self.test.assertEqual((told["type"], told["status"]), ("about:blank", status))
        return told
