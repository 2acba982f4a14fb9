"""A channel as it was."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.model import Channel, ChannelKind, Entry, SourceKind
from iptvd.recording import connection_of, days_kept, recording_of
from tests.web.building import lineup_of

WEEK = Entry("1", "One", catchup=(("catchup", "xc"), ("catchup-days", "7")))
ENDLESS = Entry("2", "Two", source_kind=SourceKind.HLS, extension="m3u8", catchup=(("catchup", "shift"),))


def channel_of(*entries: Entry) -> Channel:
    (channel, *_) = lineup_of(entries[0]).channels
    return evolve(channel, entries=tuple(("home", entry) for entry in entries))


class RecordingTests(SynchronousTestCase):
    def test_it_is_the_channel(self) -> None:
        """What a channel has shown is known by the channel's own id and name."""
        channel = channel_of(WEEK)
        past = recording_of(channel, 5, 60)
        self.assertEqual((past.id, past.name, past.entries), (channel.id, "One", channel.entries))
        self.assertEqual((past.start, past.duration, past.source_kind), (5, 60, SourceKind.VOD))
        self.assertEqual(recording_of(channel_of(ENDLESS), 5, 60).extension, "ts")
        found = past.of_kind(SourceKind.HLS, disguised=True)
        self.assertEqual((found.source_kind, found.disguised, found.start), (SourceKind.HLS, True, 5))

    def test_how_long_it_is_kept(self) -> None:
        """A channel is kept for as long as the provider that keeps it longest says; a film is no past."""
        self.assertEqual(days_kept(channel_of(WEEK)), 7)
        self.assertEqual(days_kept(channel_of(ENDLESS)), 0)
        self.assertEqual(days_kept(channel_of(Entry("3", "Three"), ENDLESS, WEEK)), 7)
        self.assertIsNone(days_kept(channel_of(Entry("3", "Three"))))
        self.assertIsNone(days_kept(channel_of(evolve(WEEK, catchup=(("catchup", "no"),)))))
        self.assertIsNone(days_kept(channel_of(evolve(WEEK, kind=ChannelKind.VOD))))

    def test_who_shares(self) -> None:
        """Viewers of a channel share a connection with each other, but not with those of its past."""
        channel = channel_of(WEEK)
        live = connection_of(channel, 0)
        past, later = (connection_of(recording_of(channel, start, 60), 0) for start in (5, 6))
        self.assertEqual(len({live, past, later, connection_of(channel, 1)}), 4)
        self.assertEqual(past, connection_of(recording_of(channel, 5, 60), 0))
