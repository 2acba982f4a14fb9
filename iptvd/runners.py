"""What keeps each provider's entries, made from the settings; where nothing has changed for a provider, it stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from twisted.internet.interfaces import IReactorTime

from iptvd.errors import ConfigError, IptvdError
from iptvd.interfaces import IProvider, ProviderContext
from iptvd.model import ProviderState
from iptvd.protocols.socks5 import Proxy
from iptvd.proxies import Fetchers
from iptvd.refresh import ProviderRunner, ProviderStatus
from iptvd.settings import Config, Loaded, ProviderSpec
from iptvd.store import RowsFile, make_folder

_Terms = tuple[ProviderSpec, float, Proxy | None]


class Runners:
    """
    Makes them.

    :param rows: gives a file of rows by its path below the state folder, and its kind.
    :param run: see `iptvd.children.Children.run`.
    :param ffmpeg: the program's path, or empty.
    :param sliced: see `iptvd.slices.Slicer`.
    :param changed: see `iptvd.refresh.ProviderRunner`, as of ``refreshed``.
    :param built_in: providers that are always there, by name; they keep what they list themselves.
    """

    def __init__(
        self,
        state_dir: Path,
        fetchers: Fetchers,
        rows: Callable[[str, str], RowsFile],
        run: Callable[[Sequence[str]], Awaitable[tuple[int, bytes]]],
        ffmpeg: str,
        clock: IReactorTime,
        wall: Callable[[], float],
        random: Random,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        changed: Callable[[], None],
        refreshed: Callable[[str, ProviderState], None],
        built_in: Mapping[str, IProvider] | None = None,
    ) -> None:
        self._built_in = dict(built_in or {})
        self._state_dir = state_dir
        self._fetchers = fetchers
        self._rows = rows
        self._run = run
        self._ffmpeg = ffmpeg
        self._clock = clock
        self._wall = wall
        self._random = random
        self._sliced = sliced
        self._changed = changed
        self._refreshed = refreshed
        self._present: dict[str, tuple[_Terms, ProviderRunner]] = {}

    def configure(self, loaded: Loaded) -> dict[str, ProviderRunner]:
        """
        The runner of each provider that is enabled, and then of those that are always there.

        It is the one there is, where nothing has changed for it.

        :raises IptvdError: when one cannot be made; those there are stay then.
        """
        config = loaded.config
        made: dict[str, tuple[_Terms, ProviderRunner]] = {}
        for spec in (*config.providers, *(ProviderSpec(name, name, None) for name in self._built_in)):
            if spec.name in made:
                raise ConfigError(f'There is a provider of our own with the name "{spec.name}": give yours another.')
            if spec.enabled:
                terms = _terms(config, spec)
                present = self._present.get(spec.name)
                if present is None or present[0] != terms:
                    present = terms, self._runner(loaded, *terms)
                made[spec.name] = present
        self._present = made
        return {name: runner for name, (_, runner) in made.items()}

    def _runner(self, loaded: Loaded, spec: ProviderSpec, interval: float, proxy: Proxy | None) -> ProviderRunner:
        built_in = self._built_in.get(spec.name)
        if built_in is not None:
            return self._keeping(spec, built_in, None, interval, proxy)
        folder = self._state_dir / "providers" / spec.name
        make_folder(folder)
        context = ProviderContext(
            name=spec.name,
            clock=self._clock,
            fetcher=self._fetchers.through(proxy),
            state_dir=folder,
            ffmpeg=self._ffmpeg,
            user_agent=spec.user_agent or loaded.config.user_agent,
            sliced=self._sliced,
            run=self._run,
        )
        file = self._rows(f"providers/{spec.name}/lineup.rows", "entries 1")
        return self._keeping(spec, _made(loaded, spec, context), file, interval, proxy)

    def _keeping(
        self, spec: ProviderSpec, provider: IProvider, file: RowsFile | None, interval: float, proxy: Proxy | None
    ) -> ProviderRunner:
        return ProviderRunner(
            ProviderStatus(spec.name, spec.kind),
            provider,
            file,
            self._clock,
            self._wall,
            interval,
            self._changed,
            self._refreshed,
            self._random,
            proxy,
        )


def _terms(config: Config, spec: ProviderSpec) -> _Terms:
    """What a runner is made from: another one is needed when this changes."""
    return spec, spec.refresh_interval or config.refresh_interval, config.proxy_of(spec.name)


def _made(loaded: Loaded, spec: ProviderSpec, context: ProviderContext) -> IProvider:
    """
    The provider itself, made by its plugin.

    :raises ConfigError: when the plugin fails; what it says may hold its settings, so only the kind of error is told.
    """
    try:
        return loaded.found.makers[spec.kind].make(spec.settings, context)
    except IptvdError:
        raise
    except Exception as error:
        raise ConfigError(
            f'The provider "{spec.name}" cannot be set up: its plugin {spec.kind} raised {type(error).__name__}.'
        ) from None
