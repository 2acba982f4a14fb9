"""Bodies that are longer than what a connection takes at once, on the short way."""

from __future__ import annotations

from iptvd.model import Outcome
from iptvd.web.site import IDLE
from tests.web.building import understood
from tests.web.test_connection import CLIENT_TIMEOUT, LONG, SHORT, ConnectionTestCase, Wide


class LongBodyTests(ConnectionTestCase):
    """Bodies that do not fit into the kernel's buffers."""

    def test_whole(self) -> None:
        """A long segment comes whole, and what was asked for meanwhile after it."""
        client = self.connect(self.long)
        client.send(self.asked(self.short) + self.asked("/ping"))
        client.send(self.asked("/ping"))
        found = self.answers(client.read(), 4)
        self.assertEqual([answer.body for answer in found], [LONG, SHORT, b"pong\n", b"pong\n"])
        self.assertEqual(self.stage.loop.writers, [])

    def test_much_is_asked_for_meanwhile(self) -> None:
        """A viewer that asks on and on without reading is not listened to for longer than a bound."""
        client = self.connect(self.long)
        request = self.asked("/ping")
        sent = 0
        while client.near in self.stage.loop.readers:
            client.send(request)
            sent += 1
            self.assertLess(sent * len(request), 40_000)
        found = self.answers(client.read(), 1 + sent)
        self.assertEqual((found[0].body, {answer.body for answer in found[1:]}), (LONG, {b"pong\n"}))

    def test_in_its_turn(self) -> None:
        """What an earlier answer has still to send is sent first."""
        client = self.connect()
        self.stage.root.putChild(b"wide", Wide())
        for path in (self.short, self.index):
            count = 0
            while client.near not in self.stage.loop.writers:
                client.send(self.asked("/wide"))
                count += 1
                self.assertLess(count, 1000)
            self.assertIn(client.near, self.stage.loop.readers)
            self.went.clear()
            client.send(self.asked(path))
            found = self.answers(client.read(), count + 1)
            self.assertEqual({answer.body for answer in found[:-1]}, {Wide.BODY})
            self.assertEqual((found[-1].status, len(self.went)), (200, path == self.short))
            client = self.connect()

    def test_leaving(self) -> None:
        """A viewer that leaves in the middle takes nothing with it, and its session goes on until it is idle."""
        for reset in (False, True):
            client = self.connect(self.long)
            client.leave(reset=reset)
            self.stage.loop.settle()
        self.assertEqual(self.stage.ends, [])
        self.stage.loop.pump([1] * 60)
        self.assertEqual(self.stage.outcomes(), ["viewer_left"])
        self.stage.assert_nothing_left()

    def test_not_idle(self) -> None:
        """As long as a viewer reads now and then, neither its session nor its connection is idle."""
        client = self.connect(self.long)
        for _ in range(4):
            self.stage.loop.advance(CLIENT_TIMEOUT - 1)
            for _ in range(4):
                client.sip()
            self.assertLess(len(client.data), len(LONG))
        self.assertEqual(self.stage.ends, [])
        self.assertEqual(understood(client.read()).body, LONG)
        self.stage.loop.advance(IDLE)
        client.read()
        self.assertTrue(client.ended)

    def test_one_that_does_not_read(self) -> None:
        """A viewer that reads nothing for too long is cut off."""
        client = self.connect(self.long)
        before = self.sent()
        self.stage.loop.advance(CLIENT_TIMEOUT)
        self.stage.loop.settle()
        self.assertFalse(client.near.connected)
        self.assertEqual((self.sent(), self.stage.loop.writers), (before, []))

    def test_an_end_of_the_session(self) -> None:
        """When its session is ended, a body that is on its way breaks off, and is not shown as whole."""
        client = self.connect(self.long)
        (session,) = self.stage.hub.sessions.values()
        session.end(Outcome.ENDED_BY_OPERATOR)
        client.read()
        self.assertTrue(client.ended)
        self.assertLess(len(client.body), len(LONG))
        self.stage.loop.pump([1] * 60)
        self.stage.assert_nothing_left()

    def test_many(self) -> None:
        """Viewers at any pace get the same bytes, and nothing is kept for any of them."""
        clients = [self.connect(self.long) for _ in range(5)]
        held = self.stage.cache.figures.bytes_held
        for _ in range(40):
            for client in clients[1:]:
                client.sip()
        self.assertEqual(self.stage.cache.figures.bytes_held, held)
        for client in clients:
            self.assertEqual(understood(client.read()).body, LONG)
