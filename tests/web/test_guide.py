"""The guide as viewers get it: once if it has not changed, in gzip if they take it, and no faster than they do."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from iptvd.epg.export import Asked
from iptvd.web.guide import AT_ONCE, LONGEST, MOST_DAYS, PATIENCE, GuideResource
from tests.doubles import join
from tests.web.building import BASE, STRANGER, Answer, Connection, Tree, understood

GZIP = ("Accept-Encoding", "gzip, deflate")


@define(eq=False)
class Child:
    """A child that writes when the test says so."""

    argv: Sequence[str]
    sink: Any
    told: bytes
    ended: Deferred[tuple[int, bytes]] = field(init=False)
    wanted: bool = True
    paused: bool = False

    def __attrs_post_init__(self) -> None:
        self.ended = Deferred(lambda _: self.stopProducing())
        self.sink.registerProducer(self, True)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.wanted = False

    def end(self, status: int = 0) -> None:
        self.sink.unregisterProducer()
        self.ended.callback((status, b""))


class GuideTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()
        self.revision = 7
        self.days = 14
        self.children: list[Child] = []
        slots = DeferredSemaphore(AT_ONCE)
        for name, packed in (("epg.xml", False), ("epg.xml.gz", True)):
            resource = GuideResource(
                Path("/state/guide.db"),
                self.pipe,
                self.current,
                lambda: self.days,
                packed,
                slots,
                self.tree.clock,
                self.tree.clock.seconds,
            )
            self.tree.add(name, resource)

    def pipe(self, argv: Sequence[str], sink: Any, told: bytes) -> Deferred[tuple[int, bytes]]:
        self.children.append(Child(argv, sink, told))
        return self.children[-1].ended

    async def current(self) -> int:
        return self.revision

    def begin(self, path: str = "/epg.xml", *headers: tuple[str, str]) -> tuple[Connection, Child]:
        """A viewer who has asked, and the child that writes for it."""
        connection = self.tree.begin(path, headers)
        return connection, self.children[-1]

    def get(self, path: str = "/epg.xml", *headers: tuple[str, str], body: bytes = b"<tv/>") -> Answer:
        """A whole answer."""
        connection, child = self.begin(path, *headers)
        child.sink.write(body)
        child.end()
        return understood(connection.received())

    def arguments(self) -> list[str]:
        """What arguments the child had last, after where the database is."""
        argv = list(self.children[-1].argv)
        self.assertEqual(argv[:4], [sys.executable, "-m", "iptvd.epg.export", "/state/guide.db"])
        return argv[4:]

    def asked(self) -> Asked:
        """What the child was told last."""
        asked = Asked(**json.loads(self.children[-1].told))
        return evolve(asked, groups=tuple(asked.groups))

    def test_plain(self) -> None:
        """The guide comes as XML, as the child writes it."""
        answer = self.get()
        self.assertEqual((answer.status, answer.body), (200, b"<tv/>"))
        self.assertEqual(answer.headers["Content-Type"], "text/xml; charset=utf-8")
        self.assertEqual((answer.headers["Vary"], answer.headers["Content-Encoding"]), ("Accept-Encoding", None))
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
        self.assertEqual((self.arguments(), self.asked()), ([], Asked(BASE)))
        left = [call for call in self.tree.clock.getDelayedCalls() if call.getTime() >= LONGEST]
        self.assertEqual(left, [])

    def test_in_gzip(self) -> None:
        """Who takes gzip gets it packed; the packed file is a file for everybody."""
        answer = self.get("/epg.xml", GZIP)
        self.assertEqual(answer.headers["Content-Encoding"], "gzip")
        self.assertEqual(answer.headers["Content-Type"], "text/xml; charset=utf-8")
        self.assertIn("--gzip", self.arguments())
        for headers in ((), (GZIP,)):
            answer = self.get("/epg.xml.gz", *headers)
            self.assertEqual(answer.headers["Content-Type"], "application/gzip")
            self.assertIsNone(answer.headers["Content-Encoding"])
            self.assertIsNone(answer.headers["Vary"])
            self.assertIn("--gzip", self.arguments())

    def test_what_is_asked_for(self) -> None:
        """Days and group are the viewer's to choose, whatever a group is called."""
        self.get("/epg.xml?days=3&group=A%20%26%20B")
        self.assertEqual(self.asked(), Asked(BASE, 3, "A & B"))
        self.get("/epg.xml?group=a%00b")
        self.assertEqual(self.asked(), Asked(BASE, 14, "a\0b"))
        self.get(f"/epg.xml?group={'a' * 1000}")
        self.assertEqual(len(self.asked().group), 200)
        self.days = 2
        self.get()
        self.assertEqual(self.asked(), Asked(BASE, 2))

    def test_for_a_user(self) -> None:
        """A user's guide has their groups and their links, and a tag of its own; nobody else can read whose it is."""
        join(
            self.tree.admission,
            User("bob", "bobs-token", groups=("B", "A")),
            User("eve", "eves-token", groups=("A", "B")),
        )
        tag = self.get("/~bobs-token/epg.xml?group=B").headers["ETag"]
        self.assertEqual(self.asked(), Asked(f"{BASE}/~bobs-token", 14, "B", ("A", "B")))
        self.assertNotIn("bobs-token", str(self.children[-1].argv))
        self.assertEqual(self.tree.ask("/~bobs-token/epg.xml?group=B", ("If-None-Match", tag)).status, 304)
        self.assertNotEqual(self.get("/~eves-token/epg.xml?group=B").headers["ETag"], tag)
        join(self.tree.admission, User("bob", "bobs-token", groups=("B",)))
        self.assertNotEqual(self.get("/~bobs-token/epg.xml?group=B").headers["ETag"], tag)
        self.assertEqual(self.tree.ask("/epg.xml").status, 401)

    def test_days_that_are_none(self) -> None:
        """What is no number of days is refused with a sentence."""
        for days in ("0", "-1", "x", "01", "1.5", "61", "100", "%C2%B2", "1%0A"):
            answer = self.tree.ask(f"/epg.xml?days={days}")
            self.assertEqual((answer.status, answer.text), (400, f"Days is a number from 1 to {MOST_DAYS}.\n"), days)

    def test_unchanged(self) -> None:
        """Who has it already is told so, and nothing is written for it."""
        tag = self.get().headers["ETag"]
        self.assertTrue(tag.startswith('W/"'))
        count = len(self.children)
        for headers in ((), (GZIP,)):
            answer = self.tree.ask("/epg.xml", ("If-None-Match", tag), *headers)
            self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", tag))
        self.assertEqual(self.tree.ask("/epg.xml", ("If-None-Match", f'"x", {tag}')).status, 304)
        self.assertEqual(len(self.children), count)

    def test_changed(self) -> None:
        """Another guide, day, group, length or address has another tag."""
        tags = [self.get(path).headers["ETag"] for path in ("/epg.xml", "/epg.xml?days=3", "/epg.xml?group=A")]
        tags.append(self.get("/epg.xml", ("Host", "tv.example.com")).headers["ETag"])
        self.revision += 1
        tags.append(self.get().headers["ETag"])
        self.tree.clock.advance(86400)
        tags.append(self.get().headers["ETag"])
        self.assertEqual(len(set(tags)), len(tags))

    def test_head(self) -> None:
        """HEAD has what GET would have, and nothing is written for it."""
        answer = self.tree.ask("/epg.xml", GZIP, method="HEAD")
        self.assertEqual((answer.status, answer.body, self.children), (200, b"", []))
        got = self.get("/epg.xml", GZIP)
        for name in ("ETag", "Content-Type", "Content-Encoding", "Vary", "Cache-Control"):
            self.assertEqual(answer.headers[name], got.headers[name], name)

    def test_before_there_is_any(self) -> None:
        """As long as there is no guide, the viewer is told to come back soon."""
        self.revision = 0
        for path in ("/epg.xml", "/epg.xml.gz"):
            answer = self.tree.ask(path, GZIP)
            self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "5"))
            self.assertEqual(answer.text, "The guide is being put together.\n")
            self.assertIsNone(answer.headers["ETag"])
        self.assertEqual(self.children, [])

    def test_strangers(self) -> None:
        """Whoever may not watch gets no guide."""
        self.assertEqual(self.tree.ask("/epg.xml", peer=STRANGER).status, 403)

    def test_a_viewer_that_leaves(self) -> None:
        """When the viewer leaves, the child is ended and the next one is served."""
        for _ in range(AT_ONCE + 1):
            connection, child = self.begin()
            child.sink.write(b"<tv>")
            connection.leave()
            self.assertFalse(child.wanted)
        self.assertEqual(len(self.children), AT_ONCE + 1)

    def test_no_more_than_so_many(self) -> None:
        """Only so many are written at once; who asks then waits, and may leave while waiting."""
        begun = [self.begin() for _ in range(AT_ONCE)]
        waiting, leaving = self.tree.begin("/epg.xml.gz"), self.tree.begin("/epg.xml")
        self.assertEqual(len(self.children), AT_ONCE)
        leaving.leave()
        begun[0][1].end()
        self.assertEqual(len(self.children), AT_ONCE + 1)
        self.children[-1].sink.write(b"packed")
        self.children[-1].end()
        self.assertEqual(understood(waiting.received()).body, b"packed")
        begun[1][1].end()
        self.assertEqual(len(self.children), AT_ONCE + 1)

    def test_a_slow_viewer(self) -> None:
        """While a viewer takes nothing, the child writes nothing."""
        connection, child = self.begin()
        producer = connection.transport.producer
        assert producer is not None
        producer.pauseProducing()
        self.assertTrue(child.paused)
        self.tree.clock.advance(PATIENCE - 1)
        producer.resumeProducing()
        self.assertFalse(child.paused)
        self.tree.clock.advance(PATIENCE)
        child.sink.write(b"<tv/>")
        child.end()
        self.assertEqual(understood(connection.received()).body, b"<tv/>")

    def test_a_viewer_that_takes_nothing(self) -> None:
        """A viewer that takes nothing for long is let go, for others wait."""
        connection, child = self.begin()
        producer = connection.transport.producer
        assert producer is not None
        producer.pauseProducing()
        self.tree.clock.advance(PATIENCE)
        self.assert_aborted(connection.transport)
        connection.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertFalse(child.wanted)

    def test_a_viewer_that_takes_too_long(self) -> None:
        """A viewer that sips is let go after a while."""
        connection, _ = self.begin()
        self.tree.clock.advance(LONGEST)
        self.assert_aborted(connection.transport)
        connection.leave()

    def assert_aborted(self, transport: StringTransport) -> None:
        self.assertTrue(transport.disconnected or transport.disconnecting)

    def test_a_child_that_fails(self) -> None:
        """When nothing could be written, the viewer is told so, in plain text."""
        connection, child = self.begin("/epg.xml", GZIP)
        child.end(1)
        answer = understood(connection.received())
        self.assertEqual((answer.status, answer.headers["Content-Encoding"]), (500, None))
        self.assertIsNone(answer.headers["ETag"])
        self.assertIn("Something went wrong", answer.text)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_a_child_that_fails_in_between(self) -> None:
        """A guide that is cut short is seen to be so."""
        connection, child = self.begin()
        child.sink.write(b"<tv>")
        child.end(-9)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertTrue(connection.transport.disconnecting)
        with self.assertRaises(IncompleteRead):
            understood(connection.received())

    def test_stopping(self) -> None:
        """When the daemon stops, a viewer that waits is told so, and one that has a part of it is cut short."""
        waiting, child = self.begin("/epg.xml", GZIP)
        reading, other = self.begin()
        other.sink.write(b"<tv>")
        for each in (child, other):
            each.sink.unregisterProducer()
            each.ended.errback(CancelledError())
        answer = understood(waiting.received())
        self.assertEqual((answer.status, answer.text), (503, "Iptvd is stopping.\n"))
        self.assertIsNone(answer.headers["Content-Encoding"])
        self.assertTrue(reading.transport.disconnecting)
