"""SIGHUP: settings and lineup are taken on anew, and whoever watches notices nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.client import wait_for
from tests.daemon.harness import Daemon
from tests.daemon.launch import channels, facts, providers, without
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

FILM = "/live/film.ts"


def settings(origin: OriginProcess, *names: str, more: str = "") -> str:
    """A settings file with a provider of this name for each of these."""
    tables = (
        f'[[provider]]\nkind = "m3u"\nname = "{name}"\nurl = "{origin.at(f"/r/{name}.m3u")}"\n' for name in names
    )
    return more + "\n" + "".join(tables)


@pytest.fixture
def reloaded(origin: OriginProcess, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with the providers ``stays`` and ``goes``, each of which has a channel of its name."""
    for name in ("stays", "goes", "comes"):
        url = origin.at(FILM, rate=40) if name == "goes" else origin.at("/live/other.ts")
        origin.control(f"/r/{name}.m3u", body=f"#EXTM3U\n#EXTINF:-1 tvg-id={name},{name}\n{url}\n")
    with Daemon(tmp_path / "daemon", toml=settings(origin, "stays", "goes")).start() as daemon:
        daemon.wait_for_json("/health", {"channels_count": 2, "status": "healthy"})
        yield daemon
        assert "Traceback" not in daemon.log_text()


def reload(daemon: Daemon, toml: str, words: str = "settings reloaded") -> None:
    """Change the settings file, send SIGHUP, and wait until the log says what became of it."""
    before = daemon.log_text().count(words)
    daemon.settings.write_text(toml)
    daemon.hup()
    wait_for(lambda: daemon.log_text().count(words) > before, what=words)


def test_reload(reloaded: Daemon, origin: OriginProcess) -> None:
    """Providers come and go, settings change, and a stream goes on all the while, even one whose provider went."""
    before = channels(reloaded)
    asked = origin.counts("/r/stays.m3u").total
    with reloaded.open_stream(f"/stream/{before['goes']}") as viewer:
        viewer.read(100_000)
        reload(reloaded, settings(origin, "stays", "comes", more="max_streams = 1"))
        reloaded.wait_for_json("/health", {"channels_count": 2, "max_concurrent_streams": 1})
        wait_for(lambda: sorted(channels(reloaded)) == ["comes", "stays"], what="the other channel")
        assert channels(reloaded)["stays"] == before["stays"]
        assert sorted(providers(reloaded)) == ["comes", "stays"]
        # One that has not changed is asked anew all the same: that is what the signal is for.
        wait_for(lambda: origin.counts("/r/stays.m3u").total > asked, what="a refresh")
        assert reloaded.get(f"/stream/{before['goes']}").status == 404
        # The only stream that there may be now is taken, by a viewer who goes on getting what is new.
        assert reloaded.get(f"/stream/{before['stays']}").status == 503
        delivered = origin.counts(FILM).delivered
        assert len(viewer.read(3_000_000)) == 3_000_000
        assert origin.counts(FILM).delivered > delivered
        assert origin.counts(FILM).total == 1
        assert facts(reloaded)["sessions"][0]["channel"] == "goes"

    # What went has its number when it is back.
    reload(reloaded, settings(origin, "stays", "goes"))
    wait_for(lambda: channels(reloaded) == before, what="the channels of before")


def test_broken_settings(reloaded: Daemon, origin: OriginProcess) -> None:
    """Settings that are wrong change nothing: the log has the sentence, and streams and channels stay."""
    before = channels(reloaded)
    with reloaded.open_stream(f"/stream/{before['goes']}") as viewer:
        viewer.read(100_000)
        for toml, words in {
            "port = [": "the settings stay as they were: .* is not TOML",
            settings(origin, "stays", more="prot = 1"): "the settings stay as they were: .* unknown setting prot",
            settings(origin, "stays", more='[[provider]]\nkind = "nosuch"'): 'no provider of kind "nosuch"',
            "# nothing": "the settings stay as they were: There is no provider",
        }.items():
            reloaded.settings.write_text(toml)
            reloaded.hup()
            reloaded.wait_for_log(words)
        assert "settings reloaded" not in reloaded.log_text()
        assert channels(reloaded) == before
        assert len(viewer.read(1_000_000)) == 1_000_000
        assert origin.counts(FILM).total == 1


def test_what_needs_a_restart(origin: OriginProcess, tmp_path: Path) -> None:
    """What cannot change while the daemon runs is named, and stays."""
    for name in ("stays", "comes"):
        origin.control(f"/r/{name}.m3u", body=f"#EXTM3U\n#EXTINF:-1,{name}\nhttp://127.0.0.1:9/{name}.ts\n")
    one, other = tmp_path / "one", tmp_path / "other"
    daemon = Daemon(tmp_path / "daemon", toml=settings(origin, "stays", more=f"state_dir = '{one}'"))
    with without(daemon, "--state-dir").start():
        daemon.wait_for_json("/health", {"channels_count": 1, "status": "healthy"})
        for _ in range(2):
            more = f"user_agent = 'other/1'\nstate_dir = '{other}'"
            reload(daemon, settings(origin, "stays", "comes", more=more))
            daemon.wait_for_json("/health", {"channels_count": 2, "status": "healthy"})
        for name in ("user_agent", "state_dir"):
            assert f"{name} has changed: restart iptvd to use it" in daemon.log_text()
        assert (one / "providers" / "comes" / "lineup.rows").exists()
        assert not other.exists()


def test_log_level(reloaded: Daemon, origin: OriginProcess) -> None:
    """The log is as loud as the settings now say."""
    reloaded.settings.write_text(settings(origin, "stays", more="log_level = 'error'\nmax_streams = 5"))
    reloaded.hup()
    reloaded.wait_for_json("/health", {"max_concurrent_streams": 5, "channels_count": 1})
    assert "settings reloaded" not in reloaded.log_text()
    reload(reloaded, settings(origin, "stays", "goes"))


def test_many_signals(reloaded: Daemon, origin: OriginProcess) -> None:
    """Signals that come faster than they can be followed do no harm."""
    before = channels(reloaded)
    for number in range(20):
        reloaded.settings.write_text(settings(origin, "stays", "goes", *(["comes"] if number % 2 else [])))
        reloaded.hup()
    reload(reloaded, settings(origin, "stays", "goes", more="max_streams = 9"))
    reloaded.wait_for_json("/health", {"channels_count": 2, "status": "healthy", "max_concurrent_streams": 9})
    wait_for(lambda: channels(reloaded) == before, what="the channels of before")
