"""A channel in all the forms that it has, as viewers ask for them."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.opening import Ask, FoundPlaylist, Opened
from iptvd.delivery.patience import ZAP, ZAP_LOOK
from iptvd.delivery.resuming import DELAYS
from iptvd.delivery.session import Face
from iptvd.errors import UpstreamError
from iptvd.model import ChannelKind, Entry, Source, SourceKind
from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.sniff import Media
from tests.protocols.test_upstream import Tap
from tests.protocols.tsmaking import made_film
from tests.web.building import Answer
from tests.web.loop import Client, Stage

LIVE = Entry("1", "Live")
HLS = Entry("2", "HLS", source_kind=SourceKind.HLS, extension="m3u8")
RADIO = Entry("3", "Radio", kind=ChannelKind.RADIO, extension="mp3")
FILM = Entry("4", "Film", kind=ChannelKind.VOD, source_kind=SourceKind.VOD, extension="mp4")
SERIES = evolve(HLS, key="5", name="Series", kind=ChannelKind.VOD)
LOCKED = Entry("6", "Locked", unsupported="it is protected by DRM")
SECOND = made_film(seconds=1)
FILM_SECONDS = made_film(seconds=8)


def seconds(start: int, stop: int) -> list[bytes]:
    return [FILM_SECONDS[at * len(SECOND) : (at + 1) * len(SECOND)] for at in range(start, stop)]


class StreamTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage(self, LIVE, HLS, RADIO, FILM, SERIES, LOCKED)
        kinds = {"1": SourceKind.TS, "2": SourceKind.HLS, "3": SourceKind.TS, "4": SourceKind.VOD, "5": SourceKind.HLS}
        for key, kind in kinds.items():
            self.stage.sources[key] = [("p", Source(kind, url=f"http://origin.test/{key}"))]
        self.taps: list[Tap] = []

    def opened(self, *headers: tuple[str, str], media: Media | None = None) -> None:
        """Whatever is opened for one viewer alone gives a body of these headers."""

        def opened(ask: Ask) -> Opened:
            self.taps.append(Tap())
            return Opened(self.taps[-1] if ask.method == "GET" else None, 200, headers, media)

        for key in "12345":
            self.stage.openings.table[f"http://origin.test/{key}"] = opened

    def ask(self, name: str, extension: str = "ts", *headers: tuple[str, str], method: str = "GET") -> Client:
        return self.stage.ask(self.stage.path(name, extension), *headers, method=method)

    def refused(self, client: Client, status: int, words: str) -> Answer:
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (status, "text/plain; charset=utf-8"))
        self.assertIn(words, answer.text)
        return answer


class SharedTests(StreamTestCase):
    def test_together(self) -> None:
        """Viewers of a live channel share one connection, each from a join point on, until it leaves."""
        first = self.ask("Live")
        self.stage.deliver(seconds(0, 2))
        second = self.ask("Live")
        self.stage.deliver(seconds(2, 4))
        self.assertEqual(first.body, b"".join(seconds(0, 4)))
        self.assertEqual(second.body[-3 * len(SECOND) :], b"".join(seconds(1, 4)))
        self.assertEqual(self.stage.origins.asked, ["1"])
        head = first.read().partition(b"\r\n\r\n")[0]
        for line in (
            b"HTTP/1.1 200 OK",
            b"Content-Type: video/mp2t",
            b"Cache-Control: no-store",
            b"Connection: close",
            b"Access-Control-Allow-Origin: *",
            b"Server: iptvd/",
            b"Date: ",
        ):
            self.assertIn(line, head)
        first.leave()
        second.leave(reset=True)
        self.assertEqual(self.stage.outcomes(), ["viewer_left", "viewer_left"])
        self.stage.loop.advance(3)
        self.stage.assert_nothing_left()

    def test_without_an_ending(self) -> None:
        """A channel's address works without an ending: as a stream, or, where it is a playlist, by way of that."""
        client = self.ask("Live", "")
        self.stage.deliver(seconds(0, 1))
        self.assertEqual(client.body, SECOND)
        answer = self.ask("HLS", "").answer()
        self.assertEqual((answer.status, answer.headers["Location"]), (302, f"http://127.0.0.1{self.hls_path}"))

    @property
    def hls_path(self) -> str:
        return self.stage.path("HLS", "m3u8")

    def test_a_playlist_as_a_stream(self) -> None:
        """A channel whose source is a playlist is a stream where one is asked for."""
        client = self.ask("HLS")
        self.stage.deliver(seconds(0, 1))
        self.assertEqual(client.body, SECOND)

    def test_head(self) -> None:
        """To tell its type nothing is opened."""
        for name, extension, kind in (
            ("Live", "ts", "video/mp2t"),
            ("HLS", "ts", "video/mp2t"),
            ("Live", "m3u8", "application/vnd.apple.mpegurl"),
            ("Radio", "mp3", "application/octet-stream"),
        ):
            answer = self.ask(name, extension, method="HEAD").answer("HEAD")
            self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body), (200, kind, b""))
        self.assertEqual((self.stage.origins.asked, self.stage.ends), ([], []))

    def test_no_source(self) -> None:
        """When no source works the viewer gets a sentence and the status of what was wrong."""
        self.stage.origins.script["1"] = [UpstreamError(504, "the origin does not answer")]
        self.refused(self.ask("Live"), 504, "The origin does not answer.")
        self.assertEqual(self.stage.outcomes(), ["exhausted"])
        self.stage.assert_nothing_left()

    def test_leaving_while_it_is_opened(self) -> None:
        """A viewer that leaves before there is an answer takes the opening with it."""
        opening: Deferred[Opened] = Deferred()
        self.stage.origins.script["1"] = [opening]
        client = self.ask("Live")
        client.leave()
        self.assertEqual(self.stage.outcomes(), ["viewer_left"])
        self.stage.assert_nothing_left()

    def test_stopping_while_it_is_opened(self) -> None:
        """When the daemon stops while a channel is being opened the viewer is told."""
        opening: Deferred[Opened] = Deferred()
        self.stage.origins.script["1"] = [opening, Media.TS]
        client = self.ask("Live")
        self.stage.hub.drain(5)
        opening.callback(self.stage.origins.opened())
        self.stage.loop.settle()
        self.refused(client, 503, "Iptvd is stopping.")
        self.assertEqual(self.stage.outcomes(), ["drained"])
        self.stage.loop.advance(3)
        self.stage.assert_nothing_left()

    def test_a_playlist_in_disguise(self) -> None:
        """What turns out to be a playlist is a channel of HLS from then on."""
        self.stage.origins.script["1"] = [FoundPlaylist()]
        answer = self.ask("Live", "").answer()
        self.assertEqual((answer.status, answer.body), (302, b""))
        self.assertEqual(answer.headers["Location"], "http://127.0.0.1" + self.stage.path("Live", "m3u8"))
        self.assertEqual(self.stage.outcomes(), ["completed"])
        self.assertIs(self.stage.hub.kind_of(self.stage.channel("Live")), SourceKind.HLS)

    def test_a_playlist_in_disguise_as_a_stream(self) -> None:
        """Asked for as a stream by name it is one, each time; only who asks for no form is sent to the playlist."""
        self.stage.origins.script["1"] = [FoundPlaylist(), Media.TS, FoundPlaylist(), Media.TS]
        for _ in range(2):
            client = self.ask("Live")
            self.stage.deliver(seconds(0, 1))
            self.assertEqual(client.body, SECOND)
            self.assertEqual(self.ask("Live", "").answer().status, 302)
            client.leave()
            self.stage.loop.advance(3)
        self.assertEqual(self.stage.outcomes(), ["viewer_left", "viewer_left"])
        self.stage.assert_nothing_left()

    def test_another_form(self) -> None:
        """A stream goes on, and begins, from a source of another form than the channel is listed with."""
        self.stage.sources["1"].append(("p", Source(SourceKind.HLS, url="http://origin.test/7")))
        client = self.ask("Live")
        self.stage.deliver(seconds(0, 1))
        self.stage.origins.taps[-1].finish()
        self.stage.deliver(seconds(0, 2))
        self.assertEqual((self.stage.origins.asked, len(client.body)), (["1", "7"], 3 * len(SECOND)))
        client.leave()
        self.stage.loop.advance(3)
        self.stage.origins.script["1"] = [UpstreamError(504, "the origin does not answer")]
        client = self.ask("Live")
        self.stage.deliver(seconds(0, 1))
        self.assertEqual(client.body, SECOND)

    def test_a_zap(self) -> None:
        """A player that zaps on an account of one connection waits a moment for its own old one to be free."""
        self.stage.limits["p"] = 1
        old = self.ask("Live")
        self.stage.deliver(seconds(0, 1))
        new = self.ask("HLS")
        self.assertEqual(new.read(), b"")
        old.leave()
        self.stage.loop.advance(ZAP)
        self.stage.loop.settle()
        self.stage.deliver(seconds(0, 1))
        self.assertEqual(new.body, SECOND)
        self.assertEqual((self.stage.slots.used("p"), self.stage.outcomes()), (1, ["viewer_left"]))

    def test_a_quick_zap(self) -> None:
        """Its new channel begins soon after the old connection is free, not only when the wait is over."""
        self.stage.limits["p"] = 1
        old = self.ask("Live")
        self.stage.deliver(seconds(0, 1))
        new = self.ask("HLS")
        self.stage.loop.advance(ZAP_LOOK)
        self.stage.loop.settle()
        old.leave()
        self.stage.loop.advance(ZAP_LOOK)
        self.stage.loop.settle()
        self.stage.deliver(seconds(0, 1))
        self.assertEqual(new.body, SECOND)

    def test_full(self) -> None:
        """Who is not that player is refused with a sentence, and told when to come again."""
        self.stage.limits["p"] = 1
        self.ask("Live")
        client = self.ask("HLS")
        self.stage.loop.advance(ZAP)
        self.stage.loop.settle()
        answer = self.refused(client, 503, "All 1 connections of p are in use.")
        self.assertEqual(answer.headers["Retry-After"], "5")
        self.assertEqual(self.stage.outcomes(), ["refused"])


