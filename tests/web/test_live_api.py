"""What happens, as it is told over HTTP while it happens."""

from __future__ import annotations

import json

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from iptvd.activity import KEPT, Activity, Kind
from iptvd.model import Entry
from iptvd.web.live_api import FOR_EVERYBODY, HEARTBEAT, MOST, PATIENCE, LiveResource
from tests.doubles import join
from tests.web.loop import Client, Stage


@frozen
class Told:
    """One event, as a browser reads it (WHATWG HTML, section 9.2.6)."""

    kind: str
    number: int
    data: str


def read(text: str, number: int = -1) -> tuple[list[Told], int]:
    """The events of a stream, and the number that a browser would come back with."""
    told: list[Told] = []
    kind, data = "", ""
    for line in text.split("\n"):
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data = value
        elif name == "id":
            number = int(value)
        elif not line and data:
            told.append(Told(kind, number, data))
        if not line:
            kind = data = ""
    return told, number


def unchunked(body: bytes) -> str:
    """The body without its framing, as far as it has come."""
    text = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        text += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return text.decode()


class LiveTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage(self, Entry("1", "One", group="News"), Entry("2", "Two", group="Sports"))
        self.loop = self.stage.loop
        self.activity = Activity(self.loop, self.loop.seconds)
        self.stage.root.putChild(
            b"live", LiveResource(self.activity, self.loop, self.stage.faces.lineup, self.stage.admission.accounts)
        )
        self.first = self.activity.newest

    def listen(self, path: str = "/live", *headers: tuple[str, str]) -> Client:
        return self.stage.ask(path, *headers)

    def happen(self, *kinds: Kind) -> None:
        for kind in kinds or (Kind.SLOTS,):
            self.activity.tell(kind, 7, provider="home")
        self.loop.settle()

    def told(self, client: Client) -> list[Told]:
        return read(unchunked(client.body))[0]

    def numbers(self, client: Client) -> list[int]:
        return [each.number - self.first for each in self.told(client)]

    def comes_back_with(self, client: Client) -> int:
        return read(unchunked(client.body))[1]


