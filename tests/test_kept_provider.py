"""The provider of what the API keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from iptvd.errors import ProviderError
from iptvd.interfaces import IProvider
from iptvd.kept_provider import KeptProvider, key_of
from iptvd.model import Entry, Listing, SourceKind
from iptvd.nearby import FarSource
from iptvd.own_channels import KIND as CHANNEL
from iptvd.records import Records
from iptvd.stream_records import KIND as STREAM
from tests.doubles import Kept, result

ONE, TWO = "http://example.com/one.ts", "http://example.com/two.m3u8"


def stream(url: str = ONE, **more: object) -> Mapping[str, object]:
    return {"url": url, **more}


def channel(name: str, **more: object) -> Mapping[str, object]:
    return {"channel_id": name, "name": name, "source_url": f"http://example.com/{name}.ts", **more}


class KeptProviderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = Kept()
        self.changes = 0
        self.private = True

    def provider(self) -> KeptProvider:
        self.records = Records(self.store)
        self.records.load()

        def changed() -> None:
            self.changes += 1

        return KeptProvider(self.records, lambda: "ours/1.0", lambda: self.private, changed)

    def put(self, kind: str, name: str, record: Mapping[str, object]) -> None:
        result(self.records.put(kind, name, record))

    def listing(self, provider: KeptProvider) -> Listing:
        listing = result(provider.fetch())
        assert listing is not None
        return listing

    def names(self, provider: KeptProvider) -> list[str]:
        return [entry.name for entry in self.listing(provider).entries]

    def entry(self, provider: KeptProvider, key: str) -> Entry:
        return next(entry for entry in self.listing(provider).entries if entry.key == key)

    def sources(self, provider: KeptProvider, entry: Entry) -> Any:
        return result(provider.resolve(entry))

    def test_a_provider(self) -> None:
        """It is a provider as any other; with nothing kept it lists nothing."""
        provider = self.provider()
        verifyObject(IProvider, provider)
        self.assertEqual((list(self.listing(provider).entries), self.changes), ([], 0))

    def test_what_is_kept(self) -> None:
        """Streams and channels are listed as they come, change and go, each change is told, and a restart has them."""
        provider = self.provider()
        self.put(STREAM, "s", stream(name="One"))
        self.put(CHANNEL, "c", channel("News"))
        self.put(STREAM, "t", stream(TWO, name="Two"))
        self.assertEqual(self.names(provider), ["News", "One", "Two"])
        self.put(STREAM, "s", stream(name="Uno"))
        for each in (provider, self.provider()):
            self.assertEqual(self.names(each), ["News", "Uno", "Two"])
        keys = [entry.key for entry in self.listing(provider).entries]
        self.assertEqual(keys, [key_of(CHANNEL, "c"), key_of(STREAM, "s"), key_of(STREAM, "t")])
        self.assertEqual(self.changes, 4)
        provider = self.provider()
        result(self.records.remove(STREAM, "s"))
        result(self.records.remove(STREAM, "nothing"))
        self.assertEqual((self.names(provider), self.changes), (["News", "Two"], 5))
        self.put(STREAM, "s", stream(name="Again"))
        self.assertEqual(self.names(provider), ["News", "Two", "Again"])

    def test_the_order(self) -> None:
        """Channels are in the order that the panel gives them, and one that is switched off is not there."""
        provider = self.provider()
        for name, more in (
            ("a", {"order": 2}),
            ("b", {"order": 1}),
            ("c", {"category_order": -1}),
            ("d", {"is_active": False}),
            ("e", {"order": 1}),
        ):
            self.put(CHANNEL, name, channel(name, **more))
        self.assertEqual(self.names(provider), ["c", "b", "e", "a"])
        self.put(CHANNEL, "a", channel("a"))
        self.put(CHANNEL, "b", channel("b", is_active=False))
        self.put(CHANNEL, "d", channel("d", order=-5))
        for each in (provider, self.provider()):
            self.assertEqual(self.names(each), ["c", "d", "a", "e"])

    def test_sources(self) -> None:
        """Each URL is a source in its own form, with the headers and the User-Agent that were said."""
        provider = self.provider()
        self.put(STREAM, "s", stream(failover_urls=[TWO, ONE], headers={"Referer": "x", "Host": "evil"}))
        first, second = self.sources(provider, self.entry(provider, key_of(STREAM, "s")))
        self.assertEqual([first.url, second.url], [ONE, TWO])
        self.assertEqual([first.kind, second.kind], [SourceKind.TS, SourceKind.HLS])
        self.assertEqual(first.headers, (("Referer", "x"), ("User-Agent", "ours/1.0")))
        self.put(STREAM, "s", stream(user_agent="TV"))
        entry = self.entry(provider, key_of(STREAM, "s"))
        self.assertEqual(self.sources(provider, entry)[0].headers, (("User-Agent", "TV"),))
        self.put(STREAM, "s", stream(user_agent="TV", headers={"user-agent": "Own"}))
        # As it is kept now, whatever the entry was.
        self.assertEqual(self.sources(provider, entry)[0].headers, (("user-agent", "Own"),))
        self.put(CHANNEL, "c", channel("c", failover_urls=[TWO]))
        sources = self.sources(provider, self.entry(provider, key_of(CHANNEL, "c")))
        self.assertEqual([each.url for each in sources], ["http://example.com/c.ts", TWO])
        self.assertNotIn("example.com", repr((sources, entry)))

    def test_where_it_may_lead(self) -> None:
        """As soon as the settings forbid it, what is kept leads to nothing private any more."""
        provider = self.provider()
        self.put(STREAM, "s", stream())
        entry = self.entry(provider, key_of(STREAM, "s"))
        self.assertNotIsInstance(self.sources(provider, entry)[0], FarSource)
        self.private = False
        self.assertIsInstance(self.sources(provider, entry)[0], FarSource)

    def test_gone(self) -> None:
        """What has been deleted cannot be resolved any more."""
        provider = self.provider()
        self.put(STREAM, "s", stream())
        entry = self.entry(provider, key_of(STREAM, "s"))
        result(self.records.remove(STREAM, "s"))
        with self.assertRaisesRegex(ProviderError, "it has been deleted"):
            self.sources(provider, entry)

    def test_urls_that_cannot_be_used(self) -> None:
        """A URL that nothing can be made of is left out."""
        provider = self.provider()
        self.put(STREAM, "s", stream(failover_urls=["x", "http://example.com/a.mpd", TWO]))
        entry = self.entry(provider, key_of(STREAM, "s"))
        self.assertEqual([each.url for each in self.sources(provider, entry)], [ONE, TWO])

    def test_records_that_are_none(self) -> None:
        """A record that is not understood is left out, and counted until it is mended."""
        self.store.kinds = {STREAM: {"bad": {"url": 7}, "worse": {"url": "ftp://x"}, "s": stream(name="One")}}
        provider = self.provider()
        self.assertEqual((self.names(provider), dict(self.listing(provider).skipped)), (["One"], {_WHY: 2}))
        self.put(STREAM, "bad", stream(TWO, name="Two"))
        result(self.records.remove(STREAM, "worse"))
        self.assertEqual((self.names(provider), dict(self.listing(provider).skipped)), (["One", "Two"], {}))

    def test_what_cannot_be_read(self) -> None:
        """When what was kept cannot be read that is what is said of the provider."""
        self.store.failure = "the disk is gone"
        provider = self.provider()
        with self.assertRaisesRegex(ProviderError, "the disk is gone"):
            self.listing(provider)

    def test_beginning_with_the_next(self) -> None:
        """By hand an entry begins with its next URL, from the last to the first, until it is kept anew."""
        provider = self.provider()
        key = key_of(STREAM, "s")
        self.put(STREAM, "s", stream(failover_urls=["http://example.com/b", "http://example.com/c"]))
        entry = self.entry(provider, key)
        seen = []
        for _ in range(4):
            seen.append(provider.urls(key)[0][-1])
            self.assertEqual([each.url for each in self.sources(provider, entry)], provider.urls(key))
            provider.begin_with_next(key)
        self.assertEqual(seen, ["s", "b", "c", "s"])
        self.put(STREAM, "s", stream(failover_urls=["http://example.com/b"]))
        self.assertEqual(provider.urls(key), [ONE, "http://example.com/b"])
        self.assertEqual(provider.urls("nothing"), [])


_WHY = "a record that is not understood"
