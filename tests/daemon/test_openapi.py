"""The API as its document describes it: schemathesis asks what that says, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.playing import Own, Playing, playing

pytestmark = pytest.mark.daemon

TOKEN = "the-api-token"
# Its many requests are one program's, and none of them is to wait.
SETTINGS = f'api_token = "{TOKEN}"\nrequest_rate = 0\ntoken_rate = 0\n'
#: What has no end, and what goes to other machines.
LEFT_OUT = ("/api/live", "/webhooks/test")
#: What a schema cannot say: which text is a URL that is taken, and which fields go with one another.
MORE_THAN_A_SCHEMA = ("/api/channels", "/streams", "/webhooks")

_CONFIG = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "414", "415", "422", "503"]
"""
_OPERATION = """
[[operations]]
include-path = "{path}"
checks.positive_data_acceptance.enabled = false
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon that has an API token, and a channel."""
    folder = tmp_path_factory.mktemp("openapi")
    with playing(folder, [Own("One", "http://127.0.0.1:9/one.ts")], toml=SETTINGS) as running:
        yield running


def test_nothing_is_found(daemon: Playing, tmp_path: Path) -> None:
    """Whatever is asked, the answer is one that the document describes, and never a fault of ours."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(_CONFIG + "".join(_OPERATION.format(path=path) for path in MORE_THAN_A_SCHEMA))
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"]
    command += [f"{daemon.url}/api/openapi.json", "--url", daemon.url, "--header", f"X-API-Token: {TOKEN}"]
    command += ["--seed", "1", "--max-examples", "8", "--no-color", "--continue-on-failure", "--warnings", "off"]
    # A wrong token has to wait for its answer: who may what has tests of its own.
    command += ["--exclude-checks", "ignored_auth", "--no-shrink", "--generation-database", "none"]
    for path in LEFT_OUT:
        command += ["--exclude-path", path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, (done.stdout + done.stderr)[-20_000:]
    assert "No issues found" in done.stdout, done.stdout[-2000:]
    assert daemon.get("/ping").status == 200