class AloneTests(StreamTestCase):
    def test_not_shared(self) -> None:
        """Where channels are not shared each viewer has a connection of its own, and gets every byte of it."""
        self.stage.isolated = {self.stage.channel(name).id for name in ("Live", "HLS")}
        clients = [self.ask("Live"), self.ask("Live"), self.ask("HLS")]
        self.assertEqual(self.stage.origins.asked, ["1", "1", "2"])
        for number, tap in enumerate(self.stage.origins.taps):
            tap.deliver(b"%d" % number * PACKET)
        self.assertEqual([client.body for client in clients], [b"%d" % number * PACKET for number in range(3)])
        self.assertEqual({session.face for session in self.stage.hub.sessions.values()}, {Face.TS})
        self.assertEqual(self.stage.slots.used("p"), 3)
        for client in clients:
            client.leave()
        self.assertEqual(self.stage.outcomes(), ["viewer_left"] * 3)
        self.stage.assert_nothing_left()

    def test_radio(self) -> None:
        """Radio that is no MPEG-TS is played for each listener alone, under either name, as what it is."""
        self.stage.origins.script["3"] = [Media.MP3]
        for extension in ("mp3", "ts"):
            client = self.ask("Radio", extension)
            self.stage.origins.taps[-1].deliver(b"sound")
            self.assertEqual(client.body, b"sound")
            client.leave()
        self.refused(self.ask("Radio", "m3u8"), 406, "not MPEG-TS")
        self.assertEqual(self.stage.outcomes(), ["viewer_left", "completed", "viewer_left", "exhausted"])
        self.stage.assert_nothing_left()

    def test_an_end(self) -> None:
        """When the origin of an unshared channel ends it is asked anew; where that is in vain, it was a loss."""
        channel = self.stage.channel("Live")
        self.stage.isolated = {channel.id}
        (_, source) = self.stage.sources[channel.entry.key][0]
        self.stage.openings.table[source.url] = UpstreamError(502, "gone")
        client = self.ask("Live")
        self.stage.origins.taps[-1].deliver(b"x" * PACKET)
        self.stage.origins.taps[-1].finish()
        for _ in range(50):
            self.stage.loop.advance(0.1)
        self.assertEqual((client.body, client.ended), (b"x" * PACKET, True))
        self.assertEqual([url for url, _ in self.stage.openings.asked], [source.url] * len(DELAYS))
        self.assertEqual(self.stage.outcomes(), ["upstream_lost"])
        self.stage.assert_nothing_left()

    def test_a_playlist_in_disguise(self) -> None:
        """What turns out to be a playlist is followed there too, or made a stream of where that is asked for."""
        self.stage.isolated = {self.stage.channel("Live").id}
        self.stage.origins.script["1"] = [FoundPlaylist(), FoundPlaylist(), Media.TS]
        self.assertEqual(self.ask("Live", "").answer().status, 302)
        self.assertEqual(self.stage.outcomes(), ["completed"])
        client = self.ask("Live")
        self.stage.origins.taps[-1].deliver(SECOND)
        self.assertEqual(client.body, SECOND)
        client.leave()
        self.assertEqual(self.stage.outcomes(), ["completed", "viewer_left"])
        self.stage.assert_nothing_left()


