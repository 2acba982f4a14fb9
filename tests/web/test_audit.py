"""The audit log: what it says of calls that manage, and what it never does."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from iptvd.accounts import User, to_record
from iptvd.web.operations import Call, Operation
from iptvd.web.router import Router
from iptvd.web.site import Root
from tests.doubles import Kept, admission, sliced
from tests.web.building import HOME, STRANGER, Tree

API = "secret-api-token"


class Audited(Tree):
    """A tree with something that can be managed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        kept = Kept()
        kept.kinds["user"] = {"bob": to_record(User("bob", "bobs-token"))}
        self.admission = admission(self.clock, kept, **settings)
        operations = [
            Operation("PUT", "/api/things/{name}", "Changes.", self.act, None),
            Operation("GET", "/api/things/{name}", "Tells.", self.act, None),
            Operation("POST", "/api/others", "Changes, for all.", self.act, None, manages=False),
        ]
        assert isinstance(self.root, Root)
        self.root.router = Router(operations, sliced)

    async def act(self, call: Call) -> object:
        return None


class AuditTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []

        @provider(ILogObserver)
        def saw(event: LogEvent) -> None:
            if event.get("log_namespace") == "iptvd.audit":
                self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(saw)
        self.addCleanup(globalLogPublisher.removeObserver, saw)

    def test_by_token(self) -> None:
        """One line tells who has changed what, and how that went; there is neither a name nor a token in it."""
        tree = Audited(api_token=API)
        tree.ask("/api/things/secret?api_token=" + API, method="PUT")
        self.assertEqual(self.lines, [f"PUT /api/things/{{name}} by the API token from {HOME}: 204"])

    def test_without_a_token(self) -> None:
        """Who manages without a token is told as such."""
        tree = Audited(manage_networks=(ip_network(f"{HOME}/32"),))
        tree.ask("/api/things/secret", method="PUT")
        self.assertEqual(self.lines, [f"PUT /api/things/{{name}} by somebody without a token from {HOME}: 204"])

    def test_who_may_not(self) -> None:
        """Who is not let do something is told of too, once it is answered."""
        tree = Audited(api_token=API)
        tree.ask("/api/things/secret", method="PUT", peer=STRANGER)
        tree.begin("/~wrong/api/things/secret", method="PUT", peer=STRANGER)
        self.assertEqual(len(self.lines), 1)
        tree.clock.advance(1)
        line = f"PUT /api/things/{{name}} by somebody who may not manage from {STRANGER}: "
        self.assertEqual(self.lines, [line + "401", line + "403"])

    def test_who_has_left(self) -> None:
        """What was asked for by who is gone meanwhile is told of as well."""
        tree = Audited(api_token=API)
        connection = tree.begin("/api/things/secret?token=x", method="PUT")
        connection.leave()
        (line,) = self.lines
        self.assertTrue(line.endswith("403, nobody waited for the answer"), line)

    def test_what_is_not_told(self) -> None:
        """What only looks, and what anybody may, is nothing for this log."""
        tree = Audited(api_token=API)
        headers = ("X-API-Token", API)
        for method, path in (("GET", "/api/things/x"), ("HEAD", "/api/things/x"), ("OPTIONS", "/api/things/x")):
            tree.ask(path, headers, method=method)
        tree.ask("/api/others", headers, method="POST")
        tree.ask("/ping", headers, method="POST")
        self.assertEqual(self.lines, [])
