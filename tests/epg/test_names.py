"""What a channel's name says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.names import LATEST, LONGEST, country_of_group, country_of_id, read_id, read_name
from iptvd.epg.words import MOST

#: One channel, as playlists and guides write it.
SPELLINGS = (
    "BBC One",
    "BBC 1",
    "BBC1",
    "bbc one hd",
    "UK: BBC ONE FHD",
    "|UK| BBC One ᴴᴰ",
    "||UK|| BBC One",
    "UK - BBC One UHD 3840P",
    "UK-BBC One",
    "UK| BBC ONE ᴿᴬᵂ",
    "[UK] BBC One (1080p)",
    "(UK) BBC One H.265 50fps",
    "{UK} BBC One x264 60 fps",
    "BBC One (UK)",
    "BBC One [UK] HEVC",
    "BBC One |UK|",
    "BBC One - UK",
    "BBC One.uk",
    "UK/IE: BBC One",
    "UK HD | BBC One",
    "UK Sports | BBC One",
    "4K | UK: BBC One 4K",
    "EU | GB: BBC One",
    "\N{REGIONAL INDICATOR SYMBOL LETTER G}\N{REGIONAL INDICATOR SYMBOL LETTER B} BBC One",
    "BBC One \N{REGIONAL INDICATOR SYMBOL LETTER G}\N{REGIONAL INDICATOR SYMBOL LETTER B}",
    "UK ★ BBC One ★",
    "UK ◉ BBC One Full HD",
    "**UK** BBC One (Multi Audio)",
    "UK: The BBC One (Backup 2)",
    "UK: BBC One (H)",
    "UK: BBC 01 HD+",
    "United Kingdom: BBC One HDR10+ [VIP]",
)

#: Names that are of two different channels each.
DIFFERENT = (
    ("Sport 1", "Sport 2"),
    ("Sport 1", "Sport 11"),
    ("Sport 2 4", "Sport 24"),
    ("BBC One London", "BBC One Wales"),
    ("ITV1", "ITV2"),
    ("3", "3+"),
    ("Canal+", "Canal"),
    ("Canal+ Sport", "Canal Sport"),
    ("Sky Sport UHD 1", "Sky Sport 1"),
    ("TSN 4K", "TSN 4"),
    ("RTL", "RTL II"),
    ("Nicktoons", "Nick"),
    ("Zee Cinema", "Zee Cinemalu"),
    ("Al Jazeera", "Al Jazeera English"),
)


class NameTests(SynchronousTestCase):
    def test_spellings(self) -> None:
        """One channel is one channel, however its country and quality are written around it."""
        for spelling in SPELLINGS:
            name = read_name(spelling)
            self.assertEqual(name.key, "bbc 1", spelling)
            self.assertIn(name.countries, (frozenset(), frozenset({"uk"}), frozenset({"uk", "ie"})), spelling)

    def test_different(self) -> None:
        """Numbers, regions, siblings and a plus tell channels apart."""
        for one, other in DIFFERENT:
            self.assertNotEqual(read_name(one).key, read_name(other).key, (one, other))

    def test_the_same_words(self) -> None:
        """Accents, case, signs, numbers as words and common short forms say nothing."""
        for one, other in (
            ("Ciné Étoile", "CINE ETOILE"),
            ("L'Équipe", "Lequipe"),
            ("L’Équipe", "L'Equipe"),  # noqa: RUF001 - as it comes
            ("Crime & Investigation", "Crime and Investigation"),
            ("Crime + Investigation", "Crime+Investigation"),
            ("Canal + Sport", "Canal Plus Sport"),
            ("Sport TV +", "Sport TV Plus"),
            ("RTL II", "RTL 2"),
            ("Nat Geo Wild", "National Geographic Wild"),
            ("NatGeo", "National Geographic"),
            ("Nick Jr.", "Nickelodeon Junior"),
            ("Sky Sports F1", "Sky Sports Formula 1"),
            ("CNN Intl", "CNN International"),
            ("Euro Sport", "Eurosport"),
            ("MTV 80's", "MTV 80s"),
            ("Łódź", "Lodz"),
            ("Groß", "GROSS"),
            ("Sport 007", "Sport 7"),
        ):
            self.assertEqual(read_name(one).key, read_name(other).key, (one, other))

    def test_capitals_part_words(self) -> None:
        """Capitals within a word can tell a number in it."""
        self.assertEqual((read_name("ProSieben").key, read_name("ProSieben").camel), ("prosieben", "pro 7"))
        self.assertEqual(read_name("CanalPlus").camel, read_name("Canal+").key)
        self.assertEqual(read_name("Eurosport").camel, "eurosport")

    def test_later(self) -> None:
        """A channel that is shown hours later says how many; what has a plus in its name is not later."""
        for text, hours in (
            ("ITV1 +1", 1),
            ("ITV1+1", 1),
            ("ITV1 + 1 HD", 1),
            ("UK: ITV1 +1h", 1),
            ("Первый канал +4", 4),
            ("ITV1", 0),
            ("Canal+ 1", 0),
            ("Canal +1", 0),
            ("ESPN+ 12", 0),
            ("ITV1 +0", 0),
            (f"ITV1 +{LATEST + 1}", 0),
            ("3+", 0),
        ):
            self.assertEqual(read_name(text).hours, hours, text)
        self.assertEqual(read_name("ITV1 +1").key, read_name("ITV1").key)

    def test_noise(self) -> None:
        """Words such as TV around a name are left out as long as something is left that tells."""
        for text, loose in (
            ("Discovery Channel", "discovery"),
            ("TV Nova", "nova"),
            ("Kite Television Channel", "kite"),
            ("Channel 4", "channel 4"),
            ("TV One", "tv 1"),
            ("WE tv", "wetv"),
            ("News Channel", "newschannel"),
            ("TV", "tv"),
        ):
            self.assertEqual(read_name(text).loose, loose, text)

    def test_a_country_at_an_edge(self) -> None:
        """A country without any sign around it may belong to the name or not: both are known."""
        for text, key, reduced, country in (
            ("Sky News Australia", "skynewsaustralia", "skynews", "au"),
            ("Sky News New Zealand", "skynewsnewzealand", "skynews", "nz"),
            ("UK BBC One", "ukbbc 1", "bbc 1", "uk"),
            ("Radio Romania", "radioromania", "", ""),
            ("BBC America", "bbcamerica", "", ""),
            ("TV Brasil", "tvbrasil", "", ""),
        ):
            name = read_name(text)
            found = (name.key, name.reduced, "".join(name.edge), name.countries)
            self.assertEqual(found, (key, reduced, country, frozenset()))

    def test_not_a_channel(self) -> None:
        """Lines between channels, and names of nothing but signs, are no names."""
        for text in ("##### UK SPORTS #####", "═══ DE ═══", "-- SPORT --", "★★★ VIP", "", "|||", "HD", "!?"):
            self.assertEqual(read_name(text).key, "", text)
        for text in ("-BBC One-", "«BBC One»", "...BBC One"):
            self.assertIn(read_name(text).key, ("bbc 1", ""), text)

    def test_what_looks_like_a_country(self) -> None:
        """The beginning of a name that only looks like a code of a country stays."""
        self.assertEqual(read_name("UK: HD: UK: HD: UK: Kite").countries, {"uk"})
        for text in ("Al-Jazeera", "n-tv", "Be-In Sports", "Foo: Bar", "UK:", "NBA: A"):
            self.assertEqual(read_name(text).countries, frozenset(), text)

    def test_quality_and_generic(self) -> None:
        """It is told whether a stream is sharp, and whether every country has such a channel."""
        for text, sharp, generic in (
            ("BBC One HD", True, False),
            ("BBC One (4K)", True, False),
            ("BBC One SD", False, False),
            ("BBC One (UK)", False, False),
            ("Sport 1 HD", True, True),
            ("TV 2", False, True),
        ):
            self.assertEqual((read_name(text).sharp, read_name(text).generic), (sharp, generic), text)

    def test_bounds(self) -> None:
        """However long a name is, what is looked at is not."""
        name = read_name("ab cd " * 1000)
        self.assertEqual(len(name.words), MOST)
        self.assertLessEqual(len(name.literal), LONGEST)

    def test_ids(self) -> None:
        """An id tells its country and, by its capitals, its words."""
        for guide_id, name, country in (
            ("BBCOne.uk", "BBC One", "uk"),
            ("SkyNews.gb", "Sky News", "uk"),
            ("ESPN.us2", "ESPN", "us"),
            ("ITV1+1.uk@HD", "ITV1+1", "uk"),
            ("north-star_1", "north star 1", ""),
            ("zdf.tv", "zdf tv", ""),
            (".uk", " uk", ""),
            ("12", "12", ""),
        ):
            self.assertEqual((read_id(guide_id), "".join(country_of_id(guide_id))), (name, country))

    def test_groups(self) -> None:
        """A group tells its country in many ways, and not by a word that looks like one."""
        for group, country in (
            ("UK | Sports", "uk"),
            ("Sports | UK", "uk"),
            ("US NEWS", "us"),
            ("Deutschland", "de"),
            ("New Zealand Sports", "nz"),
            ("Movies/France", "fr"),
            ("Channels of Italy", "it"),
            ("|TR| ULUSAL", "tr"),
            ("IN ENGLISH", ""),
            ("Sports", ""),
            ("", ""),
        ):
            self.assertEqual("".join(country_of_group(group)), country, group)
        self.assertIn("qa", country_of_group("Arabic News"))

    @given(st.text(max_size=200))
    def test_anything(self, text: str) -> None:
        """No name is too odd to be read, and reading tells the same each time."""
        name = read_name(text)
        self.assertEqual(name, read_name.__wrapped__(text))
        self.assertTrue(name.key or not name.words)
        country_of_group(text)
        country_of_id(text)
        read_id(text)

    @given(
        st.lists(st.sampled_from("Kite Orbit Tundra Quasar Vega 1 2 24".split()), min_size=1, max_size=4),  # noqa: SIM905
        st.sampled_from(("UK: ", "|UK| ", "[UK] ", "UK - ", "")),
        st.sampled_from((" HD", " FHD", " (4K)", " ᵁᴴᴰ", " RAW 50fps", "")),
    )
    def test_around_any_name(self, words: list[str], before: str, after: str) -> None:
        """Whatever the words of a name are, what is written around them does not change it."""
        plain = " ".join(["Northstar", *words])
        self.assertEqual(read_name(before + plain + after).words, read_name(plain).words)
