"""What is wrong with the settings is said in one sentence, at once, and the daemon does not start."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.daemon.client import wait_for
from tests.daemon.harness import find_twistd
from tests.daemon.launch import QUICK, refused
from tests.daemon.process import clean_environment

pytestmark = pytest.mark.daemon

DEMO = ("--provider", "demo")


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (("--provider", "nosuch"), {}, ('"nosuch"', "option --provider", "demo, m3u, xtream")),
        ((), {}, ("no provider", "--provider demo", "IPTVD_PROVIDER")),
        ((*DEMO, "--nosuch"), {}, ("--nosuch",)),
        ((*DEMO, "--max-streams", "many"), {}, ("max_streams", "option --max-streams", "whole number")),
        ((*DEMO, "--log-level", "loud"), {}, ("log_level", "warn")),
        ((*DEMO, "--public-url", "tv"), {}, ("public_url", "option --public-url")),
        ((*DEMO, "--listen", "8085"), {}, ("listen", "tcp:8085")),
        (("--provider", "m3u:ftp://example.com/x"), {}, ("m3u", "http or https URL")),
        (("--provider", "xtream:@home"), {}, ('"home"', "[[provider]]", "IPTVD_PROVIDER_HOME_")),
        (DEMO, {"IPTVD_PORT": "seventy"}, ("port", "environment IPTVD_PORT", "1 to 65535")),
        (DEMO, {"PORT": "0"}, ("port", "environment PORT", "1 to 65535")),
        (DEMO, {"SOCKS5": "bob:s3cret@proxy.test"}, ("SOCKS5", "host:port")),
        (DEMO, {"IPTVD_CONFIG": "nowhere.toml"}, ("nowhere.toml", "IPTVD_CONFIG", "No such file")),
    ],
)
def test_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], words: tuple[str, ...]
) -> None:
    """A setting that is wrong is named in one sentence with where it came from and what would be right."""
    sentence = refused(tmp_path, *arguments, environment=environment)
    for word in words:
        assert word in sentence
    assert "s3cret" not in sentence
    assert not (tmp_path / ".local").exists(), "nothing is made before the settings are right"


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("port = [1,\n", ("is not TOML", "iptvd.toml")),
        ('prot = 8085\n[[provider]]\nkind = "demo"\n', ("unknown setting prot", "did you mean port")),
        ('port = "8085x"\n[[provider]]\nkind = "demo"\n', ("port (file ", "whole number")),
        ('[[provider]]\nkind = "demo"\ncolour = "red"\n', ('"demo"', "no setting colour")),
        ('[[provider]]\nname = "x"\n', ("[[provider]] number 1", "kind")),
        ('[[provider]]\nkind = "m3u"\nurl = 7\n', ('"m3u"', "url")),
        ('[[rule]]\nmatch = "x"\n[[provider]]\nkind = "demo"\n', ("Rule 1", "give it hide")),
    ],
)
def test_settings_file(tmp_path: Path, toml: str, words: tuple[str, ...]) -> None:
    """What is wrong in the settings file is named in one sentence with the file's name."""
    file = tmp_path / "iptvd.toml"
    file.write_text(toml)
    sentence = refused(tmp_path, "--config", str(file))
    for word in (*words, str(file)):
        assert word in sentence


def test_port_in_use(tmp_path: Path) -> None:
    """A port that another program has is named, and how to choose another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        sentence = refused(tmp_path, *DEMO, "--listen", endpoint)
    assert sentence == f"cannot listen on {endpoint}: Address already in use; choose another with --listen"


@pytest.mark.parametrize("background", [False, True])
def test_pid_file(tmp_path: Path, background: bool) -> None:
    """A port in use is told at the terminal in the background too, and no file with a process id is left behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        done = subprocess.run(
            [find_twistd(), *([] if background else ["-n"]), "iptvd", *DEMO, "--listen", endpoint],
            cwd=tmp_path,
            env=clean_environment(tmp_path),
            capture_output=True,
            check=False,
            timeout=QUICK,
        )
    assert done.returncode == 1
    assert f"cannot listen on {endpoint}" in done.stderr.decode()
    assert "Traceback" not in done.stdout.decode() + done.stderr.decode()
    wait_for(lambda: not (tmp_path / "twistd.pid").exists(), what="the end of the file")


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("tcp:8085:interface=192.0.2.1", ("tcp:8085:interface=192.0.2.1", "Cannot assign requested address")),
        ("nosuch:8085", ("nosuch:8085", "not an endpoint that works here")),
        ("systemd:domain=INET:index=0", ("systemd:domain=INET:index=0", "not an endpoint that works here")),
        ("unix:/proc/iptvd.sock", ("unix:/proc/iptvd.sock",)),
        ("ssl:8085:privateKey=/proc/no.pem", ("ssl:8085", "not an endpoint that works here")),
        ("tls:/proc/no:8085", ("tls:/proc/no:8085", "No such file")),
    ],
)
def test_endpoints(tmp_path: Path, endpoint: str, words: tuple[str, ...]) -> None:
    """An endpoint that cannot be listened on, or that there is not, is named in one sentence."""
    sentence = refused(tmp_path, *DEMO, "--listen", endpoint)
    for word in (*words, "--listen"):
        assert word in sentence


def _folder_nobody_writes(tmp_path: Path) -> Path:
    """A path at which not even root can make a folder."""
    if os.geteuid() == 0:
        return Path("/proc/iptvd")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    return closed / "state"


def test_state_folder(tmp_path: Path) -> None:
    """A state folder that cannot be made, or that is a file, is named, and how to choose another."""
    file = tmp_path / "file"
    file.touch()
    for folder in (_folder_nobody_writes(tmp_path), file, file / "below"):
        sentence = refused(tmp_path, *DEMO, "--state-dir", str(folder))
        assert f"the state directory {folder} cannot be written" in sentence
        assert "--state-dir" in sentence


def test_key_that_others_can_read(tmp_path: Path) -> None:
    """A key that others may read is not used: the sentence has the command that mends it."""
    key = tmp_path / "state" / "tokens.key"
    key.parent.mkdir()
    key.write_bytes(bytes(64))
    key.chmod(0o644)
    assert f"chmod 600 {key}" in refused(tmp_path, *DEMO, "--state-dir", str(key.parent))
    assert stat.S_IMODE(key.stat().st_mode) == 0o644


def test_folders_of_providers(tmp_path: Path) -> None:
    """A folder below the state folder that cannot be made is named in one sentence too."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "providers").touch()
    sentence = refused(tmp_path, *DEMO, "--state-dir", str(state))
    assert str(state / "providers") in sentence
