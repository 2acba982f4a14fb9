"""Tests of docs/providers.md: its tables are those of the code, and the plugin in it works as it stands."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import attrs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import iptvd.providers
from iptvd.discovery import KIND, discover
from iptvd.errors import ProviderError
from iptvd.interfaces import IProvider, IProviderMaker, ProviderContext
from iptvd.model import Entry, Listing, ProviderState, Source, SourceKind
from iptvd.settings import Config
from tests.doubles import Web, folder_for
from tests.providers.test_contract import context_for, given

PAGE = (Path(__file__).parents[1] / "docs" / "providers.md").read_text(encoding="utf-8")

LIST = "https://tv.example.com/list.json"


def first_column(words: str) -> set[str]:
    """What the first column of the table after these words has, without its backquotes."""
    after = PAGE[PAGE.index(words) :]
    table = re.search(r"^\|---.*?(?=\n\n)", after, re.MULTILINE | re.DOTALL)
    assert table is not None
    return set(re.findall(r"^\| `(\w+)`", table[0], re.MULTILINE))


class TablesTests(SynchronousTestCase):
    def test_states(self) -> None:
        """Every state that health shows is explained."""
        self.assertEqual(first_column("## When something is wrong"), {state.value for state in ProviderState})

    def test_sources(self) -> None:
        """Every kind of source is explained."""
        self.assertEqual(first_column("## What resolve may return"), {kind.name for kind in SourceKind})

    def test_context(self) -> None:
        """Everything that a provider is given is explained."""
        self.assertEqual(first_column("**The context**"), {each.name for each in attrs.fields(ProviderContext)})

    def test_folder(self) -> None:
        """The folder that is named is the one that is searched."""
        (folder,) = Config().provider_dirs
        self.assertIn(f"`provider_dirs`, which is `{folder}`", PAGE)


class ExampleTests(SynchronousTestCase):
    def setUp(self) -> None:
        blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        self.assertEqual(len(blocks), 1)
        folder = folder_for(self)
        (folder / "jsonlist.py").write_text(blocks[0], encoding="utf-8")
        self.patch(sys, "dont_write_bytecode", True)
        self.patch(iptvd.providers, "__path__", [])
        known = set(sys.modules)
        found = discover([folder])
        self.addCleanup(lambda: [sys.modules.pop(name) for name in set(sys.modules) - known if "jsonlist" in name])
        self.assertEqual(dict(found.failures), {})
        self.maker = found.makers["jsonlist"]
        self.web = Web({})

    def provider(self, argument: str = LIST) -> IProvider:
        settings = self.maker.settings(**self.maker.settings_from_argument(argument))
        return self.maker.make(settings, attrs.evolve(context_for(self), fetcher=self.web))

    def listing(self, rows: object) -> Listing:
        self.web.pages[LIST] = json.dumps(rows).encode()
        listing = given(self.provider().fetch())
        assert listing is not None
        return listing

    def state_of(self, provider: IProvider) -> ProviderState:
        with self.assertRaises(ProviderError) as raised:
            given(provider.fetch())
        self.assertNotRegex(str(raised.exception), r"\w://")
        return cast("ProviderState", raised.exception.state)

    def test_contract(self) -> None:
        """It is what the interfaces ask for."""
        verifyObject(IProviderMaker, self.maker)
        verifyObject(IProvider, self.provider())
        self.assertRegex(self.maker.kind, KIND)
        self.assertNotIn(LIST, repr(self.maker.settings(url=LIST)))

    def test_works(self) -> None:
        """The list that the page shows becomes a channel that can be watched."""
        shown = re.search(r"`(\[\{.*?\}\])`", PAGE)
        assert shown is not None
        (entry,) = self.listing(json.loads(shown[1])).entries
        self.assertEqual((entry.key, entry.name, entry.source_kind), ("news", "News", SourceKind.HLS))
        kept = attrs.evolve(entry, origin=cast("Mapping[str, object]", json.loads(json.dumps(entry.origin))))
        sources = given(self.provider().resolve(kept))
        agent = ("User-Agent", "iptvd")
        self.assertEqual(
            list(sources), [Source(SourceKind.HLS, url="https://tv.example.com/news.m3u8", headers=(agent,))]
        )

    def test_unconfigured(self) -> None:
        """Without a list it says so."""
        self.assertEqual(self.state_of(self.provider("")), ProviderState.UNCONFIGURED)

    def test_unreachable(self) -> None:
        """When nothing answers it says so."""
        self.assertEqual(self.state_of(self.provider()), ProviderState.UNREACHABLE)

    def test_not_understood(self) -> None:
        """When the list is something else it says so."""
        for page in (b"<html>", b"3", b'{"error": 1}', b'[{"id": "x"}]', b"\xff", b"[" * 100_000):
            self.web.pages[LIST] = page
            self.assertEqual(self.state_of(self.provider()), ProviderState.NOT_UNDERSTOOD, page[:20])

    def test_no_address(self) -> None:
        """It never opens anything but http and https."""
        for url in ("file:///etc/passwd", "", None):
            (entry,) = self.listing([{"id": "x", "name": "X", "url": url}]).entries
            with self.assertRaises(ProviderError):
                given(self.provider().resolve(entry))
        with self.assertRaises(ProviderError):
            given(self.provider().resolve(Entry("gone", "Gone")))
