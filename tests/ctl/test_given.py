"""The daemon's settings as somebody else finds them."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from iptvd.ctl import given
from iptvd.ctl.given import Given, look
from iptvd.errors import ConfigError
from iptvd.settings import DEFAULT_FILE, PREFIX
from tests.doubles import folder_for


class GivenTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = folder_for(self)
        self.toml, self.env = folder / "iptvd.toml", folder / "iptvd.env"

    def look(self, named: str = "", **environ: str) -> Given:
        return look(environ, named, (self.toml, self.env))

    def test_same_as_the_daemon(self) -> None:
        """The settings are looked for where the daemon and its unit have them."""
        self.assertEqual((given.SETTINGS_FILE, given.PREFIX), (DEFAULT_FILE, PREFIX))
        unit = Path(given.__file__).parents[2] / "etc/systemd/iptvd.service"
        self.assertIn(f"EnvironmentFile=-{given.ENVIRONMENT_FILE}\n", unit.read_text())

    def test_order(self) -> None:
        """The environment goes before the unit's, and that before the settings file; our names before others'."""
        self.toml.write_text('api_token = "file"\nport = 1')
        self.assertEqual(self.look().find("api_token"), ("file", f"file {self.toml}"))
        self.env.write_text("API_TOKEN=unit")
        self.assertEqual(self.look().find("api_token"), ("unit", f"file {self.env} API_TOKEN"))
        found = self.look(API_TOKEN="other").find("api_token")
        self.assertEqual(found, ("other", "environment API_TOKEN"))
        found = self.look(API_TOKEN="other", IPTVD_API_TOKEN="own").find("api_token")
        self.assertEqual(found, ("own", "environment IPTVD_API_TOKEN"))
        self.assertEqual(self.look(IPTVD_API_TOKEN="").find("port"), (1, f"file {self.toml}"))
        self.assertIsNone(self.look().find("host"))

    def test_no_alias_that_has_no_effect(self) -> None:
        """A name that has no effect on the daemon has none here."""
        self.assertIsNone(self.look(HOST="laptop").find("host"))
        self.assertEqual(self.look(HOST="127.0.0.1").find("host"), ("127.0.0.1", "environment HOST"))

    def test_unit_environment(self) -> None:
        """The unit's environment is read as the service manager reads it, and what is odd is passed over."""
        self.env.write_text("# a word\nA=1\n B = x\nC='two words'\nD=\"q \\\" d\"\nE='open\nno line\n\nF=\n")
        _, lines = self.look().environments[1]
        self.assertEqual(lines, {"A": "1", "C": "two words", "D": 'q " d', "F": ""})

    def test_what_cannot_be_read(self) -> None:
        """A file that says nothing is a note, and the rest counts."""
        self.toml.write_text("port = ")
        self.env.mkdir()
        found = self.look(IPTVD_PORT="9000")
        self.assertEqual(found.find("port"), ("9000", "environment IPTVD_PORT"))
        self.assertEqual(
            found.notes,
            (
                f"The daemon's environment {self.env} cannot be read: Is a directory.",
                f"The settings file {self.toml} is not understood.",
            ),
        )

    def test_odd_files(self) -> None:
        """Files that are huge, deep or no text are notes too."""
        self.patch(given, "LARGEST", 100)
        self.toml.write_bytes(b"#" * 101)
        self.assertIn(" is larger than ", self.look().notes[0])
        self.patch(given, "LARGEST", 1 << 20)
        for content in (b"a = \xff", b"a = " + b"[" * 100_000):
            self.toml.write_bytes(content)
            self.assertEqual(self.look().notes, (f"The settings file {self.toml} is not understood.",))

    def test_named(self) -> None:
        """A file that was named has to be there, and is read in the place of the usual one."""
        self.toml.write_text("port = 1")
        other = self.toml.with_name("other.toml")
        other.write_text("port = 2")
        self.assertEqual(self.look(str(other)).find("port"), (2, f"file {other}"))
        self.assertEqual(self.look(IPTVD_CONFIG=str(other)).find("port"), (2, f"file {other}"))
        error = self.assertRaises(ConfigError, self.look, str(self.toml.with_name("none.toml")))
        self.assertTrue(error.sentence.endswith("none.toml is not there."), error)
        other.write_text("port")
        self.assertIn("is not understood", self.assertRaises(ConfigError, self.look, str(other)).sentence)

    def test_named_oddly(self) -> None:
        """A name that no file can have is a sentence."""
        error = self.assertRaises(ConfigError, self.look, "a\0b")
        self.assertIn("is not understood", error.sentence)

    def test_no_permission(self) -> None:
        """A file that only others may read is a note that says so."""

        def refuse(path: Path, mode: str) -> None:
            raise PermissionError(13, os.strerror(13))

        self.patch(Path, "open", refuse)
        self.assertIn(f"The settings file {self.toml} cannot be read: Permission denied.", self.look().notes)
