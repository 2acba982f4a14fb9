"""What URI references mean in the document where they were found, if it is something to fetch over http or https."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from iptvd.errors import ProtocolError

# What a URI may not hold as it is (RFC 3986 section 2), and what of the rest is not to be encoded.
_ODD = re.compile(rb"[^!#-;=?-\[\]_a-z~]")
_KEPT = b"!#$%&'()*+,/:;=?@[]"

# Nearly all references: below the document's folder, with nothing to encode, no dot segments and no fragment.
_PLAIN = re.compile(rb"[0-9A-Z_a-z~-](?:[!$-.0-9;=@-\[\]_a-z~]|/(?!\.))*+(?:\?[!$-;=?-\[\]_a-z~]*+)?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Scheme, user, host, port, path and query.
_HTTP = re.compile(
    r"(https?)://([^/?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]]+)((?::[0-9]{0,5})?)((?:/[^?#]*)?)((?:\?[^#]*)?)(?:#.*)?",
    re.IGNORECASE,
)


class Base:
    """
    The URL of a document, which is the last one after redirects.

    Not `urllib.parse.urljoin`: that merges the empty segments of paths such as ``/a//b``, which some origins sign,
    drops an empty query, and takes several times as long.

    :param url: absolute, http or https.
    :raises ProtocolError: when it is not.
    """

    def __init__(self, url: str) -> None:
        match = _HTTP.fullmatch(_clean(url.encode("utf-8", "surrogateescape")))
        origin = _origin(match) if match else None
        if match is None or origin is None:
            raise ProtocolError("The playlist did not come from an http or https address.")
        self._scheme = match[1].lower()
        self._origin = origin
        self._path = match[5] or "/"
        self._folder = self._path[: self._path.rindex("/") + 1]
        self._prefix = origin + _without_dots(self._folder)
        #: With its question mark, or empty.
        self.query: str = match[6]

    def resolve(self, raw: bytes) -> str | None:
        """
        The absolute URL that a reference means (RFC 3986 section 5.2), without fragment, or None if not http(s).

        What a URI may not hold (spaces, quotes, bytes beyond ASCII, …) is percent-encoded.
        """
        if _PLAIN.fullmatch(raw):
            return self._prefix + raw.decode("ascii")
        reference = _clean(raw)
        if reference.startswith("//"):
            reference = f"{self._scheme}:{reference}"
        if _SCHEME.match(reference):
            match = _HTTP.fullmatch(reference)
            origin = _origin(match) if match else None
            if match is None or origin is None:
                return None
            return f"{origin}{_without_dots(match[5] or '/')}{match[6]}"
        reference = reference.partition("#")[0]
        if not reference:
            return f"{self._origin}{_without_dots(self._path)}{self.query}"
        path, mark, query = reference.partition("?")
        if not path:
            path = self._path
        elif not path.startswith("/"):
            path = self._folder + path
        return f"{self._origin}{_without_dots(path)}{mark}{query}"


def _clean(raw: bytes) -> str:
    return quote(raw, safe=_KEPT) if _ODD.search(raw) else raw.decode("ascii")


def _origin(match: re.Match[str]) -> str | None:
    host = match[3]
    if "%" in host:
        # RFC 3986 section 3.2.2: the UTF-8 of an internationalised name, which is looked up in its ASCII form. The
        # codec's own work grows with the square of the length: no name is longer than this (RFC 1035).
        name = unquote(host)
        try:
            host = name[:254].encode("idna").decode("ascii")
        except UnicodeError:
            return None
        if len(name) > 253 or not re.fullmatch(r"[A-Za-z0-9._-]+", host):
            return None
    return f"{match[1].lower()}://{match[2] or ''}{host}{match[4]}"


def _without_dots(path: str) -> str:
    # RFC 3986 section 5.2.4. Empty segments are segments.
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
