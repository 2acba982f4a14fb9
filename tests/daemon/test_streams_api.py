"""A script written for m3u-proxy's API works unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.playing import Own, Playing, playing
from tests.daemon.recording import Recorder, continuity_faults, judge_recording
from tests.daemon.scripting import Player, Script
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

TOKEN = "t0p-s3cret-token"


@pytest.fixture(scope="module")
def proxy(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with one channel of its own, beside those that scripts make."""
    shared_origin.reset()
    folder = tmp_path_factory.mktemp("streams")
    with playing(folder, [Own("Listed", shared_origin.at("/live/listed.ts"))], toml="linger = 1\n") as daemon:
        yield daemon
        daemon.assert_balanced()


@pytest.fixture
def script(proxy: Playing) -> Iterator[Script]:
    """A script that cleans up behind itself."""
    script = Script(proxy.url)
    yield script
    for stream in script.call("GET", "/streams")["streams"]:
        script.call("DELETE", f"/streams/{stream['stream_id']}")
    proxy.wait_for_active(0)


def ended_by(proxy: Playing, what: Any) -> str:
    """How the one session ended that something ends."""
    before = proxy.outcomes()
    what()
    return proxy.outcome_of(before)


def test_a_stream_through_its_life(proxy: Playing, script: Script, shared_origin: OriginProcess) -> None:
    """Created, watched, handed over to its next URL while ffmpeg decodes on, counted, and deleted: then it is over."""
    first, second = shared_origin.at("/live/life-one.ts"), shared_origin.at("/live/life-two.ts")
    made = script.create(first, [second], user_agent="Script/1.0", headers={"X-Test": "yes"}, metadata={"local_id": 7})
    stream_id = made["stream_id"]
    assert (script.status, made["stream_endpoint"]) == (200, f"/stream/{stream_id}")
    assert made["message"]
    with Player(script.base_url + made["stream_endpoint"]) as player:
        player.wait_for_frames(50)
        asked = shared_origin.counts("/live/life-one.ts").headers
        assert (asked["user-agent"], asked["x-test"]) == ("Script/1.0", "yes")
        over = script.fail_over(stream_id)
        assert (over["current_url"], bool(over["message"])) == (second, True), over
        player.wait_for_frames(75)
        assert shared_origin.counts("/live/life-two.ts").open == 1
        wait_for(lambda: not shared_origin.counts("/live/life-one.ts").open, what="the end of the first")
        (client,) = script.call("GET", "/clients")["clients"]
        assert (client["stream_id"], client["ip_address"]) == (stream_id, "127.0.0.1")
        info = script.call("GET", f"/streams/{stream_id}")
        stream = info["stream"]
        assert (stream["original_url"], stream["current_url"]) == (first, second)
        assert (stream["client_count"], stream["has_failover"], stream["metadata"]) == (1, True, {"local_id": "7"})
        assert stream["total_bytes_served"] > 100_000
        assert info["clients"][0]["client_id"] == client["client_id"]
        assert stream_id[:16] in script.printed()
        before = proxy.outcomes()
        assert script.call("DELETE", f"/streams/{stream_id}")["message"]
        assert proxy.outcome_of(before) == "ended_by_operator"
        player.wait_for_end()
    wait_for(lambda: not shared_origin.counts("/live/life-two.ts").open, what="the end of the second")
    assert script.call("GET", "/streams")["total"] == 0
    script.call("GET", f"/streams/{stream_id}")
    assert (script.status, proxy.get(f"/stream/{stream_id}").status) == (404, 404)


def test_nothing_is_missed(proxy: Playing, script: Script, shared_origin: OriginProcess, tmp_path: Path) -> None:
    """What a viewer gets while the stream goes over by hand has no fault, and each byte of it is counted."""
    urls = [shared_origin.at(f"/live/missed-{number}.ts") for number in (1, 2, 3)]
    stream_id = script.create(urls[0], urls[1:])["stream_id"]
    with Recorder(proxy, f"/stream/{stream_id}") as viewer:
        viewer.wait_for_bytes(150_000)
        for url in (urls[1], urls[2], urls[0]):
            assert script.fail_over(stream_id)["current_url"] == url
            viewer.wait_for_bytes(100_000)
        (client,) = script.call("GET", "/clients")["clients"]
        script.call("DELETE", f"/clients/{client['client_id']}")
        viewer.wait_for_end()
        data = viewer.stop()
    assert judge_recording(data, tmp_path).good
    assert continuity_faults(data, tmp_path) == []
    stream = script.stream(stream_id)
    assert (stream["total_bytes_served"], stream["client_count"]) == (len(data), 0)


