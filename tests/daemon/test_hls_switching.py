"""HLS that is passed through goes on from another source when the playlist of its own is no more to be had."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.daemon.client import wait_for
from tests.daemon.judges import decode
from tests.daemon.playing import playing
from tests.daemon.test_switching import playlist
from tests.simulators.media import SEGMENT_SECONDS
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

PRIMARY, BACKUP = "/hls-live/plain/index.m3u8", "/hls-live/aes/index.m3u8"
#: Seconds that are played: twice what a player begins with.
SECONDS = 2 * 3 * SEGMENT_SECONDS


def test_goes_on(origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A player goes on with picture and sound, and one that is encrypted by number is decrypted by its own numbers."""
    folder = tmp_path_factory.mktemp("hls-switching")
    text = "merge_by_tvg_id = true\n"
    for name, path in (("first", PRIMARY), ("second", BACKUP)):
        (folder / f"{name}.m3u").write_text(playlist({"Film": origin.at(path)}))
        text += f'[[provider]]\nkind = "m3u"\nname = "{name}"\nurl = "{folder / name}.m3u"\n'
    with playing(folder, toml=text, expected=1) as daemon, ThreadPoolExecutor(1) as pool:
        watching = pool.submit(decode, daemon.url_of("Film"), SECONDS)
        wait_for(lambda: any(each["bytes"] for each in daemon.get("/health/detailed").json()["sessions"]))  # type: ignore[index]
        assert not origin.counts(BACKUP).total
        origin.control(PRIMARY, drop=1)
        seen = watching.result()
        (session,) = daemon.get("/health/detailed").json()["sessions"]  # type: ignore[index]
        assert session["face"] == "hls"
        assert "first/0 fails" in daemon.log_text()
        daemon.assert_balanced()
    assert origin.counts(BACKUP).total
    # Where the one ends and the other begins the counters of picture and sound jump, and no more than that.
    assert seen.corrupt <= 2
    assert seen.errors == 0
    assert seen.pictures >= 25 * (SECONDS - 0.5)
    assert seen.samples >= 32_000 * (SECONDS - 1)
