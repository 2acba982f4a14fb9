"""What health and metrics tell while channels are watched, read as a monitor reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.daemon.client import wait_for
from tests.daemon.launch import facts
from tests.daemon.playing import Own, Playing, own_channels, playing
from tests.daemon.recording import Recorder, broadcast_of, wait_for_all
from tests.daemon.test_sharing import media_playlist
from tests.daemon.test_switching import FAILS, playlist
from tests.simulators.media import Media
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Bytes of the film in a second, about.
SECOND = 65_000
#: So much that what a viewer does not read soon fills every buffer on its way.
STUFFED = 30
#: Every label that there is: each has a bound, which sessions and viewers have not.
LABELS = {"provider", "state", "face", "outcome", "channel", "rank", "start", "le", "status", "version"}

Labels = frozenset[tuple[str, str]]


class Scrape:
    """The metrics as Prometheus takes them at one moment."""

    def __init__(self, daemon: Playing) -> None:
        answer = daemon.get("/metrics")
        assert answer.status == 200
        self.families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        self.samples: dict[tuple[str, Labels], float] = {}
        for family in self.families.values():
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.samples, key
                self.samples[key] = sample.value

    def value(self, name: str, **labels: str) -> float | None:
        """One sample, None where there is none."""
        return self.samples.get((name, frozenset(labels.items())))

    def labels_of(self, name: str) -> list[dict[str, str]]:
        """The labels of all samples of that name."""
        return [dict(labels) for each, labels in self.samples if each == name]

    def buckets(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """The buckets of one histogram: their upper bounds in order, and their counts."""
        wanted = labels.items()
        return sorted(
            (float(dict(found)["le"]), value)
            for (each, found), value in self.samples.items()
            if each == f"{name}_bucket" and found - {("le", dict(found)["le"])} == frozenset(wanted)
        )


@pytest.fixture(scope="module")
def seen(media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with shared channels, one of them with a second source at another provider, and a film."""
    folder = tmp_path_factory.mktemp("seen")
    shared_origin.reset()
    first = {"Switched": shared_origin.at("/live/switched.ts", die_after=FAILS)}
    (folder / "first.m3u").write_text(playlist(first))
    (folder / "second.m3u").write_text(playlist({"Switched": shared_origin.at("/live/other.ts")}))
    text = "merge_by_tvg_id = true\nlinger = 1\nslow_timeout = 60\nmax_streams = 6\n"
    for name in ("first", "second"):
        text += f'[[provider]]\nkind = "m3u"\nname = "{name}"\nurl = "{folder / name}.m3u"\n'
    channels = [
        Own("One", shared_origin.at("/live/one.ts")),
        Own("Stuffed", shared_origin.at("/live/stuffed.ts", mbit=STUFFED)),
        Own("Film", shared_origin.at("/vod/film.mp4")),
    ]
    own = own_channels(channels).replace('name = "own"', 'name = "own"\nmax_connections = 7')
    with playing(folder, toml=text + own, expected=len(channels) + 1) as daemon:
        yield daemon
        daemon.assert_balanced()


def id_of(daemon: Playing, name: str) -> str:
    """The id that a channel's metrics are labelled with."""
    return daemon.path_of(name).rpartition("/")[2].partition(".")[0]


def session_of(daemon: Playing, agent: str) -> dict[str, Any]:
    """What health tells of the session of one player."""
    found: list[dict[str, Any]] = facts(daemon)["sessions"]
    return next(each for each in found if each["user_agent"] == agent)


def test_a_broadcast(seen: Playing) -> None:
    """Of a channel that is watched the source, its rate, what is kept and who joined are told, alike in both."""
    path, channel = seen.path_of("One"), id_of(seen, "One")
    with Recorder(seen, path) as first:
        first.wait_for_bytes(2 * SECOND)
        with Recorder(seen, path) as second:
            wait_for_all([first, second], 2 * SECOND)
            told, scrape = broadcast_of(seen, "One"), Scrape(seen)
    assert (told["source"], told["state"], told["switches"]) == ("own/0", "streaming", 0)
    assert (told["viewers"], told["joined"]) == (2, 2)
    assert told["join_points"] >= 2
    assert told["ring_seconds"] > 1
    assert 2 * SECOND < told["ring_bytes"] <= told["bytes_in"]
    assert told["bits_per_second"] > SECOND
    assert scrape.labels_of("iptvd_broadcast_source") == [{"channel": channel, "provider": "own", "rank": "0"}]
    for name, wanted in (("viewers", 2), ("joins_total", 2), ("switches_total", 0)):
        assert scrape.value(f"iptvd_broadcast_{name}", channel=channel) == wanted
    for name, least in (
        ("received_bytes_total", told["bytes_in"]),
        ("ring_bytes", told["ring_bytes"]),
        ("ring_seconds", 1.0),
        ("bits_per_second", SECOND),
    ):
        value = scrape.value(f"iptvd_broadcast_{name}", channel=channel)
        assert value is not None
        assert value >= least, name
    assert scrape.value("iptvd_connections_used", provider="own") == 1
    assert scrape.value("iptvd_connections_limit", provider="own") == 7
    assert {each["name"]: each["connections"] for each in facts(seen)["providers"]}["own"]["limit"] == 7
    seen.wait_for_rest("One")
    assert Scrape(seen).labels_of("iptvd_broadcast_source") == []
    wait_for(lambda: Scrape(seen).value("iptvd_connections_used", provider="own") == 0, what="the end of it")


