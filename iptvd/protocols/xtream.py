"""
What an Xtream panel answers, turned into entries.

Panels are PHP: an empty object comes as ``[]``, a list with a gap as an object, a number as a string, and what they do
not have as null, as an empty string or not at all. What can be meant is taken; a row without a usable id is left out
and counted. The functions that go through a whole reply are generators which do a few dozen rows a step.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from typing import TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from iptvd.errors import ConfigError, ProtocolError, ProviderError
from iptvd.model import Account, ChannelKind, Entry, ProviderState, SourceKind
from iptvd.protocols.jsonstream import items

#: One thing in a reply, as it came.
Row = Mapping[str, object]

#: Rows done in one step: less than a millisecond of work.
ROWS_A_STEP = 32

#: Rows taken of one reply; what comes after them is counted as left out.
MOST_ROWS = 250_000

LONGEST_NAME = 200

#: Days of catch-up beyond which a panel is not believed.
MOST_DAYS = 365

_NOT_A_LIST = ("null", "false", '""')
_NUMBER = re.compile(r"([+-]?[0-9]{1,15})(?:\.0*)?")
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LINK = re.compile(r"https?://[^\s\x00-\x20\"<>\\^`{|}\x7f-\x9f\ud800-\udfff]{1,2000}", re.IGNORECASE)
_EXTENSION = re.compile(r"[a-z0-9]{1,5}")
_REFUSING_STATUS = {"banned": "banned", "disabled": "disabled", "expired": "expired"}
_RADIO = ("radio_streams", "radio", "radio_stream")

T = TypeVar("T")


def whole_number(value: object) -> int | None:
    """A whole number of at most 15 digits, which may come as text or as a float; None for anything else."""
    if isinstance(value, int):
        return int(value) if abs(value) < 10**15 else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 10**15 else None
    if isinstance(value, str) and (match := _NUMBER.fullmatch(value.strip())):
        return int(match[1])
    return None


def clean(value: object) -> str:
    """A text as one line without control characters and HTML entities, cut at `LONGEST_NAME`; empty for no text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    # Entities take at most 33 characters a piece, so that cutting first bounds the work and loses no name.
    value = value[: LONGEST_NAME * 8]
    if "&" in value:
        value = unescape(value)
    return " ".join(_NOT_TEXT.sub(" ", value).split())[:LONGEST_NAME].rstrip()


def link(value: object) -> str:
    """An http(s) URL, its blanks escaped; or empty."""
    if isinstance(value, str) and _LINK.fullmatch(value := value.strip().replace(" ", "%20")):
        return value
    return ""


def extension(value: object) -> str:
    """The extension of a film's container, ``mp4`` when it is not told in a few letters and digits."""
    if isinstance(value, str) and _EXTENSION.fullmatch(value := value.strip().lstrip(".").lower()):
        return value
    return "mp4"


def required_id(row: Row, name: str) -> int:
    """
    The id in a row.

    :raises ProtocolError: when there is none above zero, with the reason under which it is counted.
    """
    number = whole_number(row.get(name))
    if number is None or number <= 0:
        raise ProtocolError("without a usable id")
    return number


def check_answer(status: int, body: bytes, asked: str) -> None:
    """
    See whether a response can be a panel's answer at all.

    A web page under status 403 is a guard in front of the panel that refuses this address, so ``BLOCKED``; anything
    else under 403 is the panel refusing the account.

    :param asked: what was asked for, as it stands in the sentence.
    :raises ProviderError: when it is none.
    """
    page = body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    if status == 200:
        if page:
            state, why = ProviderState.NOT_UNDERSTOOD, "answered with a web page instead of JSON: check the url"
        elif not body.strip():
            state, why = ProviderState.NOT_UNDERSTOOD, "answered with nothing instead of JSON: try again later"
        else:
            return
    elif status in (401, 403) and not (status == 403 and page):
        state = ProviderState.AUTH_FAILED
        why = f"refused the account (status {status}): check username and password"
    elif status in (403, 429, 451):
        state, why = ProviderState.BLOCKED, f"does not serve this address (status {status}): ask your provider"
    elif status >= 500:
        state, why = ProviderState.UNREACHABLE, f"answered with status {status}: it may be down, try again later"
    else:
        state, why = ProviderState.NOT_UNDERSTOOD, f"answered with status {status}: check the url"
    raise ProviderError(state, f"asked for {asked}, the panel {why}")


