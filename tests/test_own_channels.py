"""Channels as panels have them, and what the lineup has of them."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.model import ChannelKind, Entry, SourceKind
from iptvd.own_channels import OwnChannel, channel_of, entry_of_channel

URL = "http://bob:canary@origin.test/live.ts"
LEAST: dict[str, Any] = {"channel_id": "a", "name": "A", "source_url": URL}


class OwnChannelsTests(SynchronousTestCase):
    def test_as_little_as_possible(self) -> None:
        """A channel with an id, a name and a URL is one; what a panel keeps with it means nothing."""
        self.assertEqual(channel_of({**LEAST, "theirs": 1}), OwnChannel(**LEAST))
        origin = {"urls": [URL], "headers": {}, "user_agent": ""}
        self.assertEqual(entry_of_channel("a", LEAST), Entry("a", "A", origin=origin))

    def test_all_there_is(self) -> None:
        """Name, group, number, tvg-id and logo are what is shown of it; its URLs, each once, where it comes from."""
        more = f"{URL}8"
        record = {
            **LEAST,
            "category": "News",
            "number": 7,
            "tvg_id": "a.example",
            "logo": "http://origin.test/a.png",
            "failover_urls": [more, URL, more],
            "headers": {"Referer": "x"},
            "user_agent": "TV",
        }
        entry = entry_of_channel("a", record)
        self.assertEqual((entry.group, entry.number, entry.tvg_id), ("News", 7, "a.example"))
        self.assertEqual(entry.logo, "http://origin.test/a.png")
        self.assertEqual(entry.origin, {"urls": [URL, more], "headers": {"Referer": "x"}, "user_agent": "TV"})
        self.assertNotIn("canary", repr(entry))

    def test_its_form(self) -> None:
        """Its URL says what it is: a stream, a playlist, a film or radio."""
        for name, kind, form, extension in (
            ("a", ChannelKind.LIVE, SourceKind.TS, "ts"),
            ("a.m3u8", ChannelKind.LIVE, SourceKind.HLS, "m3u8"),
            ("a.mkv", ChannelKind.VOD, SourceKind.VOD, "mkv"),
            ("a.mp3", ChannelKind.RADIO, SourceKind.TS, "mp3"),
        ):
            entry = entry_of_channel("a", {**LEAST, "source_url": f"http://origin.test/{name}"})
            self.assertEqual((entry.kind, entry.source_kind, entry.extension), (kind, form, extension))

    def test_what_would_break_a_playlist(self) -> None:
        """Line breaks do not get into what is shown, and a name of nothing else is the panel's id."""
        entry = entry_of_channel("a", {**LEAST, "name": "\n", "category": "a\r\nb", "tvg_id": "x\n"})
        self.assertEqual((entry.name, entry.group, entry.tvg_id), ("a", "a  b", "x"))

    def test_what_is_none(self) -> None:
        """What cannot be a channel is none."""
        for name in LEAST:
            with self.assertRaises(msgspec.ValidationError):
                channel_of({key: value for key, value in LEAST.items() if key != name})
        for record in ({**LEAST, "channel_id": "a/b"}, {**LEAST, "order": "1"}, {**LEAST, "is_active": 1}):
            with self.assertRaises(msgspec.ValidationError):
                channel_of(record)
        for url in ("rtsp://canary.test/", "http://", "file:///canary"):
            with self.assertRaises(ProtocolError) as caught:
                entry_of_channel("a", {**LEAST, "source_url": url})
            self.assertNotIn("canary", str(caught.exception))
