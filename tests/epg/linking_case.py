"""A lineup and events of the tests, put into a guide's database by the child that does so."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg import linking
from iptvd.epg.linking import KIND
from iptvd.epg.reading import GuideReader, Match
from iptvd.store import RowsFile
from tests.doubles import folder_for, offload, result, sliced
from tests.epg.guide import Shown, take_in, xmltv

HOUR = 3600
#: On the minute, so that what is told in minutes is told whole.
NOW = int(time.time()) // 60 * 60


def channel(number: int, name: str, **other: object) -> dict[str, object]:
    """A row of a channel whose provider knows it by its number."""
    row: dict[str, object] = {
        "channel": number,
        "number": number,
        "name": name,
        "group": "Group",
        "kind": "live",
        "xmltv_id": f"{number}.test",
        "tvg_id": "",
        "tvg_name": "",
        "logo": True,
        "guide": "",
        "shift": 0,
        "entries": [["site", f"key {number}"]],
    }
    return row | other


def event(key: str, start: float, *channels: int, **other: object) -> dict[str, object]:
    """A row of an event on these channels."""
    row: dict[str, object] = {
        "provider": "site",
        "key": key,
        "title": f"Title {key}",
        "category": "Tennis",
        "start": start,
        "stop": None,
        "channels": [f"key {number}" for number in channels],
    }
    return {"event": row | other}


class LinkingCase(SynchronousTestCase):
    """A database, what is put into it, and what it says then."""

    def setUp(self) -> None:
        self.folder = folder_for(self)
        self.database = self.folder / "guide.db"
        self.reader = GuideReader(self.database, offload)
        self.addCleanup(self.reader.close)

    def guide(self, source: str = "one", **names: str) -> None:
        """A guide in which each channel, by its id, has two programmes: on now, and in ten hours."""
        shown = [
            Shown(f"{guide_id}.test", NOW + hours * HOUR, NOW + (hours + 1) * HOUR, f"{name} {hours}")
            for guide_id, name in names.items()
            for hours in (0, 10)
        ]
        take_in(self.database, source, xmltv(shown, {f"{guide_id}.test": name for guide_id, name in names.items()}))

    def file(self, *items: object, kind: str = KIND) -> Path:
        path = self.folder / "lineup.rows"
        result(RowsFile(path, kind, sliced, offload).save(items))
        return path

    def link(self, *items: object, guides: dict[str, list[str]] | None = None) -> dict[str, object]:
        """Link this; what the child says."""
        path = self.file({"guides": {"one": []} if guides is None else guides}, *items)
        return linking.run([str(self.database), str(path)])

    def on_now(self, *channels: int) -> list[str]:
        found = result(self.reader.now_next(channels, NOW + 60))
        return [on.title if (on := found.get(each, (None, None))[0]) is not None else "" for each in channels]

    def titles(self, number: int) -> list[tuple[str, int, int]]:
        """What a channel shows in these days, with the hours from now at which it begins and ends."""
        listed = result(self.reader.programmes(number, NOW - 30 * HOUR, NOW + 60 * HOUR))
        return [(one.title, int(one.start - NOW) // HOUR, int(one.stop - NOW) // HOUR) for one in listed]

    def matches(self) -> Sequence[Match]:
        return result(self.reader.matches("", 0, 100))

    def search(self, words: str) -> list[str]:
        return [f"{hit.type} {hit.title}" for hit in result(self.reader.search(words, NOW, 50))]

    def revision(self) -> int:
        return result(self.reader.revision())
