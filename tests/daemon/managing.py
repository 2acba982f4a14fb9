"""The API as whoever manages asks it from this machine: JSON goes in, JSON comes out."""

from __future__ import annotations

import json
from typing import Any

from tests.daemon.client import HttpServer


def call(server: HttpServer, method: str, path: str, body: object = None, status: int = 200) -> Any:
    """
    What is told.

    :raises AssertionError: when the answer has another status.
    """
    raw = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if raw is not None else {}
    answer = server.request(method, path, headers, raw)
    assert answer.status == status, (method, path, answer.status, answer.text)
    return answer.json() if answer.body else None
