"""The streams' API, as programs that know m3u-proxy use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from iptvd.model import Entry, Source, SourceKind
from iptvd.nearby import FarSource
from iptvd.settings import Config
from iptvd.stream_records import KIND, id_of
from iptvd.web import streams_api
from tests.doubles import Kept, result
from tests.protocols.tsmaking import made_film
from tests.web.loop import Client
from tests.web.managing import ELSEWHERE, Managing

A, B, C = (f"http://origin.test/{letter}" for letter in "abc")
PIECES = [made_film(seconds=8)[at : at + 188 * 400] for at in range(0, len(made_film(seconds=8)), 188 * 400)]


class StreamsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self, Entry("1", "Listed"))

    def create(self, url: str = A, **more: object) -> Any:
        return self.stage.call("POST", "/streams", {"url": url, **more})

    def stream(self, stream_id: str) -> Any:
        return self.stage.call("GET", f"/streams/{stream_id}")["stream"]

    def watch(self, stream_id: str, *headers: tuple[str, str]) -> Client:
        """A viewer, of what delivers."""
        client = self.stage.ask(f"/stream/{stream_id}", *headers)
        self.stage.deliver(PIECES[:3])
        return client

    def waited(self, client: Client) -> Any:
        """The answer to what takes a while, in which all that is open delivers."""
        for piece in PIECES[3:]:
            self.stage.deliver([piece], 0.2)
            if client.read():
                break
        return client.answer("POST")


class CreatingTests(StreamsCase):
    def test_an_answer(self) -> None:
        """What is created has the fields that m3u-proxy's have, and is in the lineup at once."""
        made = self.create(
            failover_urls=[B], user_agent="TV", metadata={"title": "One", "n": 7, "yes": True, "no": None}
        )
        stream_id = id_of(A)
        self.assertEqual(
            made,
            {
                "stream_id": stream_id,
                "stream_endpoint": f"/stream/{stream_id}",
                "message": "Stream created",
                "primary_url": A,
                "failover_urls": [B],
                "user_agent": "TV",
                "stream_type": "direct",
                "playlist_url": f"/hls/{stream_id}/playlist.m3u8",
                "direct_url": f"/stream/{stream_id}",
                "stream_url": f"http://127.0.0.1/stream/{stream_id}",
                "metadata": {"title": "One", "n": "7", "yes": "True"},
                "channel_id": self.stage.channel("One").id,
            },
        )
        self.assertIn(",One\n", self.stage.ask("/playlist.m3u8").answer().plain)

    def test_hls(self) -> None:
        """Of a playlist the address is the one where its HLS is looked for."""
        made = self.create(f" {A}.m3u8 ")
        endpoint = f"/hls/{id_of(A + '.m3u8')}/playlist.m3u8"
        self.assertEqual(
            (made["stream_endpoint"], made["stream_type"], made["direct_url"]), (endpoint, "hls", endpoint)
        )

    def test_again(self) -> None:
        """The same again changes nothing; what is left out stays, what is said otherwise counts; it is told."""
        self.create(failover_urls=[B], name="One", theirs=1)
        created = self.stream(id_of(A))["created_at"]
        self.stage.loop.advance(100)
        changes: tuple[tuple[dict[str, Any], str], ...] = (
            ({}, "as it is asked for"),
            ({"failover_urls": [B]}, "as it is asked for"),
            ({"user_agent": None}, "as it is asked for"),
            ({"failover_urls": []}, "next switch"),
            ({"theirs": 2}, "next switch"),
        )
        for body, message in changes:
            self.assertIn(message, self.create(**body)["message"])
        stream = self.stream(id_of(A))
        self.assertEqual((stream["name"], stream["has_failover"], stream["created_at"]), ("One", False, created))
        record: Any = self.stage.admission.records.all(KIND)[id_of(A)]
        self.assertEqual(record["extra"], {"theirs": 2})

    def test_what_is_refused(self) -> None:
        """What cannot be kept is refused with its field, and the URL is not in the answer."""
        good = {"url": A}
        for body, field in (
            ({}, "url"),
            ({"url": "canary"}, "url"),
            ({"url": "rtmp://canary.test/a"}, "url"),
            ({**good, "failover_urls": [B, "ftp://canary"]}, "failover_urls[1]"),
            ({**good, "headers": {"Content-Length": "canary"}}, "headers.Content-Length"),
            ({**good, "user_agent": "canary\r\n"}, "headers.User-Agent"),
            ({**good, "metadata": {"a": {"b": "canary"}}}, "metadata"),
            ({**good, "metadata": {"canary" * 50: 1}}, "metadata"),
            ({**good, "theirs": "canary" * 5000}, ""),
        ):
            answer = self.stage.send("POST", "/streams", body)
            self.assertEqual(answer.status, 422, body)
            self.assertIn(f'"field":"{field}', answer.plain)
            self.assertNotIn("canary", answer.plain)
        self.assertEqual(self.stage.call("GET", "/streams"), {"streams": [], "total": 0})

    def test_what_is_kept_for_others(self) -> None:
        """What means nothing here is bounded however many times some of it is sent."""
        self.create(first="x" * 9000)
        self.assertEqual(self.stage.refused("POST", "/streams", {"url": A, "second": "x" * 9000})[0], 422)
        self.create(first="", second="x" * 9000)

    def test_where_it_may_lead(self) -> None:
        """Where the settings say so, what leads into this network is refused, and seen when it is connected to."""
        self.stage.config = Config(state_dir=Path("/nonexistent"), allow_private_upstreams=False)
        for body in ({"url": "http://127.0.0.1/"}, {"url": A, "failover_urls": ["http://10.0.0.1/"]}):
            self.assertEqual(self.stage.refused("POST", "/streams", body)[0], 422)
        self.create(name="Far")
        (source,) = result(self.stage.kept.resolve(self.stage.channel("Far").entry))
        self.assertIsInstance(source, FarSource)

    def test_the_bound(self) -> None:
        """There are only so many; those that are there can still be changed."""
        self.patch(streams_api, "MOST", 1)
        self.create()
        status, sentence = self.stage.refused("POST", "/streams", {"url": B})
        self.assertEqual((status, "delete some" in sentence), (409, True))
        self.create(name="Other")

    def test_what_rules_hide(self) -> None:
        """A stream that is not in the lineup is kept, but it is said that it cannot be played."""
        self.stage.shown.channel_of = lambda provider, key: None  # type: ignore[method-assign]
        made = self.create()
        self.assertIn("the rules of the lineup hide it", made["message"])
        self.assertIsNone(made["channel_id"])
        self.assertEqual(self.stream(id_of(A))["total_bytes_served"], 0)
        self.assertEqual(self.stage.refused("POST", f"/streams/{id_of(A)}/failover")[0], 404)

    def test_what_cannot_be_kept(self) -> None:
        """When the disk is full the answer says so, and nothing has changed."""
        cast(Kept, self.stage.admission.records._store).failure = "the disk is full"
        status, sentence = self.stage.refused("POST", "/streams", {"url": A})
        self.assertEqual((status, "disk is full" in sentence.lower()), (503, True))
        self.assertEqual(self.stage.call("GET", "/streams")["total"], 0)

    def test_who_may(self) -> None:
        """Pages of others, and who may not manage, are told nothing."""
        self.assertEqual(self.stage.send("POST", "/streams", {"url": A}, ELSEWHERE).status, 403)
        self.stage.trust(api_token="t0p-s3cret")
        for method, path in (("POST", "/streams"), ("GET", "/streams"), ("GET", f"/streams/{id_of(A)}")):
            self.assertEqual(self.stage.send(method, path, {"url": A} if method == "POST" else None).status, 401)
        told = self.stage.send("GET", "/streams", None, ("X-API-Token", "t0p-s3cret"))
        self.assertEqual(told.status, 200)


