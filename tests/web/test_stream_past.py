"""What a channel has shown, as viewers ask for it."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.opening import Ask, FoundPlaylist, Opened
from iptvd.delivery.patience import ZAP
from iptvd.delivery.session import Face
from iptvd.errors import UpstreamError
from iptvd.model import ChannelKind, Entry, Source, SourceKind
from iptvd.protocols.mpegts import PACKET
from tests.protocols.test_upstream import Tap
from tests.web.building import Answer
from tests.web.loop import Client, Stage

LIVE = Entry("1", "Live", catchup=(("catchup", "shift"), ("catchup-days", "1")))
HLS = evolve(LIVE, key="2", name="HLS", source_kind=SourceKind.HLS, extension="m3u8")
RADIO = evolve(LIVE, key="3", name="Radio", kind=ChannelKind.RADIO, extension="mp3")
FILM = evolve(LIVE, key="4", name="Film", kind=ChannelKind.VOD, source_kind=SourceKind.VOD, extension="mp4")
NOW = 200_000
QUERY = f"?utc={NOW - 3600}&lutc={NOW}"


def at(key: str, kind: SourceKind = SourceKind.VOD) -> Source:
    return Source(kind, url=f"http://origin.test/{key}")


class PastTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage(self, LIVE, HLS, RADIO, FILM)
        self.stage.loop.advance(NOW)
        self.stage.sources = {key: [("p", at(key))] for key in "1234"}
        self.taps: list[Tap] = []

    def opened(self, key: str, *headers: tuple[str, str]) -> None:
        """The archive has a body with these headers."""

        def opened(ask: Ask) -> Opened:
            self.taps.append(Tap())
            return Opened(self.taps[-1], 200, headers)

        self.stage.openings.table[f"http://origin.test/{key}"] = opened

    def ask(self, name: str, extension: str = "ts", *headers: tuple[str, str], method: str = "GET") -> Client:
        return self.stage.ask(self.stage.path(name, extension) + QUERY, *headers, method=method)

    def refused(self, client: Client, status: int, words: str) -> Answer:
        answer = client.answer()
        self.assertEqual(answer.status, status)
        self.assertIn(words, answer.text)
        return answer

    def test_like_a_film(self) -> None:
        """It is played for each viewer alone, whatever the channel's own form; its parts can be asked for."""
        self.opened("1", ("Content-Type", "video/mp2t"), ("Content-Length", "5"))
        client = self.ask("Live", "ts", ("Range", "bytes=1-5"))
        self.assertEqual(self.stage.openings.asked, [("http://origin.test/1", Ask("GET", (("Range", "bytes=1-5"),)))])
        self.assertEqual([session.face for session in self.stage.hub.sessions.values()], [Face.VOD])
        self.assertEqual(self.stage.slots.used("p"), 1)
        self.taps[0].deliver(b"hello")
        self.taps[0].finish()
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body), (200, "video/mp2t", b"hello"))
        self.assertEqual((self.stage.outcomes(), self.stage.origins.asked), (["completed"], []))
        self.stage.assert_nothing_left()

    def test_without_a_length(self) -> None:
        """One whose length nobody tells goes on until its origin ends it, and is complete then."""
        self.opened("1")
        client = self.ask("Live")
        self.taps[0].deliver(b"x" * PACKET)
        self.taps[0].finish()
        self.assertEqual((client.body, client.ended), (b"x" * PACKET, True))
        self.assertEqual(self.stage.outcomes(), ["completed"])
        self.stage.assert_nothing_left()

    def test_radio(self) -> None:
        """What was heard is to be had under the radio's own ending too."""
        for extension in ("mp3", "ts", ""):
            self.opened("3", ("Content-Length", "1"))
            client = self.ask("Radio", extension)
            self.taps[-1].deliver(b"x")
            self.taps[-1].finish()
            self.assertEqual(client.answer().body, b"x")

    def test_a_playlist(self) -> None:
        """Where it is kept as a playlist it is passed on as one, and is a stream where a stream is asked for."""
        self.stage.sources["2"] = [("p", at("2", SourceKind.HLS))]
        self.stage.openings.table["http://origin.test/2"] = UpstreamError(503, "the origin is full")
        self.refused(self.ask("HLS", "m3u8"), 503, "The origin is full.")
        client = self.ask("HLS")
        self.assertEqual(self.stage.origins.asked, ["2"])
        self.stage.origins.taps[-1].deliver(b"x" * PACKET)
        self.stage.origins.taps[-1].finish()
        self.assertEqual(client.body, b"x" * PACKET)
        self.assertEqual(self.stage.outcomes(), ["exhausted", "completed"])
        self.stage.assert_nothing_left()

    def test_no_playlist(self) -> None:
        """Where it is not kept as a playlist, who asks for one is led to what there is."""
        answer = self.ask("HLS", "m3u8").answer()
        path = self.stage.path("HLS", "ts")
        self.assertEqual(answer.status, 302)
        self.assertEqual(answer.headers["Location"], f"http://127.0.0.1{path}?utc={NOW - 3600}&duration=3600")

    def test_a_playlist_in_disguise(self) -> None:
        """What turns out to be a playlist is followed; of the channel as it is now that says nothing."""
        self.stage.openings.table["http://origin.test/1"] = FoundPlaylist()
        asked: list[bool] = []

        def resolving() -> None:
            asked.append(True)
            if len(asked) == 3:
                # As the lineup does with a recording that is disguised.
                self.stage.sources["1"] = [("p", at("1", SourceKind.HLS))]

        self.stage.resolving = resolving
        client = self.ask("Live")
        self.stage.origins.taps[-1].deliver(b"x" * PACKET)
        self.assertEqual(client.body, b"x" * PACKET)
        self.assertIs(self.stage.hub.kind_of(self.stage.channel("Live")), SourceKind.TS)
        client.leave()
        self.assertEqual(self.stage.outcomes(), ["completed", "viewer_left"])
        self.stage.assert_nothing_left()

    def test_head(self) -> None:
        """To tell its type nothing is opened."""
        for extension, kind in (("ts", "video/mp2t"), ("m3u8", "application/vnd.apple.mpegurl")):
            answer = self.ask("HLS", extension, method="HEAD").answer("HEAD")
            self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body), (200, kind, b""))
        self.assertEqual((self.stage.openings.asked, self.stage.ends), ([], []))

    def test_refused(self) -> None:
        """What is not kept, another form, and a time that is none are sentences before anything is opened."""
        self.refused(self.ask("Film", "mp4"), 404, "Nothing of what this channel has shown")
        self.refused(self.ask("Live", "mp4"), 404, "not to be had as .mp4; it is as .ts")
        self.refused(self.stage.ask(self.stage.path("Live") + f"?utc={NOW + 60}"), 404, "not been shown yet")
        self.assertEqual((self.stage.openings.asked, self.stage.ends), ([], []))

    def test_gone(self) -> None:
        """When the archive does not have it the viewer is told, and no picture stands for it."""
        self.stage.openings.table["http://origin.test/1"] = UpstreamError(404, "the origin does not have it")
        self.refused(self.ask("Live"), 404, "The origin does not have it.")
        self.assertEqual(self.stage.outcomes(), ["exhausted"])

    def test_full(self) -> None:
        """It takes one of its provider's connections, as everything does."""
        self.stage.limits["p"] = 1
        self.opened("1")
        self.ask("Live")
        client = self.ask("Radio", "mp3")
        self.stage.loop.advance(ZAP)
        self.stage.loop.settle()
        self.refused(client, 503, "All 1 connections of p are in use.")