class LiveTests(LiveTestCase):
    def test_the_answer(self) -> None:
        """It is an event stream that no proxy keeps or caches, and something comes at once."""
        client = self.listen()
        head = client.read().partition(b"\r\n\r\n")[0].decode().lower()
        for line in (
            "http/1.1 200 ok",
            "content-type: text/event-stream",
            "cache-control: no-store",
            "x-accel-buffering: no",
            "x-content-type-options: nosniff",
            "transfer-encoding: chunked",
            "access-control-allow-origin: *",
        ):
            self.assertIn(line, head)
        self.assertTrue(unchunked(client.body).startswith("retry: 3000\n"))
        self.assertEqual(self.comes_back_with(client), self.first)

    def test_what_happens(self) -> None:
        """Everybody is told what happens while it happens, typed and numbered, as JSON."""
        clients = [self.listen(), self.listen()]
        self.happen(Kind.STREAM_STARTED)
        self.happen(Kind.SLOTS)
        for client in clients:
            first, second = self.told(client)
            self.assertEqual((first.kind, first.number), ("stream_started", self.first + 1))
            told = json.loads(first.data)
            self.assertEqual((told["event_type"], told["event_id"]), ("stream_started", str(first.number)))
            self.assertEqual((told["stream_id"], told["data"]), ("7", {"provider": "home"}))
            self.assertEqual(second.kind, "slots")

    def test_types(self) -> None:
        """Who asks for some types is told of no others, and comes back with the number of what was not told, too."""
        client = self.listen("/live?types=slots,%20channel_status,")
        self.happen(Kind.STREAM_STARTED, Kind.CHANNEL_STATUS, Kind.STREAM_STOPPED)
        self.assertEqual([each.kind for each in self.told(client)], ["channel_status"])
        self.loop.advance(HEARTBEAT)
        self.assertEqual(self.comes_back_with(client), self.first + 3)

    def test_refused(self) -> None:
        """A type that there is not is refused with those that there are, and so is another method."""
        answer = self.stage.ask("/live?types=slot").answer()
        self.assertEqual(answer.status, 400)
        self.assertIn("channel_status, live_event_soon", answer.text)
        answer = self.stage.ask("/live", method="POST").answer()
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD, OPTIONS"))

    def test_guarded(self) -> None:
        """Who may neither watch nor manage is told nothing; who manages may listen without watching."""
        self.stage.trust(trusted_networks=(), api_token="secret")
        self.assertEqual(self.stage.ask("/live").answer().status, 403)
        client = self.listen("/live", ("X-API-Token", "secret"))
        self.happen()
        self.assertEqual([each.kind for each in self.told(client)], ["slots"])

    def test_head(self) -> None:
        """HEAD tells the type, and is over."""
        answer = self.stage.ask("/live", method="HEAD").answer("HEAD")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/event-stream"))
        self.happen()

    def test_coming_back(self) -> None:
        """Who comes back is told what happened meanwhile, by the header, which wins, or by the query."""
        self.happen(Kind.SLOTS, Kind.SLOTS, Kind.STREAM_STARTED)
        last = self.first + 1
        for path, header in (
            (f"/live?last_event_id={last}", ()),
            ("/live", (("Last-Event-ID", str(last)),)),
            (f"/live?last_event_id={self.first}", (("Last-Event-ID", str(last)),)),
        ):
            client = self.listen(path, *header)
            self.assertEqual(self.numbers(client), [2, 3], path)
        self.happen()
        self.assertEqual(self.numbers(client), [2, 3, 4])
        current = self.listen("/live", ("Last-Event-ID", str(self.activity.newest)))
        self.assertEqual(self.told(current), [])

    def test_too_late(self) -> None:
        """Who was away for too long, or heard another run of the daemon last, is told that, and what follows."""
        self.happen(*[Kind.SLOTS] * (KEPT + 1))
        for last in (str(self.first), "0", str(self.activity.newest + 1), "x", "-1", "9" * 40, "²"):
            client = self.listen("/live", ("Last-Event-ID", last))
            (reset,) = self.told(client)
            self.assertEqual((reset.kind, reset.number, reset.data), ("reset", self.activity.newest, "{}"), last)
        self.happen()
        self.assertEqual([each.kind for each in self.told(client)], ["reset", "slots"])

    def test_heartbeat(self) -> None:
        """While nothing happens a comment is sent now and then, which is no event."""
        client = self.listen()
        before = len(client.body)
        self.loop.advance(HEARTBEAT)
        once = len(client.body)
        self.loop.advance(HEARTBEAT)
        self.assertTrue(before < once < len(client.body))
        self.assertIn("\n\n:\nid: ", unchunked(client.body))
        self.assertEqual(self.told(client), [])

    def test_leaving(self) -> None:
        """Who leaves costs nothing any more."""
        client = self.listen()
        waiting = len(self.loop.getDelayedCalls())
        client.leave()
        self.assertLess(len(self.loop.getDelayedCalls()), waiting)
        self.happen()
        self.assertEqual(self.told(self.listen("/live", ("Last-Event-ID", str(self.first))))[0].kind, "slots")

    def fill(self, client: Client) -> int:
        """Have so much happen that there is no room left for a client that does not read; how much that was."""
        for count in range(1, KEPT):
            self.activity.tell(Kind.STREAM_FAILED, 7, reason="x" * 8000)
            self.loop.settle()
            if client.near.producerPaused:
                return count
        raise AssertionError("there is always room")

    def test_one_that_pauses(self) -> None:
        """Who does not read for a while is told all of it afterwards, and others are told meanwhile."""
        slow = self.listen()
        count = self.fill(slow)
        quick = self.listen()
        self.happen()
        self.assertEqual(self.numbers(quick), [count + 1])
        self.assertLess(slow.near._tempDataLen + len(slow.near.dataBuffer), 200_000)
        self.assertEqual(self.numbers(slow), list(range(1, count + 2)))
        self.loop.advance(PATIENCE)
        self.happen()
        self.assertEqual(self.numbers(slow)[-1], count + 2)

    def test_one_that_pauses_for_long(self) -> None:
        """Who misses more than is kept while not reading is told that."""
        slow = self.listen()
        self.fill(slow)
        for _ in range(KEPT + 1):
            self.activity.tell(Kind.SLOTS)
        self.loop.settle()
        self.assertEqual(self.told(slow)[-1].kind, "reset")

    def test_one_that_does_not_read(self) -> None:
        """Who does not read at all is let go."""
        slow = self.listen()
        self.fill(slow)
        self.loop.advance(PATIENCE)
        slow.read()
        self.assertTrue(slow.ended)
        self.happen()
        self.assertEqual(self.loop.writers, [])

    def test_too_many(self) -> None:
        """There is a bound on how many listen; when one has left there is room again."""
        resource = LiveResource(self.activity, self.loop, self.stage.faces.lineup, self.stage.admission.accounts)
        self.patch(resource, "_clients", set(range(MOST - 1)))
        self.stage.root.putChild(b"full", resource)
        first = self.listen("/full")
        answer = self.stage.ask("/full").answer()
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "5"))
        first.leave()
        self.assertEqual(self.comes_back_with(self.listen("/full")), self.first)

    def test_the_end(self) -> None:
        """When the daemon stops, everybody is told the last of it, and the answer is whole; nobody new is let in."""
        client = self.listen()
        self.activity.tell(Kind.STREAM_STOPPED)
        self.activity.close()
        self.loop.settle()
        self.assertEqual([each.kind for each in read(client.answer().text)[0]], ["stream_stopped"])
        self.assertEqual(self.stage.ask("/live").answer().status, 503)

    def test_the_end_for_one_that_pauses(self) -> None:
        """Who does not read when the daemon stops can still read the last of it."""
        slow = self.listen()
        count = self.fill(slow)
        self.activity.close()
        self.loop.settle()
        slow.read()
        answer = slow.answer()
        self.assertEqual(len(read(answer.text)[0]), count)


