"""The addresses at which Xtream clients play."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.session import Face
from iptvd.model import Source, SourceKind
from iptvd.own_channels import KIND
from iptvd.web.request import Refusal
from iptvd.web.xtream_media import Asked, file_asked, past_asked
from tests.doubles import result
from tests.protocols.test_upstream import Tap
from tests.protocols.tsmaking import made_film
from tests.web.loop import Client
from tests.web.xtream_case import ENTRIES, FILM, NOW, TOKEN, XtreamTestCase

SECOND = made_film(seconds=1)
HLS = 'Two "HD" é'
HOUR = 3600
#: An hour before `NOW`, as clients write it.
BEFORE = "2030-03-17:16-46"


class AskedTests(SynchronousTestCase):
    def past(self, start: str, minutes: str = "60") -> tuple[int, int] | None:
        return past_asked(Asked("1"), start, minutes).past

    def test_times(self) -> None:
        """A time is understood in each way that clients write it, in UTC."""
        for text in ("2030-03-17:16-46", "2030-03-17:16-46-40", "2030-03-17 16:46", "2030-03-17_16-46", "1900000000"):
            past = self.past(text)
            self.assertIsNotNone(past)
            assert past is not None
            self.assertEqual(past[1], 3600)
        self.assertEqual(self.past("2030-03-17:16-46"), (NOW - HOUR - 40, 3600))
        self.assertEqual(self.past("2030-03-17:16-46-40"), (NOW - HOUR, 3600))
        self.assertEqual(self.past(str(NOW), "0"), (NOW, 0))

    def test_no_times(self) -> None:
        """What is no time is a sentence."""
        for start in (
            "",
            "yesterday",
            "2030-13-17:16-46",
            "2030-02-30:16-46",
            "2030-03-17:25-00",
            "17:16-46",
            "٢" * 10,
        ):
            self.assertEqual(self.assertRaises(Refusal, self.past, start).status, 400)
        for minutes in ("", "x", "-1", "1234567", "1.5"):
            self.assertEqual(self.assertRaises(Refusal, self.past, BEFORE, minutes).status, 400)

    @given(st.text(max_size=40), st.text(max_size=8))
    def test_any_times(self, start: str, minutes: str) -> None:
        """Whatever is asked for is either understood or refused."""
        try:
            past = self.past(start, minutes)
        except Refusal as refusal:
            self.assertEqual(refusal.status, 400)
        else:
            self.assertIsNotNone(past)

    def test_files(self) -> None:
        """The last part of an address is an id, with an ending or without."""
        self.assertEqual(file_asked("12.TS"), Asked("12", "ts"))
        self.assertEqual(file_asked("12"), Asked("12"))
        for text in ("", "x", "12.", "12.ts.m3u8", ".ts", "-1", "1" * 11):
            self.assertEqual(self.assertRaises(Refusal, file_asked, text).status, 404)


class MediaTestCase(XtreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        for entry in ENTRIES:
            url = f"http://origin.test/{entry.key}"
            self.stage.sources[entry.key] = [("p", Source(entry.source_kind, url=url))]
        self.taps: list[Tap] = []

    def opened(self, key: str, *headers: tuple[str, str]) -> None:
        """What is opened for one viewer alone has a body with these headers."""

        def opened(ask: Ask) -> Opened:
            self.taps.append(Tap())
            return Opened(self.taps[-1] if ask.method == "GET" else None, 200, headers)

        self.stage.openings.table[f"http://origin.test/{key}"] = opened

    def path(self, name: str, ending: str = "", folder: str = "/live", login: str = f"alice/{TOKEN}") -> str:
        return f"{folder}/{login}/{self.id_of(name)}{ending}"

    def plays(self, path: str, method: str = "GET") -> Client:
        """Who asks for this is shown a channel that is on."""
        client = self.stage.ask(path, method=method)
        self.stage.deliver([SECOND])
        self.assertEqual(client.body, SECOND, client.read()[:500])
        return client

    def led(self, path: str, base: str = f"http://127.0.0.1/~{TOKEN}") -> str:
        """Where who asks for this is sent on to."""
        answer = self.get(path)
        self.assertEqual((answer.status, answer.body), (302, b""))
        where = answer.headers["Location"]
        self.assertTrue(where.startswith(f"{base}/"), where)
        return where.removeprefix(base)


class PlayTests(MediaTestCase):
    def test_live(self) -> None:
        """A live channel plays at its long address and its short one, with an ending and without, for its user."""
        self.keep()
        for folder in ("/live", ""):
            for ending in (".ts", ""):
                for name in ("One", HLS):
                    client = self.plays(self.path(name, ending, folder))
                    (session,) = self.stage.hub.sessions.values()
                    self.assertEqual((session.viewer.user, session.face), ("alice", Face.TS))
                    client.leave()
                    self.stage.loop.advance(3)
        self.stage.assert_nothing_left()

    def test_playlist(self) -> None:
        """A playlist is led to where its relative addresses carry the token, whatever the channel is made of."""
        self.keep()
        for name in ("One", HLS):
            for path in (
                self.path(name, ".m3u8"),
                self.path(name, ".M3U"),
                self.path(name, ".m3u8", ""),
                f"/~{TOKEN}{self.path(name, '.m3u8')}",
                f"/live/stream_{self.id_of(name)}.m3u8?token={TOKEN}",
            ):
                self.assertEqual(self.led(path), self.stage.path(name, "m3u8"))
        self.assertEqual(self.get(self.path("One", ".m3u8"), method="HEAD").status, 302)
        self.assertEqual((self.stage.ends, self.stage.origins.asked), ([], []))

    def test_nobody(self) -> None:
        """Without users any name and password play for whoever may watch, and for nobody else."""
        self.plays(self.path("One", ".ts", login="tv/tv")).leave()
        self.assertEqual(self.led(self.path("One", ".m3u8", login="a/b"), "http://127.0.0.1"),
                         self.stage.path("One", "m3u8"))  # fmt: skip
        self.stage.trust(trusted_networks=())
        self.assertEqual(self.get(self.path("One", ".ts")).status, 403)

    def test_head(self) -> None:
        """To tell its type nothing is opened."""
        self.keep()
        answer = self.get(self.path("One", ".ts"), method="HEAD")
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body), (200, "video/mp2t", b""))
        self.assertEqual(self.stage.origins.asked, [])

    def test_film(self) -> None:
        """A film and an episode play as they are, by whatever ending the client calls them, and any part of them."""
        self.keep()
        for folder, entry in (("/movie", FILM), ("/series", ENTRIES[-4]), ("", FILM)):
            for ending in (f".{entry.extension}", ".avi", ""):
                self.opened(entry.key, ("Content-Length", "4"), ("Content-Type", "video/mp4"))
                path = self.path(entry.name, ending, folder)
                client = self.stage.ask(path, ("Range", "bytes=0-3"))
                self.taps[-1].deliver(b"film")
                self.taps[-1].finish()
                self.assertEqual(client.answer().body, b"film")
                self.assertIn(("Range", "bytes=0-3"), self.stage.openings.asked[-1][1].headers)
                self.opened(entry.key, ("Content-Length", "4"))
                self.assertEqual(self.get(path, method="HEAD").headers["Content-Length"], "4")
        self.assertEqual(set(self.stage.outcomes()), {"completed"})

    def test_radio(self) -> None:
        """Radio plays as the stream that clients ask for."""
        self.keep()
        client = self.stage.ask(self.path("Radio", ".ts"))
        self.assertEqual(self.stage.origins.asked, ["3"])
        client.leave()

    def test_of_panel(self) -> None:
        """What a panel knows by a name of its own plays under that name, else under ours."""
        self.keep()
        sky = {"channel_id": "sky 1", "name": "Sky", "source_url": "http://origin.test/sky.m3u8"}
        result(self.stage.admission.records.put(KIND, "sky 1", sky))
        path = f"/live/stream_{quote('sky 1')}.m3u8?token={TOKEN}"
        self.assertEqual(self.led(path), self.stage.path("Sky", "m3u8"))
        self.assertEqual(self.get(path.replace("sky", "moon")).status, 404)
        self.assertEqual(self.get(path.partition("?")[0]).status, 401)
        self.plays(f"/live/stream_{self.id_of('One')}.ts?token={TOKEN}").leave()


class RefusedTests(MediaTestCase):
    def test_wrong(self) -> None:
        """A wrong name, a wrong token, and an account that is over are refused before anything is opened."""
        self.keep()
        self.keep("bob", "bob-token")
        self.keep("carol", "carol-token", expires=NOW - 1.0)
        for login in ("alice/x", f"bob/{TOKEN}", f"{TOKEN}/alice", "carol/carol-token", "alice/" + "x" * 3000, "/"):
            for folder in ("/live", "/movie", ""):
                for ending in (".ts", ".m3u8", ""):
                    answer = self.get(self.path("One", ending, folder, login))
                    self.assertIn(answer.status, (403, 404) if login == "/" and not folder else (403,), login)
        self.assertEqual((self.stage.origins.asked, self.stage.ends), ([], []))

    def test_path_counts(self) -> None:
        """Who it is from says the path, whatever else a request shows."""
        self.keep()
        self.keep("bob", "bob-token")
        self.assertEqual(self.get(self.path("One", ".ts", login="bob/x") + f"?token={TOKEN}").status, 403)
        where = self.led(f"/~{TOKEN}{self.path('One', '.m3u8', login='bob/bob-token')}", "http://127.0.0.1/~bob-token")
        self.assertEqual(where, self.stage.path("One", "m3u8"))

    def test_groups(self) -> None:
        """A channel that is in none of a user's groups does not play for them in any way."""
        self.keep(groups=("Sport",))
        for path in (
            self.path("One", ".ts"),
            self.path("One", ".m3u8"),
            self.path("One", "", ""),
            self.path(FILM.name, ".mkv", "/movie"),
            self.path("One", ".ts", f"/timeshift/alice/{TOKEN}/60", BEFORE),
        ):
            self.assertEqual(self.get(path).status, 403, path)
            self.assertEqual(self.get(path, method="HEAD").status, 403, path)
        self.plays(self.path(HLS, ".ts")).leave()

    def test_nothing_there(self) -> None:
        """An address of another form, and a channel that there is not, are not there."""
        self.keep()
        for path in (
            f"/live/alice/{TOKEN}/1.ts",
            f"/live/alice/{TOKEN}/x.ts",
            f"/live/alice/{TOKEN}",
            f"/live/alice/{TOKEN}/{self.id_of('One')}/more.ts",
            "/live/",
            "/live",
            "/live/stream_",
            f"/timeshift/alice/{TOKEN}/1.ts",
            f"/alice/{TOKEN}",
            f"/alice/{TOKEN}/x",
            f"/alice/{TOKEN}/1/2",
            "/streams/alice/1",
            "/streaming/",
            f"/streaming/timeshift.php/more?username=alice&password={TOKEN}",
        ):
            self.assertEqual(self.get(path).status, 404, path)
        self.assertEqual(self.get(self.path("Locked", ".ts")).status, 501)
        for method in ("DELETE", "POST"):
            self.assertEqual(self.get(self.path("One", ".ts"), method=method).status, 405)
        self.assertEqual(self.get(self.path("One", ".ts"), method="OPTIONS").status, 204)

    def test_marked_names(self) -> None:
        """A name with a slash or a question mark in it is one part of the path, as clients encode it."""
        self.keep("a/b?c", "d+e f")
        self.plays(self.path("One", ".ts", login=f"{quote('a/b?c', safe='')}/{quote('d+e f', safe='')}")).leave()