class OneTests(StreamsCase):
    def test_what_is_told(self) -> None:
        """One is told with who watches it; what does not exist is not there."""
        self.create(failover_urls=[B], name="One")
        client = self.watch(id_of(A), ("User-Agent", "VLC"), ("X-Username", "anna"))
        info = self.stage.call("GET", f"/streams/{id_of(A)}")
        (told,) = info["clients"]
        self.assertEqual((info["client_count"], told["user_agent"], told["username"]), (1, "VLC", "anna"))
        stream = info["stream"]
        self.assertEqual((stream["original_url"], stream["current_url"], stream["is_active"]), (A, A, True))
        self.assertEqual(stream["total_bytes_served"], len(client.body))
        for stream_id in ("0" * 32, "7", "99999999999", "nothing", "%C3%BC"):
            self.assertEqual(self.stage.refused("GET", f"/streams/{stream_id}")[0], 404, stream_id)

    def test_deleting(self) -> None:
        """What is deleted ends for who watches it, its connection too, and is gone."""
        self.create(failover_urls=[B])
        client = self.watch(id_of(A))
        self.stage.call("DELETE", f"/streams/{id_of(A)}")
        self.stage.loop.advance(0)
        client.read()
        self.assertEqual(self.stage.outcomes(), ["ended_by_operator"])
        self.stage.assert_nothing_left()
        self.assertEqual(self.stage.ask(f"/stream/{id_of(A)}").answer().status, 404)
        self.assertEqual(self.stage.refused("DELETE", f"/streams/{id_of(A)}")[0], 404)

    def test_what_a_provider_lists(self) -> None:
        """What is watched of a channel that a provider lists ends, where it is from is not told, and it stays."""
        self.stage.sources["1"] = [("home", Source(SourceKind.TS, url=url)) for url in (A, B)]
        channel = self.stage.channel("Listed")
        path = f"/streams/{channel.id}"
        self.assertEqual(self.stage.refused("POST", f"{path}/failover")[0], 409)
        client = self.watch(str(channel.id))
        told = self.stream(str(channel.id))
        self.assertEqual((told["original_url"], told["current_url"], told["name"]), ("", "", "Listed"))
        over = self.waited(self.stage.begin("POST", f"{path}/failover"))
        self.assertEqual((over.status, '"current_url":""' in over.plain), (200, True))
        self.assertEqual(self.stage.live.on_air[channel.id].feed.source, "home/1")
        self.assertIn("stays in the lineup", self.stage.call("DELETE", path)["message"])
        self.assertEqual(self.stage.outcomes(), ["ended_by_operator"])
        client.read()
        self.stage.assert_nothing_left()
        self.assertIs(self.stage.channel("Listed"), channel)


