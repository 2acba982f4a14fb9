"""
Where what was shown before is to be had: catch-up attributes of M3U lists, and the URLs that are made of them.

There is no standard. A list says of a channel how the URL of a recording is made: ``default`` has a template of its
own, ``append`` puts one behind the channel's URL, ``shift`` puts ``utc`` and ``lutc`` there, ``flussonic`` and ``xc``
follow the paths of those two servers. A template has placeholders, ``{utc}`` or ``${start}`` and their like; what they
stand for is only ever a number, a date, or the list's own id of the channel, percent-encoded. All times are UTC; only
dates in letters are written in the zone of the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from urllib.parse import quote, unquote

from attrs import frozen

from iptvd.model import SourceKind
from iptvd.protocols.stream_url import classify, recognise

#: Days of catch-up beyond which nobody is believed.
MOST_DAYS = 365

_SHIFT = ("shift", "timeshift")
_FLUSSONIC = ("flussonic", "flussonic-hls", "flussonic-ts", "fs", "fs-hls", "fs-ts")
_KINDS = frozenset(("default", "append", "vod", "xc", *_SHIFT, *_FLUSSONIC))

_PLACEHOLDER = re.compile(r"\$?\{([A-Za-z-]{1,16})(?::([^{}]{1,64}))?\}")
_LETTERS = {letter: f"%{letter}" for letter in "YmdHMS"}
_START, _STOP, _NOW = ("utc", "start"), ("utcend", "end"), ("lutc", "now", "timestamp")
_WHOLE = re.compile(r"[1-9]\d{0,5}", re.ASCII)
_HOURS = re.compile(r"[+-]?\d{1,3}(?:\.\d{1,4})?", re.ASCII)
# How Xtream panels write a channel: the account's name and password are two folders of its path.
_XTREAM = re.compile(r"(https?://[^?#]*?)/(?:live/)?([^/?#]++)/([^/?#]++)/(\d++)(?:\.(ts|m3u8?))?(?:\?.*)?", re.ASCII)
# How Flussonic does: the file in the channel's folder says in which form it comes.
_IN_FOLDER = re.compile(r"(https?://[^/?#]+/[^?#]+/)(?:(mpegts)|([^/?#]+)\.(m3u8|ts))(\?.*)?", re.ASCII)


@frozen
class Moment:
    """
    What is asked for, and when.

    :ivar start: seconds since the epoch, as is ``now``.
    :ivar duration: seconds.
    """

    start: int
    duration: int
    now: int


def kind_of(catchup: Mapping[str, str]) -> str:
    """How a channel's recordings are asked for, empty when there are none."""
    kind = (catchup.get("catchup") or catchup.get("catchup-type", "")).strip().lower()
    if kind:
        return kind if kind in _KINDS else ""
    if catchup.get("catchup-source"):
        return "default"
    return "shift" if any(_WHOLE.fullmatch(catchup.get(name, "")) for name in ("tvg-rec", "timeshift")) else ""


def days_of(catchup: Sequence[tuple[str, str]]) -> int | None:
    """
    For how many days what a channel showed is kept.

    :return: 0 when that is not told, None when it is not kept at all.
    """
    if not catchup:
        return None
    attributes = dict(catchup)
    if not kind_of(attributes):
        return None
    told = (attributes.get(name, "").strip() for name in ("catchup-days", "tvg-rec", "timeshift"))
    return next((min(int(days), MOST_DAYS) for days in told if _WHOLE.fullmatch(days)), 0)


def templates(catchup: Sequence[tuple[str, str]], url: str) -> tuple[str, ...]:
    """
    The URLs of a channel's recordings with placeholders in them, best first; none when nothing is kept.

    :param url: the channel's own.
    """
    attributes = dict(catchup)
    kind = kind_of(attributes)
    # What follows a bar are a player's options.
    source = attributes.get("catchup-source", "").partition("|")[0].strip()
    fixed = _fixed(url)
    if not kind:
        return ()
    if kind in _SHIFT:
        return (fixed + ("&" if "?" in fixed else "?") + "utc={utc}&lutc={lutc}",)
    if kind in _FLUSSONIC:
        return _flussonic(fixed)
    if kind == "xc" or (kind in ("default", "append") and not source):
        return _of_panel(fixed)
    if "{catchup-id}" in source and not attributes.get("catchup-id"):
        return ()
    if kind == "append":
        return (fixed + ("&" + source[1:] if source.startswith("?") and "?" in fixed else source),)
    return (source,) if source else ()


