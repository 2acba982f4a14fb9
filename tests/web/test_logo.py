"""Logos: fetched once, kept within bounds, drawn where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

from attrs import evolve
from hypothesis import example, given, strategies
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from iptvd.interfaces import IFetcher
from iptvd.model import Entry
from iptvd.web import logo
from iptvd.web.logo import FETCHES, MAX_LOGO, RETRY, LogoCache, LogoResource, drawn, picture_type
from tests.doubles import folder_for, offload
from tests.web.building import HOME, UPSTREAM, Answer, Tree, entries, lineup_of, understood
from tests.web.logos import PNG, Slow

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
_SVG = "{http://www.w3.org/2000/svg}"


class TypeTests(SynchronousTestCase):
    def test_by_content(self) -> None:
        """What a picture is, its first bytes say."""
        for data, kind in (
            (PNG, "image/png"),
            (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\n\n\n\nWEBPVP8 ", "image/webp"),
            (b"\x00\x00\x00\x20ftypavif", "image/avif"),
            (b"\x00\x00\x01\x00\x01", "image/x-icon"),
            (SVG, ""),
            (b"<!DOCTYPE html>", ""),
            (b" " + PNG, ""),
            (b"", ""),
        ):
            self.assertEqual(picture_type(data), kind)


class DrawnTests(SynchronousTestCase):
    @given(strategies.text())
    @example("\x00\x01<&>\"']]>")
    @example("\ufffe\uffff\ud800")
    @example("\x0b\x1f\x7f\x85")
    def test_any_name(self, name: str) -> None:
        """The drawn picture is a picture whatever the name is: well-formed, with one letter in it and nothing else."""
        picture = ElementTree.fromstring(drawn(name))
        self.assertEqual([part.tag for part in picture], [f"{_SVG}rect", f"{_SVG}text"])
        self.assertEqual(len(picture[1].text or ""), 1)

    def test_the_initial(self) -> None:
        """It shows the first letter or digit of the name, and a question mark when there is none."""
        for name, letter in (("one", "O"), ("  (zwei)", "Z"), ("3sat", "3"), ("日本", "日"), ("***", "?"), ("", "?")):
            self.assertEqual(ElementTree.fromstring(drawn(name))[1].text, letter)

    def test_the_colour(self) -> None:
        """A name always has the same colour, and different names are not all of one colour."""
        self.assertEqual(drawn("One"), drawn("One"))
        colours = {ElementTree.fromstring(drawn(f"Channel {number}"))[0].get("fill") for number in range(50)}
        self.assertGreater(len(colours), 10)


class LogoTests(SynchronousTestCase):
    """``/logo/<id>``."""

    def setUp(self) -> None:
        self.folder = folder_for(self) / "logos"
        self.fetcher = Slow()
        self.tree = self.started()

    def started(self) -> Tree:
        bare = Entry("bare", "Nackt")
        return Tree(lineup_of(*entries(3), bare), fetcher=self.fetcher, logos=self.folder)

    def path(self, index: int = 0) -> str:
        return f"/logo/{self.tree.shown.lineup.channels[index].id}"

    def fetched(self, body: bytes = PNG, status: int = 200) -> Answer:
        connection = self.tree.begin(self.path())
        self.fetcher.answer(body, status)
        return understood(connection.received())

    def assert_drawn(self, answer: Answer) -> None:
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "image/svg+xml"))
        self.assertEqual(answer.headers["Cache-Control"], "public, max-age=600")
        ElementTree.fromstring(answer.body)

    def test_a_picture(self) -> None:
        """A logo is what its provider has, under the type that it really is, and may be kept for a day."""
        answer = self.fetched()
        self.assertEqual((answer.status, answer.body), (200, PNG))
        self.assertEqual(answer.headers["Content-Type"], "image/png")
        self.assertEqual(answer.headers["Cache-Control"], "public, max-age=86400")
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(answer.headers["Content-Security-Policy"], "default-src 'none'; sandbox")
        self.assertEqual([url for url, _ in self.fetcher.fetches], [f"http://{UPSTREAM}/1.png"])

    def test_by_whose_way(self) -> None:
        """A logo is fetched by the way of the provider that names it, whichever of a channel's comes first."""
        asked: list[str] = []

        def fetcher(provider: str) -> IFetcher:
            asked.append(provider)
            return self.fetcher

        channel = self.tree.shown.lineup.channels[0]
        (_, entry), logo = channel.entries[0], "http://example.com/other.png"
        theirs = evolve(entry, logo=logo)
        cache = LogoCache(self.folder, fetcher, offload, lambda: 0.0, 1000)
        for number, (listed, provider) in enumerate(
            (
                ((("home", entry), ("away", theirs)), "away"),
                ((("home", theirs), ("away", theirs)), "home"),
                ((("home", entry), ("away", entry)), "home"),
            )
        ):
            shown = evolve(
                channel,
                logo=f"{logo}{number}",
                entries=tuple((name, evolve(each, logo=f"{each.logo}{number}")) for name, each in listed),
            )
            resource = LogoResource(shown, cache)
            request: Any = DummyRequest([b""])
            answer = Deferred.fromCoroutine(resource.answer(request))
            self.fetcher.answer()
            self.successResultOf(answer)
            self.assertEqual(asked.pop(), provider)

    def test_kept(self) -> None:
        """A logo is fetched once, also over a restart."""
        self.fetched()
        self.assertEqual(self.tree.ask(self.path()).body, PNG)
        self.tree = self.started()
        self.assertEqual(self.tree.ask(self.path()).body, PNG)
        self.assertEqual(len(self.fetcher.fetches), 1)

    def test_ours_alone(self) -> None:
        """The kept files are for nobody else on the machine, and their names say nothing of where they are from."""
        self.fetched()
        (file,) = self.folder.iterdir()
        self.assertEqual((file.stat().st_mode & 0o777, self.folder.stat().st_mode & 0o777), (0o600, 0o700))
        self.assertRegex(file.name, "^[0-9a-f]{32}$")

    def test_none_is_drawn(self) -> None:
        """A channel without a logo has a drawn one, and nobody is asked for it."""
        self.assert_drawn(self.tree.ask(self.path(3)))
        self.assertEqual(self.fetcher.fetches, [])

    def test_what_is_not_shown(self) -> None:
        """What is no picture, or could run scripts, or comes with an error, is not passed on: one is drawn."""
        for number, (body, status) in enumerate(
            [(b"<html>blocked</html>", 200), (SVG, 200), (b"", 200), (PNG, 404), (PNG, 500)]
        ):
            self.tree.clock.advance(number * 2 * RETRY)
            self.assert_drawn(self.fetched(body, status))

    def test_what_cannot_be_fetched(self) -> None:
        """When the provider's server does not answer, or with too much, one is drawn."""
        connection = self.tree.begin(self.path())
        self.fetcher.fail()
        self.assert_drawn(understood(connection.received()))
        self.assertEqual(self.fetcher.limits, {(MAX_LOGO, 10.0)})

    def test_not_asked_again_at_once(self) -> None:
        """A logo that is not to be had is not asked for again for a while, and then it is."""
        self.fetched(b"", 404)
        self.tree.clock.advance(RETRY - 1)
        self.assert_drawn(self.tree.ask(self.path()))
        self.assertEqual(len(self.fetcher.fetches), 1)
        self.tree.clock.advance(2)
        self.assertEqual(self.fetched().body, PNG)
        self.assertEqual(self.tree.ask(self.path()).body, PNG)

    def test_the_missing_are_bounded(self) -> None:
        """Only so many logos that are not to be had are remembered: the oldest are asked for again."""
        with patch.object(logo, "_MOST_MISSING", 2):
            for index in range(3):
                self.tree.begin(self.path(index))
                self.fetcher.fail()
        for index in (1, 2):
            self.assert_drawn(self.tree.ask(self.path(index)))
        self.assertEqual(len(self.fetcher.fetches), 3)
        self.assertEqual(self.fetched().body, PNG)

    def test_unchanged(self) -> None:
        """Who has a logo already gets 304, drawn or not; another picture has another tag."""
        tags = {self.fetched().headers["ETag"], self.tree.ask(self.path(3)).headers["ETag"]}
        self.assertEqual(len(tags), 2)
        for index in (0, 3):
            tag = self.tree.ask(self.path(index)).headers["ETag"]
            answer = self.tree.ask(self.path(index), ("If-None-Match", tag))
            self.assertEqual((answer.status, answer.body), (304, b""))

    def test_no_such_channel(self) -> None:
        """A logo of no channel is a 404."""
        for name in ("0", "9999999999", "99999999999999999999", "x", "", "-1", "%C2%B2", "1.png"):
            self.assertEqual(self.tree.ask(f"/logo/{name}").status, 404, name)

    def test_many_ask_at_once(self) -> None:
        """However many ask at the same moment, it is fetched once and everybody gets it."""
        connections = [self.tree.begin(self.path()) for _ in range(5)]
        self.assertEqual(len(self.fetcher.fetches), 1)
        self.fetcher.answer()
        self.assertEqual([understood(one.received()).body for one in connections], [PNG] * 5)

    def test_one_of_them_leaves(self) -> None:
        """When one of them leaves, even the first, the others get it all the same."""
        connections = [self.tree.begin(self.path()) for _ in range(3)]
        for leaving in (connections.pop(0), connections.pop(1)):
            leaving.leave()
        self.fetcher.answer()
        self.assertEqual(understood(connections[0].received()).body, PNG)
        self.assertEqual(len(self.fetcher.fetches), 1)

    def test_all_of_them_leave(self) -> None:
        """When all leave the fetch is given up, and whoever comes then has it fetched."""
        for connection in [self.tree.begin(self.path()) for _ in range(3)]:
            connection.leave()
        _, fetch = self.fetcher.fetches[0]
        self.assertTrue(fetch.called)
        self.assertEqual(self.fetched().body, PNG)

    def test_so_many_at_a_time(self) -> None:
        """A page full of logos is not fetched all at once, and everyone gets theirs in the end."""
        self.tree.shown.lineup = lineup_of(*entries(FETCHES + 5))
        connections = [self.tree.begin(self.path(index)) for index in range(FETCHES + 5)]
        self.assertEqual(len(self.fetcher.fetches), FETCHES)
        # Places are free again for those who wait, by an answer, an error, or a viewer who leaves.
        self.fetcher.answer()
        self.fetcher.fail()
        connections.pop(2).leave()
        connections.pop().leave()
        self.assertEqual(len(self.fetcher.fetches), FETCHES + 3)
        for _ in range(FETCHES + 1):
            self.fetcher.answer()
        self.assertEqual({understood(one.received()).status for one in connections}, {200})


class StrangersTests(SynchronousTestCase):
    def test_strangers_have_nothing_fetched(self) -> None:
        """Who may not watch has no logo fetched."""
        fetcher = Slow()
        tree = Tree(fetcher=fetcher, logos=Path("/nonexistent"))
        path = f"/logo/{tree.shown.lineup.channels[0].id}"
        self.assertEqual(tree.ask(path, peer="203.0.113.1").status, 403)
        self.assertEqual(fetcher.fetches, [])
        tree.begin(path, peer=HOME).leave()
        self.assertEqual(len(fetcher.fetches), 1)
