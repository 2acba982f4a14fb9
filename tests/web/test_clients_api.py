"""Who watches, as programs that know m3u-proxy see it."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.model import Entry, Outcome
from iptvd.stream_records import id_of
from tests.doubles import join
from tests.web.managing import Managing

URL = "http://origin.test/a"
MANAGES = ("X-API-Token", "t0p-s3cret")


class ClientsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self, Entry("1", "Listed"))
        self.stage.call("POST", "/streams", {"url": URL, "name": "Kept"})

    def watch(self, name: str, viewer: Viewer) -> Session:
        return self.stage.hub.admit(self.stage.channel(name), viewer, Face.TS)

    def test_all(self) -> None:
        """Everybody is told with what they watch, whatever lists it, and never with a null."""
        kept = self.watch("Kept", Viewer("192.168.1.2", "VLC", called="anna"))
        kept.bytes_sent, kept.segments = 1880, 3
        self.watch("Listed", Viewer("192.168.1.3"))
        told = self.stage.call("GET", "/clients")
        self.assertEqual(told, self.stage.call("GET", "/stats/clients"))
        first, second = told["clients"]
        self.assertEqual(told["total_clients"], 2)
        expected = {
            "client_id": kept.id,
            "stream_id": id_of(URL),
            "user_agent": "VLC",
            "ip_address": "192.168.1.2",
            "bytes_served": 1880,
            "segments_served": 3,
            "username": "anna",
            "is_connected": True,
            "channel": "Kept",
        }
        self.assertEqual({name: first[name] for name in expected}, expected)
        self.assertEqual(second["stream_id"], str(self.stage.channel("Listed").id))
        self.assertNotIn(None, [*first.values(), *second.values()])

    def test_one(self) -> None:
        """One is told by its id, and one that does not watch is not there."""
        session = self.watch("Kept", Viewer("192.168.1.2"))
        told = self.stage.call("GET", f"/clients/{session.id}")
        self.assertEqual((told["client_id"], told["client"]["stream_id"]), (session.id, id_of(URL)))
        for method in ("GET", "DELETE"):
            self.assertEqual(self.stage.refused(method, "/clients/nobody")[0], 404)

    def test_ending(self) -> None:
        """A session that is ended has ended by the operator, and no other has."""
        sessions = [self.watch("Kept", Viewer("192.168.1.2")) for _ in range(4)]
        number = self.stage.channel("Kept").id
        self.stage.call("DELETE", f"/clients/{sessions[0].id}")
        self.stage.call("DELETE", f"/hls/{id_of(URL)}/clients/{sessions[1].id}")
        self.stage.call("DELETE", f"/hls/{number}/clients/{sessions[2].id}")
        self.assertEqual(self.stage.refused("DELETE", f"/hls/{'0' * 32}/clients/{sessions[3].id}")[0], 404)
        self.assertEqual([each.outcome for each in sessions], [Outcome.ENDED_BY_OPERATOR] * 3 + [None])
        self.assertEqual(self.stage.refused("DELETE", f"/clients/{sessions[0].id}")[0], 404)

    def called(self, query: str, *headers: tuple[str, str]) -> list[str]:
        """What those are called who watch, when one has asked so."""
        client = self.stage.ask(f"/stream/{id_of(URL)}{query}", *headers)
        told = json.loads(self.stage.send("GET", "/clients", None, MANAGES).plain)
        client.leave()
        self.stage.loop.advance(10)
        self.stage.loop.settle()
        return [each["username"] for each in told["clients"]]

    def test_what_they_are_called(self) -> None:
        """A program can say who it asks for, by header or query, in a bounded line; a user is who they are."""
        self.stage.trust(api_token=MANAGES[1])
        self.assertEqual(self.called("", ("X-Username", "anna\u0007")), ["anna"])
        self.assertEqual(self.called("?username=anna"), ["anna"])
        self.assertEqual(self.called(""), [""])
        join(self.stage.admission, User("bob", "bobs-token"))
        self.assertEqual(self.called("", ("X-Username", "anna")), [])
        self.assertEqual(self.called("?token=bobs-token", ("X-Username", "anna")), ["bob"])
        self.assertEqual(self.called("?username=carol", MANAGES), ["carol"])
        self.assertEqual(self.called("", MANAGES, ("X-Username", "x" * 200)), ["x" * 100])
