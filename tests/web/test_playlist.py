"""The lineup as players read it."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from attrs import evolve
from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.lineup import Lineup
from iptvd.model import ChannelKind, Entry, SourceKind
from iptvd.protocols.m3u import M3UEntry, M3UParser
from iptvd.web import packing, playlist
from iptvd.web.playlist import Filter
from tests.web.building import BASE, HOME, PROXY, UPSTREAM, Later, Tree, entries, lineup_of, query, understood

LIVE = Entry("1", "One", group="News", number=7, tvg_id="one.test", tvg_name="Uno", logo=f"http://{UPSTREAM}/1.png")
HLS = Entry("2", "Two", group="Spört & Spaß", source_kind=SourceKind.HLS, extension="m3u8")
RADIO = Entry("3", "Three", group="News", kind=ChannelKind.RADIO)
FILM = Entry("4", "Four", group="Films", kind=ChannelKind.VOD, source_kind=SourceKind.VOD, extension="mp4")
LOCKED = Entry("5", "Five", group="News", unsupported="it is protected by DRM")
ALL = (LIVE, HLS, RADIO, FILM, LOCKED)


def parsed(text: str) -> list[M3UEntry]:
    """The playlist as our own reader of other people's playlists has it."""
    parser = M3UParser()
    return [*parser.feed(text.encode()), *parser.close()]


def names(text: str) -> list[str]:
    return [entry.name for entry in parsed(text)]


class FormatTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree(lineup_of(*ALL))

    def ids(self) -> list[int]:
        return [channel.id for channel in self.tree.shown.lineup.channels]

    def test_the_lines(self) -> None:
        """The playlist is what players agree on: a header line, then for each channel its attributes and its URL."""
        one, two, three, four, _ = self.ids()
        self.assertEqual(
            self.tree.ask("/playlist.m3u8").text.splitlines(),
            [
                f'#EXTM3U x-tvg-url="{BASE}/epg.xml" url-tvg="{BASE}/epg.xml"',
                f'#EXTINF:-1 tvg-id="one.test" tvg-name="Uno" tvg-chno="7" tvg-logo="{BASE}/logo/{one}"'
                ' group-title="News",One',
                "#KODIPROP:mimetype=video/mp2t",
                f"{BASE}/stream/{one}.ts",
                f'#EXTINF:-1 tvg-id="{two}.iptvd" tvg-chno="1" tvg-logo="{BASE}/logo/{two}"'
                ' group-title="Spört & Spaß",Two',
                f"{BASE}/stream/{two}.m3u8",
                f'#EXTINF:-1 tvg-id="{three}.iptvd" tvg-chno="2" tvg-logo="{BASE}/logo/{three}" group-title="News"'
                ' radio="true",Three',
                f"{BASE}/stream/{three}.ts",
                f'#EXTINF:-1 tvg-id="{four}.iptvd" tvg-logo="{BASE}/logo/{four}" group-title="Films",Four',
                f"{BASE}/stream/{four}.mp4",
            ],
        )

    def test_the_type(self) -> None:
        """Both addresses have the same list under the type that players know it by, never to be used unasked."""
        first, second = self.tree.ask("/playlist.m3u8"), self.tree.ask("/playlist.m3u")
        self.assertEqual(first.body, second.body)
        for answer in (first, second):
            self.assertEqual(answer.headers["Content-Type"], "application/x-mpegurl; charset=utf-8")
            self.assertEqual(answer.headers["Cache-Control"], "no-cache")

    def test_an_empty_lineup(self) -> None:
        """With no channels there is a playlist without entries."""
        self.assertEqual(Tree(Lineup()).ask("/playlist.m3u8").text.count("\n"), 1)

    def test_names_with_everything_in_them(self) -> None:
        """Quotes, commas, line ends and other controls in a name or group break no line and no attribute."""
        odd = evolve(
            LIVE, name='A "B", C\r\n#EXTM3U\x00,=\u2028x', group='G "1"\nhttp://x', tvg_id='i"d', tvg_name='"'
        )
        (entry,) = parsed(Tree(lineup_of(odd)).ask("/playlist.m3u8").text)
        self.assertEqual(entry.name, "A 'B', C  #EXTM3U ,= x")
        self.assertEqual((entry.group, entry.attributes["tvg-id"]), ("G '1' http://x", "i'd"))

    @given(strategies.text(), strategies.text(), strategies.text())
    def test_any_text(self, name: str, group: str, tvg_id: str) -> None:
        """Whatever a provider calls its channels, a playlist has one entry for each, played from here."""
        lineup = lineup_of(evolve(LIVE, name=name, group=group, tvg_id=tvg_id), HLS)
        answer = Tree(lineup).ask("/playlist.m3u8")
        found = parsed(answer.text)
        self.assertEqual(
            [entry.url for entry in found], [f"{BASE}/stream/{one.id}.{one.extension}" for one in lineup.channels]
        )
        self.assertEqual(len(answer.text.split("\n")), 7)

    def test_letters_that_cannot_be_written(self) -> None:
        """Half a surrogate pair out of somebody's JSON does not cost anyone the list."""
        self.assertEqual(names(Tree(lineup_of(evolve(LIVE, name="a\ud800b"))).ask("/playlist.m3u8").text), ["a?b"])

    def test_nothing_of_the_upstream(self) -> None:
        """No address of a provider is in it, neither of a stream nor of a logo nor of the past."""
        past = (("catchup", "append"), ("catchup-source", f"http://{UPSTREAM}/u/p/1?utc={{utc}}"))
        tree = Tree(lineup_of(*entries(10), evolve(LIVE, catchup=past)))
        text = tree.ask("/playlist.m3u8").text
        self.assertEqual(len(parsed(text)), 11)
        self.assertNotIn(UPSTREAM, text)
        self.assertNotIn("secret", text)

    def test_the_past(self) -> None:
        """A channel whose past is kept says so, at our own address, in the form that the channel is listed in."""
        past = (("catchup", "append"), ("catchup-source", "?utc={utc}"), ("catchup-days", "5"))
        lineup = lineup_of(evolve(LIVE, catchup=past), evolve(HLS, catchup=past), evolve(FILM, catchup=past), RADIO)
        tree = Tree(lineup)
        one, two, film, radio = (entry.attributes for entry in parsed(tree.ask("/playlist.m3u8").text))
        first, second = lineup.channels[:2]
        self.assertEqual((one["catchup"], one["catchup-days"]), ("default", "5"))
        times = "?utc={utc}&utcend={utcend}&lutc={lutc}"
        self.assertEqual(one["catchup-source"], f"{BASE}/stream/{first.id}.ts{times}")
        self.assertEqual(two["catchup-source"], f"{BASE}/stream/{second.id}.m3u8{times}")
        for attributes in (film, radio):
            self.assertNotIn("catchup", attributes)
        (_, two, *_) = (entry.attributes for entry in parsed(tree.ask("/playlist.m3u8?format=ts").text))
        self.assertEqual(two["catchup-source"], f"{BASE}/stream/{second.id}.ts{times}")

    def test_what_it_turned_out_to_be(self) -> None:
        """A channel is listed in the form it is played in, once that is known."""
        (channel,) = lineup_of(LIVE).channels
        tree = Tree(lineup_of(LIVE))
        with patch.object(tree.playlist, "_kind_of", lambda channel: SourceKind.HLS):
            text = tree.ask("/playlist.m3u8").text
        self.assertIn(f"/stream/{channel.id}.m3u8\n", text)
        self.assertNotIn("KODIPROP", text)


class AddressTests(SynchronousTestCase):
    def urls(self, tree: Tree, *headers: tuple[str, str], peer: str = HOME) -> set[str]:
        """What the links in the list begin with."""
        answer = tree.ask("/playlist.m3u8", *headers, peer=peer)
        found = parsed(answer.text)
        starts = {entry.url.partition("/stream/")[0] for entry in found}
        return starts | {entry.logo.partition("/logo/")[0] for entry in found}

    def test_by_the_address_asked_for(self) -> None:
        """Links begin with what the player asked for, so that they work from where it stands."""
        tree = Tree()
        for host in ("192.168.1.10:8085", "localhost:8085", "[fd00::1]:8085", "box.local"):
            self.assertEqual(self.urls(tree, ("Host", host)), {f"http://{host}"})
        told = (("X-Forwarded-Proto", "https"), ("X-Forwarded-Prefix", "/tv"), ("X-Forwarded-For", HOME))
        self.assertEqual(self.urls(tree, ("Host", "tv.example.com"), *told, peer=PROXY), {"https://tv.example.com/tv"})

    def test_each_address_has_its_own_tag(self) -> None:
        """The list for one address is not taken for that for another."""
        tree = Tree()
        tags = {tree.ask("/playlist.m3u8", ("Host", host)).headers["ETag"] for host in ("localhost", "box.local")}
        self.assertEqual(len(tags), 2)

    def test_where_the_film_is(self) -> None:
        """The URLs end in the extension of what they are, which some players insist on."""
        found = parsed(Tree(lineup_of(*ALL)).ask("/playlist.m3u8").text)
        ends = {urlsplit(entry.url).path.rpartition(".")[2] for entry in found}
        self.assertEqual(ends, {"ts", "m3u8", "mp4"})


class FilterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree(lineup_of(*ALL, other=[evolve(LIVE, name="Eins", group="Andere")]))

    def found(self, **arguments: str) -> list[str]:
        return names(self.tree.ask("/playlist.m3u8" + query(**arguments)).text)

    def test_filters(self) -> None:
        """The list can be of one group, provider or type, and of several of them at once; a form leaves none out."""
        for arguments, expected in (
            ({}, ["One", "Two", "Three", "Four", "Eins"]),
            ({"group": "News"}, ["One", "Three"]),
            ({"group": "Spört & Spaß"}, ["Two"]),
            ({"provider": "other"}, ["Eins"]),
            ({"provider": "home"}, ["One", "Two", "Three", "Four"]),
            ({"type": "live"}, ["One", "Two", "Eins"]),
            ({"type": "radio"}, ["Three"]),
            ({"type": "vod"}, ["Four"]),
            ({"format": "hls"}, ["One", "Two", "Three", "Four", "Eins"]),
            ({"format": "ts"}, ["One", "Two", "Three", "Four", "Eins"]),
            ({"group": "News", "type": "live", "format": "ts", "provider": "home"}, ["One"]),
            ({"group": "", "type": "", "format": "", "provider": ""}, ["One", "Two", "Three", "Four", "Eins"]),
            ({"what": "ever"}, ["One", "Two", "Three", "Four", "Eins"]),
        ):
            self.assertEqual(self.found(**arguments), expected, arguments)

    def test_forms(self) -> None:
        """In a form that is asked for every live channel is listed; films and radio in other formats as they are."""
        bare = evolve(RADIO, key="6", name="Six", extension="mp3")
        self.tree = Tree(lineup_of(*ALL, bare))
        for form, ends in (
            ("", ["ts", "m3u8", "ts", "mp4", "mp3"]),
            ("ts", ["ts", "ts", "ts", "mp4", "mp3"]),
            ("hls", ["m3u8", "m3u8", "m3u8", "mp4", "mp3"]),
        ):
            text = self.tree.ask("/playlist.m3u8" + query(format=form)).text
            self.assertEqual([urlsplit(entry.url).path.rpartition(".")[2] for entry in parsed(text)], ends, form)
            # Kodi is told of what comes as MPEG-TS, whatever it is made from.
            live = [end for end, entry in zip(ends, ALL[:2], strict=False) if entry.kind is ChannelKind.LIVE]
            self.assertEqual(text.count("KODIPROP:mimetype=video/mp2t"), live.count("ts"), form)

    def test_the_guide(self) -> None:
        """The list names the guide of the channels that it has, under both names that players look for."""
        first = self.tree.ask("/playlist.m3u8" + query(group="Spört & Spaß")).text.splitlines()[0]
        guide = f"{BASE}/epg.xml?group=Sp%C3%B6rt+%26+Spa%C3%9F"
        self.assertEqual(first, f'#EXTM3U x-tvg-url="{guide}" url-tvg="{guide}"')

    def test_nothing_passes(self) -> None:
        """A group or provider that there is not has an empty list: it may be there again tomorrow."""
        for arguments in ({"group": "no"}, {"provider": "no"}, {"group": "news"}, {"group": "New"}):
            self.assertEqual(self.found(**arguments), [])

    def test_bad_values(self) -> None:
        """A type or form that there is not is refused with a sentence that has those there are."""
        for arguments, sentence in (
            ({"type": "film"}, "Type is one of live, radio and vod.\n"),
            ({"type": "LIVE"}, "Type is one of live, radio and vod.\n"),
            ({"format": "mp4"}, "Format is one of ts and hls.\n"),
        ):
            answer = self.tree.ask("/playlist.m3u8" + query(**arguments))
            self.assertEqual((answer.status, answer.text), (400, sentence))

    def test_bytes_that_are_no_text(self) -> None:
        """A group in some other encoding is a group that there is not."""
        self.assertEqual(self.tree.ask("/playlist.m3u8?group=Sp%F6rt").text.count("\n"), 1)

    def test_merged_channels(self) -> None:
        """A channel that several providers have is in the list of each of them."""
        (channel,) = lineup_of(LIVE).channels
        merged = evolve(channel, entries=(("home", LIVE), ("other", LIVE)))
        for provider, found in (("home", 1), ("other", 1), ("third", 0)):
            among = Filter(provider=provider).among([merged])
            self.assertEqual(len(list(among)), found)


class CacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.work = Later()
        self.tree = Tree(lineup_of(*entries(20)), sliced=self.work)

    def ask(self, path: str = "/playlist.m3u8", *headers: tuple[str, str], method: str = "GET") -> Any:
        """The answer, and how much work it took."""
        before = self.work.begun
        connection = self.tree.begin(path, headers, method=method)
        self.work.finish()
        return understood(connection.received(), method), self.work.begun - before

    def test_rendered_once(self) -> None:
        """A list is rendered for the first who asks for it by an address, and again when it has changed."""
        first, work = self.ask()
        self.assertEqual(work, 1)
        again, work = self.ask()
        self.assertEqual((again.body, work), (first.body, 0))
        for asked in (("/playlist.m3u8?type=live",), ("/playlist.m3u8", ("Host", "localhost"))):
            self.assertEqual([self.ask(*asked)[1] for _ in range(2)], [1, 0])
        self.tree.shown.lineup = lineup_of(*entries(21))
        changed, work = self.ask()
        self.assertEqual((len(parsed(changed.text)), work), (21, 1))
        self.assertNotEqual(changed.headers["ETag"], first.headers["ETag"])

    def test_many_ask_at_once(self) -> None:
        """When many players ask at the same moment, it is rendered once for all of them; who leaves is no matter."""
        connections = [self.tree.begin("/playlist.m3u8") for _ in range(5)]
        self.assertEqual(self.work.begun, 1)
        connections.pop(0).leave()
        self.work.finish()
        self.assertEqual({len(parsed(understood(one.received()).text)) for one in connections}, {20})

    def test_not_modified(self) -> None:
        """A player that has the list gets 304, with or without compression, and nothing is compressed for it."""
        tag = self.ask()[0].headers["ETag"]
        for headers in ((), (("Accept-Encoding", "gzip"),)):
            answer, work = self.ask("/playlist.m3u8", ("If-None-Match", tag), *headers)
            self.assertEqual((answer.status, answer.body, work), (304, b"", 0))
        self.tree.shown.lineup = lineup_of(*entries(21))
        self.assertEqual(self.ask("/playlist.m3u8", ("If-None-Match", tag))[0].status, 200)

    def test_compressed_once(self) -> None:
        """A list is compressed when somebody takes it so, once."""
        plain, _ = self.ask()
        for work in (1, 0):
            packed, done = self.ask("/playlist.m3u8", ("Accept-Encoding", "gzip"))
            self.assertEqual((packed.plain, done), (plain.text, work))
            self.assertLess(len(packed.body), len(plain.body) / 3)
        refused, _ = self.ask("/playlist.m3u8", ("Accept-Encoding", "gzip;q=0"))
        self.assertEqual(refused.body, plain.body)

    def test_head(self) -> None:
        """HEAD tells the length and the tag of either form."""
        for headers in ((), (("Accept-Encoding", "gzip"),)):
            get, head = self.ask("/playlist.m3u8", *headers)[0], self.ask("/playlist.m3u8", *headers, method="HEAD")[0]
            self.assertEqual(head.body, b"")
            for name in ("Content-Length", "ETag", "Content-Encoding"):
                self.assertEqual(head.headers[name], get.headers[name])

    def test_in_short_steps(self) -> None:
        """However a filter falls on the lineup, it is rendered and compressed in steps that are short."""
        first, *rest = entries(1001)
        odd = [evolve(entry, unsupported="" if number % 100 else "no") for number, entry in enumerate([first, *rest])]
        self.tree.shown.lineup = lineup_of(*odd)
        for path in ("/playlist.m3u8", "/playlist.m3u8?group=Group%200", "/playlist.m3u8?group=no"):
            self.tree.begin(path)
            steps, done = self.work.waiting.pop()
            self.assertEqual(len(list(steps)), 11)
            done.callback(None)
        with patch.object(packing, "AT_ONCE", 1000):
            connection = self.tree.begin("/playlist.m3u8", [("Accept-Encoding", "gzip")])
            steps, done = self.work.waiting.pop()
            self.assertGreater(len(list(steps)), 100)
            done.callback(None)
        self.assertEqual(len(parsed(understood(connection.received()).plain)), 990)

    def test_bounded_in_number(self) -> None:
        """Lists that nobody asked for lately are forgotten, so that odd filters do not fill the memory."""
        with patch.object(playlist, "CACHE_ENTRIES", 3):
            for number in range(10):
                self.ask(f"/playlist.m3u8?group=Group%20{number}")
            for number, work in ((9, 0), (8, 0), (7, 0), (6, 1), (8, 0), (9, 1), (7, 1)):
                self.assertEqual(self.ask(f"/playlist.m3u8?group=Group%20{number}")[1], work, number)

    def test_bounded_in_bytes(self) -> None:
        """All lists together have a bound in bytes, compressed ones included; the last one is kept anyway."""
        size = len(self.ask()[0].body)
        with patch.object(playlist, "CACHE_BYTES", size * 2):
            hosts = ("localhost", "a.local", "b.local")
            for host in hosts:
                self.ask("/playlist.m3u8", ("Host", host))
            works = [self.ask("/playlist.m3u8", ("Host", host))[1] for host in reversed(hosts)]
            self.assertEqual(works[0], 0)
            self.assertEqual(works[-1], 1)
        both = sum(len(self.ask("/playlist.m3u8", ("Host", host))[0].body) for host in hosts[:2])
        with patch.object(playlist, "CACHE_BYTES", both):
            self.assertEqual([self.ask("/playlist.m3u8", ("Host", host))[1] for host in hosts[:2]], [0, 0])
            self.ask("/playlist.m3u8", ("Host", "a.local"), ("Accept-Encoding", "gzip"))
            self.assertEqual([self.ask("/playlist.m3u8", ("Host", host))[1] for host in hosts[:2]], [1, 1])
        with patch.object(playlist, "CACHE_BYTES", 10):
            self.assertEqual([self.ask("/playlist.m3u8", ("Host", "c.local"))[1] for _ in range(2)], [1, 0])

    def test_a_lineup_that_changes_meanwhile(self) -> None:
        """What is being rendered while the lineup changes is the former list for who asked, and for nobody else."""
        connection = self.tree.begin("/playlist.m3u8")
        self.tree.shown.lineup = lineup_of(*entries(21))
        self.work.finish()
        self.assertEqual(len(parsed(understood(connection.received()).text)), 20)
        answer, work = self.ask()
        self.assertEqual((len(parsed(answer.text)), work), (21, 1))

    def test_channels_are_not_held(self) -> None:
        """Of former lineups no rendering stays behind."""
        self.ask()
        self.tree.shown.lineup = lineup_of(*entries(21))
        self.ask()
        self.tree.shown.lineup = lineup_of(*entries(20))
        self.assertEqual(self.ask()[1], 1)


class PathTests(SynchronousTestCase):
    def test_paths(self) -> None:
        """A channel's path ends in its extension, or in that of a playlist when that is what it is."""
        live, film = lineup_of(LIVE, FILM).channels
        for channel, kind, form, end in (
            (live, SourceKind.TS, None, "ts"),
            (live, SourceKind.HLS, None, "m3u8"),
            (live, SourceKind.TS, SourceKind.HLS, "m3u8"),
            (live, SourceKind.HLS, SourceKind.TS, "ts"),
            (film, SourceKind.VOD, None, "mp4"),
            (film, SourceKind.VOD, SourceKind.TS, "mp4"),
            (film, SourceKind.HLS, SourceKind.TS, "m3u8"),
        ):
            self.assertEqual(playlist.path_of(channel, kind, form), f"/stream/{channel.id}.{end}")
