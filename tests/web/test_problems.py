"""Problem details."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.problems import problem


class ProblemTests(SynchronousTestCase):
    def test_members(self) -> None:
        """A problem has the members of RFC 9457, and the fields that are wrong where some are."""
        told = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Nö."}
        self.assertEqual(json.loads(problem(404, "Nö.")), told)
        fields = [("size", "it is missing"), ("", "it is odd")]
        errors = [{"field": name, "detail": detail} for name, detail in fields]
        self.assertEqual(json.loads(problem(404, "Nö.", fields)), {**told, "errors": errors})

    def test_half_a_character(self) -> None:
        """What no encoding has does not keep the rest from being told."""
        self.assertEqual(json.loads(problem(404, "\ud800x"))["detail"], "?x")