class HearingTests(LiveTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.stage.trust(api_token="secret")

    def announce(self, *names: str) -> None:
        channels = [self.stage.channel(name) for name in names]
        told = [{"id": channel.id, "name": channel.name} for channel in channels]
        first = channels[0].id if channels else 0
        self.activity.tell(Kind.LIVE_EVENT_SOON, first, event={"title": "Final", "channels": told}, provider="home")
        self.loop.settle()

    def loses(self, name: str) -> None:
        channel = self.stage.channel(name)
        told = {"id": channel.id, "name": channel.name}
        self.activity.tell(Kind.CHANNEL_STATUS, channel.id, channel=told, state="failing")
        self.loop.settle()

    def test_viewers(self) -> None:
        """Who does not manage hears what concerns everybody, and nothing of what others watch."""
        client = self.listen()
        self.happen(*Kind)
        self.assertEqual({each.kind for each in self.told(client)}, {kind.value for kind in FOR_EVERYBODY})
        self.loop.advance(HEARTBEAT)
        self.assertEqual(self.comes_back_with(client), self.activity.newest)

    def test_asking_for_more(self) -> None:
        """Who asks for what only the operator may hear is refused."""
        self.assertEqual(self.stage.ask("/live?types=channel_status,slots").answer().status, 401)
        join(self.stage.admission, User("bob", "bobs-token"))
        self.assertEqual(self.stage.ask("/~bobs-token/live?types=slots").answer().status, 403)
        client = self.listen("/live?types=slots", ("X-API-Token", "secret"))
        self.happen()
        self.assertEqual([each.kind for each in self.told(client)], ["slots"])

    def test_a_page_of_another_site(self) -> None:
        """A page of another site that a manager looks at hears no more than anybody who may watch."""
        self.stage.trust()
        page = ("Origin", "http://elsewhere.test")
        answer = self.listen("/live?types=client_connected", page).answer()
        self.assertEqual((answer.status, answer.text), (403, "This request comes from a page of another site.\n"))
        page_client, ours = self.listen("/live", page), self.listen("/live", ("Origin", "http://127.0.0.1"))
        self.happen(Kind.CLIENT_CONNECTED, Kind.LIVE_EVENT_SOON)
        self.assertEqual([each.kind for each in self.told(page_client)], ["live_event_soon"])
        self.assertEqual([each.kind for each in self.told(ours)], ["client_connected", "live_event_soon"])

    def test_groups(self) -> None:
        """Who may see some groups hears of their channels alone, and of events that these show."""
        bob = User("bob", "bobs-token", groups=("News",))
        join(self.stage.admission, bob, User("eve", "eves-token"))
        theirs, all_of_it = self.listen("/~bobs-token/live"), self.listen("/~eves-token/live")
        self.loses("Two")
        self.loses("One")
        self.announce("Two")
        self.announce()
        self.announce("Two", "One")
        self.assertEqual(len(self.told(all_of_it)), 5)
        status, event = self.told(theirs)
        one = self.stage.channel("One").id
        self.assertEqual((status.kind, status.number), ("channel_status", self.first + 2))
        self.assertEqual(event.number, self.first + 5)
        told = json.loads(event.data)
        self.assertEqual(told["stream_id"], str(one))
        channels = [{"id": one, "name": "One"}]
        self.assertEqual(told["data"], {"event": {"title": "Final", "channels": channels}, "provider": "home"})
        self.activity.tell(Kind.CHANNEL_STATUS, 99, state="failing")
        self.loop.settle()
        self.assertEqual(len(self.told(theirs)), 2)

    def test_revoked(self) -> None:
        """Who may not hear the same any more is not told any more; the others are."""
        bob = User("bob", "bobs-token")
        join(self.stage.admission, bob, User("eve", "eves-token"))
        client, other = self.listen("/~bobs-token/live"), self.listen("/~eves-token/live")
        join(self.stage.admission, User("bob", "bobs-token", groups=("News",)))
        self.loop.settle()
        self.assertEqual(read(client.answer().text)[0], [])
        self.loses("Two")
        self.assertEqual(len(self.told(other)), 1)
