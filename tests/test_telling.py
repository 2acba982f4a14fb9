"""What tells of programmes and events, put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.activity import Activity
from iptvd.delivery.reach import Reach
from iptvd.delivery.slots import Slots
from iptvd.interfaces import IGuided, IScheduled
from iptvd.model import Event, GuideFile, Schedule
from iptvd.settings import Config
from iptvd.store import RowsFile
from iptvd.telling import Telling
from tests.doubles import folder_for, offload, sliced
from tests.web.building import entries, lineup_of


@implementer(IGuided, IScheduled)
class Knowing:
    """A provider with a guide and a schedule."""

    def guides(self) -> Sequence[GuideFile]:
        return [GuideFile("http://panel.test/xmltv.php")]

    async def schedule(self) -> Schedule:
        return Schedule([Event("k", "Ann vs Bob", 60.0, channels=("key1",))])


class TellingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = folder_for(self)
        (self.folder / "providers" / "home").mkdir(parents=True)
        self.lineup = SimpleNamespace(
            lineup=lineup_of(*entries(1)), runners={"home": SimpleNamespace(provider=Knowing())}, sources=None
        )
        self.reach = Reach(self.clock.seconds)
        playing = SimpleNamespace(
            reach=self.reach,
            opener=None,
            slots=Slots(lambda provider: 0),
            hub=SimpleNamespace(sessions={}),
            activity=Activity(self.clock, self.clock.seconds),
        )
        self.argv: list[Sequence[str]] = []
        self.telling = self.make(playing)

    def make(self, playing: object) -> Telling:
        return Telling(
            cast(Any, self.lineup),
            cast(Any, playing),
            self.folder,
            lambda path, kind: RowsFile(self.folder / path, kind, sliced, offload),
            lambda source: cast(Any, self),
            self.run_child,
            offload,
            self.clock,
            self.clock.seconds,
            Random(1),
            sliced,
        )

    async def save(self, url: str, path: Path, *args: object, **named: object) -> object:
        raise RuntimeError("not in this test")

    async def run_child(self, argv: Sequence[str]) -> tuple[int, bytes]:
        self.argv.append(argv)
        return 0, b"{}"

    def start(self, **settings: object) -> None:
        self.telling.configure(Config(**cast(Any, settings)))
        self.telling.startService()
        self.addCleanup(self.telling.stopService)

    def linked(self) -> list[object]:
        """What the lineup was last linked with."""
        return [json.loads(line) for line in (self.folder / "epg" / "lineup.rows").read_text().splitlines()[1:]]

    def test_all_that_providers_know(self) -> None:
        """Guides and schedules of providers are followed beside the operator's own, and linked to the lineup."""
        self.start(epg=("/nowhere/guide.xml",))
        self.assertEqual([status.name for status in self.telling.epg.statuses], ["epg 1", "home"])
        self.assertEqual([status.name for status in self.telling.events.statuses], ["home"])
        self.flushLoggedErrors()
        guides, channel, event = cast(Any, self.linked())
        self.assertEqual(guides, {"guides": {"epg 1": [], "home": ["home"]}})
        self.assertEqual((channel["name"], event["event"]["title"]), ("Channel 1", "Ann vs Bob"))

    def test_another_lineup(self) -> None:
        """A new lineup is linked, and what is known of channels that are gone is forgotten."""
        self.start()
        self.flushLoggedErrors()
        self.reach.good(1)
        self.lineup.lineup = lineup_of(*entries(2))
        self.telling.published()
        self.assertEqual(len(self.linked()), 4)
        self.assertEqual(self.reach.counts(2), {"ok": 0, "failing": 0, "unknown": 2})

    def test_probing_is_asked_for(self) -> None:
        """Channels are tried in the background only where the settings say so."""
        self.start()
        self.flushLoggedErrors()
        self.assertIsNone(self.telling.probing.pace.interval)
        self.telling.configure(Config(probe=True, probe_interval=600.0))
        self.assertEqual(self.telling.probing.pace.interval, 600.0)
