"""Tests of which providers are started, and with what settings."""

from __future__ import annotations

from pathlib import Path
from typing import cast
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from iptvd.config import load
from iptvd.errors import ConfigError
from iptvd.protocols.socks5 import Proxy
from iptvd.settings import Loaded, ProviderSpec
from tests.makers import Colour, Maker, NeedySettings, PanelSettings, finder

_HOME = '[[provider]]\nkind = "panel"\nname = "home"\nurl = "http://toml.test"\n'
_CARD = '[[provider]]\nkind = "demo"\n'


class SpecCase(SynchronousTestCase):
    find = staticmethod(finder(Maker(), Maker("demo"), Maker("needy", settings=NeedySettings)))

    def load(self, *provider: str, toml: str = "", **environ: str) -> Loaded:
        self.file = Path(self.mktemp()).absolute()
        self.file.write_text(toml)
        return load({"provider": provider}, {"HOME": "/h"} | environ, default_file=self.file, find=self.find)

    def specs(self, *provider: str, toml: str = "", **environ: str) -> tuple[ProviderSpec, ...]:
        return self.load(*provider, toml=toml, **environ).config.providers

    def settings(self, *provider: str, toml: str = "", **environ: str) -> PanelSettings:
        return cast(PanelSettings, self.specs(*provider, toml=toml, **environ)[0].settings)

    def names(self, *provider: str, toml: str = "", **environ: str) -> list[str]:
        return [spec.name for spec in self.specs(*provider, toml=toml, **environ)]

    def refused(self, *provider: str, toml: str = "", **environ: str) -> str:
        with self.assertRaises(ConfigError) as caught:
            self.load(*provider, toml=toml, **environ)
        sentence = str(caught.exception)
        self.assertNotIn("canary", sentence)
        self.assertNotIn("\n", sentence)
        self.assertTrue(sentence.endswith("."), sentence)
        return sentence


