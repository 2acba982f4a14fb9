"""The knobs that make the origin misbehave: in the query of one request, or set for a path through ``/control``."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

#: Every knob and what it does. Sizes are bytes of body, times are seconds.
KNOBS = {
    # what is answered
    "status": "answer with this status, and a page that says so",
    "as": "answer 200 with something else: html, playlist or empty",
    "body": "answer with this text instead",
    "bytes": "answer with these bytes instead, written in Base64, and 304 to whoever has them",
    "type": "send this Content-Type instead",
    "gzip": "1: send the body with Content-Encoding: gzip, asked for or not",
    "redirect": "302 to a URL or path, or to here: relative, host, loop, credentials; none: no Location",
    "auth": "401 unless the request has this user:password",
    "need": "403 unless the request has this header, as Name:value",
    "noranges": "1: know nothing of byte ranges",
    # when
    "head_delay": "wait before the head",
    "never": "1: never answer",
    "drop": "1: reset the connection instead of answering",
    "drip": "send the body in pieces of this many bytes, ten a second",
    "die_after": "close (FIN) after this many bytes of body",
    "reset_after": "reset (RST) after this many bytes of body, once the client has them",
    "stall_after": "go silent after this many bytes of body and keep the connection",
    # how it is framed
    "framing": "chunked, length, close (the end of the connection ends the body), http10 or icy",
    "oversize_head": "put this many bytes of header fields into the head",
    "endless_head": "1: a head that never ends",
    "early": "send this 1xx status before the head",
    "sndbuf": "ask for a socket send buffer of this many bytes",
    # live streams
    "rate": "times real time; 0: as fast as the client reads",
    "start": "start this far into the film instead of at what is on now",
    "burst": "start with this much at once (1)",
    "mbit": "stuff with null packets up to so many Mbit/s",
    "misaligned": "leave out this many bytes at the start",
    # playlists and lists
    "window": "segments in a live playlist (6)",
    "stuck": "1: a live playlist that does not advance",
    "ended": "1: a live playlist that says it has ended",
    "crlf": "1: lines end in CRLF",
    "bom": "1: a byte order mark comes first",
    "disguise": "name segments with this extension, such as .png",
    "segment_query": "append ? and this to every segment's URI",
    "key_query": "append ? and this to every key's URI",
    "count": "entries in a list",
}


@frozen
class Knobs:
    """The knobs that hold for one request."""

    values: Mapping[str, str]

    def text(self, name: str) -> str:
        """A knob's text, empty when it is not set."""
        if name not in KNOBS:
            raise KeyError(name)
        return self.values.get(name, "")

    def has(self, name: str) -> bool:
        """Whether a knob is set, to something else than nothing and 0."""
        return self.text(name) not in ("", "0")

    def number(self, name: str, default: float) -> float:
        """A knob's number, which is not negative."""
        text = self.text(name)
        return max(0.0, float(text)) if text else default

    def size(self, name: str) -> int | None:
        """A knob's number of bytes, None when it is not set."""
        text = self.text(name)
        return max(0, int(text)) if text else None


class ControlledKnobs:
    """The knobs set through ``/control``: for a path, or with a ``*`` at its end for all that start so."""

    def __init__(self) -> None:
        self._set: dict[str, dict[str, str]] = {}

    def update(self, settings: Mapping[str, Mapping[str, object] | None]) -> None:
        """
        Replace the knobs of some paths; None takes them away.

        :raises ValueError: for a knob that there is not.
        """
        for knobs in settings.values():
            unknown = [name for name in knobs or () if name not in KNOBS]
            if unknown:
                raise ValueError(f"there is no knob {', '.join(unknown)}")
        for path, knobs in settings.items():
            key = "/" + path.lstrip("/")
            self._set.pop(key, None)
            if knobs:
                self._set[key] = {name: as_text(value) for name, value in knobs.items()}

    def clear(self) -> None:
        """Take all of them away."""
        self._set.clear()

    def for_request(self, path: str, query: Mapping[str, str]) -> Knobs:
        """The knobs for a request: those of its query, then those of its exact path, then of the longest prefix."""
        values: dict[str, str] = {}
        for key in sorted(self._set, key=len):
            if key.endswith("*") and path.startswith(key[:-1]):
                values |= self._set[key]
        values |= self._set.get(path, {})
        values |= {name: value for name, value in query.items() if name in KNOBS}
        return Knobs(values)


def as_text(value: object) -> str:
    """A value out of JSON as it would be written in a query."""
    return str(int(value)) if isinstance(value, bool) else str(value)
