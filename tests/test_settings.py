"""Tests of the settings themselves and of the example file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from iptvd.config import load
from iptvd.errors import ConfigError
from iptvd.plain_settings import SETTINGS
from iptvd.settings import Config, ProviderSpec, default_state_dir
from tests.makers import Maker, PanelSettings, finder

_TREE = Path(__file__).parent.parent


class ConfigTests(SynchronousTestCase):
    def test_nothing_secret_in_a_repr(self) -> None:
        """A provider's settings do not come out of the settings' repr."""
        spec = ProviderSpec("panel", "panel", PanelSettings(upper="canary"))
        self.assertNotIn("CANARY", repr(Config(providers=(spec,))))

    def test_state_dir(self) -> None:
        """The state folder is systemd's, else the user's own."""
        for environ, path, origin in (
            ({"STATE_DIRECTORY": "/var/lib/iptvd:/x", "HOME": "/h"}, "/var/lib/iptvd", "environment STATE_DIRECTORY"),
            ({"XDG_STATE_HOME": "/xdg", "HOME": "/h"}, "/xdg/iptvd", "environment XDG_STATE_HOME"),
            ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/iptvd", "default"),
            ({}, str(Path.home() / ".local/state/iptvd"), "default"),
        ):
            self.assertEqual(default_state_dir(environ), (Path(path), origin))

    def test_no_home(self) -> None:
        """A user without a home is told to name a folder for the state."""
        with mock.patch.object(Path, "home", side_effect=RuntimeError), self.assertRaises(ConfigError) as caught:
            default_state_dir({})
        self.assertIn("--state-dir", caught.exception.sentence)


class ExampleTests(SynchronousTestCase):
    def load(self, text: str) -> Any:
        file = Path(self.mktemp())
        file.write_text(text)
        return load({"config": str(file)}, {"HOME": "/h"}, find=finder(Maker("demo"), Maker("xtream")))

    def setUp(self) -> None:
        self.text = (_TREE / "etc/iptvd.toml").read_text()

    def test_example_loads(self) -> None:
        """The example starts the test card, and all else is as without it."""
        loaded = self.load(self.text)
        spec = ProviderSpec("demo", "test-card", PanelSettings())
        self.assertEqual(loaded.config, Config(providers=(spec,), state_dir=Path("/h/.local/state/iptvd")))
        self.assertEqual(loaded.notices, ())

    def test_example_names_every_setting(self) -> None:
        """With its comments taken away the example still loads, and sets everything there is."""
        text = re.sub(r"^#(?! )", "", self.text, flags=re.MULTILINE).replace('username = "bob"\n', "")
        self.assertEqual(set(tomllib.loads(text)), {each.name for each in SETTINGS} | {"provider", "rule", "webhook"})
        config = self.load(text).config
        self.assertEqual([spec.name for spec in config.providers], ["test-card", "home"])
        self.assertEqual((len(config.rules), len(config.webhooks)), (3, 1))

    def test_example_shows_the_defaults(self) -> None:
        """What the example has commented out is the default, except where there is none to show."""
        text = re.sub(r"^#(?! )", "", self.text, flags=re.MULTILINE).replace('username = "bob"\n', "")
        config = self.load(text).config
        invented = {"listen", "public_url", "state_dir", "ffmpeg", "trusted_proxies", "allowed_hosts"}
        for setting in SETTINGS:
            if setting.name not in invented:
                self.assertEqual(getattr(config, setting.name), setting.default, setting.name)