def test_hls_passed_through(proxy: Playing, script: Script, shared_origin: OriginProcess) -> None:
    """A stream of HLS is played where such scripts look for it, and goes over to its next URL while it is."""
    first, second = (shared_origin.at(f"/hls-live/{name}/index.m3u8") for name in ("plain", "multi"))
    made = script.create(first, [second])
    stream_id = made["stream_id"]
    assert made["stream_endpoint"] == f"/hls/{stream_id}/playlist.m3u8"
    assert proxy.get(made["stream_endpoint"]).text.startswith("#EXTM3U")
    with Player(script.base_url + made["stream_endpoint"]) as player:
        player.wait_for_frames(50)
        assert script.call("POST", f"/streams/{stream_id}/failover")["message"]
        wait_for(lambda: script.stream(stream_id)["current_url"] == second, what="the other URL")
        player.wait_for_frames(100)
        stream = script.stream(stream_id)
        assert (stream["stream_type"], stream["total_segments_served"] > 3) == ("HLS", True)
        client = next(each for each in script.call("GET", "/clients")["clients"] if each["segments_served"])
        script.call("DELETE", f"/hls/{'0' * 32}/clients/{client['client_id']}")
        assert script.status == 404
        script.call("DELETE", f"/hls/{stream_id}/clients/{client['client_id']}")
        assert script.status == 200
        # Its player goes on asking, and is not let in again.
        player.wait_for_end()
        assert client["client_id"] not in {each["client_id"] for each in script.call("GET", "/clients")["clients"]}


def test_hls_of_a_stream(proxy: Playing, script: Script, shared_origin: OriginProcess) -> None:
    """A stream of MPEG-TS is to be had as HLS where such scripts look for it, and a film as a film."""
    stream_id = script.create(shared_origin.at("/live/packaged.ts"))["stream_id"]
    with Player(f"{script.base_url}/hls/{stream_id}/playlist.m3u8") as player:
        player.wait_for_frames(50)
    film = script.create(shared_origin.at("/vod/film.mp4"))
    assert film["stream_endpoint"] == f"/stream/{film['stream_id']}"
    whole = proxy.get(film["stream_endpoint"])
    assert (whole.status, whole.headers["content-type"]) == (200, "video/mp4")
    stream = script.stream(film["stream_id"])
    assert (stream["stream_type"], stream["total_bytes_served"]) == ("VOD", len(whole.body))


def test_posted_again(proxy: Playing, script: Script, shared_origin: OriginProcess) -> None:
    """The same URL is the same stream; what is said otherwise counts from its next switch on, and that is said."""
    first, second, third = (shared_origin.at(f"/live/again-{number}.ts") for number in (1, 2, 3))
    stream_id = script.create(first)["stream_id"]
    same = script.create(first)
    assert same["stream_id"] == stream_id
    script.call("POST", f"/streams/{stream_id}/failover")
    assert script.status == 409
    with Recorder(proxy, f"/stream/{stream_id}") as viewer:
        viewer.wait_for_bytes(100_000)
        changed = script.create(first, [second], user_agent="Another/2.0")
        assert (changed["stream_id"], "next switch" in changed["message"]) == (stream_id, True)
        assert shared_origin.counts("/live/again-1.ts").total == 1
        assert script.fail_over(stream_id)["current_url"] == second
        assert shared_origin.counts("/live/again-2.ts").headers["user-agent"] == "Another/2.0"
        viewer.wait_for_bytes(50_000)
        script.create(first, [third])
        assert script.fail_over(stream_id)["current_url"] in (first, third)
        viewer.wait_for_bytes(50_000)
        assert script.fail_over(stream_id)["current_url"] in (first, third)
        viewer.wait_for_bytes(50_000)
        assert shared_origin.counts("/live/again-2.ts").total == 1


