"""What every provider plugin has to keep to: the same tests for all there are."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TypeVar

import attrs
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import iptvd.providers
from iptvd.discovery import KIND
from iptvd.errors import ProviderError
from iptvd.interfaces import IProvider, IProviderMaker, ProviderContext
from iptvd.model import Entry, Listing, SourceKind
from tests.doubles import Web, folder_for, result, sliced

MODULES = tuple(info.name for info in pkgutil.iter_modules(iptvd.providers.__path__) if not info.name.startswith("_"))

T = TypeVar("T")

_URL = re.compile(r"\w://")
_EXTENSIONS = {
    SourceKind.TS: re.compile(r"ts|mp3|aac|m4a|ogg|oga|opus|flac|wav"),
    SourceKind.HLS: re.compile(r"m3u8"),
    SourceKind.VOD: re.compile(r"[a-z0-9]{1,5}"),
}


def makers_in(module: str) -> list[IProviderMaker]:
    """The plugins in a module of `iptvd.providers`."""
    loaded = importlib.import_module(f"{iptvd.providers.__name__}.{module}")
    return [each for each in vars(loaded).values() if IProviderMaker.providedBy(each)]


def writes_its_last_argument(argv: Sequence[str]) -> Awaitable[tuple[int, bytes]]:
    """Runs nothing, but leaves a file, as a program does that is given the file's name last."""
    if argv[-1].startswith("/"):
        Path(argv[-1]).write_bytes(b"made")
    return succeed((0, b""))


def context_for(test: SynchronousTestCase) -> ProviderContext:
    """What a provider works with when nothing of the outside can be reached."""
    return ProviderContext(
        name="mine",
        clock=Clock(),
        fetcher=Web({}),
        state_dir=folder_for(test),
        ffmpeg="/usr/bin/ffmpeg",
        user_agent="iptvd",
        sliced=sliced,
        run=writes_its_last_argument,
    )


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def given(work: Awaitable[T]) -> T:
    """What a provider's method gives that waits for nothing outside; raises what it raises."""
    return result(_awaited(work))


class AllTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """Every plugin file holds one plugin, and no two are of the same kind."""
        kinds = [[maker.kind for maker in makers_in(module)] for module in MODULES]
        self.assertEqual([len(each) for each in kinds], [1] * len(MODULES))
        self.assertEqual(len({kind for (kind,) in kinds}), len(MODULES))
        self.assertLessEqual({"demo", "channels"}, {kind for (kind,) in kinds})


class Contract(SynchronousTestCase):
    """The tests of one module; below there is a class of it for each."""

    __test__ = False
    module: str

    def setUp(self) -> None:
        (self.maker,) = makers_in(self.module)
        self.provider = self.maker.make(self.maker.settings(), context_for(self))

    def listing(self) -> Listing | None:
        """What it lists with nothing set and nothing to be reached, or None when it says why it cannot."""
        try:
            listing = given(self.provider.fetch())
        except ProviderError as error:
            self.assertTrue(error.sentence.strip())
            self.assertNotRegex(error.sentence, _URL)
            return None
        self.assertIsInstance(listing, Listing)
        return listing

    def test_maker(self) -> None:
        """The plugin gives what the interface asks for: a name to be called by, and a line about itself."""
        verifyObject(IProviderMaker, self.maker)
        verifyObject(IPlugin, self.maker)
        self.assertRegex(self.maker.kind, re.compile(rf"\A{KIND.pattern}\Z"))
        self.assertTrue(self.maker.summary.strip())
        self.assertEqual(self.maker.summary.splitlines(), [self.maker.summary])

    def test_settings(self) -> None:
        """Every setting has a default and an explanation, and what is secret is not shown."""
        for setting in attrs.fields(self.maker.settings):
            self.assertIsNot(setting.default, attrs.NOTHING, setting.name)
            self.assertRegex(setting.metadata.get("help", ""), r"\A[A-Z].*[.]\Z", setting.name)
            if setting.metadata.get("secret"):
                self.assertIs(setting.repr, False, setting.name)

    def test_no_argument(self) -> None:
        """On the command line its name alone is enough to say."""
        settings = self.maker.settings_from_argument("")
        self.assertLessEqual(set(settings), {setting.name for setting in attrs.fields(self.maker.settings)})
        self.maker.settings(**settings)

    def test_provider(self) -> None:
        """What it makes is a provider."""
        verifyObject(IProvider, self.provider)

    def test_fetch(self) -> None:
        """With nothing set it lists channels that each have a name of their own, or says what is missing."""
        listing = self.listing()
        if listing is None:
            return
        self.assertTrue(listing.entries)
        self.assertEqual(len({entry.key for entry in listing.entries}), len(listing.entries))
        for entry in listing.entries:
            self.assertTrue(entry.key)
            self.assertTrue(entry.name)
            self.assertEqual(json.loads(json.dumps(entry.origin)), entry.origin)
            self.assertRegex(entry.extension, re.compile(rf"\A(?:{_EXTENSIONS[entry.source_kind].pattern})\Z"))

    def test_fetch_again(self) -> None:
        """Asked again, it lists the same, or says that nothing has changed."""
        first = self.listing()
        if first is None:
            self.assertIsNone(self.listing())
        else:
            self.assertIn(given(self.provider.fetch()), (None, first))

    def test_resolve(self) -> None:
        """What it lists can be had, also by a provider that was started again."""
        listing = self.listing()
        if listing is None:
            return
        again = self.maker.make(self.maker.settings(), context_for(self))
        for provider in (self.provider, again):
            self.assertTrue(given(provider.resolve(listing.entries[0])))

    def test_resolve_what_is_gone(self) -> None:
        """An entry from long ago, that it knows nothing of any more, gives a reason and no fault."""
        try:
            sources = given(self.provider.resolve(Entry("long gone", "Gone")))
        except ProviderError as error:
            self.assertTrue(error.sentence.strip())
            self.assertNotRegex(error.sentence, _URL)
        else:
            self.assertTrue(sources)


for _module in MODULES:
    _name = f"{_module.title().replace('_', '')}ContractTests"
    globals()[_name] = type(_name, (Contract,), {"module": _module, "__test__": True, "__module__": __name__})