def test_a_switch(seen: Playing) -> None:
    """When another source takes over, it is the one that is told, and that there was a switch."""
    channel = id_of(seen, "Switched")
    with Recorder(seen, seen.path_of("Switched")) as viewer:
        viewer.wait_for_bytes(SECOND)
        wait_for(lambda: broadcast_of(seen, "Switched")["switches"], 30, "the switch")
        viewer.wait_for_bytes(SECOND)
        told, scrape = broadcast_of(seen, "Switched"), Scrape(seen)
    assert (told["source"], told["switches"]) == ("second/1", 1)
    assert scrape.value("iptvd_broadcast_source", channel=channel, provider="second", rank="1") == 1
    assert scrape.value("iptvd_broadcast_source", channel=channel, provider="first", rank="0") is None
    assert scrape.value("iptvd_broadcast_switches_total", channel=channel) == 1
    assert scrape.value("iptvd_connections_used", provider="second") == 1
    seen.wait_for_rest("Switched")


def test_lag(seen: Playing) -> None:
    """Who does not read falls behind, in bytes and seconds, and it is seen whose session that is."""
    path = seen.path_of("Stuffed")
    quick_agent, slow_agent = {"User-Agent": "quick"}, {"User-Agent": "slow"}
    with Recorder(seen, path, quick_agent) as quick, Recorder(seen, path, slow_agent, rcvbuf=65536) as slow:
        wait_for_all([quick, slow], STUFFED * 125_000)
        slow.pause()
        wait_for(lambda: session_of(seen, "slow")["lag_seconds"] >= 1, 60, "a viewer that is behind")
        behind = session_of(seen, "slow")
        assert behind["lag_bytes"] > STUFFED * 125_000 / 4
        assert behind["bytes"] > 0
        # The other one has everything again and again, however far behind it is just now.
        wait_for(lambda: session_of(seen, "quick")["lag_bytes"] == 0, what="a viewer with all there is")
        assert session_of(seen, "quick")["jumps"] == 0
        wait_for(lambda: not session_of(seen, "slow")["lag_bytes"] < behind["lag_bytes"], 30, "more of it")
    seen.wait_for_active(0)


def test_first_byte(seen: Playing) -> None:
    """How long viewers wait for the first byte is told by face, apart for who turned a channel on and who joined."""
    before = Scrape(seen)
    path = seen.path_of("One")
    with Recorder(seen, path) as first:
        first.wait_for_bytes(2 * SECOND)
        with Recorder(seen, path) as second:
            second.wait_for_bytes(SECOND)
            inner, _ = media_playlist(seen, path.replace(".ts", ".m3u8"))
            text = seen.get(inner).text
            segment = next(line for line in text.splitlines() if line and not line.startswith("#"))
            assert seen.get(inner.rpartition("/")[0] + "/" + segment).status == 200
    assert seen.get(seen.path_of("Film")).status == 200
    seen.wait_for_active(0, 60)
    after = Scrape(seen)
    for face, start in (("ts", "cold"), ("ts", "warm"), ("hls", "warm"), ("vod", "cold")):
        labels = {"face": face, "start": start}
        count = after.value("iptvd_first_byte_seconds_count", **labels) or 0.0
        assert count - (before.value("iptvd_first_byte_seconds_count", **labels) or 0.0) == 1, labels
        buckets = after.buckets("iptvd_first_byte_seconds", **labels)
        assert len(buckets) > 10
        assert [value for _, value in buckets] == sorted(value for _, value in buckets)
        assert buckets[-1] == (float("inf"), count)
        assert (after.value("iptvd_first_byte_seconds_sum", **labels) or 0.0) > 0
    assert after.value("iptvd_first_byte_seconds_count", face="vod", start="warm") is None


def test_outcomes(seen: Playing) -> None:
    """How sessions ended is counted alike in both, those among them that were refused."""
    path = seen.path_of("One")
    before = facts(seen)["outcomes"]
    viewers = [Recorder(seen, path) for _ in range(6)]
    assert seen.get(path).status == 503
    for viewer in viewers:
        viewer.stop()
    seen.wait_for_active(0)
    after, scrape = facts(seen)["outcomes"], Scrape(seen)
    assert after["viewer_left"] - before["viewer_left"] == 6
    assert after["refused"] - before["refused"] == 1
    for outcome, count in after.items():
        assert scrape.value("iptvd_session_outcomes_total", outcome=outcome) == count


def test_what_is_never_told(seen: Playing, shared_origin: OriginProcess) -> None:
    """No label names a session, a viewer or an address; what is told of origins is whose they are and their rank."""
    with Recorder(seen, seen.path_of("One"), {"User-Agent": "canary"}) as viewer:
        viewer.wait_for_bytes(SECOND)
        scrape, told = Scrape(seen), [seen.get(path).text for path in ("/metrics", "/health/detailed")]
    found = {label for _, labels in scrape.samples for label, _ in labels}
    assert found <= LABELS, found
    assert "canary" not in told[0]
    assert "127.0.0.1" not in told[0]
    for text in told:
        assert str(shared_origin.port) not in text
        assert "/live/" not in text


def test_loop_lag(seen: Playing) -> None:
    """How late the daemon is goes into buckets, one of which ends at the 20 ms it may be late."""
    first = Scrape(seen).value("iptvd_loop_lag_seconds_count") or 0.0
    wait_for(lambda: (Scrape(seen).value("iptvd_loop_lag_seconds_count") or 0.0) > first, what="a measurement")
    bounds = [bound for bound, _ in Scrape(seen).buckets("iptvd_loop_lag_seconds")]
    assert 0.02 in bounds
    assert len(bounds) > 5