def recordings(
    catchup: Sequence[tuple[str, str]], url: str, manifest: str, moment: Moment, zone: tzinfo
) -> list[tuple[SourceKind, str]]:
    """
    The URLs of what a channel showed, best first, and what each of them gives; http and https only.

    :param manifest: see `iptvd.protocols.stream_url.recognise`.
    """
    found = []
    for template in templates(catchup, url):
        stream = recognise(filled(template, moment, zone, catchup), manifest)
        if stream is not None and not stream.form:
            is_hls = classify(stream, manifest, False)[1] is SourceKind.HLS
            found.append((SourceKind.HLS if is_hls else SourceKind.VOD, stream.url))
    return found


def of_xtream(base: str, username: str, password: str, stream: int, extension: str) -> tuple[str, ...]:
    """
    The templates for a channel of an Xtream panel, best first.

    :param base: the panel's URL, without a slash at the end.
    :param extension: ``ts`` or ``m3u8``.
    """
    user, word = (_fixed(quote(part, safe="")) for part in (username, password))
    start = "{Y}-{m}-{d}:{H}-{M}"
    return (
        f"{_fixed(base)}/timeshift/{user}/{word}/{{duration:60}}/{start}/{stream}.{extension}",
        f"{_fixed(base)}/streaming/timeshift.php?username={user}&password={word}&stream={stream}"
        f"&start={start}&duration={{duration:60}}",
    )


def filled(template: str, moment: Moment, zone: tzinfo = UTC, catchup: Sequence[tuple[str, str]] = ()) -> str:
    """
    A template with its placeholders replaced; one that is not known stays as it is.

    :param zone: in which dates are written.
    :param catchup: the channel's attributes, of which ``catchup-correction`` (hours to be subtracted) and
        ``catchup-id`` count here.
    """
    attributes = dict(catchup)
    correction = attributes.get("catchup-correction", "").strip()
    start = moment.start - (round(float(correction) * 3600) if _HOURS.fullmatch(correction) else 0)
    times = dict.fromkeys(_START, start) | dict.fromkeys(_STOP, start + moment.duration)
    times |= dict.fromkeys(_NOW, moment.now)

    def value(match: re.Match[str]) -> str:
        name, form = match.groups()
        if name in times:
            return str(times[name]) if form is None else _dated(times[name], form, zone)
        if name in _LETTERS and form is None:
            return _dated(start, name, zone)
        if name in ("duration", "offset") and (form is None or _WHOLE.fullmatch(form)):
            unit = int(form or 1)
            # Whole units from one that lies at or before the start, so that nothing of the end is missing.
            seconds = start % unit + moment.duration if name == "duration" else max(moment.now - start, 0)
            return str(-(-seconds // unit))
        if name == "catchup-id" and form is None:
            return quote(attributes.get("catchup-id", ""), safe="", errors="replace")
        return match[0]

    return _PLACEHOLDER.sub(value, template)


def _dated(seconds: int, form: str, zone: tzinfo) -> str:
    """A time by the letters Y, m, d, H, M and S; what else is in the form is written as it is, percent-encoded."""
    moment = datetime.fromtimestamp(seconds, zone)
    return "".join(
        moment.strftime(_LETTERS[letter]) if letter in _LETTERS else quote(letter, safe=":-", errors="replace")
        for letter in form
    )


def _fixed(text: str) -> str:
    """A text with no placeholder in it, whatever there is in it."""
    return text.replace("{", "%7B").replace("}", "%7D")


def _of_panel(url: str) -> tuple[str, ...]:
    match = _XTREAM.fullmatch(url)
    if match is None:
        return ()
    base, user, word, stream, extension = match.groups()
    extension = "m3u8" if extension in ("m3u", "m3u8") else "ts"
    return of_xtream(base, unquote(user), unquote(word), int(stream), extension)


def _flussonic(url: str) -> tuple[str, ...]:
    """Those of a part of known length first, then those that players make."""
    match = _IN_FOLDER.fullmatch(url)
    if match is None:
        return ()
    folder, stream, name, extension, query = (part or "" for part in match.groups())
    if stream or extension == "ts":
        forms = ("archive-{utc}-{duration}.ts", "timeshift_abs-{utc}.ts")
    else:
        before = "" if name == "index" else f"{name}-"
        forms = (f"{name}-{{utc}}-{{duration}}.m3u8", f"{before}timeshift_rel-{{offset:1}}.m3u8")
    return tuple(f"{folder}{form}{query}" for form in forms)
