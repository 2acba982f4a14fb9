"""The interfaces between the parts: what a provider plugin gives, and what it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from iptvd.model import Entry, Fetched, GuideFile, Headers, Listing, Programme, Schedule, Source


class IFetcher(Interface):
    """HTTP for a provider's own requests: bounded, verified, redirects followed within limits."""

    def get(
        url: str,
        *,
        headers: Headers = (),
        limit: int = 64 * 1024 * 1024,
        timeout: float = 30.0,
        verify_tls: bool = True,
    ) -> Awaitable[Fetched]:
        """
        Fetch a URL whole.

        :param headers: sent as they are; a User-Agent among them replaces ours.
        :param limit: bytes of body (after decoding) beyond which the fetch is given up.
        :param timeout: seconds for all of it.
        :raises ProviderError: ``UNREACHABLE`` when no response came (refused, DNS, TLS, timeout), ``NOT_UNDERSTOOD``
            when the body exceeds ``limit``. An HTTP error status does not raise: look at ``status``.
        """


class IPosts(Interface):
    """A fetcher that can also ask with POST: implemented beside `IFetcher`, as the daemon's does."""

    def post(
        url: str,
        *,
        headers: Headers = (),
        limit: int = 64 * 1024 * 1024,
        timeout: float = 30.0,
        verify_tls: bool = True,
    ) -> Awaitable[Fetched]:
        """
        Ask with POST, without a body; a redirect is not followed.

        :raises ProviderError: as `IFetcher.get` does.
        """


@frozen
class ProviderContext:
    """
    What a provider is given to work with.

    :ivar name: the name this provider has in the settings.
    :ivar clock: for time and delays; never the global reactor.
    :ivar fetcher: for its own requests.
    :ivar state_dir: a folder of its own for what it wants to keep.
    :ivar ffmpeg: path of the ffmpeg to use, empty where there is none.
    :ivar user_agent: the User-Agent sources are to be asked with.
    :ivar sliced: runs an iterator to its end without blocking the reactor: at most 5 ms of it a turn. Each step must
        be short.
    :ivar run: runs a program at low priority to its end and gives its exit status and the last 4 KiB it wrote to
        standard error; cancelling ends the program.
    """

    name: str
    clock: IReactorTime
    fetcher: IFetcher
    state_dir: Path
    ffmpeg: str
    user_agent: str
    sliced: Callable[[Iterator[object]], Awaitable[None]]
    run: Callable[[Sequence[str]], Awaitable[tuple[int, bytes]]]


class IProvider(Interface):
    """A place that channels come from."""

    def fetch() -> Awaitable[Listing | None]:
        """
        Everything there is to watch now, or None when that is what the last fetch of this object gave.

        Called again and again over months; nothing is lost when it fails.

        :raises ProviderError: with the state health then shows, and a sentence without secrets or URLs.
        """

    def resolve(entry: Entry) -> Awaitable[Sequence[Source]]:
        """
        The ways to get one entry, best first; never empty.

        The entry may come from an earlier run, kept on disk.

        :raises ProviderError: when there is none.
        """


class IRenews(Interface):
    """A provider whose sources stop working before their time: implemented beside `IProvider`."""

    def forget(entry: Entry) -> None:
        """Resolve this entry anew when it is asked for next: an origin has refused what was resolved last."""


class IScheduled(Interface):
    """A provider that announces events: implemented beside `IProvider`."""

    def schedule() -> Awaitable[Schedule]:
        """
        What is announced now.

        :raises ProviderError: as `IProvider.fetch` does; what was announced before stays.
        """


class IGuided(Interface):
    """A provider that has a guide of its channels: implemented beside `IProvider`."""

    def guides() -> Sequence[GuideFile]:
        """Where its guides are, possibly nowhere; what they list goes by the tvg-ids of its entries."""


class IShortGuide(Interface):
    """A provider that tells what one channel shows next: implemented beside `IProvider`."""

    def programmes(entry: Entry) -> Awaitable[Sequence[Programme]]:
        """
        The next few programmes, the one that is on first; empty when none are known.

        :raises ProviderError: when it cannot be told.
        """


class IArchive(Interface):
    """A provider that has what was shown before: implemented beside `IProvider`."""

    def archive(entry: Entry, start: float, duration: float) -> Awaitable[Sequence[Source]]:
        """
        The ways to get what a channel showed, best first; never empty.

        :param start: seconds since the epoch.
        :param duration: seconds.
        :raises ProviderError: when there is none, with why.
        """


class IStore(Interface):
    """Where what the API is told to keep is kept: JSON objects, by kind and name."""

    def load() -> Mapping[str, Mapping[str, Mapping[str, object]]]:
        """
        Everything there is, by kind and then by name; called once, before anybody is served.

        :raises StoreError: when it cannot be read; what is there stays as it is.
        """

    def put(kind: str, name: str, value: Mapping[str, object]) -> Awaitable[None]:
        """
        Keep an object in place of what has its name; it is safe when this is done.

        :raises StoreError: with why it could not be kept; what was there stays.
        """

    def remove(kind: str, name: str) -> Awaitable[None]:
        """
        Forget an object, or do nothing where there is none.

        :raises StoreError: likewise.
        """


class IProviderMaker(IPlugin):
    """The plugin: makes providers of one kind from their settings."""

    kind: str = Attribute("What follows ``--provider``: lower-case letters, digits and underscores.")
    summary: str = Attribute("One line for the list of what there is.")
    settings: type = Attribute(
        """
        The attrs class of this kind's own settings, fields with defaults. ``metadata["help"]`` describes a field in a
        sentence, ``metadata["secret"]`` is true for what must never be printed. Validators raise `ValueError` with
        what would be right.
        """
    )

    def settings_from_argument(argument: str) -> Mapping[str, object]:
        """
        Settings, by field name, out of what follows ``--provider KIND:``; empty when nothing does.

        :raises ConfigError: when the argument makes no sense.
        """

    def make(settings: object, context: ProviderContext) -> IProvider:
        """A provider with these settings (an instance of ``settings``), which are complete and valid by themselves."""