class FailoverTests(StreamsCase):
    def over(self, stream_id: str) -> Any:
        answer = self.waited(self.stage.begin("POST", f"/streams/{stream_id}/failover"))
        self.assertEqual(answer.status, 200, answer.plain)
        return answer

    def test_while_it_is_watched(self) -> None:
        """It goes to the next URL in order, and the answer comes when it is there."""
        self.create(failover_urls=[B, C])
        self.watch(id_of(A))
        for url in (B, C, A):
            answer = self.over(id_of(A))
            self.assertIn(f'"current_url":"{url}"', answer.plain)
            self.assertIn('"active_clients":1', answer.plain)
            self.assertEqual(self.stream(id_of(A))["current_url"], url)
        self.assertEqual(self.stream(id_of(A))["error_count"], 0)

    def test_one_that_takes_long(self) -> None:
        """Where the next one brings nothing yet the answer comes all the same, and says so."""
        self.create(failover_urls=[B])
        self.watch(id_of(A))
        client = self.stage.begin("POST", f"/streams/{id_of(A)}/failover")
        for _ in range(60):
            self.stage.origins.taps[0].deliver(PIECES[3])
            self.stage.loop.advance(0.1)
            self.stage.loop.settle()
        answer = client.answer("POST")
        self.assertIn("is being tried", answer.plain)
        self.assertIn(f'"current_url":"{A}"', answer.plain)

    def test_while_nobody_watches(self) -> None:
        """It begins with the next URL when somebody does; what lingered with the one before is closed."""
        self.create(failover_urls=[B])
        client = self.watch(id_of(A))
        client.leave()
        self.stage.call("POST", f"/streams/{id_of(A)}/failover")
        self.stage.assert_nothing_left()
        self.assertEqual(self.stream(id_of(A))["current_url"], B)
        self.watch(id_of(A))
        self.assertEqual((self.stage.origins.asked, self.stream(id_of(A))["current_url"]), (["a", "b"], B))
        self.assertIn(f'"current_url":"{A}"', self.over(id_of(A)).plain)

    def test_without_another(self) -> None:
        """A stream with one URL has none to go to."""
        self.create(failover_urls=[A])
        self.assertEqual(self.stage.refused("POST", f"/streams/{id_of(A)}/failover")[0], 409)
        self.assertEqual(self.stage.refused("POST", f"/streams/{id_of(B)}/failover")[0], 404)

    def test_with_other_settings(self) -> None:
        """What is said while it is watched counts from the next switch on, not before."""
        self.create()
        self.watch(id_of(A))
        self.create(failover_urls=[C], user_agent="TV/2")
        self.assertEqual((self.stage.origins.asked, self.stream(id_of(A))["current_url"]), (["a"], A))
        self.assertIn(f'"current_url":"{C}"', self.over(id_of(A)).plain)
        self.assertEqual(self.stage.outcomes(), [])


