"""Playing a stream by the id that it has as one that is kept."""

from __future__ import annotations

from urllib.parse import urljoin

from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from iptvd.model import Entry
from iptvd.stream_records import id_of
from tests.doubles import join
from tests.protocols.tsmaking import made_film
from tests.web.loop import Client
from tests.web.managing import Managing

URL = "http://origin.test/a"
FILM = made_film(seconds=6)
PIECES = [FILM[at : at + 188 * 300] for at in range(0, len(FILM), 188 * 300)]
TOKEN = "t0p/s3cret+"


class NamedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self, Entry("1", "Listed"))
        self.name = id_of(URL)
        self.stage.call("POST", "/streams", {"url": URL})

    def playlist(self, path: str) -> Client:
        """Who asks for HLS, of what delivers."""
        client = self.stage.ask(path)
        self.stage.deliver(PIECES)
        return client

    def test_as_a_stream(self) -> None:
        """It plays by its id, with an ending and without one, and by its number in the lineup."""
        number = self.stage.channel(f"Stream {self.name[:8]}").id
        clients = [self.stage.ask(f"/stream/{name}") for name in (self.name, f"{self.name}.ts", f"{number}.ts")]
        self.stage.deliver(PIECES)
        for client in clients:
            self.assertEqual(client.body, FILM)
        self.assertEqual(self.stage.origins.asked, ["a"])

    def test_as_hls(self) -> None:
        """Its HLS is where m3u-proxy has it, and what that names is found from there."""
        client = self.playlist(f"/hls/{self.name}/playlist.m3u8")
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/vnd.apple.mpegurl"))
        variant = urljoin(f"/hls/{self.name}/playlist.m3u8", answer.plain.splitlines()[-1])
        self.assertTrue(variant.startswith("/hls/"), variant)
        self.assertIn("#EXTINF", self.stage.ask(variant).answer().plain)

    def test_what_is_not_there(self) -> None:
        """An id that no stream has, or that is none, is not there."""
        for path in (f"/stream/{'0' * 32}", f"/stream/{self.name[:31]}", f"/stream/{self.name.upper()}"):
            self.assertEqual(self.stage.ask(path).answer().status, 404, path)
        for path in (f"/hls/{'0' * 32}/playlist.m3u8", f"/hls/{self.name}/other.m3u8", "/hls/x/playlist.m3u8"):
            self.assertEqual(self.stage.ask(path).answer().status, 404, path)

    def test_whose_it_is(self) -> None:
        """With users its HLS is sent on to an address that says whose it is, also for who manages."""
        join(self.stage.admission, User("bob", "bobs-token"))
        self.stage.trust(api_token=TOKEN)
        path = f"/hls/{self.name}/playlist.m3u8"
        self.assertEqual(self.stage.ask(path).answer().status, 401)
        number = self.stage.channel(f"Stream {self.name[:8]}").id
        for query, mark in (("?token=bobs-token", "~bobs-token"), ("?api_token=t0p/s3cret%2B", "~t0p%2Fs3cret%2B")):
            answer = self.stage.ask(path + query).answer()
            self.assertEqual(answer.status, 302)
            self.assertEqual(answer.headers["Location"], f"http://127.0.0.1/{mark}/stream/{number}.m3u8")
            self.assertEqual(self.playlist(f"/{mark}{path}").answer().status, 200)
        # What says it in a header goes on saying it.
        client = self.stage.ask(path, ("X-API-Token", TOKEN))
        self.stage.deliver(PIECES)
        self.assertEqual(client.answer().status, 200)
