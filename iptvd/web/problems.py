"""What is said when something cannot be done, for programs: problem details (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus

#: The type of such an answer.
CONTENT_TYPE = "application/problem+json"


def problem(status: int, sentence: str, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    """
    The answer's body.

    :param fields: those that are wrong, each with what would be right.
    """
    facts: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": sentence,
    }
    wrong = [{"field": field, "detail": detail} for field, detail in fields]
    if wrong:
        facts["errors"] = wrong
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
