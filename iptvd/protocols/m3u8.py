"""
A lossless HLS playlist rewriter: every URI is replaced by one of ours, everything else stays byte for byte.

The format is RFC 8216 and its second edition, draft-pantos-hls-rfc8216bis ("bis" below). A playlist is not parsed into
a model and printed again: the bytes of each URI are cut out and replaced, so order, unknown tags, comments, blank
lines, line endings and a missing last newline survive. There are two exceptions:

- A byte order mark and blank lines before ``#EXTM3U`` are dropped: RFC 8216 section 4 forbids the mark and lets
  clients refuse it, and section 4.3.1.1 wants ``#EXTM3U`` in the first line.
- EXT-X-DEFINE of the bis: the value of a variable may be an upstream host or a credential, used here or in a playlist
  that imports it. So no value leaves: ``VALUE`` becomes empty, ``QUERYPARAM`` (which a player would look for in our
  URL, in vain) becomes a ``NAME`` with an empty ``VALUE``, ``IMPORT`` stays. References outside of URIs are replaced
  by what they stand for, so that no player needs the values.

Lines end in LF or CRLF. A lone CR ends one too: some players see it so, and would find a URI there that we did not.

Two things stay with the caller. Players add directives to the query of a playlist's URL (``_HLS_msn``, ``_HLS_part``
and ``_HLS_skip``; steering and interstitials have theirs): pass them on, because EXT-X-SERVER-CONTROL is left as it
is. And the JSON behind `Role.OTHER` (asset lists, steering manifests) is not a playlist and not seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum

from attrs import field, frozen

from iptvd.errors import ProtocolError
from iptvd.protocols.m3u8_tags import Variables, attributes, count, seconds
from iptvd.protocols.references import Base
from iptvd.protocols.sniff import ENOUGH, Media, sniff

#: Bytes of a playlist, its lines, bytes of one line with its end, and bytes to which substitutes may add up.
MAX_BODY = 8 * 1024 * 1024
MAX_LINES = 200_000
MAX_LINE = 64 * 1024
MAX_OUTPUT = 32 * 1024 * 1024
# What one step of `Rewriting` may cost: bytes looked at, and as much for each line as a URI costs.
_STEP = 16 * 1024
_LINE_COST = 512

_BOM = b"\xef\xbb\xbf"
_MEDIA = frozenset(["ts", "m4s", "mp4", "m4v", "m4a", "cmfv", "cmfa", "aac", "ac3", "ec3", "mp3", "vtt", "webvtt"])


class Role(Enum):
    """What a URI in a playlist leads to."""

    PLAYLIST = "playlist"
    SEGMENT = "segment"
    INIT = "init"
    KEY = "key"
    OTHER = "other"


#: Gives the URI that stands in for an absolute http(s) URL: plain ASCII, without quotes and white space. It is also
#: told what the URL leads to and the media extension that its path should have, without a dot: players refuse others.
Mint = Callable[[str, Role, str], str]

# The attributes that are URIs, by tag.
_URIS: Mapping[bytes, Mapping[bytes, Role]] = {
    b"#EXT-X-KEY": {b"URI": Role.KEY},
    b"#EXT-X-SESSION-KEY": {b"URI": Role.KEY},
    b"#EXT-X-MAP": {b"URI": Role.INIT},
    b"#EXT-X-MEDIA": {b"URI": Role.PLAYLIST},
    b"#EXT-X-I-FRAME-STREAM-INF": {b"URI": Role.PLAYLIST},
    b"#EXT-X-IMAGE-STREAM-INF": {b"URI": Role.PLAYLIST},
    b"#EXT-X-PART": {b"URI": Role.SEGMENT},
    b"#EXT-X-PRELOAD-HINT": {b"URI": Role.OTHER},
    b"#EXT-X-RENDITION-REPORT": {b"URI": Role.PLAYLIST},
    b"#EXT-X-SESSION-DATA": {b"URI": Role.OTHER},
    b"#EXT-X-CONTENT-STEERING": {b"SERVER-URI": Role.OTHER},
    b"#EXT-X-DATERANGE": {b"X-ASSET-URI": Role.PLAYLIST, b"X-ASSET-LIST": Role.OTHER},
}
_KEYS = (b"#EXT-X-KEY", b"#EXT-X-SESSION-KEY")
_MULTIVARIANT = (b"#EXT-X-STREAM-INF", b"#EXT-X-MEDIA", b"#EXT-X-I-FRAME-STREAM-INF", b"#EXT-X-IMAGE-STREAM-INF")
_NO_PLAYLISTS = {Media.HTML: "a web page", Media.TEXT: "other text", Media.TS: "an MPEG-TS stream"}
_NOTHING: tuple[Role | None, bytes] = (None, b"")
_HINTS = {b"PART": Role.SEGMENT, b"MAP": Role.INIT}


@frozen
class Rewritten:
    """
    A playlist with our URIs, and what its reader needs to know of it.

    :ivar multivariant: it lists variants or renditions, not segments.
    :ivar target_duration: seconds, None when it is not told. A live playlist is read again after this long, or after
        half of it when it had not changed (RFC 8216 section 6.3.4).
    :ivar part_target: seconds of a partial segment, None without such.
    :ivar blocking_reload: the server holds a request for a playlist that is yet to come (bis, EXT-X-SERVER-CONTROL).
    :ivar ended: EXT-X-ENDLIST is there: no segment will follow.
    :ivar media_sequence: the number of the first segment, those a delta update skipped included.
    :ivar skipped: segments that a delta update left out.
    :ivar segments: segment lines that are there.
    :ivar uris: URIs that were replaced.
    :ivar drm: a key is of a system of rights management, which we leave to the player.
    :ivar variables: what EXT-X-DEFINE defined, for the playlists that import from this one.
    """

    body: bytes = field(repr=False)
    multivariant: bool
    target_duration: float | None
    part_target: float | None
    blocking_reload: bool
    ended: bool
    media_sequence: int
    skipped: int
    segments: int
    uris: int
    drm: bool
    variables: Mapping[str, str] = field(repr=False)


def _extension(url: str, role: Role, fragmented: bool) -> str:
    if role is Role.PLAYLIST:
        return "m3u8"
    if role is Role.KEY:
        return "key"
    # Where the name has no dot, this is no word: it has a slash in it.
    own = url.partition("?")[0].rpartition(".")[2].partition(";")[0].lower()
    if role is Role.OTHER:
        return own if own.isalnum() and own.isascii() and len(own) <= 5 else "bin"
    if own in _MEDIA:
        return own
    return "mp4" if role is Role.INIT else "m4s" if fragmented else "ts"


def _what_it_is(body: bytes) -> str:
    media = sniff(body[:ENOUGH], final=True)
    return _NO_PLAYLISTS.get(media, "binary data") if body and media else "nothing"


def lines_of(body: bytes) -> list[bytes]:
    """
    The lines of a playlist with their ends, without a byte order mark and what else is before the first.

    :param body: what the origin answered with.
    :raises ProtocolError: when it is no playlist, or exceeds a bound.
    """
    if len(body) > MAX_BODY:
        raise ProtocolError(f"The playlist is larger than {MAX_BODY >> 20} MiB.")
    body = body.lstrip().removeprefix(_BOM).lstrip()
    if not body.startswith(b"#EXTM3U"):
        raise ProtocolError(f"The source answered with {_what_it_is(body)} where an HLS playlist was expected.")
    if b"\0" in body:
        raise ProtocolError("The source answered with binary data where an HLS playlist was expected.")
    # Both ends of a CRLF are counted, so this only bounds what the split then counts rightly.
    ends = body.count(b"\n") + body.count(b"\r")
    lines = body.splitlines(keepends=True) if ends <= 2 * MAX_LINES else []
    if not 0 < len(lines) <= MAX_LINES:
        raise ProtocolError(f"The playlist has more than {MAX_LINES} lines.")
    return lines


class Rewriting:
    """
    One playlist being rewritten: iterate over it once, which does the work in short steps, then ask `result`.

    A playlist of 10,000 segments may take 100 ms, half of it in ``mint``: too long for one turn of a reactor.

    :param body: what the origin answered with.
    :param base_url: where it came from, after redirects.
    :param variables: what the multivariant playlist that led here defined (`Rewritten.variables`), for IMPORT.
    :raises ProtocolError: here or from a step, when it is no playlist, exceeds a bound, uses a variable that is not
        defined, or leads to something that is neither http nor https.
    """

    def __init__(self, body: bytes, base_url: str, mint: Mint, variables: Mapping[str, str] | None = None) -> None:
        self._lines = lines_of(body)
        self._base = Base(base_url)
        self._mint = mint
        self._variables = Variables(self._base.query[1:], variables or {}, self._grow)
        self._fragmented = b"#EXT-X-MAP:" in body
        self._minted: dict[bytes, tuple[Role, bytes]] = {}
        self._grown = 0
        self._variant_follows = False
        self._multivariant = self._blocking_reload = self._ended = self._drm = False
        self._target_duration: float | None = None
        self._part_target: float | None = None
        self._media_sequence = self._skipped = self._segments = self._uris = 0

    def __iter__(self) -> Iterator[None]:
        lines = self._lines
        spent = 0
        for index, line in enumerate(lines):
            size = len(line)
            spent += size + _LINE_COST
            if spent > _STEP:
                yield
                spent = size + _LINE_COST
            if size > MAX_LINE:
                raise ProtocolError(f"The playlist has a line of more than {MAX_LINE >> 10} KiB.")
            if line.startswith(b"#EXTINF"):
                continue
            text = line.strip()
            if text.startswith(b"#EXT"):
                new = self._tag(text)
            elif text and not text.startswith(b"#"):
                new = self._uri_line(text)
            else:
                continue
            if new != text:
                lines[index] = line.replace(text, new, 1)

    def result(self) -> Rewritten:
        """What came of it, after the last step."""
        return Rewritten(
            body=b"".join(self._lines),
            multivariant=self._multivariant,
            target_duration=self._target_duration,
            part_target=self._part_target,
            blocking_reload=self._blocking_reload,
            ended=self._ended,
            media_sequence=self._media_sequence,
            skipped=self._skipped,
            segments=self._segments,
            uris=self._uris,
            drm=self._drm,
            variables=self._variables.known(),
        )

    def _uri_line(self, text: bytes) -> bytes:
        if self._variant_follows:
            self._variant_follows = False
            return self._replaced(text, Role.PLAYLIST)
        self._segments += 1
        return self._replaced(text, Role.SEGMENT)

    def _tag(self, text: bytes) -> bytes:
        name, colon, value = text.partition(b":")
        if name == b"#EXT-X-DEFINE":
            return name + colon + self._variables.define(value)
        if name in _URIS:
            text = name + colon + self._replaced_in(name, value)
        if name in _MULTIVARIANT:
            self._multivariant = True
            self._variant_follows |= name == b"#EXT-X-STREAM-INF"
        else:
            self._note(name, value)
        return self._variables.expand(text) if self._variables else text

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"#EXT-X-TARGETDURATION":
            self._target_duration = seconds(value)
        elif name == b"#EXT-X-MEDIA-SEQUENCE":
            self._media_sequence = count(value)
        elif name == b"#EXT-X-ENDLIST":
            self._ended = True
        elif name in (b"#EXT-X-PART-INF", b"#EXT-X-SERVER-CONTROL", b"#EXT-X-SKIP"):
            for attribute, told, _ in attributes(value):
                if attribute == b"PART-TARGET":
                    self._part_target = seconds(told)
                elif attribute == b"SKIPPED-SEGMENTS":
                    self._skipped = count(told)
                elif attribute == b"CAN-BLOCK-RELOAD":
                    self._blocking_reload = told == b"YES"

    def _replaced_in(self, tag: bytes, text: bytes) -> bytes:
        found = attributes(text)
        # An attribute that is there twice counts as players count it, the last one; but each is replaced.
        values = {name: value for name, value, _ in found}
        roles = _URIS[tag]
        if tag == b"#EXT-X-PRELOAD-HINT":
            roles = {b"URI": _HINTS.get(values.get(b"TYPE", b""), Role.OTHER)}
        opaque = tag in _KEYS and self._is_drm(values)
        self._drm |= opaque
        pieces: list[bytes] = []
        done = 0
        for name, value, start in found:
            role = roles.get(name)
            if role is not None and value:
                pieces += text[done:start], self._replaced(value, role, opaque)
                done = start + len(value)
        return b"".join(pieces) + text[done:]

    @staticmethod
    def _is_drm(values: Mapping[bytes, bytes]) -> bool:
        # RFC 8216 section 4.3.2.4: without KEYFORMAT it is "identity", a key of 16 bytes.
        if values.get(b"METHOD") == b"NONE":
            return False
        is_skd = values.get(b"URI", b"")[:4].lower() == b"skd:"
        return is_skd or values.get(b"KEYFORMAT", b"identity") not in (b"identity", b"")

    def _replaced(self, text: bytes, role: Role, opaque: bool = False) -> bytes:
        text = self._variables.expand(text, strict=True)
        # Byte ranges of one file and a key that is told again and again cost once.
        known_role, new = self._minted.get(text, _NOTHING)
        if known_role is not role:
            url = self._base.resolve(text.strip())
            if url is None:
                # A playlist as data: would lead viewers past us.
                if opaque or (text.lstrip()[:5].lower() == b"data:" and role is not Role.PLAYLIST):
                    return text
                raise ProtocolError("The playlist leads to something that is neither http nor https.")
            new = self._mint(url, role, _extension(url, role, self._fragmented)).encode("ascii")
            self._minted[text] = role, new
        self._uris += 1
        self._grow(len(new))
        return new

    def _grow(self, size: int) -> None:
        self._grown += size
        if self._grown > MAX_OUTPUT:
            raise ProtocolError(f"The playlist would grow beyond {MAX_OUTPUT >> 20} MiB.")


def rewrite(body: bytes, base_url: str, mint: Mint, variables: Mapping[str, str] | None = None) -> Rewritten:
    """Rewrite a playlist at once, in 10 µs a URI or less; see `Rewriting`, which does it in steps."""
    rewriting = Rewriting(body, base_url, mint, variables)
    for _ in rewriting:
        pass
    return rewriting.result()


def single_variant(uri: str, *, bandwidth: int = 8_000_000) -> bytes:
    """
    A multivariant playlist of one variant, which a viewer opens first.

    :param uri: where the variant is: not empty, no line ends.
    :param bandwidth: peak bits per second, which RFC 8216 section 4.3.4.2 wants told.
    """
    return f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}\n{uri}\n".encode()