@contextmanager
def telling(asked: str) -> Iterator[None]:
    """Say of what is not understood what it was the answer to: a `ProtocolError` becomes a `ProviderError`."""
    try:
        yield
    except ProtocolError as error:
        raise ProviderError(
            ProviderState.NOT_UNDERSTOOD, f"asked for {asked}, the panel answered something odd: {error.sentence}"
        ) from None


def read_account(body: bytes) -> Account:
    """
    The account in the answer to a login.

    :raises ProviderError: ``AUTH_FAILED`` when the panel does not let it in.
    :raises ProtocolError: when the body is no JSON.
    """
    for path, value in items(body):
        if path == ("user_info",) and isinstance(value, dict):
            return _account(value)
    raise _refused()


def _account(info: Row) -> Account:
    status = clean(info.get("status"))
    refusing = _REFUSING_STATUS.get(status.lower())
    if refusing is not None:
        raise ProviderError(
            ProviderState.AUTH_FAILED, f"the panel says that the account is {refusing}: ask your provider"
        )
    if not (whole_number(info.get("auth")) or (info.get("auth") is None and status)):
        raise _refused()
    expires = whole_number(info.get("exp_date")) or 0
    return Account(
        status=status,
        max_connections=max(whole_number(info.get("max_connections")) or 0, 0),
        active_connections=max(whole_number(info.get("active_cons")) or 0, 0),
        expires=float(expires) if expires > 0 else None,
        trial=bool(whole_number(info.get("is_trial"))),
    )


def _refused() -> ProviderError:
    return ProviderError(
        ProviderState.AUTH_FAILED, "the panel does not accept username and password: check them with your provider"
    )


def check_no_login(path: tuple[str | int, ...], value: object) -> None:
    """
    Some panels answer any question with a login once they do not let an account in.

    :raises ProviderError: ``AUTH_FAILED`` or ``NOT_UNDERSTOOD``, when this item of a reply shows that it is one.
    """
    if path == ("user_info",):
        _account(value if isinstance(value, dict) else {})
        raise ProviderError(ProviderState.NOT_UNDERSTOOD, "the panel answered with the account instead of a list")


def rows(body: bytes) -> Iterator[Row]:
    """
    The rows of a list, also when it comes as an object; null, false and an empty string are empty lists.

    :raises ProtocolError: when it is no list.
    :raises ProviderError: when it is a login.
    """
    if len(body) < 64 and body.decode("utf-8", "replace").strip(" \t\r\n\ufeff") in _NOT_A_LIST:
        return
    anything = message = False
    for path, value in items(body):
        check_no_login(path, value)
        if isinstance(value, dict):
            anything = True
            yield value
        elif isinstance(path[0], int):
            yield {}
        else:
            message = True
    if message and not anything:
        raise ProtocolError("the JSON is a message and no list")


def collect(
    found: Iterator[Row], make: Callable[[Row], T], add: Callable[[T], None], skipped: Counter[str]
) -> Iterator[None]:
    """
    Make something of each row, a few rows a step.

    :param make: raises `ProtocolError` with the reason under which an unusable row is counted in ``skipped``.
    """
    for count, row in enumerate(found):
        if count >= MOST_ROWS:
            skipped[f"behind the first {MOST_ROWS}"] += 1
        else:
            try:
                made = make(row)
            except ProtocolError as error:
                skipped[error.sentence] += 1
            else:
                add(made)
        if count % ROWS_A_STEP == ROWS_A_STEP - 1:
            yield


