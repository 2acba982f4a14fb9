"""Where the daemon is and what it knows us by: as somebody says, as the environment does, or as its settings do."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from attrs import field, frozen

from iptvd.ctl.given import ENVIRONMENT_FILE, SETTINGS_FILE, Given, look
from iptvd.errors import ConfigError

#: The port and the host of a daemon that nothing is set for.
PORT = 8085
HOME = "127.0.0.1"

_FIELD = re.compile(r"(?:[^:\\]|\\.)*")
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with
#: An address that is nobody's (RFC 5737): to find which of ours leads out; nothing is sent to it.
_OUTSIDE = ("192.0.2.1", 9)


@frozen
class Place:
    """
    A daemon.

    :ivar url: without a slash at its end.
    :ivar token: to manage with, or empty.
    :ivar origin: where the URL comes from, as it is said to people.
    :ivar notes: what could not be looked at, in sentences.
    :ivar public: where others find it.
    """

    url: str
    token: str = field(repr=False)
    origin: str
    notes: tuple[str, ...]
    public: str


def find(
    url: str,
    token: str,
    settings_file: str,
    environ: Mapping[str, str],
    files: tuple[Path, Path] = (SETTINGS_FILE, ENVIRONMENT_FILE),
) -> Place:
    """
    The daemon that is meant.

    :param url: what was said of it, or empty; likewise the token.
    :param files: see `iptvd.ctl.given.look`.
    :raises ConfigError: when what was said makes no sense.
    """
    given = look(environ, settings_file, files)
    origin = "option --url"
    if not url and environ.get("IPTVD_URL"):
        url, origin = environ["IPTVD_URL"], "environment IPTVD_URL"
    public, _ = given.find("public_url") or ("", "")
    if url:
        url = _url(url, origin)
        # What is the local daemon's is not told to another.
        kept = _token(given) if _is_here(url) else environ.get("IPTVD_API_TOKEN", "") or environ.get("API_TOKEN", "")
        return Place(url, token or kept, origin, given.notes, url)
    url, origin, everywhere = _local(given)
    if not (isinstance(public, str) and public.startswith(("http://", "https://"))):
        public = _seen_from_outside(url) if everywhere else url
    return Place(url, token or _token(given), origin, given.notes, public.rstrip("/"))


def _token(given: Given) -> str:
    found, _ = given.find("api_token") or ("", "")
    return found if isinstance(found, str) else ""


def _url(text: str, origin: str) -> str:
    text = text.strip()
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not url.isascii() or not url.isprintable() or set(url) & set(' ?#@\\"<>'):
        raise ConfigError(f"The address ({origin}) must be such as http://192.168.1.10:8085, without user and query.")
    return url.rstrip("/")


def _is_here(url: str) -> bool:
    """Whether a URL leads to this machine, whatever anybody's DNS says."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _local(given: Given) -> tuple[str, str, bool]:
    """The local daemon's address, where that comes from, and whether it listens on all addresses."""
    listen = given.find("listen")
    if listen is not None:
        endpoints = listen[0].split() if isinstance(listen[0], str) else listen[0]
        found = sorted(_endpoints(endpoints if isinstance(endpoints, list) else []))
        if found:
            _, scheme, host, port = found[0]
            return f"{scheme}://{_reached(host)}:{port}", listen[1], host in _EVERYWHERE
    port, port_origin = given.find("port") or (PORT, "")
    host, host_origin = given.find("host") or ("", "")
    number = int(port) if str(port).isascii() and str(port).isdigit() and len(str(port)) < 6 else PORT
    name = host if isinstance(host, str) else ""
    return f"http://{_reached(name)}:{number}", port_origin or host_origin or "default", name in _EVERYWHERE


def _endpoints(descriptions: Sequence[object]) -> Iterator[tuple[int, str, str, int]]:
    """
    What Twisted's endpoint descriptions come to, for those that have a TCP port of their own.

    :return: how near each is (what is plain before TLS, whose name would have to be known), scheme, host and port.
    """
    for rank, text in enumerate(each for each in descriptions if isinstance(each, str)):
        kind, _, rest = text.partition(":")
        plain = kind in ("tcp", "tcp4", "tcp6")
        if not plain and kind not in ("tls", "ssl"):
            continue
        names = iter(("path", "port") if kind == "tls" else ("port",))
        fields: dict[str, str] = {}
        for part in _FIELD.findall(rest):
            # Where nothing was left to match, there is an empty one.
            name, mark, value = part.partition("=")
            if not mark and part:
                name, value = next(names, ""), part
            if name:
                fields[name] = re.sub(r"\\(.)", r"\1", value)
        port = fields.get("port", "443")
        if port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536:
            default = "::1" if kind == "tcp6" else ""
            host = fields.get("interface", default)
            yield (rank if plain else 1000 + rank), "http" if plain else "https", host, int(port)


def _reached(host: str) -> str:
    """By which address this machine reaches what listens there."""
    if host in _EVERYWHERE or host == "localhost":
        return HOME
    host = host.removeprefix("[").removesuffix("]")
    return f"[{host}]" if ":" in host else host


def _seen_from_outside(url: str) -> str:
    """The same by the address that this machine has in its network; as it is where there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_OUTSIDE)
            address = probe.getsockname()[0]
        except OSError:
            return url
    return url.replace(f"//{HOME}:", f"//{address}:", 1)