class HlsTests(StreamTestCase):
    def test_passed_through(self) -> None:
        """A channel whose source is a playlist has it from there, and not from a stream of ours."""
        self.stage.openings.table["http://origin.test/2"] = UpstreamError(404, "the origin does not have it")
        self.refused(self.ask("HLS", "m3u8"), 404, "The origin does not have it.")
        self.assertEqual((self.stage.outcomes(), self.stage.origins.asked), (["exhausted"], []))

    def test_packaged(self) -> None:
        """A stream is packaged where a playlist is asked for: the answer leads to one of the viewer's own."""
        client = self.ask("Live", "m3u8")
        self.assertEqual(client.read(), b"")
        self.stage.deliver(seconds(0, 4))
        answer = client.answer()
        (session,) = self.stage.hub.sessions
        self.assertEqual(answer.headers["Content-Type"], "application/vnd.apple.mpegurl")
        self.assertIn(f"../hls/{self.stage.channel('Live').id}/{session}/index.m3u8", answer.text)

    def test_found_while_packaging(self) -> None:
        """A stream that turns out to be a playlist when it is to be packaged is passed through."""
        self.stage.origins.script["1"] = [FoundPlaylist()]
        self.stage.openings.table["http://origin.test/1"] = UpstreamError(503, "the origin is full")
        self.refused(self.ask("Live", "m3u8"), 503, "The origin is full.")
        self.assertEqual(self.stage.ends[0][1], "followed as HLS")
        self.assertEqual(self.stage.outcomes(), ["completed", "exhausted"])
        self.stage.assert_nothing_left()


class NamesTests(StreamTestCase):
    def test_other_forms(self) -> None:
        """What a channel is not to be had as is refused with what it is to be had as."""
        for name, extension, status, native in (
            ("Film", "ts", 406, "mp4"),
            ("Film", "m3u8", 406, "mp4"),
            ("Film", "mkv", 406, "mp4"),
            ("Series", "ts", 406, "m3u8"),
            ("Live", "mp4", 404, "ts"),
            ("HLS", "mp4", 404, "m3u8"),
        ):
            self.refused(self.ask(name, extension), status, f"as .{extension}; it is as .{native}.")
        self.assertEqual(self.stage.ends, [])

    def test_unknown(self) -> None:
        """What is no channel is a 404."""
        known = self.stage.path("Live")
        for path in ("/stream/1.ts", "/stream/x", "/stream/", f"{known}/", f"{known}/x", "/stream/99999999999.ts"):
            self.refused(self.stage.ask(path), 404, "There is no such channel")

    def test_unsupported(self) -> None:
        """What cannot be played says why."""
        self.refused(self.ask("Locked"), 501, "It is protected by DRM.")
