"""Tests of the command line."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from unittest import mock

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from iptvd import __version__
from iptvd.errors import ConfigError
from iptvd.options import Options
from tests.makers import finder


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.environ = {"HOME": "/h"}
        self.file = Path(self.mktemp()).absolute()
        self.options = Options(self.environ, default_file=self.file, find=finder())
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def exit_status(self, *arguments: str) -> object:
        with self.assertRaises(SystemExit) as caught:
            self.options.parseOptions(list(arguments))
        return caught.exception.code

    def test_all(self) -> None:
        """Every option sets what it is called after."""
        self.options.parseOptions(
            [
                *("--provider", "demo", "--provider=panel:http://x", "--listen", "tcp:1", "--listen", "tcp:2"),
                *("--public-url", "http://tv.test", "--state-dir", "/s", "--max-streams", "4", "--log-level", "DEBUG"),
            ]
        )
        config = self.options.config
        self.assertEqual([spec.name for spec in config.providers], ["demo", "panel"])
        self.assertEqual(config.listen, ("tcp:1", "tcp:2"))
        self.assertEqual((config.public_url, config.state_dir), ("http://tv.test", Path("/s")))
        self.assertEqual((config.max_streams, config.log_level), (4, "debug"))
        self.assertEqual(self.options.loaded.origins["state_dir"], "option --state-dir")
        self.assertEqual((self.out.getvalue(), self.err.getvalue()), ("", ""))

    def test_config(self) -> None:
        """A settings file named relative to here means the same when the daemon has gone elsewhere."""
        file = Path(self.mktemp())
        file.write_text("port = 5\n[[provider]]\nkind = 'demo'")
        self.options.parseOptions(["--config", str(file), "--state-dir", "state"])
        self.assertEqual(self.options.config.port, 5)
        self.assertEqual(self.options.given["config"], str(file.absolute()))
        self.assertEqual(self.options.given["state_dir"], str(Path("state").absolute()))

    def test_read_again(self) -> None:
        """The settings can be read again with the same command line; a mistake leaves those in force."""
        self.options.parseOptions(["--provider", "demo"])
        self.file.write_text("port = 5")
        self.assertEqual(self.options.read_settings().config.port, 5)
        self.file.write_text("port = 'x'")
        with self.assertRaises(ConfigError):
            self.options.read_settings()
        self.assertEqual(self.options.config.port, 8085)

    def test_errors(self) -> None:
        """What is wrong is said in one sentence, without help around it, and with exit status 1."""
        for arguments, part in (
            (["--provider", "nosuch"], 'no provider of kind "nosuch" (option --provider): there are demo, panel.'),
            ([], "add one with --provider demo"),
            (["--nonsense"], "--nonsense"),
            (["--max-streams"], "--max-streams"),
            (["--max-streams", "x", "--provider", "demo"], "max_streams (option --max-streams) must be"),
            (["--state-dir", "", "--provider", "demo"], "state_dir (option --state-dir) must be"),
            (["--config", ""], "is not a file"),
            (["surplus"], "arguments"),
            (["--listen", "8085", "--provider", "demo"], "listen (option --listen) must be Twisted endpoints"),
        ):
            self.setUp()
            self.assertEqual(self.exit_status(*arguments), 1)
            text = self.err.getvalue()
            self.assertEqual((text.count("\n"), text[:7], self.out.getvalue()), (1, "iptvd: ", ""))
            self.assertIn(part, text)

    def test_usage_error(self) -> None:
        """A program that parses a command line gets a UsageError."""
        for arguments in (["--nonsense"], ["--provider", "nosuch"]):
            with self.assertRaises(usage.UsageError):
                self.options.parse(arguments)
        self.assertEqual(self.err.getvalue(), "")

    def test_no_such_user(self) -> None:
        """A folder in the home of a user who does not exist is told."""
        with mock.patch.object(Path, "expanduser", side_effect=RuntimeError):
            self.assertEqual(self.exit_status("--state-dir", "~nobody-of-that-name/x"), 1)
        self.assertIn("there is no such user", self.err.getvalue())

    def test_version(self) -> None:
        """The version is ours."""
        self.assertEqual(self.exit_status("--version"), 0)
        self.assertEqual(self.out.getvalue(), f"iptvd {__version__}\n")

    def test_help(self) -> None:
        """The help describes every option, and has examples and the providers there are."""
        self.assertEqual(self.exit_status("--help"), 0)
        text = self.out.getvalue()
        for part in ("Usage:", "Examples:", "twistd -n iptvd --provider demo", "  panel        A panel.", "--help "):
            self.assertIn(part, text)
        for option in self.options.longOpt:
            self.assertIn("--" + option, text)
            self.assertTrue(self.options.docs[option.rstrip("=")], option)

    def test_check_config(self) -> None:
        """The settings in force can be looked at, without their secrets."""
        self.environ["IPTVD_PROVIDER_PANEL_PASSWORD"] = "canary"
        self.environ["IPTVD_PROVIDER_PANEL_URL"] = "http://bob:canary@panel.test/"
        self.assertEqual(self.exit_status("--check-config", "--provider", "panel"), 0)
        self.assertIn("panel (kind panel)  [option --provider]", self.out.getvalue())
        self.assertNotIn("canary", self.out.getvalue())

    def test_check_config_of_wrong_settings(self) -> None:
        """Wrong settings are one sentence and exit status 1 when they are checked, too."""
        self.assertEqual(self.exit_status("--check-config", "--provider", "nosuch"), 1)
        self.assertEqual(self.err.getvalue().count("\n"), 1)

    def test_arguments_of_the_program(self) -> None:
        """Without a command line given, it is the program's own."""
        self.patch(sys, "argv", ["twistd", "--provider", "panel"])
        self.options.parseOptions()
        self.assertEqual(self.options.config.providers[0].name, "panel")
