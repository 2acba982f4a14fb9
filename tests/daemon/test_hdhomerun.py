"""As an HDHomeRun: found by SiliconDust's own program, asked what Plex and Jellyfin ask, and played by number."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.daemon.client import wait_for
from tests.daemon.judges import judge
from tests.daemon.launch import alone_with
from tests.daemon.playing import Own, Playing, playing, watch
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

UPNP = "{urn:schemas-upnp-org:device-1-0}"
SETTINGS = (
    'max_streams = 2\nhdhomerun_discovery = true\nhdhomerun_tuners = ["sports?group=Sports", "news?group=News"]\n'
)


@pytest.fixture(scope="module")
def daemon(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with three tuners."""
    channels = [
        Own("News", shared_origin.at("/live/news.ts"), 'group = "News"'),
        Own("Sports", shared_origin.at("/hls-live/plain/index.m3u8"), 'group = "Sports"'),
    ]
    # Of several daemons that answer those who look for tuners one hears a datagram.
    folder = tmp_path_factory.mktemp("hdhomerun")
    with alone_with("discovery"), playing(folder, channels, toml=SETTINGS) as running:
        yield running
        running.assert_balanced()


def told(daemon: Playing, path: str) -> Any:
    """A document."""
    response = daemon.get(path)
    assert response.status == 200, (path, response)
    return response.json()


def found() -> dict[str, str]:
    """The tuners that answer at loopback: where, by their device ids."""
    command = ["hdhomerun_config", "discover", "127.0.0.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return dict(re.findall(r"^hdhomerun device ([0-9A-F]{8}) found at (\S+)$", done.stdout, re.MULTILINE))


@pytest.mark.skipif(shutil.which("hdhomerun_config") is None, reason="there is no hdhomerun_config")
def test_found(daemon: Playing) -> None:
    """SiliconDust's own program finds each tuner by the id that its documents tell, and finds it again later."""
    ids = {told(daemon, f"{prefix}/discover.json")["DeviceID"] for prefix in ("", "/hdhr/sports", "/hdhr/news")}
    assert len(ids) == 3
    wait_for(lambda: ids <= set(found()), what=f"the tuners {ids}")
    daemon.restart()
    wait_for(lambda: ids <= set(found()), what=f"the tuners {ids} again")
    wait_for(lambda: len(daemon.channels()) == 2, what="the channels")
    assert told(daemon, "/health/detailed")["notices"] == []


def test_plex(daemon: Playing) -> None:
    """What Plex asks when it is given the address: the device, its state, a scan, its channels."""
    device = told(daemon, "/discover.json")
    assert device["BaseURL"] == daemon.url
    assert device["TunerCount"] == 2
    root = ElementTree.fromstring(daemon.get("/device.xml").body)
    assert root.findtext(f"{UPNP}device/{UPNP}serialNumber") == device["DeviceID"]
    assert told(daemon, "/lineup_status.json")["ScanPossible"] == 1
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    scan = daemon.request("POST", "/lineup.post?scan=start&source=Cable", form, b"")
    assert (scan.status, scan.body) == (200, b"")
    assert told(daemon, "/lineup_status.json")["ScanInProgress"] == 0
    lineup = told(daemon, device["LineupURL"].removeprefix(daemon.url))
    assert [each["GuideName"] for each in lineup] == ["News", "Sports"]
    assert daemon.request("POST", "/lineup.post?scan=abort", form, b"").status == 200


def test_jellyfin(daemon: Playing) -> None:
    """What Jellyfin asks when a tuner of some channels is added, and that its stream plays, whatever its source is."""
    device = told(daemon, "/hdhr/sports/discover.json")
    assert "hdtc" not in device["ModelNumber"].lower()
    (channel,) = told(daemon, f"{device['BaseURL'].removeprefix(daemon.url)}/lineup.json")
    assert (channel["GuideName"], channel.get("DRM")) == ("Sports", None)
    watch(channel["URL"], 1.0).assert_plays()


def test_full(daemon: Playing) -> None:
    """As many play as there are tuners; the next is refused as a device does it, until one is free."""
    lineup = {each["GuideName"]: each["URL"].removeprefix(daemon.url) for each in told(daemon, "/lineup.json")}
    daemon.wait_for_active(0)
    with daemon.open_stream(lineup["News"]) as first, daemon.open_stream(lineup["News"]) as second:
        assert (first.read(188)[:1], second.read(188)[:1]) == (b"\x47", b"\x47")
        refused = daemon.get(lineup["Sports"])
        assert (refused.status, refused.headers["x-hdhomerun-error"]) == (503, "805 All Tuners In Use")
        unknown = daemon.get("/auto/v999")
        assert (unknown.status, unknown.headers["x-hdhomerun-error"]) == (404, "801 Unknown Channel")
    daemon.wait_for_active(0)
    verdict = judge(daemon.url + lineup["News"], 1.0)
    assert verdict.good, verdict
