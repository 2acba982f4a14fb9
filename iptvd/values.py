"""The forms of a setting's value: each reads text or a TOML value, bounded, and says in words what would be right."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Generic, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from attrs import frozen

from iptvd.errors import ProtocolError
from iptvd.model import SHARING_MODES
from iptvd.protocols.socks5 import Proxy, read_proxy
from iptvd.protocols.urls import split_url

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Characters of one text, and entries of one list, that a setting can have.
LONGEST = 4096
MOST = 1000

_WHOLE = re.compile(r"[+-]?[0-9]{1,15}")
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{0,9})?)\s*(ms|s|m|h|d)?")
#: The longest time in seconds that anything can be set to.
_YEAR = 366 * 86400.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){0,20}")
_ENDPOINT = re.compile(r"[A-Za-z][A-Za-z0-9+_-]*:[^\s]+")
_TCP_PORT = re.compile(r"tcp[46]?:(?:port=)?([0-9]{1,5})(?::.*)?")

_YES = {"true", "yes", "on", "1"}
_NO = {"false", "no", "off", "0"}

#: The log levels, and what other programs call them.
_LEVELS = {name: name for name in ("debug", "info", "warn", "error", "critical")} | {
    "trace": "debug",
    "warning": "warn",
    "fatal": "critical",
}


class NoProxy(Enum):
    """Said in the place of a proxy: there is to be none."""

    NONE = "none"


@frozen
class Form(Generic[T_co]):
    """
    One form of value.

    :ivar right: what fits after "must be": ``a whole number from 0 to 9``.
    :ivar from_text: reads it as an option or the environment has it.
    :ivar from_toml: reads it as TOML has it. Both raise `ValueError`, whose text is of no use to a user.
    """

    right: str
    from_text: Callable[[str], T_co]
    from_toml: Callable[[object], T_co]


def _wrong() -> ValueError:
    return ValueError("not of this form")


def _of_text(right: str, read: Callable[[str], T]) -> Form[T]:
    """A form that is a text in TOML too."""

    def from_toml(value: object) -> T:
        if not isinstance(value, str):
            raise _wrong()
        return read(value)

    return Form(right, read, from_toml)


def _clean(text: str) -> str:
    if len(text) > LONGEST or not text.isprintable():
        raise _wrong()
    return text


def _address(text: str) -> str:
    text = text.strip()
    if text.lower() == "localhost":
        return "localhost"
    if not text:
        return ""
    return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))


def _http_url(text: str) -> str:
    text = _clean(text.strip())
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or " " in text:
        raise _wrong()
    if "@" in parts.netloc or parts.query or parts.fragment or "\\" in text:
        raise _wrong()
    return text.rstrip("/")


def _guide(text: str) -> str:
    text = _clean(text.strip())
    if "://" not in text:
        return str(_full_path(text))
    if " " in text:
        raise _wrong()
    try:
        split_url(text)
    except ProtocolError:
        raise _wrong() from None
    return text


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):
        raise _wrong() from None
    return text


def _endpoint(text: str) -> str:
    _clean(text)
    if not _ENDPOINT.fullmatch(text):
        raise _wrong()
    if text.startswith(("tcp:", "tcp4:", "tcp6:")):
        port = _TCP_PORT.fullmatch(text)
        if port is None or int(port[1]) > 65535:
            raise _wrong()
    return text


def _host_name(text: str) -> str:
    name = text.strip().lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        if not _HOST_NAME.fullmatch(name):
            raise
    return name


def _path(text: str) -> Path:
    if not _clean(text):
        raise _wrong()
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise _wrong() from None


def _path_from_anywhere(text: str) -> Path:
    return _path(text).absolute()


def _full_path(text: str) -> Path:
    # A file of settings has no folder of its own that everybody would agree on: relative paths in it are refused.
    path = _path(text)
    if not path.is_absolute():
        raise _wrong()
    return path


def _level(text: str) -> str:
    level = _LEVELS.get(text.strip().lower())
    if level is None:
        raise _wrong()
    return level


def _sharing(text: str) -> str:
    word = text.strip().lower()
    if word not in SHARING_MODES:
        raise _wrong()
    return word


def _socks5(text: str) -> Proxy | NoProxy:
    text = _clean(text.strip())
    if text.lower() in ("none", "direct"):
        return NoProxy.NONE
    scheme, separator, place = text.partition("://")
    return read_proxy(place if separator and scheme.lower() in ("socks5", "socks5h") else text)


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise _wrong()
    return word in _YES


def _flag_from_toml(value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong()
    return value


def _header_value(text: str) -> str:
    text = _clean(text.strip())
    if len(text) > 512 or not text.isascii():
        raise _wrong()
    return text


def whole(least: int, most: int) -> Form[int]:
    """A whole number."""

    def from_toml(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _wrong()
        return value

    def from_text(text: str) -> int:
        if not _WHOLE.fullmatch(text.strip()):
            raise _wrong()
        return from_toml(int(text))

    return Form(f"a whole number from {least} to {most}", from_text, from_toml)


def seconds(least: float, most: float = _YEAR) -> Form[float]:
    """A time in seconds, or with a unit: ``10s``, ``5m``, ``4h``."""

    def bounded(value: float) -> float:
        if not (math.isfinite(value) and value > 0 and least <= value <= most):
            raise _wrong()
        return value

    def from_text(text: str) -> float:
        found = _DURATION.fullmatch(text.strip())
        if found is None:
            raise _wrong()
        return bounded(float(found[1]) * _UNITS[found[2] or "s"])

    def from_toml(value: object) -> float:
        if isinstance(value, str):
            return from_text(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong()
        try:
            return bounded(float(value))
        except OverflowError:
            raise _wrong() from None

    limit = f"at least {least:g} s" if least else "more than 0"
    if most < _YEAR:
        limit += f", at most {most:g} s"
    return Form(f'a time in seconds, or such as "10s", "5m" or "4h": {limit}', from_text, from_toml)


def many(item: Callable[[str], T], right: str) -> Form[tuple[T, ...]]:
    """A list: separated by whitespace as text, of texts in TOML."""

    def read(items: Iterable[object]) -> tuple[T, ...]:
        found: list[T] = []
        for each in items:
            if not isinstance(each, str) or len(found) == MOST:
                raise _wrong()
            found.append(item(each))
        return tuple(found)

    def from_toml(value: object) -> tuple[T, ...]:
        if not isinstance(value, list | tuple):
            raise _wrong()
        return read(value)

    return Form(right, lambda text: read(text.split()), from_toml)


TEXT = _of_text("a text without control characters", _clean)
YES_NO = Form("true or false", _flag, _flag_from_toml)
LOG_LEVEL = _of_text("one of debug, info, warn, error, critical", _level)
SHARING = _of_text(f"one of {', '.join(SHARING_MODES)}", _sharing)
SOCKS5 = _of_text("host:port or user:password@host:port of a SOCKS5 proxy, or none", _socks5)
ADDRESS = _of_text("an IP address to listen on, or localhost", _address)
HTTP_URL = _of_text("a URL such as https://tv.example.com/prefix, without user, password and query", _http_url)
HEADER_VALUE = _of_text("a text of at most 512 printable ASCII characters", _header_value)
FOLDER = Form("the full path of a folder", _path_from_anywhere, _of_text("", _full_path).from_toml)
ENDPOINTS = many(_endpoint, "Twisted endpoints such as tcp:8085, tcp:8085:interface=127.0.0.1 or unix:/run/tv.sock")
HOST_NAMES = many(_host_name, "host names such as tv.example.com, without scheme and port")
NETWORKS: Form[tuple[Network, ...]] = many(ipaddress.ip_network, "networks such as 192.168.0.0/24, or IP addresses")
# Kept as they come: the folder that a relative one means would depend on where the daemon was started.
FOLDERS = many(_path, "full paths of folders")
GUIDES = many(_guide, "http or https URLs, or full paths of files")
TIME_ZONE = _of_text("a time zone such as Europe/London or UTC", _time_zone)


def _of_enum(kind: type[Enum]) -> Form[object]:
    names = ", ".join(str(member.value) for member in kind)
    return _of_text(f"one of {names}", lambda value: kind(value.strip().lower()))


def _of_choice(choices: tuple[object, ...]) -> Form[object]:
    by_text = {str(choice): choice for choice in choices}

    def from_text(value: str) -> object:
        if value.strip() not in by_text:
            raise _wrong()
        return by_text[value.strip()]

    return Form(f"one of {', '.join(by_text)}", from_text, lambda value: from_text(str(value)))


def _not_as_text(_text: str) -> object:
    raise _wrong()


def _texts(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or len(value) > MOST:
        raise _wrong()
    if not all(isinstance(part, str) and _clean(part) == part for pair in value.items() for part in pair):
        raise _wrong()
    return dict(value)


def _number_from_toml(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong()
    return float(value)


def _number(text: str) -> float:
    return _number_from_toml(float(text))


_TABLE: Form[object] = Form("a table of texts, in the settings file", _not_as_text, _texts)
_PLAIN: Mapping[object, Form[object]] = {
    str: TEXT,
    bool: YES_NO,
    int: whole(-(2**53), 2**53),
    float: Form("a number", _number, _number_from_toml),
    Path: FOLDER,
}


def form_of(hint: object) -> Form[object] | None:
    """The form of a provider's own setting, by the type its class gives it; None for a type that is not known here."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        left = [each for each in arguments if each is not NoneType]
        return form_of(left[0]) if len(left) == 1 else None
    if origin is Literal:
        return _of_choice(arguments)
    if origin is tuple and arguments == (str, ...):
        return many(_clean, "a list of texts")
    if isinstance(origin, type) and issubclass(origin, Mapping) and arguments == (str, str):
        return _TABLE
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _of_enum(hint)
    return _PLAIN.get(hint)
