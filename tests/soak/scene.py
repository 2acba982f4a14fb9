"""
What the soak plays: a daemon with providers of every form, and the origins behind them.

``east`` and ``west`` have the same channels and die and come back by turns; ``steady`` has no faults but those that
its URLs ask for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import define, frozen

import tests
from tests.daemon.client import wait_for
from tests.daemon.playing import Own, Playing, own_channels
from tests.daemon.test_switching import playlist
from tests.simulators.media import Media, make_media
from tests.simulators.running import OriginProcess
from tests.soak import census

PROJECT = Path(tests.__file__).parent.parent

#: The channels that the players play all the time: one as it comes, one that we cut into HLS.
SEEN, CUT = "Seen", "Cut"
#: How the other channels that have two sources fail on each connection, in the east and in the west.
PAIRS: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
    "Reset": ({"reset_after": 1_400_000}, {"reset_after": 2_000_000}),
    "Ended": ({"die_after": 1_700_000}, {"die_after": 1_200_000}),
    "Stalled": ({"stall_after": 1_500_000}, {"stall_after": 2_500_000}),
    "Trickling": ({"drip": 4000}, {}),
    "Refused": ({"status": 503}, {"die_after": 2_000_000}),
    "Faultless": ({}, {}),
}
#: HLS channels of the steady origin: fMP4 goes through ffmpeg when it is watched as one stream.
SETS = ("plain", "aes", "fmp4", "multi")
#: Connections of the provider that has a limit, and its live channels.
LIMIT = 3
LIMITED = ("One", "Two", "Three", "Four", "Five")
#: Films: one that is small and whole, one whose origin drops it again and again, one of a gigabyte.
FILM, DROPPED, BIG = "Film", "Dropped film", "Big film"

_SETTINGS = "merge_by_tvg_id = true\nslow_timeout = 8\nclient_timeout = 20\n"


@define
class Origin:
    """
    An origin that can die and come back where it was.

    :ivar deaths: how often it was killed.
    """

    media: Media
    folder: Path
    running: OriginProcess
    deaths: int = 0
    frozen: bool = False

    def kill(self) -> None:
        """End it with SIGKILL: its connections are cut."""
        self.running.kill()
        self.running.close()
        self.deaths += 1

    def revive(self) -> None:
        """Start it again on its port, where it has stopped."""
        if self.running.status() is not None:
            self.running = OriginProcess(self.media, self.folder, self.running.port).start()

    def freeze(self) -> None:
        """Have all its connections fall silent."""
        os.kill(self.running.pid, signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        if self.frozen and self.running.status() is None:
            os.kill(self.running.pid, signal.SIGCONT)
        self.frozen = False

    def close(self) -> None:
        """End it."""
        self.thaw()
        self.running.close()


@frozen
class Choice:
    """
    A channel that viewers choose.

    :ivar path: of the form that its provider has.
    :ivar mortal: whether its origins fail, so that it may be gone now and then.
    :ivar limited: whether its provider has a limit, so that it may be refused.
    """

    name: str
    path: str
    mortal: bool = False
    limited: bool = False

    def fits(self, status: int) -> bool:
        """Whether this answer is right."""
        allowed = {200, 206}
        allowed |= {503} if self.limited else set()
        allowed |= {502, 503, 504} if self.mortal else set()
        return status in allowed

    def as_form(self, extension: str) -> str:
        """Its path in another form, ``ts`` or ``m3u8``."""
        return self.path.rpartition(".")[0] + "." + extension


@frozen
class Scene:
    """Everything that there is."""

    daemon: Playing
    media: Media
    east: Origin
    west: Origin
    steady: Origin
    choices: Mapping[str, Choice]
    census: Path

    @property
    def origins(self) -> tuple[Origin, ...]:
        """All three."""
        return self.east, self.west, self.steady


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Put all of it up in ``folder``, and take it down in the end."""
    media = make_media(folder / "media")
    with ExitStack() as stack:
        origins = []
        for name in ("east", "west", "steady"):
            place = folder / name
            origins.append(Origin(media, place, OriginProcess(media, place).start()))
            stack.callback(origins[-1].close)
        east, west, steady = origins
        text = _SETTINGS + _pairs(folder, east.running, west.running) + _limited(steady.running)
        counting = census.prepare(folder / "census", PROJECT)
        own = _own(steady.running, east.running)
        expected = len(PAIRS) + 2 + len(LIMITED) + 1 + len(own)
        place = folder / "daemon"
        place.mkdir()
        daemon = stack.enter_context(Playing(place, toml=text + own_channels(own), environment=counting))
        wait_for(lambda: len(daemon.channels()) == expected, what=f"{expected} channels; see {daemon.log}")
        mortal = {*PAIRS, SEEN, CUT, DROPPED, "East HLS"}
        choices = {
            name: Choice(name, path, mortal=name in mortal, limited=name.startswith("Limited"))
            for name, path in daemon.channels().items()
        }
        yield Scene(daemon, media, east, west, steady, choices, Path(counting[census.VARIABLE]))


def _pairs(folder: Path, east: OriginProcess, west: OriginProcess) -> str:
    """Two lists of the same channels, whose sources differ in all but their codecs."""
    first = {name: east.at(f"/live/{name}.ts", **knobs) for name, (knobs, _) in PAIRS.items()}
    second = {name: west.at("/live/other.ts", **knobs) for name, (_, knobs) in PAIRS.items()}
    for name in (SEEN, CUT):
        first[name] = east.at(f"/live/{name}.ts")
        second[name] = west.at("/live/other.ts")
    text = ""
    for name, entries in (("east", first), ("west", second)):
        (folder / f"{name}.m3u").write_text(playlist(entries))
        text += f'[[provider]]\nkind = "m3u"\nname = "{name}"\nurl = "{folder / name}.m3u"\n'
    return text


def _limited(steady: OriginProcess) -> str:
    """A provider with more channels than connections."""
    channels = [Own(f"Limited {name}", steady.at(f"/live/{name}.ts")) for name in LIMITED]
    channels.append(Own("Limited film", steady.at("/vod/big.ts"), 'form = "vod"'))
    head = f'[[provider]]\nkind = "channels"\nname = "limited"\nmax_connections = {LIMIT}\n'
    return head + "".join(channel.toml for channel in channels)


def _own(steady: OriginProcess, east: OriginProcess) -> list[Own]:
    """Channels of every other form."""
    channels = [Own(f"{name} HLS", steady.at(f"/hls-live/{name}/index.m3u8")) for name in SETS]
    channels.append(Own("East HLS", east.at("/hls-live/plain/index.m3u8")))
    channels.append(Own("Stuffed", steady.at("/live/film.ts", mbit=4)))
    channels.append(Own("Sound", steady.at("/live/audio.ts")))
    channels.append(Own(FILM, steady.at("/vod/film.mp4"), 'form = "vod"'))
    channels.append(Own(DROPPED, steady.at("/vod/dropped/film.mp4", die_after=400_000), 'form = "vod"'))
    channels.append(Own(BIG, steady.at("/vod/big.ts"), 'form = "vod"'))
    return channels
