"""What readers are fed with at first is read, so that feeding them at random begins where it makes sense."""

from __future__ import annotations

import pytest

from iptvd.epg.details import programme_of
from tests.fuzz import lists, players, schedules, xmltv
from tests.fuzz.targets import NAMES, split, target


@pytest.mark.parametrize("name", NAMES)
def test_seeds(name: str) -> None:
    """Each seed, cut short anywhere, and with a byte changed, is read or refused with a sentence."""
    reader = target(name)
    assert reader.seeds
    for seed in reader.seeds:
        reader.one(seed)
        for place in range(0, len(seed), max(1, len(seed) // 10)):
            reader.one(seed[:place])
            reader.one(seed[:place] + b"\xff" + seed[place + 1 :])
    reader.one(b"")


def test_split() -> None:
    """All but the first byte is fed, in pieces of the size that it says."""
    assert list(split(b"")) == []
    assert list(split(b"\0abc")) == [b"a", b"b", b"c"]
    assert list(split(b"\x01" + b"x" * 10)) == [b"x" * 9, b"x"]


def test_a_fault_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that raises anything else, or lets through what it must not, is found out."""

    def wrong(*arguments: object) -> object:
        raise KeyError

    for place in (
        "tests.fuzz.xmltv.programme_of",
        "iptvd.website.channel_lists.ListReading.steps",
        "iptvd.website.players.read_page",
        "tests.fuzz.schedules.read_time",
    ):
        monkeypatch.setattr(place, wrong)
    for module in (xmltv, lists, players, schedules):
        with pytest.raises(KeyError):
            module.one(module.SEEDS[0])
    assert programme_of(0, 1, "x", "<title>x</title>").title == "x"


def test_no_target() -> None:
    """A name that is none is told with those that there are."""
    with pytest.raises(KeyError, match="xmltv"):
        target("nothing")
