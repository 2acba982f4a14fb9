"""Tests of the reference of all settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from iptvd.discovery import discover
from iptvd.plain_settings import SETTINGS
from iptvd.provider_specs import COMMON
from iptvd.reference import reference
from iptvd.rules import Rule
from iptvd.settings import Config
from iptvd.webhook_settings import Webhook


class ReferenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = (Path(__file__).parent.parent / "docs/settings.md").read_text()

    def test_reference_is_up_to_date(self) -> None:
        """docs/settings.md is what ``python -m iptvd.reference`` writes."""
        written = subprocess.run([sys.executable, "-m", "iptvd.reference"], capture_output=True, check=True, text=True)
        self.assertEqual(self.page, written.stdout)
        self.assertEqual(self.page, reference())

    def test_every_setting_is_explained(self) -> None:
        """Every setting stands in the reference with its names, its meaning and its default."""
        table = self.page[: self.page.index("## Providers")]
        rows = {row.split("`")[1]: row for row in table.splitlines() if row.startswith("| `")}
        fields = [each for each in attrs.fields(Config) if each.name not in ("rules", "webhooks", "providers")]
        self.assertEqual(len(fields), len(SETTINGS))
        for field in fields:
            row = rows[field.name]
            self.assertIn(f"`IPTVD_{field.name.upper()}`", row)
            self.assertIn(field.metadata["help"], row)
            self.assertIn(field.metadata["option"], row)
            self.assertGreater(len(row.split("|")[4].strip()), 0, field.name)
        for section in ("[[provider]]", "[[rule]]", "[[webhook]]", "`DADDYLIVE_URI`"):
            self.assertIn(section, self.page)

    def test_what_tables_can_have_is_explained(self) -> None:
        """Everything that a provider of any kind, a rule or a webhook can have stands in the reference."""
        rule, webhook = ([each.name for each in attrs.fields(kind)] for kind in (Rule, Webhook))
        for name, fields in (("Providers", COMMON), ("Rules", rule), ("Webhooks", webhook)):
            section = self.page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
            for field in fields:
                self.assertRegex(section, rf"(?m)^\| (`\w+`, )*`{field}`", name)

    def test_every_kind_is_explained(self) -> None:
        """Every provider that comes with iptvd stands in the reference, each of its settings with its meaning."""
        kinds = discover().makers
        self.assertLessEqual({"channels", "demo", "m3u", "xtream"}, set(kinds))
        for kind, maker in kinds.items():
            section = self.page.partition(f"\n### {kind}\n")[2].partition("\n##")[0]
            self.assertIn(maker.summary.rstrip(".")[1:], section)
            for each in attrs.fields(maker.settings):
                self.assertIn(f"| `{each.name}` | {each.metadata['help']} |", section)