def test_nobody_watches(proxy: Playing, script: Script, shared_origin: OriginProcess) -> None:
    """A stream that goes over while nobody watches begins with the next URL, then."""
    urls = [shared_origin.at(f"/live/nobody-{number}.ts") for number in (1, 2)]
    stream_id = script.create(urls[0], urls[1:])["stream_id"]
    assert script.fail_over(stream_id)["current_url"] == urls[1]
    with Recorder(proxy, f"/stream/{stream_id}") as viewer:
        viewer.wait_for_bytes(50_000)
        assert script.stream(stream_id)["current_url"] == urls[1]
    assert shared_origin.counts("/live/nobody-1.ts").total == 0


def test_what_a_provider_lists(proxy: Playing, script: Script) -> None:
    """What is watched of the providers is counted too, but not where it comes from; it can be ended, and stays."""
    path = proxy.path_of("Listed")
    with Recorder(proxy, path, {"X-Username": "anna"}) as viewer:
        viewer.wait_for_bytes(50_000)
        stats = script.stats()
        (stream,), (client,) = stats["streams"], stats["clients"]
        assert (stream["original_url"], stream["current_url"], stream["client_count"]) == ("", "", 1)
        assert (client["username"], client["stream_id"]) == ("anna", stream["stream_id"])
        assert stats["proxy_stats"]["active_streams"] == 1
        assert script.call("GET", "/streams")["total"] == 0
        assert script.call("GET", f"/streams/{stream['stream_id']}")["client_count"] == 1
        assert ended_by(proxy, lambda: script.call("DELETE", f"/streams/{stream['stream_id']}")) == "ended_by_operator"
        viewer.wait_for_end()
    assert proxy.path_of("Listed") == path


def test_by_metadata(proxy: Playing, script: Script, shared_origin: OriginProcess) -> None:
    """Streams are found and deleted by what their metadata say."""
    ids = {}
    for number, sport in enumerate(("soccer", "soccer", "tennis")):
        url = shared_origin.at(f"/live/metadata-{number}.ts")
        ids[number] = script.create(url, metadata={"sport": sport, "id": number})["stream_id"]
    by = "/streams/by-metadata"
    assert script.call("GET", by, field="sport", value="soccer")["total_matching"] == 0
    found = script.call("GET", by, field="sport", value="soccer", active_only="false")
    assert {each["stream_id"] for each in found["matching_streams"]} == {ids[0], ids[1]}
    with Recorder(proxy, f"/stream/{ids[1]}") as viewer:
        viewer.wait_for_bytes(20_000)
        assert script.call("GET", by, field="sport", value="soccer")["total_clients"] == 1
        gone = script.call("DELETE", by, field="sport", value="soccer", exclude_channel_id="0")
        assert (gone["deleted_streams"], gone["skipped_streams"][0]["stream_id"]) == ([ids[1]], ids[0])
        viewer.wait_for_end()
    assert {each["stream_id"] for each in script.call("GET", "/streams")["streams"]} == {ids[0], ids[2]}


def test_a_restart(shared_origin: OriginProcess, tmp_path: Path) -> None:
    """A restart keeps the streams, under the ids that they had, and what was said of them."""
    with playing(tmp_path, [Own("Listed", shared_origin.at("/live/listed.ts"))]) as daemon:
        script = Script(daemon.url)
        made = script.create(shared_origin.at("/live/kept.ts"), ["http://example.com/b.ts"], metadata={"a": "b"})
        gone = script.create(shared_origin.at("/live/gone.ts"))
        script.call("DELETE", f"/streams/{gone['stream_id']}")
        before = script.stream(made["stream_id"])
        daemon.restart()
        after = script.stream(made["stream_id"])
        times = ("last_access", "created_at")
        assert {**after, **dict.fromkeys(times, "")} == {**before, **dict.fromkeys(times, "")}
        assert after["created_at"] == before["created_at"]
        assert script.call("GET", "/streams")["total"] == 1
        with Recorder(daemon, made["stream_endpoint"]) as viewer:
            viewer.wait_for_bytes(50_000)