class Collected:
    """Entries as they come in: of several with one key the first stays."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.skipped: Counter[str] = Counter()
        self._keys: set[str] = set()

    def add(self, entry: Entry) -> None:
        """Take an entry, unless its key is there."""
        if entry.key in self._keys:
            self.skipped["listed twice"] += 1
        else:
            self._keys.add(entry.key)
            self.entries.append(entry)


def read_categories(body: bytes, groups: dict[str, str]) -> Iterator[None]:
    """Put the names of categories into ``groups`` under their ids, a few rows a step."""

    def make(row: Row) -> tuple[str, str]:
        return _category(row.get("category_id")), clean(row.get("category_name"))

    return collect(rows(body), make, lambda pair: groups.update([pair]), Counter())


def _category(value: object) -> str:
    number = whole_number(value)
    return clean(value) if number is None else str(number)


def group_of(row: Row, groups: Mapping[str, str]) -> str:
    """The name of the first category of a row that has one, or empty."""
    others = row.get("category_ids")
    for value in (row.get("category_id"), *(others[:16] if isinstance(others, list) else ())):
        if value is not None and (name := groups.get(_category(value))):
            return name
    return ""


def live_entry(row: Row, groups: Mapping[str, str], output: str) -> Entry:
    """
    The entry for a row of ``get_live_streams``.

    :param output: ``ts`` or ``hls``.
    :raises ProtocolError: when it has no usable id.
    """
    stream = required_id(row, "stream_id")
    number = whole_number(row.get("num"))
    return Entry(
        key=f"live:{stream}",
        name=clean(row.get("name")) or f"Channel {stream}",
        kind=ChannelKind.RADIO if row.get("stream_type") in _RADIO else ChannelKind.LIVE,
        source_kind=SourceKind.HLS if output == "hls" else SourceKind.TS,
        extension="m3u8" if output == "hls" else "ts",
        group=group_of(row, groups),
        number=number if number is not None and number > 0 else None,
        tvg_id=clean(row.get("epg_channel_id")),
        logo=link(row.get("stream_icon")),
        catchup=_catchup(row),
        origin={"type": "live", "id": stream},
    )


def _catchup(row: Row) -> tuple[tuple[str, str], ...]:
    days = whole_number(row.get("tv_archive_duration")) or 0
    if days <= 0 or not whole_number(row.get("tv_archive")):
        return ()
    return (("catchup", "xc"), ("catchup-days", str(min(days, MOST_DAYS))))


def film_entry(row: Row, groups: Mapping[str, str]) -> Entry:
    """
    The entry for a row of ``get_vod_streams``.

    :raises ProtocolError: when it has no usable id.
    """
    stream = required_id(row, "stream_id")
    container = extension(row.get("container_extension"))
    return Entry(
        key=f"vod:{stream}",
        name=clean(row.get("name")) or clean(row.get("title")) or f"Film {stream}",
        kind=ChannelKind.VOD,
        source_kind=SourceKind.VOD,
        extension=container,
        group=group_of(row, groups),
        logo=link(row.get("stream_icon")) or link(row.get("cover")),
        origin={"type": "vod", "id": stream, "ext": container},
    )


def stream_url(base: str, username: str, password: str, origin: Mapping[str, object], output: str) -> str:
    """
    The URL at which the panel serves an entry.

    :param origin: the entry's, which may come from an earlier run.
    :raises ProtocolError: when the origin is none of ours.
    """
    folder = {"live": "live", "vod": "movie", "episode": "series"}.get(str(origin.get("type")))
    number = whole_number(origin.get("id"))
    if folder is None or number is None or number <= 0:
        raise ProtocolError("the entry was not made by this provider")
    ending = ("m3u8" if output == "hls" else "ts") if folder == "live" else extension(origin.get("ext"))
    return f"{base}/{folder}/{quote(username, safe='')}/{quote(password, safe='')}/{number}.{ending}"


def settings_from_link(argument: str) -> dict[str, str]:
    """
    The url, username, password and output that an address with credentials, or a pasted ``get.php`` link, tells.

    :raises ConfigError: when it is neither; the sentence does not repeat it.
    """
    try:
        parts = urlsplit(argument.strip())
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if good:
        folder, _, page = parts.path.rpartition("/")
        pasted = page.endswith(".php")
        good = not parts.fragment and (pasted or not parts.query) and not re.search(r"\s", argument.strip())
    if not good:
        raise ConfigError(
            "xtream takes http://USERNAME:PASSWORD@HOST:PORT or the get.php link of your provider "
            "(special characters in username and password as %XX)"
        )
    credentials, _, place = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    path = folder if pasted else parts.path
    found = {
        "url": f"{parts.scheme}://{place}{path.rstrip('/')}",
        "username": unquote(username),
        "password": unquote(password),
    }
    asked = parse_qs(parts.query)
    found.update((name, asked[name][0]) for name in ("username", "password") if name in asked)
    if "output" in asked:
        found["output"] = "hls" if asked["output"][0] in ("hls", "m3u8") else "ts"
    return {name: value for name, value in found.items() if value}
