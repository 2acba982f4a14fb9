"""URLs of origins, taken apart for a request, and redirects resolved against them (RFC 3986, RFC 9110)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote, unquote, urldefrag, urljoin

from attrs import field, frozen

from iptvd.errors import ProtocolError
from iptvd.protocols.socks5 import Proxy

#: The longest URL, and the longest Location, in characters: what RFC 9110 section 4.1 asks everyone to take.
MAX_URL = 8192

_DEFAULT_PORTS = {"http": 80, "https": 443}

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.ASCII)
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")

# What may not stand in a path or a query: all but pchar, "/" and "?" (RFC 3986 sections 3.3 and 3.4), and a percent
# sign that does not start an escape.
_TO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]+")


@frozen
class Target:
    """
    Where a request goes, and what it asks for.

    :ivar scheme: ``http`` or ``https``.
    :ivar host: lower case; an IDNA name in its ASCII form, an IPv6 address without brackets.
    :ivar target: path and query for the request line, ASCII, never empty.
    :ivar host_header: what the Host header says: the port only when it is not the scheme's own.
    :ivar userinfo: user and password, percent-decoded, or None when the URL has none.
    :ivar proxy: through which it goes, or None; no part of a URL.
    """

    scheme: str
    host: str = field(repr=False)
    port: int
    target: str = field(repr=False)
    host_header: str = field(repr=False)
    userinfo: tuple[str, str] | None = field(default=None, repr=False)
    proxy: Proxy | None = field(default=None, repr=False)


def split_url(url: str) -> Target:
    """
    Take an http or https URL apart; its fragment is dropped.

    Spaces, non-ASCII (as UTF-8) and whatever else may not stand in a path or a query are percent-encoded; escapes
    that are there stay as they are.

    :raises ProtocolError: for another scheme, a bad host or port, control characters, or more than `MAX_URL`
        characters.
    """
    url = url.strip(" ")
    if len(url) > MAX_URL:
        raise ProtocolError(f"The URL is longer than {MAX_URL} characters: shorten it.")
    if _CONTROLS.search(url):
        raise ProtocolError("The URL contains control characters: remove line breaks and the like from it.")
    found = _URL.fullmatch(url)
    if found is None:
        raise ProtocolError("The URL is not an http or https URL: it has to start with http:// or https://.")
    scheme = found[1].lower()
    userinfo, _, host_and_port = found[2].rpartition("@")
    # Others read a backslash as a slash (and so another host out of what follows it): nothing good has one here.
    authority = None if "\\" in userinfo else _HOST_AND_PORT.fullmatch(host_and_port)
    if authority is None:
        raise ProtocolError("The URL's host and port are malformed: it has to look like http://host:port/path.")
    host = _host(authority[1])
    port = int(authority[2] or _DEFAULT_PORTS[scheme])
    if not 1 <= port <= 65535:
        raise ProtocolError("The URL's port is out of range: it has to be from 1 to 65535.")
    shown = f"[{host}]" if ":" in host else host
    user, _, password = userinfo.partition(":")
    return Target(
        scheme,
        host,
        port,
        target=_escaped(found[3] or "/") + _escaped(found[4] or ""),
        host_header=shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}",
        userinfo=(unquote(user), unquote(password)) if userinfo else None,
    )


def resolve_redirect(base_url: str, location: str) -> str:
    """
    The absolute URL that a Location header leads to (RFC 9110 section 10.2.2), without its fragment.

    :param base_url: the URL that was asked for.
    :param location: the header's value, relative, scheme-relative or absolute, decoded as latin-1 as headers are.
    :raises ProtocolError: when it does not lead to an http or https URL that `split_url` takes.
    """
    location = location.strip(" \t")
    if not location:
        raise ProtocolError("The origin redirects without saying where to: use another source.")
    if len(location) > MAX_URL:
        raise ProtocolError(f"The origin redirects to a URL of more than {MAX_URL} characters: use another source.")
    if _CONTROLS.search(location):
        raise ProtocolError("The origin redirects to a URL with control characters in it: use another source.")
    split_url(base_url)
    try:
        url = urldefrag(urljoin(base_url.strip(" "), _read_as_utf8(location))).url
    except ValueError as error:
        raise ProtocolError("The origin redirects to a malformed URL: use another source.") from error
    split_url(url)
    return url


def same_origin(a: str, b: str) -> bool:
    """
    Whether two URLs have scheme, host and port in common, so that credentials for one may go to the other.

    :raises ProtocolError: when `split_url` does not take one of them.
    """
    one, other = split_url(a), split_url(b)
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _host(text: str) -> str:
    """The host of an authority: an IPv6 literal in brackets, an IPv4 address or a name."""
    if text.startswith("["):
        try:
            address = IPv6Address(text[1:-1])
        except AddressValueError as error:
            raise ProtocolError("The URL's IPv6 address is malformed: it has to look like [2001:db8::1].") from error
        if address.scope_id is not None:
            raise ProtocolError("The URL's IPv6 address has a zone: use an address that needs none.")
        return str(address)
    name = text.lower()
    # The codec's own work grows with the square of the length: bound it first. No valid name is longer (RFC 1035).
    if not name.isascii() and len(name) <= 253:
        try:
            name = name.encode("idna").decode("ascii").lower()
        except UnicodeError as error:
            raise ProtocolError("The URL's host is not a valid internationalised name: correct it.") from error
    if len(name) > 254 or not _HOST.fullmatch(name):
        raise ProtocolError("The URL's host is not a valid name or address: correct it.")
    return name


def _escaped(text: str) -> str:
    try:
        return _TO_ESCAPE.sub(lambda found: quote(found[0], safe=""), text)
    except UnicodeEncodeError as error:
        raise ProtocolError("The URL contains characters that are not Unicode text: correct it.") from error


def _read_as_utf8(text: str) -> str:
    """A header's text read as UTF-8 where its bytes are that: origins send file names so, unescaped."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