class MetadataTests(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        for url, sport, number in ((A, "soccer", 1), (B, "soccer", 2), (C, "tennis", 3)):
            self.create(url, metadata={"sport": sport, "id": number})

    def ids(self, query: str) -> list[str]:
        told = self.stage.call("GET", f"/streams/by-metadata?{query}")
        self.assertEqual(told["total_matching"], len(told["matching_streams"]))
        return [each["stream_id"] for each in told["matching_streams"]]

    def test_finding(self) -> None:
        """Those that are watched are found by a field of their metadata, and all of them if that is wanted."""
        self.assertEqual(self.ids("field=sport&value=soccer"), [])
        self.assertEqual(self.ids("field=sport&value=soccer&active_only=false"), [id_of(A), id_of(B)])
        self.watch(id_of(B))
        self.assertEqual(self.ids("field=sport&value=soccer"), [id_of(B)])
        self.assertEqual(self.ids("field=nothing&value=soccer&active_only=false"), [])

    def test_deleting(self) -> None:
        """All that have it are deleted, and what is watched of them ends; one can be left."""
        client = self.watch(id_of(B))
        query = "field=sport&value=soccer&exclude_channel_id=1"
        told = self.stage.call("DELETE", f"/streams/by-metadata?{query}")
        self.assertEqual((told["deleted_streams"], told["deleted_count"]), ([id_of(B)], 1))
        self.assertEqual(told["skipped_streams"][0]["stream_id"], id_of(A))
        client.read()
        self.assertEqual((client.ended, self.stage.outcomes()), (True, ["ended_by_operator"]))
        self.assertEqual(self.ids("field=sport&value=soccer&active_only=false"), [id_of(A)])
        self.assertEqual(self.stage.call("DELETE", "/streams/by-metadata?field=x&value=y")["deleted_count"], 0)

    def test_what_is_missing(self) -> None:
        """Without a field and a value nothing is found, and nothing deleted."""
        for method in ("GET", "DELETE"):
            for query in ("", "?field=sport", "?value=soccer"):
                self.assertEqual(self.stage.refused(method, f"/streams/by-metadata{query}")[0], 422)
        self.assertEqual(self.stage.call("GET", "/streams")["total"], 3)
