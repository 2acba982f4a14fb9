"""The countries that names and ids of channels speak of, in the words that playlists use for them: data."""

from __future__ import annotations

from collections.abc import Mapping

#: Countries by their code (ISO 3166-1, and ``uk``), none when it is not known.
Countries = frozenset[str]

NOWHERE: Countries = frozenset()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: By code: other codes, then names, of several words too. All as `iptvd.epg.names` folds text.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "ae": ("uae", "emirates", "united arab emirates"),
    "al": ("alb", "albania", "shqip"),
    "ar": ("arg", "argentina"),
    "at": ("aut", "austria", "osterreich"),
    "au": ("aus", "australia"),
    "ba": ("bih", "bosnia"),
    "be": ("bel", "belgium", "belgie", "belgique"),
    "bg": ("bgr", "bulgaria"),
    "br": ("bra", "brazil", "brasil"),
    "ca": ("can", "canada"),
    "ch": ("che", "sui", "switzerland", "schweiz", "suisse", "svizzera"),
    "cl": ("chl", "chile"),
    "co": ("col", "colombia"),
    "cy": ("cyp", "cyprus"),
    "cz": ("cze", "czechia", "czech", "czech republic", "cesko"),
    "de": ("ger", "deu", "germany", "deutschland", "german"),
    "dk": ("den", "dnk", "denmark", "danmark", "danish"),
    "ee": ("est", "estonia"),
    "eg": ("egy", "egypt"),
    "es": ("esp", "spain", "espana", "spanish"),
    "fi": ("fin", "finland", "suomi"),
    "fr": ("fra", "france", "french"),
    "gr": ("gre", "grc", "greece", "hellas", "greek"),
    "hk": ("hkg", "hong kong"),
    "hr": ("hrv", "cro", "croatia", "hrvatska"),
    "hu": ("hun", "hungary", "magyar"),
    "id": ("idn", "indonesia"),
    "ie": ("irl", "ire", "ireland", "eire", "irish"),
    "il": ("isr", "israel"),
    "in": ("ind", "india", "indian"),
    "ir": ("irn", "iran"),
    "is": ("isl", "iceland"),
    "it": ("ita", "italy", "italia", "italian"),
    "jp": ("jpn", "japan"),
    "kr": ("kor", "korea", "south korea"),
    "lt": ("ltu", "lithuania"),
    "lv": ("lva", "latvia"),
    "ma": ("mar", "morocco", "maroc"),
    "me": ("mne", "montenegro"),
    "mk": ("mkd", "macedonia", "north macedonia"),
    "mx": ("mex", "mexico"),
    "my": ("mys", "malaysia"),
    "nl": ("nld", "ned", "netherlands", "nederland", "holland", "dutch"),
    "no": ("nor", "norway", "norge", "norwegian"),
    "nz": ("nzl", "new zealand"),
    "pe": ("per", "peru"),
    "ph": ("phl", "philippines"),
    "pk": ("pak", "pakistan"),
    "pl": ("pol", "poland", "polska", "polish"),
    "pt": ("prt", "por", "portugal", "portuguese"),
    "qa": ("qat", "qatar"),
    "ro": ("rou", "rom", "romania"),
    "rs": ("srb", "serbia", "srbija"),
    "ru": ("rus", "russia", "russian"),
    "sa": ("ksa", "saudi arabia"),
    "se": ("swe", "sweden", "sverige", "swedish"),
    "si": ("svn", "slovenia", "slovenija"),
    "sk": ("svk", "slovakia", "slovensko"),
    "th": ("tha", "thailand"),
    "tr": ("tur", "turkey", "turkiye", "turkish"),
    "ua": ("ukr", "ukraine"),
    "uk": ("gb", "gbr", "united kingdom", "great britain", "england", "britain", "british"),
    "us": ("usa", "united states", "america"),
    "vn": ("vnm", "vietnam"),
    "za": ("rsa", "south africa"),
}  # fmt: skip

_ARAB: Countries = _words("ae bh dz eg iq jo kw lb ly ma om qa sa sd sy tn ye")

#: What may be one of several countries.
_SEVERAL: Mapping[str, Countries] = {
    **dict.fromkeys(("ar", "ara", "arab", "arabic", "arabia", "mena"), _ARAB),
    "en": _words("uk us ie au ca nz za"),
    "exyu": _words("ba hr me mk rs si"),
    "ex yu": _words("ba hr me mk rs si"),
    "nordic": _words("dk fi is no se"),
    "scandinavia": _words("dk fi is no se"),
    "latam": _words("ar bo br cl co cr do ec gt hn mx ni pa pe pr py sv uy ve"),
    "latino": _words("ar bo br cl co cr do ec gt hn mx ni pa pe pr py sv us uy ve"),
    "africa": _words("cd ci cm gh ke ng sn tz ug za"),
}

#: What a prefix of a name (``UK:``) or an ending in brackets may say.
BY_WORD: Mapping[str, Countries] = {
    **{word: frozenset({code}) for code, words in _NAMES.items() for word in (code, *words)},
    **_SEVERAL,
    # Lists mean the Arab countries by it as often as Argentina.
    "ar": _ARAB | {"ar"},
}

#: What an id ends with behind a dot: codes alone, each of one country, without those that mostly mean something else.
BY_ENDING: Mapping[str, Countries] = {
    code: frozenset({code})
    for code in (*_NAMES, *_ARAB, *_SEVERAL["latam"], *_SEVERAL["africa"])
    if code not in ("co", "id")
} | {"gb": frozenset({"uk"}), "usa": frozenset({"us"})}

_NO_LAST_WORDS = _words(
    "america british czech danish dutch french german greek hellas indian irish italian magyar norwegian polish"
    " portuguese russian shqip spanish swedish turkish"
)
#: What a name may end with without any brackets: names of countries, and codes that are no words.
BY_LAST_WORD: Mapping[str, Countries] = {
    word: frozenset({code})
    for code, words in _NAMES.items()
    for word in words
    if (len(word) > 3 and word not in _NO_LAST_WORDS) or word in ("usa", "ksa", "uae")
} | {"arabia": _ARAB, "uk": frozenset({"uk"})}

#: What a group may begin with without anything behind it that would tell it from a word.
BY_FIRST_WORD: Mapping[str, Countries] = {
    word: countries
    for word, countries in BY_WORD.items()
    if word not in _words("al ar at be can co den est fin id in is it ma mar me my no per so to en")
}


def agree(one: Countries, other: Countries) -> bool:
    """Whether both can be of one country, as far as it is known."""
    return not one or not other or not one.isdisjoint(other)