def test_the_token(shared_origin: OriginProcess, tmp_path: Path) -> None:
    """With a token nothing is told or changed without it; a stream plays with it in the query, HLS of it too."""
    settings = f'api_token = "{TOKEN}"\ntrusted_networks = ["192.0.2.0/24"]\n'
    channels = [Own("Listed", shared_origin.at("/live/listed.ts"))]
    folder = tmp_path / "daemon"
    with playing(folder, channels, toml=settings, expected=0) as daemon:
        url = shared_origin.at("/live/token.ts")
        stranger, wrong = Script(daemon.url), Script(daemon.url, {"X-API-Token": "wrong"})
        for script, status in ((stranger, 401), (wrong, 403)):
            for method, path in (("GET", "/streams"), ("GET", "/stats"), ("GET", "/clients"), ("POST", "/streams")):
                script.call(method, path, {"url": url} if method == "POST" else None)
                assert script.status == status, path
        for headers in ({"X-API-Token": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}):
            stream_id = Script(daemon.url, headers).create(url)["stream_id"]
        assert daemon.get(f"/stream/{stream_id}").status in (401, 403)
        with Recorder(daemon, f"/stream/{stream_id}?api_token={TOKEN}") as viewer:
            viewer.wait_for_bytes(50_000)
        with Player(f"{daemon.url}/hls/{stream_id}/playlist.m3u8?api_token={TOKEN}") as player:
            player.wait_for_frames(25)
        assert TOKEN not in daemon.log_text()


def test_where_a_stream_may_lead(shared_origin: OriginProcess, tmp_path: Path) -> None:
    """What leads into this network is refused where the settings say so, by whatever name, and what was kept too."""
    channels = [Own("Listed", shared_origin.at("/live/listed.ts"))]
    with playing(tmp_path, channels) as daemon:
        script = Script(daemon.url)
        before = script.create(shared_origin.at("/live/before.ts"))["stream_id"]
        settings = daemon.settings.read_text()
        daemon.settings.write_text("allow_private_upstreams = false\n" + settings)
        daemon.restart()
        numbers = ("127.1", "2130706433", "0x7f.1")
        for host in ("127.0.0.1", "[::1]", "localhost", "10.1.2.3", "169.254.169.254", "[::ffff:127.0.0.1]", *numbers):
            for body in (
                {"url": f"http://{host}/a.ts"},
                {"url": "http://example.com/a", "failover_urls": [f"http://{host}/"]},
            ):
                told = script.call("POST", "/streams", body)
                assert (script.status, "allow_private_upstreams" in told["detail"]) == (422, True), host
        answer = daemon.get(f"/stream/{before}")
        assert (answer.status, "in this network" in answer.text) == (502, True)
        assert shared_origin.counts("/live/before.ts").total == 0
        # The operator's own channels lead where the operator says.
        with Recorder(daemon, daemon.path_of("Listed")) as viewer:
            viewer.wait_for_bytes(20_000)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": 7}, "url"),
        ({"url": "rtsp://example.com/1"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://example.com/" + "x" * 9000}, "url"),
        ({"url": "http://example.com/a", "failover_urls": "http://example.com/b"}, "failover_urls"),
        ({"url": "http://example.com/a", "failover_urls": ["nothing"]}, "failover_urls[0]"),
        ({"url": "http://example.com/a", "headers": {"Host": "other.test"}}, "headers.Host"),
        ({"url": "http://example.com/a", "headers": {"X": "a\r\nY: b"}}, "headers.X"),
        ({"url": "http://example.com/a", "user_agent": "a\nb"}, "headers.User-Agent"),
        ({"url": "http://example.com/a", "metadata": {"a": ["b"]}}, "metadata"),
    ],
)
def test_bad_input(script: Script, body: dict[str, object], field: str) -> None:
    """What cannot be a stream is refused with the field that is wrong, and nothing is kept."""
    told = script.call("POST", "/streams", body)
    assert script.status == 422, told
    assert told["errors"][0]["field"].startswith(field), told
    assert script.call("GET", "/streams")["total"] == 0
