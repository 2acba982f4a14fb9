"""What keeps each provider's entries, made from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError
from iptvd.interfaces import IProvider, ProviderContext
from iptvd.model import Listing, ProviderState
from iptvd.protocols.socks5 import Proxy
from iptvd.refresh import ProviderRunner
from iptvd.runners import Runners
from iptvd.settings import Config, Loaded, ProviderSpec
from iptvd.store import RowsFile
from tests.doubles import folder_for, offload, sliced
from tests.test_refresh import FULL, ONE, Scripted


class Through:
    """Gives, instead of a fetcher, the proxy that it would go through."""

    def through(self, proxy: Proxy | None) -> Proxy | None:
        return proxy


class Plugin:
    """
    A plugin whose providers list one channel.

    :ivar made: what each was made from.
    """

    def __init__(self) -> None:
        self.made: list[ProviderContext] = []
        self.error: Exception | None = None

    def make(self, settings: object, context: ProviderContext) -> IProvider:
        if self.error is not None:
            raise self.error
        self.made.append(context)
        return Scripted(Listing([ONE]))


class RunnersTestCase(SynchronousTestCase):
    built_in: Mapping[str, IProvider] = {}

    def setUp(self) -> None:
        self.folder = folder_for(self)
        self.plugin = Plugin()
        clock = Clock()
        self.runners = Runners(
            self.folder,
            cast(Any, Through()),
            lambda path, kind: RowsFile(self.folder / path, kind, sliced, offload),
            cast(Any, None),
            "",
            clock,
            clock.seconds,
            Random(1),
            sliced,
            lambda: None,
            lambda provider, state: None,
            self.built_in,
        )

    def configure(self, *specs: ProviderSpec, **more: Any) -> dict[str, ProviderRunner]:
        config = Config(state_dir=self.folder, providers=specs, **more)
        found = cast(Any, SimpleNamespace(makers={"panel": self.plugin}))
        return self.runners.configure(Loaded(config, {}, (), found))


class RunnersTests(RunnersTestCase):
    def test_what_is_made(self) -> None:
        """Each provider that is enabled has one, in the order of the settings, and a folder of its own."""
        runners = self.configure(
            spec("b"), spec("off", enabled=False), spec("a", user_agent="tv"), user_agent="everybody"
        )
        self.assertEqual(list(runners), ["b", "a"])
        self.assertEqual([runner.name for runner in runners.values()], ["provider b", "provider a"])
        for context, name in zip(self.plugin.made, "ba", strict=True):
            self.assertEqual((context.name, context.state_dir), (name, self.folder / "providers" / name))
            self.assertTrue(context.state_dir.is_dir())
        self.assertEqual([context.user_agent for context in self.plugin.made], ["everybody", "tv"])

    def test_what_stays(self) -> None:
        """A provider keeps its own until something that it is made from changes; one that comes back is a new one."""
        before = self.configure(spec("a"), spec("b"))
        self.assertEqual(self.configure(spec("b"), spec("a"), max_streams=3), before)
        for other, more in (
            (spec("a", user_agent="tv"), {}),
            (spec("a"), {"refresh_interval": 1234.0}),
            (spec("a"), {"refresh_interval": 1234.0, "socks5": Proxy("proxy.test", 1080)}),
        ):
            after = self.configure(other, spec("b", refresh_interval=99.0), **more)
            self.assertIsNot(after["a"], before["a"])
            before = after
        self.assertEqual(self.plugin.made[-1].fetcher, Proxy("proxy.test", 1080))
        self.configure(spec("b"))
        self.assertIsNot(self.configure(spec("a"), spec("b"))["a"], before["a"])

    def test_one_that_cannot_be_made(self) -> None:
        """When one cannot be made, those there are stay; what the plugin says may be a password and is not told."""
        before = self.configure(spec("a"))
        self.plugin.error = ValueError("s3cret")
        with self.assertRaises(ConfigError) as raised:
            self.configure(spec("a"), spec("b"))
        sentence = 'The provider "b" cannot be set up: its plugin panel raised ValueError.'
        self.assertEqual(str(raised.exception), sentence)
        self.assertIsNone(raised.exception.__cause__)
        self.assertEqual(self.configure(spec("a")), before)


class BuiltInTests(RunnersTestCase):
    def setUp(self) -> None:
        self.listed = Scripted(Listing([ONE]), Listing([]), Listing([FULL]))
        self.built_in = {"ours": self.listed}
        super().setUp()

    def test_what_is_made(self) -> None:
        """It comes after those of the settings, without a plugin, a folder or a file, and stays while they change."""
        before = self.configure(spec("a"))
        self.assertEqual(list(before), ["a", "ours"])
        self.assertIs(before["ours"].provider, self.listed)
        after = self.configure(spec("b"))
        self.assertIs(after["ours"], before["ours"])
        self.assertEqual(sorted(path.name for path in (self.folder / "providers").iterdir()), ["a", "b"])
        self.assertEqual(len(self.plugin.made), 2)

    def test_another_proxy(self) -> None:
        """What it lists comes through the proxy of all, as for any other provider."""
        self.assertIsNone(self.configure()["ours"].proxy)
        self.assertEqual(self.configure(socks5=Proxy("proxy.test", 1080))["ours"].proxy, Proxy("proxy.test", 1080))

    def test_one_of_the_same_name(self) -> None:
        """The name is taken: a provider of the settings that has it is refused, unless it is switched off."""
        with self.assertRaisesRegex(ConfigError, 'a provider of our own with the name "ours"'):
            self.configure(spec("ours"))
        self.assertEqual(list(self.configure(spec("ours", enabled=False))), ["ours"])

    def test_nothing_to_list(self) -> None:
        """It may list nothing, and have what it listed before no more."""
        runner = self.configure()["ours"]
        runner.startService()
        self.addCleanup(runner.stopService)
        self.assertEqual(list(runner.entries), [ONE])
        runner.refresh()
        self.assertEqual((list(runner.entries), runner.status.state), ([], ProviderState.OK))
        runner.refresh(afresh=True)
        self.assertEqual(list(runner.entries), [FULL])


def spec(name: str, **more: Any) -> ProviderSpec:
    return ProviderSpec("panel", name, None, **more)
