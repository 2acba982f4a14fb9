"""
The past of a channel: what ``/stream/<id>.ts?utc=…`` asks for.

Players write the time in several ways, all of them in seconds: ``utc`` or ``start``, since the epoch, or ``offset``,
ago; then ``utcend`` or ``end``, or ``duration``. What tells the player's own clock (``lutc``) is not needed. Where no
end is told it goes on until now.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from twisted.web.server import Request

from iptvd.model import Channel
from iptvd.recording import Recording, days_kept, recording_of
from iptvd.web.request import Refusal, argument

#: Seconds that are played at most.
LONGEST = 86400
DAY = 86400

_STARTS, _ENDS = ("utc", "start"), ("utcend", "end")
_SECONDS = re.compile(r"(\d{1,11})(?:\.\d{0,6})?", re.ASCII)
# A player that does not know a placeholder sends it as it is.
_NOT_FILLED = re.compile(r"\$?\{[^{}]*\}")


def recording_asked(request: Request, channel: Channel, now: float) -> Recording | None:
    """
    What a request wants of a channel's past, None when it wants the channel as it is now.

    :param now: seconds since the epoch.
    :raises Refusal: for a time that is none, or from which nothing is to be had.
    """
    start, ago = _first(request, _STARTS), _first(request, ("offset",))
    if start is None and ago is None:
        return None
    days = days_kept(channel)
    if days is None:
        raise Refusal(404, "Nothing of what this channel has shown is kept; without a time it is played as it is now.")
    begin = start if start is not None else int(now) - (ago or 0)
    if begin > now:
        raise Refusal(404, "This has not been shown yet.")
    if days and begin < now - days * DAY:
        raise Refusal(404, f"This is too long ago: what this channel shows is kept for {days} days.")
    end, duration = _first(request, _ENDS), _first(request, ("duration",))
    if end is None:
        end = begin + duration if duration is not None else int(now)
    elif end <= begin:
        raise Refusal(400, "The end is before the start.")
    return recording_of(channel, begin, min(max(min(end, int(now)) - begin, 1), LONGEST))


def past_attributes(channel: Channel, url: str) -> tuple[tuple[str, str], ...]:
    """
    What a playlist says of a channel's past: the player fills in the time that it wants, in our URL.

    :param url: the channel's, as it is played now.
    """
    days = days_kept(channel)
    if days is None:
        return ()
    source = f"{url}?utc={{utc}}&utcend={{utcend}}&lutc={{lutc}}"
    return ("catchup", "default"), ("catchup-source", source), ("catchup-days", str(days) if days else "")


def query_of(past: Recording) -> str:
    """The query that asks for the same again."""
    return "?" + urlencode({"utc": past.start, "duration": past.duration})


def _first(request: Request, names: tuple[str, ...]) -> int | None:
    """Whole seconds under the first of these names that is there."""
    for name in names:
        text = argument(request, name).strip()
        if text and not (name not in _STARTS and _NOT_FILLED.fullmatch(text)):
            match = _SECONDS.fullmatch(text)
            if match is None:
                raise Refusal(400, f"What {name} says is no number of seconds; times count from 1970, in UTC.")
            return int(match[1])
    return None
