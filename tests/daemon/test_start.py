"""What ``twistd iptvd`` tells before it runs, and where it finds providers of somebody's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptvd import __version__
from tests.conftest import StartDaemon
from tests.daemon.launch import channels, refused, twistd

pytestmark = pytest.mark.daemon

PLUGIN = '''
"""One channel that is always there."""

from attrs import frozen
from zope.interface import implementer

from iptvd.interfaces import IProvider, IProviderMaker
from iptvd.model import Entry, Listing, Source, SourceKind


@frozen
class Settings:
    """Nothing to set."""


@implementer(IProvider)
class Single:
    async def fetch(self):
        return Listing([Entry("one", "Only one")])

    async def resolve(self, entry):
        return [Source(SourceKind.TS, url="http://127.0.0.1:9/")]


@implementer(IProviderMaker)
class Maker:
    kind = "single"
    summary = "One channel."
    settings = Settings

    def settings_from_argument(self, argument):
        return {}

    def make(self, settings, context):
        return Single()


single = Maker()
'''


def test_help(tmp_path: Path) -> None:
    """The help names every option and every provider there is, with examples."""
    ended = twistd(tmp_path, "--help")
    assert (ended.status, ended.err) == (0, "")
    for word in (
        "--provider=",
        "--listen=",
        "--check-config",
        "  demo  ",
        "  xtream",
        "twistd -n iptvd --provider demo",
    ):
        assert word in ended.out


def test_version(tmp_path: Path) -> None:
    """The version is told, and nothing else."""
    ended = twistd(tmp_path, "--version")
    assert (ended.status, ended.out, ended.err) == (0, f"iptvd {__version__}\n", "")


def test_check_of_good_settings(tmp_path: Path) -> None:
    """Checking good settings shows each with where it comes from, and no secret, and starts nothing."""
    file = tmp_path / "tv.toml"
    file.write_text('max_streams = 7\n[[provider]]\nkind = "xtream"\nname = "home"\npassword = "s3cret"\n')
    environment = {"IPTVD_CONFIG": str(file), "PORT": "8099", "IPTVD_PROVIDER_HOME_URL": "http://example.com:8080"}
    environment |= {"IPTVD_PROVIDER_HOME_USERNAME": "bob", "WORKERS": "4"}
    ended = twistd(tmp_path, "--check-config", "--log-level", "debug", environment=environment)
    assert ended.status == 0, ended
    shown = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert f"max_streams 7 [file {file}]" in shown
    assert "port 8099 [environment PORT]" in shown
    assert "log_level debug [option --log-level]" in shown
    assert "head_timeout 10 [default]" in shown
    assert any("WORKERS has no effect" in line for line in shown)
    assert "s3cret" not in ended.out + ended.err
    assert not (tmp_path / ".local").exists()


def test_check_of_bad_settings(tmp_path: Path) -> None:
    """Checking bad settings gives the sentence that starting gives, and status 1."""
    assert "whole number" in refused(tmp_path, "--check-config", "--provider", "demo", "--max-streams", "x")


def plugin_folder(tmp_path: Path, name: str, text: str = PLUGIN) -> Path:
    """A folder that an operator may keep plugins in, with one in it."""
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    (folder / name).write_text(text)
    return folder


def test_plugin_in_a_folder_of_the_operator(tmp_path: Path, daemon: StartDaemon) -> None:
    """A file dropped into a folder of provider_dirs is a provider, found by its name."""
    folder = plugin_folder(tmp_path, "single.py")
    running = daemon("--provider", "single", toml=f'provider_dirs = ["{folder}"]\n')
    running.wait_for_json("/health", {"channels_count": 1, "status": "healthy"})
    assert list(channels(running)) == ["Only one"]


def test_plugin_on_the_path(tmp_path: Path) -> None:
    """A file dropped into any iptvd/providers folder on the Python path is a provider too."""
    folder = tmp_path / "more" / "iptvd" / "providers"
    folder.mkdir(parents=True)
    (folder / "single.py").write_text(PLUGIN)
    environment = {"PYTHONPATH": str(tmp_path / "more")}
    ended = twistd(tmp_path, "--check-config", "--provider", "single", environment=environment)
    assert ended.status == 0, ended
    assert "single (kind single)" in ended.out


def test_plugin_that_fails(tmp_path: Path) -> None:
    """A plugin that cannot be imported is named with its error to whoever asks for it."""
    folder = plugin_folder(tmp_path, "broken.py", "import there_is_no_such_module\n")
    environment = {"IPTVD_PROVIDER_DIRS": str(folder)}
    sentence = refused(tmp_path, "--provider", "broken", environment=environment)
    for word in ('"broken"', str(folder / "broken.py"), "ModuleNotFoundError", "there_is_no_such_module", "demo"):
        assert word in sentence


def test_folder_that_others_can_write(tmp_path: Path) -> None:
    """A plugin folder that the daemon itself, or anybody, can write is refused, and nothing in it is run."""
    mark = tmp_path / "ran"
    folder = plugin_folder(tmp_path, "single.py", f"open({str(mark)!r}, 'w')\n")
    folder.chmod(0o777)
    sentence = refused(tmp_path, "--provider", "single", environment={"IPTVD_PROVIDER_DIRS": str(folder)})
    assert f"The folder {folder} of provider_dirs (environment IPTVD_PROVIDER_DIRS) can be written by" in sentence
    assert not mark.exists()
