"""Every plain setting as a table."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from iptvd.plain_settings import SETTINGS, shown
from iptvd.settings import Config
from tests.makers import Colour


class PlainSettingsTests(SynchronousTestCase):
    def test_all_of_them(self) -> None:
        """Every field of the settings is in the table, but those that are tables of the file themselves."""
        fields = [each.name for each in attrs.fields(Config)]
        names = [setting.name for setting in SETTINGS]
        self.assertEqual(names, [name for name in fields if name not in ("rules", "webhooks", "providers")])
        self.assertEqual({setting.env for setting in SETTINGS}, {f"IPTVD_{name.upper()}" for name in names})

    def test_defaults_are_of_their_own_form(self) -> None:
        """Every default is a value that could have been set."""
        for setting in SETTINGS:
            if isinstance(setting.default, attrs.Factory(list).__class__):
                continue
            text = shown(setting.default)
            if text:
                self.assertEqual(setting.form.from_text(text), setting.default, setting.name)

    def test_shown(self) -> None:
        """Values are shown as they are written."""
        values = (True, False, (), ("a", 1), 10.0, 0.25, 31622400.0, None, "x", {"a": 1}, Colour.RED)
        found = [shown(value) for value in values]
        self.assertEqual(found, ["true", "false", "", "a 1", "10", "0.25", "31622400", "", "x", "a=1", "red"])