class PastTests(MediaTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.keep()
        self.opened("1", ("Content-Length", "4"))

    def shift(self, ending: str = ".ts", start: str = BEFORE, minutes: str = "60", name: str = "One") -> str:
        return f"/timeshift/alice/{TOKEN}/{minutes}/{quote(start, safe='')}/{self.id_of(name)}{ending}"

    def script(self, stream: str, start: str = BEFORE, **more: str) -> str:
        asked = f"username=alice&password={TOKEN}&stream={stream}&start={quote(start)}&duration=60"
        return f"/streaming/timeshift.php?{asked}" + "".join(f"&{name}={value}" for name, value in more.items())

    def test_plays(self) -> None:
        """What was shown plays at both addresses, from the minute that is asked for and for so many minutes."""
        self.stage.sources["1"] = [("p", Source(SourceKind.VOD, url="http://origin.test/1"))]
        for path in (self.shift(), self.shift(""), self.script(str(self.id_of("One")))):
            client = self.stage.ask(path)
            (session,) = self.stage.hub.sessions.values()
            recording = session.channel
            self.assertEqual((getattr(recording, "start", 0), getattr(recording, "duration", 0)),
                             (NOW - HOUR - 40, 3600))  # fmt: skip
            self.taps[-1].deliver(b"past")
            self.taps[-1].finish()
            self.assertEqual(client.answer().body, b"past")

    def test_playlist(self) -> None:
        """As HLS it is led to where it is played so."""
        expected = self.stage.path("One", "m3u8") + f"?utc={NOW - HOUR - 40}&duration=3600"
        number = str(self.id_of("One"))
        for path in (self.shift(".m3u8"), self.script(f"{number}.m3u8"), self.script(number, extension="m3u8")):
            self.assertEqual(self.led(path), expected)

    def test_posted(self) -> None:
        """The script can be asked by a form, as all scripts of a panel."""
        number = str(self.id_of("One"))
        answer = self.post(
            "/streaming/timeshift.php", username="alice", password=TOKEN, stream=f"{number}.m3u8", start=BEFORE,
            duration="60",
        )  # fmt: skip
        self.assertEqual(answer.status, 302)

    def test_until_now(self) -> None:
        """Without a length it goes on until now."""
        expected = self.stage.path("One", "m3u8") + f"?utc={NOW - HOUR - 40}&duration={HOUR + 40}"
        self.assertEqual(self.led(self.shift(".m3u8", minutes="0")), expected)

    def test_refused(self) -> None:
        """What was too long ago, is to come, is not kept or is no time is refused with a sentence."""
        for path, status in (
            (self.shift(start="2030-03-01:00-00"), 404),
            (self.shift(start="2031-03-01:00-00"), 404),
            (self.shift(name="Radio"), 404),
            (self.shift(start="yesterday"), 400),
            (self.shift(minutes="an hour"), 400),
            (self.script("x"), 404),
            (self.script(str(self.id_of("One")), ""), 400),
            (self.script(str(self.id_of("One"))).replace(TOKEN, "x"), 403),
            (self.shift().replace(TOKEN, "x"), 403),
        ):
            for ending in ("", ".m3u8"):
                self.assertEqual(self.get(path.replace(".ts", ending or ".ts")).status, status, path)
        self.assertEqual(self.stage.ends, [])
