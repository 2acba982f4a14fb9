"""The values everything speaks in."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError, LimitError, ProviderError, UpstreamError
from iptvd.model import Channel, ChannelKind, Entry, ProviderState, Source, SourceKind


class SourceTests(SynchronousTestCase):
    def test_exactly_one_place(self) -> None:
        """A source is a URL, a command or a path: never two of them, never none."""
        for good in ({"url": "http://example.com/"}, {"command": ("ffmpeg",)}, {"path": "/film.mp4"}):
            Source(SourceKind.TS, **good)
        for bad in ({}, {"url": "http://example.com/", "path": "/film.mp4"}):
            with self.assertRaises(ValueError):
                Source(SourceKind.TS, **bad)  # type: ignore[arg-type]

    def test_nothing_secret_is_shown(self) -> None:
        """What a source or an entry looks like in a message tells neither addresses nor headers."""
        source = Source(SourceKind.TS, url="http://u:secret@example.com/", headers=(("Cookie", "secret"),))
        entry = Entry("k", "n", logo="http://secret/", origin={"url": "secret"})
        self.assertNotIn("secret", f"{source!r} {entry!r}")


class ChannelTests(SynchronousTestCase):
    def test_the_first_entry(self) -> None:
        """A channel's provider and entry are those that come first."""
        first, second = Entry("1", "One"), Entry("2", "Two")
        channel = Channel(
            1, 1, "One", "", ChannelKind.LIVE, SourceKind.TS, "ts", "", "", (("a", first), ("b", second))
        )
        self.assertEqual((channel.provider, channel.entry), ("a", first))


class ErrorTests(SynchronousTestCase):
    def test_sentences(self) -> None:
        """Every error of ours is a sentence, with what belongs to its kind."""
        self.assertEqual(ConfigError("set url").sentence, "set url")
        self.assertIs(ProviderError(ProviderState.BLOCKED, "no").state, ProviderState.BLOCKED)
        self.assertEqual(UpstreamError(404, "gone").status, 404)
        self.assertEqual(LimitError("full").retry_after, 5)
