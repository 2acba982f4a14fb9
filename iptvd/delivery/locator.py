"""How one thing is asked of an origin: whatever is asked for in the same way is the same thing."""

from __future__ import annotations

from attrs import field, frozen

from iptvd.model import Headers, Source
from iptvd.protocols.socks5 import Proxy


@frozen
class Locator:
    """
    A URL with all that its origin can tell requests apart by.

    :ivar home: scheme and authority of the source it belongs to, which decide whether credentials go along.
    """

    url: str = field(repr=False)
    home: str = field(repr=False)
    headers: Headers = field(repr=False)
    verify_tls: bool
    proxy: Proxy | None = field(default=None, repr=False)

    def to(self, url: str) -> Locator:
        """Another URL, asked for in the same way."""
        return Locator(url, self.home, self.headers, self.verify_tls, self.proxy)


def locate(source: Source, url: str) -> Locator:
    """The locator of a URL that belongs to a source."""
    return Locator(url, "/".join(source.url.split("/", 3)[:3]), source.headers, source.verify_tls, source.proxy)