class SelectionTests(SpecCase):
    def test_none_needed(self) -> None:
        """Without a provider nothing is started, unless there is somebody who can make channels by the API."""
        for toml in ("", '[[provider]]\nkind = "demo"\nenabled = false'):
            sentence = self.refused(toml=toml)
            self.assertIn("With an api_token there need be none", sentence)
            self.assertEqual(
                [one.enabled for one in self.specs(toml=toml, API_TOKEN="canary")], [False] * len(toml[:1])
            )

    def test_selection(self) -> None:
        """The command line selects, else the environment; else all of the settings file are started."""
        toml = _HOME + _CARD
        self.assertEqual(self.names(toml=toml), ["home", "demo"])
        self.assertEqual(self.names(toml=toml, IPTVD_PROVIDER="panel:@home"), ["home"])
        self.assertEqual(self.names("demo", toml=toml, IPTVD_PROVIDER="panel:@home"), ["demo"])

    def test_names_by_kind(self) -> None:
        """A provider is called like its kind, and the second of a kind gets a number."""
        names = self.names("panel", "demo", "panel", "panel:http://x")
        self.assertEqual(names, ["panel", "demo", "panel-2", "panel-3"])
        self.assertEqual(self.names("panel", "panel:@panel", toml='[[provider]]\nkind="panel"'), ["panel-2", "panel"])
        self.assertEqual(self.names(IPTVD_PROVIDER="panel\n panel"), ["panel", "panel-2"])

    def test_argument(self) -> None:
        """What follows the kind is read by the plugin."""
        self.assertEqual(self.settings("panel:http://arg.test:80/x").url, "http://arg.test:80/x")
        self.assertEqual(self.settings("panel").url, "")

    def test_at_name(self) -> None:
        """A provider can be named that the settings file or the environment describes."""
        self.assertEqual(self.settings("panel:@home", toml=_HOME).url, "http://toml.test")
        found = self.settings("panel:@my-tv", IPTVD_PROVIDER_MY_TV_URL="http://env.test")
        self.assertEqual(found.url, "http://env.test")

    def test_unknown_name(self) -> None:
        """A name that nothing describes is an error that says how to describe it."""
        sentence = self.refused("panel:@gone", toml=_HOME)
        self.assertIn('no provider "gone" (option --provider)', sentence)
        self.assertIn("IPTVD_PROVIDER_GONE_URL", sentence)
        sentence = self.refused("demo:@home", toml=_HOME)
        self.assertIn("is of kind panel in the settings file: write panel:@home", sentence)
        self.assertIn("after @", self.refused("panel:@a/b"))
        self.assertIn("after @", self.refused("panel:@" + "a" * 33))
        self.assertIn("named twice", self.refused("panel:@home", "panel:@home", toml=_HOME))
        self.assertIn("write KIND:@home", self.refused("home", toml=_HOME))

    def test_none(self) -> None:
        """Without any provider there is nothing to start, and the error says how to add one."""
        for sentence in (self.refused(), self.refused(toml=_CARD + "enabled = false")):
            self.assertIn("add one with --provider demo", sentence)
            self.assertIn("there are demo, needy, panel", sentence)
        self.find = finder(Maker("other"))
        self.assertIn("--provider other", self.refused())

    def test_unknown_kind(self) -> None:
        """An unknown kind is an error that names it, what there is, and what has failed to load."""
        self.assertIn('kind "panl" (option --provider): did you mean panel; there are demo', self.refused("panl"))
        self.assertIn('"other" (file /', self.refused(toml='[[provider]]\nkind = "other"'))
        self.assertIn("(environment IPTVD_PROVIDER)", self.refused(IPTVD_PROVIDER="other"))
        self.assertIn('kind "http"', self.refused("http://bob:canary@x/"))
        self.assertIn('kind "?"', self.refused("//bob@canary/"))
        self.find = finder(Maker("demo"), failures={"/p/x.py": "ImportError: no x"})
        sentence = self.refused("other")
        self.assertIn("there are demo; not loaded: /p/x.py (ImportError: no x).", sentence)

    def test_enabled(self) -> None:
        """A provider can be switched off in the settings file and on by being named."""
        off = _HOME + "enabled = false\n"
        self.assertEqual([spec.enabled for spec in self.specs(toml=off + _CARD)], [False, True])
        self.assertTrue(self.specs("panel:@home", toml=off)[0].enabled)
        found = self.specs("panel:@home", "demo", toml=off, IPTVD_PROVIDER_HOME_ENABLED="no")
        self.assertEqual([spec.enabled for spec in found], [False, True])

    def test_bound(self) -> None:
        """There can be two hundred providers."""
        self.assertEqual(len(self.names(*["demo"] * 200)), 200)
        self.assertIn("at most 200", self.refused(*["demo"] * 201))


