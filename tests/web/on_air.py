"""A tree with a guide behind it: channels, programmes and events as they are in the database, told over HTTP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from iptvd.delivery.reach import Reach
from iptvd.epg.reading import GuideReader
from iptvd.epg.schema import open_to_write, timed_id
from iptvd.lineup import Lineup
from iptvd.lineup_service import LineupService
from iptvd.model import Channel, Programme
from iptvd.web.api import Folder
from iptvd.web.channels_api import ChannelsApi, ChannelsResource
from iptvd.web.guide_api import EventsResource, MatchesResource, SearchResource
from iptvd.web.kept_channels import KeptChannels
from tests.doubles import offload, sliced
from tests.epg.guide import Shown, show, take_in, xmltv
from tests.web.building import HOME, Answer, Tree

HOUR = 3600
#: Far ahead, so that nothing is left out as long over; 2030-03-17T17:47:00Z.
NOW = 1_900_000_020


class OnAir(Tree):
    """
    The tree.

    :ivar short: what a provider itself says that comes next.
    """

    def __init__(self, folder: Path, lineup: Lineup | None = None) -> None:
        super().__init__(lineup)
        self.database = folder / "guide.db"
        self.reader = GuideReader(self.database, offload)
        self.reach = Reach(lambda: NOW)
        self.short: list[Programme] = []
        self.asked_short: list[int] = []
        api, epg = Folder(), Folder()
        channels = ChannelsApi(
            lambda: self.shown.lineup,
            self.hub.kind_of,
            self.reach.of,
            self.reader,
            self._short,
            lambda: NOW,
            sliced,
            KeptChannels(self.admission.records, cast(LineupService, self.shown)),
        )
        api.putChild(b"channels", ChannelsResource(channels))
        api.putChild(b"events", EventsResource(self.reader, lambda: NOW, sliced))
        api.putChild(b"search", SearchResource(self.reader, lambda: NOW, sliced))
        api.putChild(b"epg", epg)
        epg.putChild(b"matches", MatchesResource(self.reader, sliced))
        self.add("api", api)

    async def _short(self, channel: Channel) -> Sequence[Programme]:
        self.asked_short.append(channel.id)
        return self.short

    @property
    def ids(self) -> list[int]:
        """The channels' ids, in their order."""
        return [channel.id for channel in self.shown.lineup.channels]

    def guide(self, *shown: Shown) -> None:
        """Have these programmes at the first three channels, which the guide knows as a, b and c."""
        take_in(self.database, "one", xmltv(shown), "--days=99999")
        names = [channel.name for channel in self.shown.lineup.channels]
        show(self.database, dict(zip(self.ids, zip(names, "abc", strict=False), strict=False)))
        connection = open_to_write(self.database)
        groups = [(channel.group, channel.id) for channel in self.shown.lineup.channels]
        connection.executemany("UPDATE lineup SET in_group = ? WHERE id = ?", groups)
        connection.close()

    def event(self, number: int, title: str, start: float, stop: float, category: str, *channels: int) -> None:
        """Announce something."""
        connection = open_to_write(self.database)
        row = timed_id(start, number)
        values = (row, f"e{number}", title, category, start, stop)
        connection.execute("INSERT INTO event VALUES (?, ?, 'home', ?, ?, ?, ?)", values)
        connection.execute("INSERT INTO event_words (rowid, title) VALUES (?, ?)", (row, title))
        connection.executemany("INSERT INTO event_channel VALUES (?, ?)", [(row, each) for each in channels])
        connection.close()

    def match(self, channel: int, guide_id: str, how: str, score: float) -> None:
        """Say how a channel was found."""
        connection = open_to_write(self.database)
        connection.execute("INSERT INTO match VALUES (?, 'one', ?, ?, ?, 0)", (channel, guide_id, how, score))
        connection.close()

    def tell(self, path: str, peer: str = HOME) -> Any:
        """What is told at a path, which has to be there."""
        answer = self.ask(path, peer=peer)
        if answer.status != 200:
            raise AssertionError(f"{path}: {answer.status} {answer.text}")
        return value_of(answer)


def value_of(answer: Answer) -> Any:
    """An answer read as JSON."""
    return json.loads(answer.plain)
