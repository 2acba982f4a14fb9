"""Tests of putting the settings together."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from iptvd.config import LARGEST_FILE, load
from iptvd.discovery import discover
from iptvd.errors import ConfigError
from iptvd.plain_settings import SETTINGS
from iptvd.settings import Config, Loaded, ProviderSpec
from tests.makers import Maker, PanelSettings, finder

#: For every setting: three texts that differ, the first as TOML has it, and what they come to.
_VALUES: dict[str, tuple[str, str, str]] = {
    "listen": ('["tcp:1"]', "tcp:2", "tcp:3"),
    "listen_proxy": ('["tcp:1"]', "tcp:2", ""),
    "port": ("1", "2", "3"),
    "host": ('"192.0.2.1"', "192.0.2.2", "192.0.2.3"),
    "public_url": ('"http://1.test"', "http://2.test", "http://3.test"),
    "state_dir": ('"/1"', "/2", "/3"),
    "max_streams": ("1", "2", "3"),
    "log_level": ('"warn"', "error", "debug"),
    "provider_dirs": ('["/nonexistent/1"]', "/nonexistent/2", ""),
    "ffmpeg": ('"/1"', "/2", ""),
    "user_agent": ('"a/1"', "a/2", ""),
    "proxy_content": ("false", "no", ""),
    "trusted_proxies": ('["192.0.2.1"]', "192.0.2.2", ""),
    "trusted_networks": ('["192.0.2.1"]', "192.0.2.2", ""),
    "api_token": ('"a"', "b", ""),
    "manage_networks": ('["192.0.2.1"]', "192.0.2.2", ""),
    "allow_private_upstreams": ("false", "no", ""),
    "allow_nearby_webhooks": ("true", "yes", ""),
    "request_rate": ("1", "2", ""),
    "token_rate": ("1", "2", ""),
    "connections_per_address": ("1", "2", ""),
    "allowed_hosts": ('["1.test"]', "2.test", ""),
    "refresh_interval": ('"1h"', "2h", ""),
    "connect_timeout": ("1", "2s", ""),
    "head_timeout": ("1", "2s", ""),
    "stall_timeout": ("1", "2s", ""),
    "client_timeout": ("1", "2s", ""),
    "slow_timeout": ("1", "2s", ""),
    "sharing": ('"shared"', "isolated", ""),
    "refusal_clips": ("true", "yes", ""),
    "ring_seconds": ("5", "6s", ""),
    "ring_budget_mb": ("1", "2", ""),
    "join_back": ("1", "3s", ""),
    "linger": ("1", "2s", ""),
    "hls_target": ("1", "3s", ""),
    "hls_variant_cap": ("1", "2", ""),
    "segment_cache_mb": ("1", "2", ""),
    "drain_timeout": ("1.5", "2s", ""),
    "merge_by_tvg_id": ("true", "yes", ""),
    "epg": ('["http://x.test/a.xml"]', "/g.xml /h.xml", ""),
    "epg_interval": ("60", "2h", ""),
    "epg_days": ("1", "2", ""),
    "epg_past_days": ("1", "2", ""),
    "epg_max_mb": ("1", "2", ""),
    "epg_timezone": ('"Europe/London"', "Europe/Paris", ""),
    "events_interval": ("60", "2h", ""),
    "probe": ("true", "yes", ""),
    "probe_interval": ("600", "2h", ""),
    "socks5": ('"proxy.test:1"', "bob:s3cret@proxy.test:1", ""),
    "hdhomerun": ("false", "no", ""),
    "hdhomerun_discovery": ("true", "yes", ""),
    "hdhomerun_tuners": ('["news?group=News"]', "sports?group=Sports home?provider=home", ""),
    "logo_cache_mb": ("1", "2", ""),
}


class LoadCase(SynchronousTestCase):
    def load(self, toml: str = "", environ: dict[str, str] | None = None, **options: object) -> Loaded:
        self.file = Path(self.mktemp()).absolute()
        self.file.write_text(toml)
        environ = {"HOME": "/h"} | (environ or {})
        if "[[provider]]" not in toml and "IPTVD_PROVIDER" not in environ:
            options.setdefault("provider", ("demo",))
        return load(options, environ, default_file=self.file, find=finder())

    def refused(self, toml: str = "", environ: dict[str, str] | None = None, **options: object) -> str:
        with self.assertRaises(ConfigError) as caught:
            self.load(toml, environ, **options)
        sentence = str(caught.exception)
        self.assertNotIn("\n", sentence)
        self.assertNotIn("canary", sentence)
        return sentence


class LayerTests(LoadCase):
    def test_defaults(self) -> None:
        """With nothing set but a provider, everything is at its default."""
        loaded = load({"provider": ["demo"]}, {"HOME": "/h"}, default_file=Path("/nonexistent/x"), find=finder())
        state = Path("/h/.local/state/iptvd")
        spec = ProviderSpec("demo", "demo", PanelSettings())
        self.assertEqual(loaded.config, Config(state_dir=state, providers=(spec,)))
        self.assertEqual({loaded.origins[setting.name] for setting in SETTINGS}, {"default"})
        self.assertEqual(loaded.notices, ())

    def test_every_layer_of_every_setting(self) -> None:
        """An option wins over the environment, the environment over the file, the file over the default."""
        self.assertEqual(set(_VALUES), {setting.name for setting in SETTINGS})
        for setting in SETTINGS:
            in_toml, in_environment, in_option = _VALUES[setting.name]
            self.assertEqual(bool(setting.option), setting.option == "--" + setting.name.replace("_", "-"))
            toml, environ = f"{setting.name} = {in_toml}", {setting.env: in_environment}
            option: object = (in_option,) if setting.name == "listen" else in_option
            found = [self.load(), loaded := self.load(toml)]
            self.assertEqual(loaded.origins[setting.name], f"file {self.file}")
            found.append(loaded := self.load(toml, environ))
            self.assertEqual(loaded.origins[setting.name], f"environment {setting.env}")
            if setting.option:
                found.append(loaded := self.load(toml, environ, **{setting.name: option}))
                self.assertEqual(loaded.origins[setting.name], f"option {setting.option}")
                self.assertEqual(getattr(loaded.config, setting.name), setting.form.from_text(in_option))
            values = [getattr(each.config, setting.name) for each in found]
            if isinstance(values[0], bool):
                values = values[:2]
            self.assertEqual(len(set(values)), len(values), setting.name)

    def test_empty_environment(self) -> None:
        """A name that is set to nothing in the environment is not set."""
        loaded = self.load("port = 5", dict.fromkeys((setting.env for setting in SETTINGS), ""))
        self.assertEqual((loaded.config.port, loaded.notices), (5, ()))

    def test_state_dir(self) -> None:
        """A state folder that is set wins over the one that systemd has made."""
        environ = {"STATE_DIRECTORY": "/var/lib/iptvd:/other"}
        self.assertEqual(self.load(environ=environ).config.state_dir, Path("/var/lib/iptvd"))
        self.assertEqual(self.load(environ=environ).origins["state_dir"], "environment STATE_DIRECTORY")
        self.assertEqual(self.load('state_dir = "/srv"', environ).config.state_dir, Path("/srv"))

    def test_wrong_values(self) -> None:
        """A wrong value is an error that names the setting, where it comes from and what would be right."""
        right = "must be a whole number from 0 to 1000000."
        self.assertEqual(self.refused(max_streams="canary"), f"max_streams (option --max-streams) {right}")
        environ = {"IPTVD_MAX_STREAMS": "canary"}
        self.assertEqual(self.refused(environ=environ), f"max_streams (environment IPTVD_MAX_STREAMS) {right}")
        sentence = self.refused('max_streams = "canary"')
        self.assertEqual(sentence, f"max_streams (file {self.file}) {right}")

    def test_settings_are_checked_though_hidden(self) -> None:
        """A public URL with a password in it is refused, and not repeated."""
        self.assertIn("without user, password", self.refused(public_url="http://bob:canary@tv.test"))

    def test_without_effect(self) -> None:
        """A setting that another one leaves without effect is told."""
        (notice,) = self.load(environ={"PORT": "80"}, listen=("tcp:1",)).notices
        self.assertEqual(notice, "port (environment PORT) has no effect: listen (option --listen) says it all.")
        (notice,) = self.load('[[rule]]\nmatch = "a"\nhide = true\nprovider = "gone"').notices
        self.assertEqual(notice, "Rule 1 has no effect: no provider is named gone.")
        self.assertEqual(self.load('[[rule]]\nmatch = "a"\nhide = true\nprovider = "demo"').notices, ())

    def test_unknown_environment(self) -> None:
        """A name that looks like ours and is not is told, without its value."""
        # iptvctl's own is nothing to wonder at.
        environ = {"IPTVD_URL": "http://x", "IPTVD_PROT": "canary", "IPTVD_ZZZZZZZZ": "canary"}
        environ |= {"IPTVD_PROVIDER_DEMO_ULR": "x", "OTHER": "y"}
        notices = self.load(environ=environ).notices
        self.assertEqual(
            notices,
            (
                "The environment variable IPTVD_PROT is no setting and has no effect: did you mean IPTVD_PORT.",
                "The environment variable IPTVD_PROVIDER_DEMO_ULR is no setting and has no effect: did you mean "
                "IPTVD_PROVIDER_DEMO_URL.",
                "The environment variable IPTVD_ZZZZZZZZ is no setting and has no effect.",
            ),
        )

    def test_failed_plugins(self) -> None:
        """A plugin that does not load is told, though nothing needs it."""
        find = finder(Maker("demo"), failures={"/p/x.py": "ImportError: no x"})
        loaded = load({"provider": ("demo",)}, {"HOME": "/h"}, default_file=Path("/nonexistent"), find=find)
        self.assertEqual(loaded.notices, ("The provider plugin /p/x.py was not loaded: ImportError: no x.",))
        self.assertEqual(list(loaded.found.makers), ["demo"])

    def test_rules(self) -> None:
        """Rules come from the settings file, and are checked at once."""
        loaded = self.load('[[rule]]\nmatch = "a"\nhide = true')
        self.assertEqual((len(loaded.config.rules), loaded.origins["rules"]), (1, f"file {self.file}"))
        self.assertIn("Rule 1", self.refused('[[rule]]\nmatch = "("\nhide = true'))


class FileTests(LoadCase):
    def test_which_file(self) -> None:
        """The file is the one the option names, else the environment, else the usual one."""
        files = []
        for number in (1, 2, 3):
            file = Path(self.mktemp()).absolute()
            file.write_text(f"port = {number}")
            files.append(file)
        usual, environment, option = files
        environ = {"HOME": "/h", "IPTVD_CONFIG": str(environment)}

        def port(options: dict[str, object], environ: dict[str, str]) -> int:
            options = options | {"provider": ("demo",)}
            return load(options, environ, default_file=usual, find=finder()).config.port

        self.assertEqual(port({"config": str(option)}, environ), 3)
        self.assertEqual(port({}, environ), 2)
        self.assertEqual(port({}, {"HOME": "/h"}), 1)

    def test_unknown_setting(self) -> None:
        """A mistyped setting is an error that names the file and the likely one."""
        self.assertIn("unknown setting prot: did you mean port.", self.refused("prot = 1"))
        self.assertIn("unknown setting zzz: docs/settings.md", self.refused("zzz = 1"))
        self.assertIn("unknown setting providers: did you mean provider", self.refused("[[providers]]"))

    def test_not_toml(self) -> None:
        """A file that is not TOML is an error that names the line."""
        self.assertIn("line 2", self.refused('port = 1\npassword = "canary\n'))
        self.assertIn("nested too deeply", self.refused("x = " + "[" * 100_000))

    def test_not_text(self) -> None:
        """A file that is not UTF-8 is an error that names the line."""
        file = Path(self.mktemp())
        file.write_bytes(b"port = 1\nhost = '\xff'")
        self.assertIn("is not UTF-8 (at line 2).", self.refused(config=str(file)))

    def test_not_a_file(self) -> None:
        """What is no file, is not there or cannot be opened is said so, and where its name comes from."""
        self.assertIn("/ (option --config) is not a file.", self.refused(config="/"))
        sentence = self.refused(environ={"IPTVD_CONFIG": "/nonexistent/x"})
        self.assertIn("(environment IPTVD_CONFIG) cannot be read: No such file", sentence)
        self.assertIn("is not a file", self.refused(config="/dev/zero"))
        self.assertIn("not a file", self.refused(config=""))
        self.assertIn("no file can have", self.refused(config="a\x00b"))
        denied = PermissionError(13, "Permission denied")
        with mock.patch.object(Path, "open", side_effect=denied), self.assertRaises(ConfigError) as caught:
            load({"provider": ("demo",)}, {"HOME": "/h"}, default_file=self.file, find=finder())
        self.assertIn(f"{self.file} (default) cannot be read: Permission denied", caught.exception.sentence)

    def test_too_large(self) -> None:
        """A file of more than 4 MiB is refused."""
        self.assertEqual(self.load("#" * LARGEST_FILE).config.port, 8085)
        self.assertIn("larger than 4 MiB", self.refused("#" * (LARGEST_FILE + 1)))


class ProviderDirTests(LoadCase):
    def test_plugin_in_a_folder(self) -> None:
        """A plugin in a folder that the daemon cannot write is loaded from there."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "tv_broken.py").write_text("import no_such_thing")
        folder.chmod(0o555)
        self.addCleanup(folder.chmod, 0o755)
        self.patch(__import__("sys"), "dont_write_bytecode", True)
        environ = {"HOME": "/h", "IPTVD_PROVIDER_DIRS": str(folder)}
        with self.assertRaises(ConfigError) as caught:
            load({"provider": ("nosuch",)}, environ, default_file=Path("/nonexistent"), find=discover)
        sentence = str(caught.exception)
        self.assertIn('no provider of kind "nosuch" (option --provider)', sentence)
        self.assertIn(f"{folder / 'tv_broken.py'} (ModuleNotFoundError: No module named 'no_such_thing')", sentence)

    def test_refused_folders(self) -> None:
        """A folder that is no place for code stops the start, with its name and where it is set."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        folder.chmod(0o777)
        environ = {"IPTVD_PROVIDER_DIRS": f"/nonexistent {folder}"}
        self.assertIn(f"{folder} of provider_dirs (environment IPTVD_PROVIDER_DIRS) can be", self.refused("", environ))
        inside = 'state_dir = "/s"\nprovider_dirs = ["/s/plugins"]'
        self.assertIn("/s/plugins of provider_dirs", self.refused(inside, IPTVD="x"))
        self.assertIn("relative path", self.refused('provider_dirs = ["plugins"]'))