class FieldTests(SpecCase):
    def test_layers(self) -> None:
        """A field comes from the argument, else from the environment, else from the settings file."""
        toml = '[[provider]]\nkind = "panel"\nurl = "http://toml.test"\ndepth = 1\nratio = 2\n'
        environ = {"IPTVD_PROVIDER_PANEL_URL": "http://env.test", "IPTVD_PROVIDER_PANEL_DEPTH": "5"}
        loaded = self.load("panel:http://arg.test", toml=toml, **environ)
        self.assertEqual(loaded.config.providers[0].settings, PanelSettings(url="http://arg.test", depth=5, ratio=2.0))
        origins = [loaded.origins[f"provider panel{each}"] for each in ("", ".url", ".depth", ".ratio")]
        self.assertEqual(
            origins,
            ["option --provider"] * 2 + ["environment IPTVD_PROVIDER_PANEL_DEPTH", f"file {self.file}"],
        )
        self.assertEqual(loaded.notices, ())

    def test_environment_over_file(self) -> None:
        """The environment changes single fields of a provider of the settings file."""
        found = self.settings(toml=_HOME, IPTVD_PROVIDER_HOME_PASSWORD="p", IPTVD_PROVIDER_HOME_URL="")
        self.assertEqual(found, PanelSettings(url="http://toml.test", password="p"))

    def test_types_from_the_environment(self) -> None:
        """Every type of field can be given in the environment."""
        texts = {"DEPTH": "5", "RATIO": ".5", "STRICT": "no", "FORM": "hls", "COLOUR": "blue", "TAGS": "a b"}
        texts |= {"FOLDER": "/x", "UPPER": "abc"}
        found = self.settings("panel", **{f"IPTVD_PROVIDER_PANEL_{name}": text for name, text in texts.items()})
        wanted = PanelSettings("", "", 5, 0.5, False, "hls", Colour.BLUE, ("a", "b"), {}, Path("/x"), "abc")
        self.assertEqual(found, wanted)

    def test_types_from_the_file(self) -> None:
        """Every type of field can be given in the settings file."""
        toml = _HOME + (
            'depth = 5\nratio = 0.5\nstrict = false\nform = "hls"\ncolour = "blue"\ntags = ["a", "b"]\n'
            'headers = {X-A = "b"}\nfolder = "/x"\nupper = "abc"'
        )
        wanted = PanelSettings(
            "http://toml.test", "", 5, 0.5, False, "hls", Colour.BLUE, ("a", "b"), {"X-A": "b"}, Path("/x"), "abc"
        )
        self.assertEqual(self.settings(toml=toml), wanted)

    def test_common(self) -> None:
        """Every provider can have its own refresh interval and User-Agent."""
        (spec,) = self.specs(toml=_HOME + 'refresh_interval = "1h"\nuser_agent = "a/1"')
        self.assertEqual((spec.refresh_interval, spec.user_agent), (3600.0, "a/1"))
        (spec,) = self.specs("panel", IPTVD_PROVIDER_PANEL_REFRESH_INTERVAL="10m")
        self.assertEqual((spec.refresh_interval, spec.user_agent), (600.0, None))
        self.assertIn(
            'refresh_interval of the provider "panel" (environment IPTVD_PROVIDER_PANEL_REFRESH_INTERVAL) must be',
            self.refused("panel", IPTVD_PROVIDER_PANEL_REFRESH_INTERVAL="1s"),
        )

    def test_proxies(self) -> None:
        """A provider is reached through its own proxy, else through that of all, unless it is to go past that."""
        ours, theirs = Proxy("ours.test", 1), Proxy("theirs.test", 2, "bob", "canary")
        for common, own, found in (
            ("", "", None),
            ("", "bob:canary@theirs.test:2", theirs),
            ("ours.test:1", "", ours),
            ("ours.test:1", "bob:canary@theirs.test:2", theirs),
            ("ours.test:1", "none", None),
        ):
            toml = f'socks5 = "{common or "none"}"\n{_HOME}' + (f'socks5 = "{own}"' if own else "")
            config = self.load(toml=toml).config
            self.assertEqual((config.proxy_of("home"), config.proxy_of()), (found, ours if common else None))
            self.assertNotIn("canary", repr(config))
        (spec,) = self.specs("panel", IPTVD_PROVIDER_PANEL_SOCKS5="theirs.test:2")
        self.assertEqual(spec.socks5, Proxy("theirs.test", 2))
        self.assertIn("must be host:port", self.refused("panel", IPTVD_PROVIDER_PANEL_SOCKS5="bob:canary@x"))

    def test_wrong_type(self) -> None:
        """A field of the wrong type is an error that names it and where it stands, never its value."""
        sentence = self.refused(toml=_HOME + 'depth = "canary"')
        self.assertEqual(
            sentence[: sentence.index(" from")].replace(str(self.file), "F"),
            'depth of the provider "home" (file F) must be a whole number',
        )
        self.assertIn("must be one of red, blue", self.refused("panel", IPTVD_PROVIDER_PANEL_COLOUR="canary"))
        self.assertIn("in the settings file", self.refused("panel", IPTVD_PROVIDER_PANEL_HEADERS="canary"))

    def test_refused_by_the_plugin(self) -> None:
        """What the plugin says would be right is passed on with the field and where it stands."""
        sentence = self.refused(toml=_HOME + "depth = -1")
        self.assertEqual(
            sentence, f'depth of the provider "home" (file {self.file}) is not right: a number of 0 or more.'
        )

    def test_secrets_are_not_repeated(self) -> None:
        """A plugin's sentence that repeats a value that may be secret is not passed on."""
        sentence = self.refused("panel", IPTVD_PROVIDER_PANEL_URL="bob:canary@panel.test")
        self.assertIn("is not right: see the settings of its kind.", sentence)

    def test_types_that_cannot_be_told(self) -> None:
        """Where the types of the fields cannot be told, the class judges what it is given."""
        with mock.patch("iptvd.provider_specs.get_type_hints", side_effect=NameError):
            found = self.settings(toml=_HOME + "depth = 5\nstrict = false")
            self.assertEqual(found, PanelSettings("http://toml.test", depth=5, strict=False))
            self.assertIn("is not right: see the settings", self.refused(toml=_HOME + 'depth = "canary"'))

    def test_refused_only_together(self) -> None:
        """Fields that are right alone and wrong together name the provider."""
        environ = {"IPTVD_PROVIDER_PANEL_TAGS": "both", "IPTVD_PROVIDER_PANEL_DEPTH": "99"}
        sentence = self.refused("panel", **environ)
        self.assertEqual(sentence, 'The provider "panel" (option --provider) is not right: tags are for less depth.')

    def test_secrets_in_tables(self) -> None:
        """A secret within a table is not repeated either."""
        toml = _HOME + 'headers = {A = "canary"}\ntags = ["x"]'
        self.assertIn("is not right: see the settings", self.refused(toml=toml))

    def test_fields_that_do_not_go_together(self) -> None:
        """Fields that are refused together name the provider."""
        sentence = self.refused("panel", IPTVD_PROVIDER_PANEL_PASSWORD="canary", IPTVD_PROVIDER_PANEL_TAGS="x")
        self.assertEqual(
            sentence,
            'password of the provider "panel" (environment IPTVD_PROVIDER_PANEL_PASSWORD) is not right: '
            "a password needs a url.",
        )

    def test_missing(self) -> None:
        """A field that has to be set is asked for."""
        self.assertEqual(self.refused("needy"), 'The provider "needy" (option --provider) needs must.')
        self.assertEqual(self.specs("needy", IPTVD_PROVIDER_NEEDY_MUST="x")[0].settings, NeedySettings("x"))

    def test_bad_arguments(self) -> None:
        """An argument that makes no sense is the plugin's to explain; its bugs are not."""
        self.assertIn('"panel" (option --provider) cannot be set up so: The address', self.refused("panel:bad"))
        self.assertIn("its plugin raised KeyError", self.refused("panel:bug"))

    def test_unknown_key(self) -> None:
        """A mistyped field of the settings file is an error that names the likely one."""
        self.assertIn(
            "has no setting pasword: did you mean password.", self.refused(toml=_HOME + 'pasword = "canary"')
        )
        self.assertIn("has no setting zzzz: there are url, password", self.refused(toml=_HOME + "zzzz = 1"))

    def test_wrong_tables(self) -> None:
        """A provider table needs a kind, and a name of its own."""
        for toml, part in (
            ("[[provider]]\nname = 'x'", "number 1"),
            ("[[provider]]\nkind = 5", "needs a kind"),
            ("[[provider]]\nkind = 'panel'\nname = 'a b'", "needs a name of 1 to 32"),
            ("[[provider]]\nkind = 'panel'\nname = 5", "needs a name of 1 to 32"),
            (_CARD + _CARD, "number 2"),
            (_HOME + "[[provider]]\nkind = 'panel'\nname = 'HOME'", "a name that is taken"),
            ("[provider]\nkind = 'panel'", "[[provider]]"),
            ("provider = ['panel']", "[[provider]]"),
        ):
            self.assertIn(part, self.refused(toml=toml))

    def test_not_started(self) -> None:
        """What is set for a provider that is not started now is no mistake."""
        loaded = self.load("demo", toml=_HOME, IPTVD_PROVIDER_HOME_PASSWORD="x")
        self.assertEqual(loaded.notices, ())
        (notice,) = self.load("demo", IPTVD_PROVIDER_HOME_PASSWORD="canary").notices
        self.assertIn("IPTVD_PROVIDER_HOME_PASSWORD is no setting", notice)
