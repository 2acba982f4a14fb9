"""The tuners that we are to HDHomeRun clients."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.access import Shown
from iptvd.accounts import User
from iptvd.lineup import Lineup
from iptvd.model import ChannelKind, Entry, SourceKind
from iptvd.protocols.hdhomerun import check_digit
from iptvd.trust import Caller
from iptvd.tuners import EVERYTHING, MOST, TUNERS, UNLIMITED, Tuner, Tuners, read_tuner
from tests.doubles import admission, join, result, sliced
from tests.web.building import Later, lineup_of

NEWS = Entry("1", "News", group="News & Talk")
SPORTS = Entry("2", "Sports", group="Sports")
AWAY = Entry("3", "Away", group="Sports")
RADIO = Entry("4", "Radio", kind=ChannelKind.RADIO, group="Sports")
FILM = Entry("5", "Film", kind=ChannelKind.VOD, source_kind=SourceKind.VOD, group="Sports")
LOCKED = Entry("6", "Locked", group="Sports", unsupported="it is protected")


def everything() -> Lineup:
    return lineup_of(NEWS, SPORTS, RADIO, FILM, LOCKED, away=[AWAY])


class TunerTests(SynchronousTestCase):
    def names(self, tuner: Tuner) -> list[str]:
        return [channel.name for channel in everything().channels if tuner.has(channel)]

    def test_channels(self) -> None:
        """A tuner has the live channels that can be played, of its groups and its providers."""
        self.assertEqual(self.names(EVERYTHING), ["News", "Sports", "Away"])
        self.assertEqual(self.names(Tuner("x", groups=("Sports",))), ["Sports", "Away"])
        self.assertEqual(self.names(Tuner("x", groups=("Sports", "News & Talk"))), ["News", "Sports", "Away"])
        self.assertEqual(self.names(Tuner("x", providers=("away",))), ["Away"])
        self.assertEqual(self.names(Tuner("x", groups=("News & Talk",), providers=("away",))), [])

    def test_as_it_is_written(self) -> None:
        """A tuner is written as a name and what a playlist's URL would ask for."""
        for text, tuner in (
            ("sports?group=Sports", Tuner("sports", ("Sports",))),
            ("n?group=News+%26+Talk", Tuner("n", ("News & Talk",))),
            ("a-1?provider=home&group=Sports&provider=away", Tuner("a-1", ("Sports",), ("home", "away"))),
            ("b?user=Bob+B.&group=Sports", Tuner("b", ("Sports",), (), "Bob B.")),
            ("b?user=bob", Tuner("b", user="bob")),
        ):
            self.assertEqual(read_tuner(text), tuner)
            self.assertEqual(read_tuner(str(tuner)), tuner)
        self.assertEqual(read_tuner("n?group=News %26 Talk"), Tuner("n", ("News & Talk",)))

    def test_what_is_wrong(self) -> None:
        """Anything else is refused: the name of the tuner with every channel, and one that asks for nothing, too."""
        for text in (
            "",
            "sports",
            "sports?",
            "?group=Sports",
            "all?group=Sports",
            "Sports?group=Sports",
            "a/b?group=Sports",
            "sports?groups=Sports",
            "sports?group=",
            "b?user=bob&user=eve",
            "b?user=",
            "sports?group",
            "sports?group=a%00",
            "-a?group=b",
            f"{'x' * 33}?group=b",
            f"a?group={'b' * 5000}",
            "a?" + "&".join(["group=b"] * 101),
        ):
            with self.assertRaises(ValueError, msg=text):
                read_tuner(text)

    @given(st.text(max_size=40))
    def test_no_text_breaks_it(self, text: str) -> None:
        """Whatever is written is a tuner or refused."""
        try:
            tuner = read_tuner(text)
        except ValueError:
            return
        self.assertEqual(read_tuner(str(tuner)), tuner)

    def test_the_setting(self) -> None:
        """Several are a list, each with a name of its own."""
        two = (Tuner("a", ("x y",)), Tuner("b", (), ("home",)))
        self.assertEqual(TUNERS.from_text("a?group=x+y b?provider=home"), two)
        self.assertEqual(TUNERS.from_toml(["a?group=x y", "b?provider=home"]), two)
        for wrong in ("a?group=x a?group=y", " ".join(f"a{number}?group=x" for number in range(MOST + 1))):
            with self.assertRaises(ValueError):
                TUNERS.from_text(wrong)
            with self.assertRaises(ValueError):
                TUNERS.from_toml(wrong.split())
        self.assertIn('"sports?group=Sports"', TUNERS.right)


class TunersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lineup = everything()
        self.max_streams = 0
        self.limits: dict[str, int] = {}
        self.admission = admission(Clock())
        self.tuners = self.made()

    def made(self, seed: bytes = b"seed") -> Tuners:
        tuners = Tuners(
            seed,
            lambda: self.lineup,
            lambda: self.max_streams,
            lambda name: self.limits.get(name, 0),
            sliced,
            lambda: self.admission.access,
        )
        tuners.configure(True, TUNERS.from_text("news?group=News+%26+Talk away?provider=away"))
        return tuners

    def counts(self) -> list[int]:
        return [result(self.tuners.count(tuner)) for tuner in self.tuners.present]

    def test_which_there_are(self) -> None:
        """The one with every channel comes first, then those of the settings; or there is none."""
        self.assertEqual([tuner.name for tuner in self.tuners.present], ["all", "news", "away"])
        self.assertEqual(self.tuners.find("away"), Tuner("away", (), ("away",)))
        self.assertIsNone(self.tuners.find("sports"))
        self.assertEqual([self.tuners.shortest_prefix(each) for each in self.tuners.present], ["", "/1", "/2"])
        self.assertEqual(self.tuners.numbered("2"), self.tuners.find("away"))
        for number in ("", "0", "3", "02", "away"):
            self.assertIsNone(self.tuners.numbered(number), number)
        self.tuners.configure(False, self.tuners.present[1:])
        self.assertEqual((self.tuners.present, self.tuners.find("all")), ((), None))

    def test_ids(self) -> None:
        """Each has an id of its own, which it keeps; another installation has others."""
        ids = [self.tuners.device_id(tuner) for tuner in self.tuners.present]
        self.assertEqual(len(set(ids)), 3)
        again, other = self.made(), self.made(b"other")
        again.configure(True)
        self.assertEqual(again.device_id(EVERYTHING), ids[0])
        self.assertNotEqual(other.device_id(EVERYTHING), ids[0])

    def test_capacity(self) -> None:
        """A tuner gives as many streams as viewers are served and its providers allow together."""
        self.assertEqual(self.counts(), [UNLIMITED, UNLIMITED, UNLIMITED])
        self.limits = {"home": 2}
        self.assertEqual(self.counts(), [UNLIMITED, 2, UNLIMITED])
        self.limits = {"home": 2, "away": 1}
        self.assertEqual(self.counts(), [3, 2, 1])
        self.max_streams = 2
        self.assertEqual(self.counts(), [2, 2, 1])
        self.limits = {}
        self.assertEqual(self.counts(), [2, 2, 2])
        self.max_streams = 1000
        self.assertEqual(self.counts(), [255, 255, 255])

    def test_of_a_user(self) -> None:
        """For a user it counts what that one may watch, and how many streams they may have."""
        self.limits = {"home": 2, "away": 1}
        (tuner, *_) = self.tuners.present
        for user, count in (
            (User("bob", "t"), 3),
            (User("bob", "t", max_connections=1), 1),
            (User("bob", "t", max_connections=9), 3),
            (User("bob", "t", groups=("News & Talk",)), 2),
            (User("bob", "t", groups=("Sports",)), 3),
            (User("bob", "t", groups=("None",), max_connections=4), 4),
        ):
            self.assertEqual(result(self.tuners.count(tuner, user)), count, user.groups)
        for number in range(300):
            groups = ("News & Talk", str(number))
            self.assertEqual(result(self.tuners.count(tuner, User("bob", "t", groups=groups))), 2)

    def test_ids_of_users(self) -> None:
        """A tuner that is nobody's is another device for each user; a user's own tuner is one."""
        bob, eve = User("bob", "t"), User("eve", "u")
        own = Tuner("own", user="bob")
        self.tuners.configure(True, [own])
        ids = [self.tuners.device_id(EVERYTHING, user) for user in (None, bob, eve)]
        self.assertEqual((len(set(ids)), [check_digit(each) for each in ids]), (3, [0, 0, 0]))
        self.assertEqual(self.tuners.device_id(EVERYTHING, bob), ids[1])
        self.assertEqual(self.tuners.device_id(own), self.tuners.device_id(own, bob))

    def test_another_lineup(self) -> None:
        """When its channels come from other providers, these count."""
        self.limits = {"home": 2, "away": 1}
        self.assertEqual(self.counts(), [3, 2, 1])
        self.lineup = lineup_of(away=[AWAY, NEWS])
        self.assertEqual(self.counts(), [1, 1, 1])
        self.lineup = Lineup()
        self.assertEqual(self.counts(), [UNLIMITED] * 3)

    def test_other_settings_meanwhile(self) -> None:
        """When a tuner becomes another while its providers are looked for, they are not taken for the new one's."""
        self.limits = {"home": 2, "away": 1}
        later = Later()
        tuners = Tuners(
            b"seed",
            lambda: self.lineup,
            lambda: 0,
            lambda name: self.limits[name],
            later,
            lambda: self.admission.access,
        )
        tuners.configure(True, [Tuner("x", (), ("home",))])
        counted: list[int] = []

        async def count() -> None:
            counted.append(await tuners.count(tuners.present[1]))

        Deferred.fromCoroutine(count())
        tuners.configure(True, [Tuner("x", (), ("away",))])
        later.finish()
        Deferred.fromCoroutine(count())
        later.finish()
        self.assertEqual(counted, [2, 1])


class WhoTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.admission = admission(Clock(), api_token="secret")
        self.tuners = Tuners(b"", Lineup, lambda: 0, lambda name: 0, sliced, lambda: self.admission.access)

    def at(self, tuner: Tuner, *tokens: str, trusted: bool = True) -> tuple[str, int]:
        """Whose links somebody gets who shows these tokens, and the status."""
        caller = Caller("192.168.1.2", "http://box", trusted, False, True, True)
        who = self.tuners.who_at(tuner, self.admission.access.judge(caller, Shown(tokens)))
        return who.caller.base_url.removeprefix("http://box"), who.status

    def test_without_users(self) -> None:
        """As long as there are no users, those of trusted networks may use every tuner."""
        for tuner in (EVERYTHING, Tuner("b", user="bob")):
            self.assertEqual(self.at(tuner), ("", 0))
            self.assertEqual(self.at(tuner, trusted=False), ("", 403))

    def test_without_a_user(self) -> None:
        """A tuner that is nobody's needs a token, and its links are those of whoever shows it."""
        join(self.admission, User("bob", "bobs"), User("eve", "eves"))
        self.assertEqual(self.at(EVERYTHING), ("", 401))
        self.assertEqual(self.at(EVERYTHING, "eves"), ("/~eves", 0))
        self.assertEqual(self.at(EVERYTHING, "secret"), ("", 0))

    def test_of_a_user(self) -> None:
        """A user's tuner needs no token in a trusted network; to others, and with a wrong token, it tells nothing."""
        join(self.admission, User("bob", "bobs"), User("eve", "eves"))
        tuner = Tuner("b", user="bob")
        self.assertEqual(self.at(tuner), ("/~bobs", 0))
        self.assertEqual(self.at(tuner, "bobs"), ("/~bobs", 0))
        self.assertEqual(self.at(tuner, "bobs", trusted=False), ("/~bobs", 0))
        self.assertEqual(self.at(tuner, "secret", trusted=False), ("/~bobs", 0))
        self.assertEqual(self.at(tuner, trusted=False), ("", 401))
        self.assertEqual(self.at(tuner, "wrong"), ("", 403))
        self.assertEqual(self.at(tuner, "eves")[1], 403)

    def test_who_may_not_watch(self) -> None:
        """The tuner of a user who is not there, or may not watch, gives nothing."""
        join(self.admission, User("bob", "bobs", active=False))
        self.assertEqual(self.at(Tuner("b", user="bob")), ("", 403))
        self.assertEqual(self.at(Tuner("b", user="tom")), ("", 404))
        self.assertEqual(self.at(Tuner("b", user="tom"), trusted=False), ("", 401))
