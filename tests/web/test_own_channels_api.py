"""Channels of one's own, as a panel pushes them."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.session import Face, Viewer
from iptvd.model import ChannelKind, Entry, Outcome, SourceKind
from iptvd.own_channels import KIND
from iptvd.settings import Config
from iptvd.web import own_channels_api
from tests.doubles import result
from tests.web.building import UPSTREAM
from tests.web.managing import ELSEWHERE, Managing

ONE = Entry("1", "One", group="News")
SOURCE = f"http://bob:canary@{UPSTREAM}/news.ts"
PUSHED = {
    "channel_id": "news-1",
    "name": "News",
    "source_url": SOURCE,
    "logo": f"http://{UPSTREAM}/news.png",
    "category": "Information",
    "quality": "high",
    "order": 3,
    "category_order": 1,
    "is_active": True,
}


class OwnChannelsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self, ONE)

    def add(self, **fields: Any) -> dict[str, Any]:
        added: dict[str, Any] = self.stage.call("POST", "/api/channels", {**PUSHED, **fields}, 201)
        return added

    def names(self, query: str = "") -> list[str]:
        return [each["name"] for each in self.stage.call("GET", f"/api/channels{query}")["channels"]]

    def invalid(self, method: str, path: str, body: object) -> str:
        """The field that a refusal names."""
        answer = self.stage.send(method, path, body)
        self.assertEqual(answer.status, 422, answer.plain)
        self.assertNotIn("canary", answer.plain)
        field: str = json.loads(answer.plain)["errors"][0]["field"]
        return field

    def test_adding(self) -> None:
        """A channel that is pushed is in the lineup at once, and given back as it was pushed, with an id of ours."""
        added = self.add(theirs={"a": [1]})
        self.assertEqual({name: added[name] for name in PUSHED}, PUSHED)
        self.assertEqual((added["theirs"], added["group"], added["kind"]), ({"a": [1]}, "Information", "live"))
        channel = self.stage.channel("News")
        self.assertEqual((channel.id, channel.group, channel.logo), (added["id"], "Information", PUSHED["logo"]))
        self.assertEqual(added["stream"], f"http://127.0.0.1/stream/{channel.id}.ts")
        for name in (channel.id, "news-1"):
            self.assertEqual(self.stage.call("GET", f"/api/channels/{name}"), added)
        self.assertIn(added, self.stage.call("GET", "/api/channels")["channels"])

    def test_what_it_is_played_from(self) -> None:
        """Its sources are its URLs in their order, asked for with its headers and User-Agent."""
        self.add(failover_urls=[f"https://{UPSTREAM}/2.m3u8", SOURCE], headers={"Referer": "x"}, user_agent="TV/1")
        sources = result(self.stage.kept.resolve(self.stage.channel("News").entry))
        self.assertEqual([source.url for source in sources], [SOURCE, f"https://{UPSTREAM}/2.m3u8"])
        self.assertEqual([source.kind for source in sources], [SourceKind.TS, SourceKind.HLS])
        self.assertEqual(dict(sources[0].headers), {"Referer": "x", "User-Agent": "TV/1"})

    def test_as_little_as_possible(self) -> None:
        """An id, a name and a URL are enough; ids may be numbers, and what is null is as if it were not there."""
        body = {"channel_id": 77, "name": "Film", "source_url": f"http://{UPSTREAM}/f.mp4", "logo": None, "x": None}
        added = self.stage.call("POST", "/api/channels", body, 201)
        self.assertEqual((added["channel_id"], added["kind"]), ("77", "vod"))
        self.assertNotIn("x", added)
        self.assertIs(self.stage.channel("Film").kind, ChannelKind.VOD)
        self.assertEqual(self.stage.call("GET", "/api/channels/77")["id"], added["id"])

    def test_our_names_for_the_same(self) -> None:
        """The group can be called so, too; where both are said, the panel's word counts."""
        self.assertEqual(self.add(group="Ours")["category"], "Information")
        changed = self.stage.call("PUT", "/api/channels/news-1", {"group": "Ours"})
        self.assertEqual((changed["category"], changed["group"]), ("Ours", "Ours"))

    def test_twice(self) -> None:
        """A channel that is there is not added again."""
        self.add()
        status, sentence = self.stage.refused("POST", "/api/channels", PUSHED)
        self.assertEqual((status, "PUT" in sentence), (409, True))

    def test_changing(self) -> None:
        """What is named changes, what is null is taken back, everything else stays."""
        before = self.add(theirs=1, number=40)
        changed = self.stage.call("PUT", "/api/channels/news-1", {"name": "New", "quality": None, "theirs": None})
        self.assertEqual((changed["name"], changed["id"], changed["number"]), ("New", before["id"], 40))
        self.assertFalse({"quality", "theirs"} & set(changed))
        changed = self.stage.call("PUT", f"/api/channels/{before['id']}", {"category": "X", "more": True})
        self.assertEqual((changed["group"], changed["name"], changed["more"]), ("X", "New", True))

    def test_sent_back(self) -> None:
        """Who sends back all that they were told changes nothing."""
        added = self.add(theirs=1)
        record = self.stage.admission.records.all(KIND)["news-1"]
        self.assertEqual(self.stage.call("PUT", "/api/channels/news-1", added), added)
        self.assertEqual(record, self.stage.admission.records.all(KIND)["news-1"])

    def test_its_order(self) -> None:
        """Own channels come in the order of their categories, then in their own, then as they came."""
        self.add(channel_id="a", name="A")
        self.add(channel_id="b", name="B", order=2)
        self.add(channel_id="c", name="C", category_order=0, order=9)
        self.add(channel_id="d", name="D")
        self.assertEqual(self.names(), ["One", "C", "B", "A", "D"])
        self.stage.call("PUT", "/api/channels/d", {"order": -1})
        self.assertEqual(self.names(), ["One", "C", "D", "B", "A"])

    def test_switched_off(self) -> None:
        """A channel that is switched off is not in the lineup; who manages finds it among the hidden ones."""
        added = self.add()
        off = self.stage.call("PUT", "/api/channels/news-1", {"is_active": False})
        self.assertEqual((off["is_active"], off["source_url"], off["id"]), (False, SOURCE, 0))
        self.assertNotIn("stream", off)
        self.assertEqual(self.names(), ["One"])
        self.assertEqual(self.names("?hidden=true"), ["One", "News"])
        self.assertEqual(self.names("?hidden=true&q=ne&group=Information"), ["News"])
        self.assertEqual(self.stage.call("GET", "/api/channels/news-1"), off)
        self.assertEqual(self.stage.call("PUT", "/api/channels/news-1", {"hidden": False})["id"], added["id"])
        self.assertEqual(self.names(), ["One", "News"])

    def test_removing(self) -> None:
        """A channel that is removed is gone at once, by either name; what is not there cannot be removed."""
        for name in ("news-1", self.stage.channel("One").id):
            added = self.add()
            name = name if isinstance(name, str) else added["id"]
            self.assertIsNone(self.stage.call("DELETE", f"/api/channels/{name}", None, 204))
            self.assertEqual(self.names("?hidden=true"), ["One"])
            self.assertEqual(self.stage.refused("DELETE", f"/api/channels/{name}")[0], 404)
            self.assertEqual(self.stage.refused("PUT", f"/api/channels/{name}", {"name": "x"})[0], 404)
            self.assertEqual(self.stage.refused("GET", f"/api/channels/{name}")[0], 404)

    def test_who_watches(self) -> None:
        """Whoever watches a channel that is removed or switched off is told off, others go on."""
        for ends in (
            lambda: self.stage.call("DELETE", "/api/channels/news-1", None, 204),
            lambda: self.stage.call("PUT", "/api/channels/news-1", {"is_active": False}),
        ):
            self.add()
            theirs = self.stage.hub.admit(self.stage.channel("News"), Viewer("127.0.0.1"), Face.TS)
            other = self.stage.hub.admit(self.stage.channel("One"), Viewer("127.0.0.1"), Face.TS)
            ends()
            self.assertEqual((theirs.outcome, other.outcome), (Outcome.ENDED_BY_OPERATOR, None))
            other.end(Outcome.VIEWER_LEFT)
            self.assertEqual(self.names(), ["One"])

    def test_mistakes(self) -> None:
        """What cannot be a channel is refused with the field, without its URL, and nothing is kept."""
        for field, value in (
            ("channel_id", ""),
            ("channel_id", "a/b"),
            ("channel_id", "a\n"),
            ("name", ""),
            ("name", 1),
            ("source_url", "rtmp://canary.test/x"),
            ("source_url", "http://canary test/"),
            ("source_url", "/canary.ts"),
            ("source_url", None),
            ("failover_urls", ["file:///canary"]),
            ("headers", {"Host": "canary"}),
            ("headers", {"X": "canary\r\nY: z"}),
            ("user_agent", "canary\n"),
            ("logo", "javascript:canary"),
            ("order", "1"),
            ("number", 0),
            ("sources", ["home"]),
        ):
            found = self.invalid("POST", "/api/channels", {**PUSHED, field: value})
            self.assertTrue(found.startswith(field), (field, value, found))
        for field in ("channel_id", "name", "source_url"):
            body = {name: value for name, value in PUSHED.items() if name != field}
            self.assertEqual(self.invalid("POST", "/api/channels", body), field)
        self.assertEqual(self.stage.send("POST", "/api/channels", {**PUSHED, "x": "y" * 20_000}).status, 422)
        self.assertEqual(self.names("?hidden=true"), ["One"])

    def test_what_is_kept_for_others(self) -> None:
        """What means nothing here is bounded however many times some of it is sent, also of a provider's channel."""
        listed = self.stage.channel("One").id
        self.add(first="x" * 9000)
        self.stage.call("PUT", f"/api/channels/{listed}", {"first": "x" * 9000})
        for name in ("news-1", listed):
            path = f"/api/channels/{name}"
            self.assertEqual(self.stage.refused("PUT", path, {"second": "x" * 9000})[0], 422)
            self.stage.call("PUT", path, {"first": None, "second": "x" * 9000})

    def test_mistakes_in_changes(self) -> None:
        """A change that cannot be is refused, and the channel stays as it was."""
        added = self.add()
        for field, value in (
            ("name", None),
            ("source_url", None),
            ("source_url", "ftp://canary"),
            ("channel_id", "other"),
            ("sources", []),
        ):
            self.assertTrue(self.invalid("PUT", "/api/channels/news-1", {field: value}).startswith(field), field)
        self.assertEqual(self.stage.call("GET", "/api/channels/news-1"), added)
        self.stage.call("PUT", "/api/channels/news-1", {"channel_id": "news-1"})

    def test_into_this_network(self) -> None:
        """Where the operator says so, no channel leads into this network."""
        private = [
            f"http://{host}/a.ts" for host in ("127.0.0.1", "10.0.0.1", "[::1]", "169.254.169.254", "localhost")
        ]
        for number, url in enumerate(private):
            self.add(channel_id=f"x{number}", source_url=url)
        self.stage.config = Config(state_dir=self.stage.config.state_dir, allow_private_upstreams=False)
        for url in private:
            self.assertEqual(self.invalid("POST", "/api/channels", {**PUSHED, "source_url": url}), "source_url")
            self.assertEqual(
                self.invalid("POST", "/api/channels", {**PUSHED, "failover_urls": [SOURCE, url]}), "failover_urls[1]"
            )
        self.assertEqual(self.stage.call("PUT", "/api/channels/x0", {"name": "Renamed"})["name"], "Renamed")

    def test_who_may(self) -> None:
        """Only who manages changes anything, and only they are told where a channel comes from."""
        added = self.add()
        foreign = self.stage.send("GET", "/api/channels/news-1", None, ELSEWHERE)
        self.assertEqual((foreign.status, UPSTREAM in foreign.plain), (200, False))
        self.assertEqual(self.stage.send("GET", "/api/channels?hidden=1", None, ELSEWHERE).status, 403)
        self.assertEqual(self.stage.send("POST", "/api/channels", PUSHED, ELSEWHERE).status, 403)
        self.stage.trust(api_token="t")
        for path in ("/api/channels", f"/api/channels/{added['id']}", "/api/channels/news-1"):
            answer = self.stage.send("GET", path)
            self.assertEqual((answer.status, UPSTREAM in answer.plain), (200, False))
        for method in ("POST", "PUT", "DELETE"):
            path = "/api/channels" if method == "POST" else "/api/channels/news-1"
            self.assertEqual(self.stage.send(method, path, PUSHED).status, 401)
        self.assertEqual(self.stage.send("GET", "/api/channels?hidden=1").status, 401)
        mine = ("Authorization", "Bearer t")
        self.assertIn(UPSTREAM, self.stage.send("GET", "/api/channels?hidden=1", None, mine).plain)
        self.assertEqual(self.stage.send("PUT", "/api/channels/news-1", {"name": "x"}, mine).status, 200)

    def test_how_many(self) -> None:
        """There is an end to how many there can be."""
        self.patch(own_channels_api, "MOST", 1)
        self.add()
        self.assertEqual(self.stage.refused("POST", "/api/channels", {**PUSHED, "channel_id": "b"})[0], 409)

    def test_what_is_not_understood(self) -> None:
        """A record that is no channel is not there, and does the others no harm."""
        self.add()
        result(self.stage.admission.records.put(KIND, "x", {"channel_id": "x", "is_active": False}))
        self.assertEqual(self.names("?hidden=true"), ["One", "News"])
        self.assertEqual(self.stage.refused("GET", "/api/channels/x")[0], 404)
        self.stage.call("DELETE", "/api/channels/x", None, 204)

    def test_two_at_once(self) -> None:
        """Of two who add the same channel at once one is told that it is there."""
        waiting: Deferred[None] = Deferred()
        put = self.stage.admission.records.put

        async def slow(*values: Any) -> None:
            await waiting
            await put(*values)

        self.patch(self.stage.admission.records, "put", slow)
        clients = [self.stage.begin("POST", "/api/channels", PUSHED) for _ in range(2)]
        waiting.callback(None)
        self.stage.loop.settle()
        self.assertEqual(sorted(client.answer("POST").status for client in clients), [201, 409])
