"""A stage whose API is asked as by whoever manages: JSON goes in, JSON comes out."""

from __future__ import annotations

import json
from typing import Any

from tests.web.building import Answer
from tests.web.loop import Client, Stage, connected

#: A stranger's own page, as a browser says it.
ELSEWHERE = ("Origin", "http://elsewhere.test")


class Managing(Stage):
    """Asked from this machine, which may manage."""

    def begin(self, method: str, path: str, body: object = None, *headers: tuple[str, str]) -> Client:
        """Ask with a JSON body, if there is one, and do not wait for the answer."""
        client = connected(self.loop, self.site.buildProtocol(None), self.test)
        raw = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {it}" for name, it in headers)]
        if raw:
            lines += ["Content-Type: application/json", f"Content-Length: {len(raw)}"]
        client.send("\r\n".join([*lines, "", ""]).encode() + raw)
        return client

    def send(self, method: str, path: str, body: object = None, *headers: tuple[str, str]) -> Answer:
        """The answer."""
        return self.begin(method, path, body, *headers).answer(method)

    def call(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        """What is told, with this status."""
        answer = self.send(method, path, body)
        if answer.status != status:
            raise AssertionError(f"{method} {path}: {answer.status} {answer.plain}")
        return json.loads(answer.plain) if answer.body else None

    def refused(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """The status and the sentence of a refusal."""
        answer = self.send(method, path, body)
        return answer.status, json.loads(answer.plain)["detail"]
