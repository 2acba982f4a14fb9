"""A daemon whose channels lead to the origin, and what tests of playing ask of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from tests.daemon.client import PATIENCE, wait_for
from tests.daemon.harness import Daemon
from tests.daemon.judges import Decoded, Probed, decode, probe
from tests.daemon.launch import stream_ids

_SAMPLE = re.compile(r'^(\w+)(?:\{(?:\w+="([^"]*)")?.*\})? (\S+)$', re.MULTILINE)


@frozen
class Own:
    """
    A channel of the operator's own, as it is written in TOML.

    :ivar more: further lines of its table.
    """

    name: str
    url: str = ""
    more: str = ""

    @property
    def toml(self) -> str:
        """Its table."""
        url = f"url = {json.dumps(self.url)}\n" if self.url else ""
        return f"[[provider.channel]]\nname = {json.dumps(self.name)}\n{url}{self.more}\n"


def own_channels(channels: Iterable[Own]) -> str:
    """The provider ``own`` with these channels, as TOML."""
    return '\n[[provider]]\nkind = "channels"\nname = "own"\n' + "".join(channel.toml for channel in channels)


@frozen
class Watched:
    """What a player found a channel to be, and what it made of it."""

    probed: Probed
    decoded: Decoded

    def assert_plays(self, codecs: Sequence[str] = ("h264", "aac"), seconds: float = 1.0) -> None:
        """It has these codecs, and so many seconds of it were decoded without a fault."""
        assert sorted(set(self.probed.codecs)) == sorted(codecs), self
        assert (self.decoded.corrupt, self.decoded.errors) == (0, 0), self
        assert self.decoded.seconds >= seconds, self
        assert self.decoded.samples >= 0.8 * seconds * self.probed.sample_rate > 0, self
        if "h264" in codecs:
            assert self.decoded.pictures >= 20 * seconds, self


def watch(url: str, seconds: float = 2.5) -> Watched:
    """Let players look at a URL: what it is, and then what is in it."""
    return Watched(probe(url), decode(url, seconds))


def watch_all(urls: Mapping[str, str], seconds: float = 2.5) -> dict[str, Watched]:
    """All of these at the same time, each by players of its own."""
    with ThreadPoolExecutor(len(urls)) as pool:
        return dict(zip(urls, pool.map(lambda url: watch(url, seconds), urls.values()), strict=True))


class Playing(Daemon):
    """A daemon with channels."""

    def channels(self, query: str = "") -> dict[str, str]:
        """Its playlist now: by the channel's name, the path at which it is played."""
        names = stream_ids(self.get(f"/playlist.m3u8{query}").text)
        return {name: f"/stream/{rest}" for name, rest in names.items()}

    def path_of(self, name: str) -> str:
        """The path of one channel."""
        return self.channels()[name]

    def url_of(self, name: str) -> str:
        """The URL of one channel."""
        return self.url + self.path_of(name)

    def samples(self) -> dict[tuple[str, str], float]:
        """The metrics: by name and the value of the first label."""
        found = _SAMPLE.findall(self.get("/metrics").text)
        return {(name, label): float(value) for name, label, value in found}

    def outcomes(self) -> Counter[str]:
        """How sessions ended so far."""
        samples = self.samples()
        name = "iptvd_session_outcomes_total"
        return Counter({label: int(value) for (sample, label), value in samples.items() if sample == name and value})

    def active(self) -> int:
        """How many sessions there are."""
        value = self.get("/health").json()
        assert isinstance(value, dict)
        return int(value["total_active_streams"])

    def wait_for_active(self, count: int, timeout: float = PATIENCE) -> None:
        """Wait until there are so many sessions."""
        wait_for(lambda: self.active() == count, timeout, f"{count} sessions")

    def wait_for_rest(self, name: str, timeout: float = PATIENCE) -> None:
        """Wait until a shared channel is not on any more."""
        wait_for(lambda: name not in self._on_air(), timeout, f"the end of the broadcast of {name}")

    def _on_air(self) -> list[str]:
        detailed = self.get("/health/detailed").json()
        assert isinstance(detailed, dict)
        return [each["channel"] for each in detailed["broadcasts"]]

    def outcome_of(self, before: Counter[str], timeout: float = PATIENCE) -> str:
        """
        Wait for the one session that ended since ``before``, and tell how.

        :raises AssertionError: when it was not one.
        """
        new = wait_for(lambda: self.outcomes() - before, timeout, "the outcome of a session")
        assert new.total() == 1, new
        return next(iter(new))

    def assert_balanced(self) -> None:
        """Every session that began either goes on or has exactly one outcome; what was refused never began."""
        sums: Counter[str] = Counter()
        for (name, label), value in self.samples().items():
            if label != "refused":
                sums[name] += int(value)
        ended, active = sums["iptvd_session_outcomes_total"], sums["iptvd_sessions_active"]
        assert sums["iptvd_sessions_started_total"] == ended + active


@contextmanager
def playing(
    folder: Path,
    channels: Iterable[Own] = (),
    *arguments: str,
    toml: str = "",
    environment: Mapping[str, str] | None = None,
    expected: int | None = None,
) -> Iterator[Playing]:
    """
    A daemon, up and with its channels, that at the end has logged no traceback.

    :param toml: plain settings, and providers besides the one of ``channels``.
    :param expected: how many channels there are to be, by default those given.
    """
    given = list(channels)
    folder.mkdir(parents=True, exist_ok=True)
    text = toml + (own_channels(given) if given else "")
    with Playing(folder, *arguments, toml=text, environment=environment) as daemon:
        wanted = len(given) if expected is None else expected
        wait_for(lambda: len(daemon.channels()) == wanted, what=f"{wanted} channels; see {daemon.log}")
        yield daemon
        log = daemon.log_text()
    assert "Traceback (most recent call last)" not in log, log[-5000:]
    assert "Unhandled" not in log, log[-5000:]
