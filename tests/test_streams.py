"""What can be done with streams that are kept; what is told of it is `tests.web.test_streams_api`'s to see."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.session import Face, Session, Viewer
from iptvd.errors import StoreError, UpstreamError
from iptvd.model import Channel, Entry, Outcome
from iptvd.stream_records import KIND, Stream, id_of
from iptvd.streams import Posted, stream_id_of
from tests.doubles import result
from tests.web.managing import Managing

A, B = "http://origin.test/a", "http://origin.test/b"


class StreamsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self, Entry("1", "Listed"))
        self.streams = self.stage.streams

    def put(self, url: str = A, **more: object) -> Posted:
        return result(self.streams.put(id_of(url), Stream(url=url, **more)))  # type: ignore[arg-type]

    def watch(self, channel: Channel) -> Session:
        return self.stage.hub.admit(channel, Viewer("192.168.1.2"), Face.TS)

    def test_what_came_of_it(self) -> None:
        """It is told whether a stream is new, the same, or another."""
        told = [self.put(), self.put(), self.put(name="One"), self.put(name="One")]
        self.assertEqual(told, [Posted.CREATED, Posted.SAME, Posted.CHANGED, Posted.SAME])
        self.assertEqual((len(self.streams), [name for name, _ in self.streams.all()]), (1, [id_of(A)]))

    def test_ids(self) -> None:
        """A stream is found by its id, and any channel by its own; either says what it is called."""
        self.put(name="One")
        kept, listed = self.stage.channel("One"), self.stage.channel("Listed")
        self.assertEqual([stream_id_of(each) for each in (kept, listed)], [id_of(A), str(listed.id)])
        for name, channel in (
            (id_of(A), kept),
            (str(kept.id), kept),
            (str(listed.id), listed),
            ("x", None),
            ("7", None),
        ):
            self.assertIs(self.streams.channel(name), channel)

    def test_a_record_that_is_none(self) -> None:
        """What is not understood is no stream."""
        self.put()
        result(self.stage.admission.records.put(KIND, "bad", {"url": 7}))
        self.assertIsNone(self.streams.get("bad"))
        self.assertEqual([name for name, _ in self.streams.all()], [id_of(A)])

    def test_what_is_watched(self) -> None:
        """What is watched is told also when it is not in the lineup any more."""
        channel = self.stage.channel("Listed")
        session = self.watch(channel)
        self.assertEqual(list(self.streams.watched()), [channel])
        self.assertEqual(self.streams.sessions(channel), [session])
        self.stage.entries = ()
        self.put()
        self.assertEqual(list(self.streams.watched()), [channel])
        self.assertEqual((self.streams.sessions(None), self.streams.current_url("nothing")), ([], ""))
        session.end(Outcome.VIEWER_LEFT)
        self.assertEqual(list(self.streams.watched()), [])

    def test_one_that_cannot_be_deleted(self) -> None:
        """When one of several cannot be deleted, those before it are, and what is watched of them ends."""
        self.put()
        self.put(B)
        channel = self.streams.channel(id_of(A))
        assert channel is not None
        session, removed = self.watch(channel), self.stage.admission.records.remove

        async def remove(kind: str, name: str) -> None:
            if name == id_of(B):
                raise StoreError("the disk is full")
            await removed(kind, name)

        self.patch(self.stage.admission.records, "remove", remove)
        with self.assertRaisesRegex(StoreError, "full"):
            result(self.streams.delete([id_of(A), id_of(B)]))
        self.assertIs(session.outcome, Outcome.ENDED_BY_OPERATOR)
        self.assertEqual([name for name, _ in self.streams.all()], [id_of(B)])

    def test_sources_that_cannot_be_had_now(self) -> None:
        """When a stream is changed whose sources cannot be told now, it is changed all the same."""
        self.put()
        self.stage.ask(f"/stream/{id_of(A)}")

        def fail() -> None:
            raise UpstreamError(502, "no provider has it any more")

        self.stage.resolving = fail
        self.assertIs(self.put(failover_urls=[B]), Posted.CHANGED)
