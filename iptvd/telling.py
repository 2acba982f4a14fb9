"""All that tells of programmes and events, and which channels can be had, made from the settings and put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.probing import Pace, Probing
from iptvd.epg.guides import GuideSource, Saves, Terms, sources_of
from iptvd.epg.service import EpgService
from iptvd.epg.short import ShortGuides
from iptvd.events import EventService
from iptvd.interfaces import IGuided
from iptvd.lineup_service import LineupService
from iptvd.playing import Playing
from iptvd.reminding import Reminding
from iptvd.settings import Config
from iptvd.store import Offload, RowsFile, make_folder


class Telling(MultiService):
    """
    The parts, for the daemon to start and reconfigure.

    :param rows: gives a file of rows by its path below the state folder, and its kind.
    :param fetcher: gives what fetches a guide.
    :param run: see `iptvd.children.Children.run`.
    :param sliced: see `iptvd.slices.Slicer`.
    """

    def __init__(
        self,
        lineup: LineupService,
        playing: Playing,
        state_dir: Path,
        rows: Callable[[str, str], RowsFile],
        fetcher: Callable[[GuideSource], Saves],
        run: Callable[[Sequence[str]], Awaitable[tuple[int, bytes]]],
        offload: Offload,
        clock: IReactorTime,
        wall: Callable[[], float],
        random: Random,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._lineup = lineup
        self.reach = playing.reach
        self.events = EventService(
            lambda name: rows(f"providers/{name}/events.rows", "events 1"),
            clock,
            wall,
            self._announced,
            random,
        )
        make_folder(state_dir / "epg")
        self.epg = EpgService(
            state_dir / "epg",
            lambda name, kind: rows(f"epg/{name}", kind),
            fetcher,
            run,
            offload,
            clock,
            wall,
            random,
            lambda: lineup.lineup,
            self.events.all,
        )
        self.probing = Probing(
            playing.reach,
            rows("channels.rows", "channels 1"),
            playing.opener,
            playing.slots,
            lambda: lineup.lineup.channels,
            lineup.sources,
            lambda: playing.hub.sessions.values(),
            clock,
            random,
        )
        self.short_guides = ShortGuides(self._providers, wall)
        self.reminding = Reminding(self.events.all, lambda: lineup.lineup, playing.activity, clock, sliced)
        for service in (self.events, self.epg, self.probing, self.reminding):
            service.setServiceParent(self)

    def _announced(self) -> None:
        """Other things are announced."""
        self.epg.relink()
        self.reminding.look()

    def _providers(self) -> Mapping[str, Any]:
        """The providers themselves, by name, in the order of the settings."""
        return {name: runner.provider for name, runner in self._lineup.runners.items()}

    def configure(self, config: Config) -> None:
        """Take on the settings, and the providers that the lineup has now."""
        providers = self._providers()
        self.events.configure(providers, config.events_interval)
        guides = {name: each.guides() for name, each in providers.items() if IGuided.providedBy(each)}
        self.epg.configure(sources_of(config.epg, guides), _terms(config))
        self.probing.pace = Pace(config.probe_interval if config.probe else None)

    def refresh(self) -> None:
        """Look for what is new now."""
        self.events.refresh()
        self.epg.refresh()

    def published(self) -> None:
        """There is another lineup."""
        self.epg.relink()
        self.reach.forget_others(self._lineup.lineup.by_id)


def _terms(config: Config) -> Terms:
    """How guides are taken in."""
    arguments = ("--max-mb", str(config.epg_max_mb), "--days", str(config.epg_days))
    more = ("--past-days", str(config.epg_past_days), "--timezone", config.epg_timezone)
    return Terms(config.epg_interval, (*arguments, *more), config.epg_max_mb << 20)
