"""
What a stream URL from outside names: how it delivers, what it is to a viewer, and how it is kept in its bounds.

Only what is asked for over the network is recognised, never a file, a folder or a command. What is not plain HTTP goes
through ffmpeg, which may open the protocols of that one kind and no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address
from string import punctuation
from urllib.parse import quote

from attrs import field, frozen

from iptvd.model import ChannelKind, Headers, SourceKind

#: Characters; longer ones are no stream's URL.
MAX_URL = 8192

_URL = re.compile(
    r"([a-z][a-z0-9+.-]*)://([^/?#\\]*@)?(\[[^\[\]]*\]|[^\s/?#:@\[\]\\]*)(?::(\d{1,5}))?(/[^?#]*)?(\?[^#]*)?(#.*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.ASCII)
_EXTENSION = re.compile(r".*\.([a-z0-9]{1,5})", re.ASCII | re.IGNORECASE)
_HLS_QUERY = re.compile(r"[?&][^=&]*=(?:[^&]*\.)?m3u8(?:&|$)", re.IGNORECASE)
_SMOOTH = re.compile(r"\.isml?(?:/manifest)?/?$", re.IGNORECASE)
_LISTENS = re.compile(r"[?&](?:mode=(?:listener|rendezvous)|listen)(?:[=&]|$)", re.IGNORECASE)
# How Xtream panels write a stream: the account's name and password are two folders of its path.
_XTREAM = re.compile(r"/(?:(live|movie|series)/)?[^/]+/[^/]+/(\d+)(?:\.\w+)?", re.ASCII)
_VOD_EXTENSIONS = frozenset(("mp4", "mkv", "avi", "mov", "m4v", "webm", "wmv", "flv", "mpg", "mpeg", "divx", "3gp"))
_RADIO_EXTENSIONS = frozenset(("mp3", "aac", "m4a", "ogg", "oga", "opus", "flac", "wav"))
_DRM = frozenset(f"inputstream.adaptive.{name}" for name in ("license_type", "license_key", "drm", "drm_legacy"))
#: Kodi's property that says what a URL's extension does not: ``mpd``, ``hls`` or ``ism``.
MANIFEST_TYPE = "inputstream.adaptive.manifest_type"
# For what does not come over plain HTTP: the input format ffmpeg must take it for, so that nothing it receives can
# pass for a script that names other inputs, and the only protocols it may open for it.
_REMUXED = {
    "udp": ("mpegts", "udp"),
    "rtp": ("rtp", "rtp,udp"),
    "rtsp": ("rtsp", "rtp,udp,tcp"),
    "rtmp": ("flv", "rtmp,tcp"),
    "rtmps": ("flv", "rtmps,tls,tcp"),
    "srt": ("mpegts", "srt"),
    "mpd": ("dash", "http,https,tcp,tls,crypto"),
}


@frozen
class StreamUrl:
    """
    What a URL was recognised as.

    :ivar url: normalised, printable ASCII without spaces.
    :ivar form: how ffmpeg has to take it: its scheme, or ``mpd``; empty for plain HTTP.
    :ivar place: host, and the port unless it is the scheme's own.
    :ivar path: as it came, from its ``/`` on, or empty.
    :ivar query: as it came, from its ``?`` on, or empty.
    """

    url: str = field(repr=False)
    form: str
    place: str
    path: str = field(repr=False)
    query: str = field(repr=False)

    @property
    def key(self) -> str:
        """The URL without scheme, credentials and query: the same after the password has changed."""
        match = _XTREAM.fullmatch(self.path)
        return self.place + (self.path if match is None else f"/{match[1] or 'live'}/{match[2]}")


def recognise(url: str, manifest_type: str = "") -> StreamUrl | None:
    """
    The stream that a URL names, or None for whatever is not one.

    :param manifest_type: the value of the property `MANIFEST_TYPE`, or empty.
    """
    if len(url) > MAX_URL:
        return None
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme, user, host, port, path, query, fragment = (part or "" for part in match.groups())
    scheme = scheme.lower()
    web = scheme in ("http", "https")
    if not web and (scheme == "mpd" or scheme not in _REMUXED):
        return None
    try:
        host = _host(host)
    except ValueError:
        return None
    if port and not 0 < int(port) < 65536:
        return None
    if scheme in ("udp", "rtp", "srt"):
        # VLC's form has an @ before the group to join; without a host it is any address. There is no path.
        if not port or (scheme == "srt" and not host):
            return None
        user = path = ""
    elif not host:
        return None
    address = f"{scheme}://{user}{host}{':' if port else ''}{port}{path}{query}{'' if web else fragment}"
    if not address.isascii() or not address.isprintable() or " " in address:
        address = quote(address, safe=punctuation, errors="surrogatepass")
    is_mpd = web and (manifest_type == "mpd" or path.lower().endswith(".mpd"))
    own_port = not port or (scheme, int(port)) in (("http", 80), ("https", 443))
    place = host if own_port else f"{host}:{port}"
    return StreamUrl(address, "mpd" if is_mpd else "" if web else scheme, place, path, query)


def _host(text: str) -> str:
    """A host in lower case, a name in its ASCII form; empty when it is; raises ValueError when it is none."""
    if text.startswith("["):
        return f"[{IPv6Address(text[1:-1])}]"
    name = text.lower()
    # The codec's own work grows with the square of the length; no valid name is longer (RFC 1035).
    if not name.isascii() and len(name) < 254:
        name = name.encode("idna").decode().lower()
    if name and (len(name) > 254 or _NAME.fullmatch(name) is None):
        raise ValueError("not a host")
    return name


def classify(stream: StreamUrl, manifest_type: str, radio: bool) -> tuple[ChannelKind, SourceKind, str]:
    """What a stream is to a viewer, how it delivers, and its media extension, as `iptvd.model.Entry` has them."""
    match = _EXTENSION.fullmatch(stream.path)
    extension = match[1].lower() if match is not None else ""
    xtream = _XTREAM.fullmatch(stream.path)
    is_file = xtream is not None and xtream[1] in ("movie", "series")
    radio = radio or extension in _RADIO_EXTENSIONS
    if stream.form:
        return ChannelKind.RADIO if radio else ChannelKind.LIVE, SourceKind.TS, "ts"
    if extension == "m3u8" or manifest_type == "hls" or _HLS_QUERY.search(stream.query) is not None:
        kind = ChannelKind.RADIO if radio else ChannelKind.VOD if is_file else ChannelKind.LIVE
        return kind, SourceKind.HLS, "m3u8"
    if is_file or (extension in _VOD_EXTENSIONS and not radio):
        return ChannelKind.VOD, SourceKind.VOD, extension or "mp4"
    if radio:
        return ChannelKind.RADIO, SourceKind.TS, extension if extension in _RADIO_EXTENSIONS else "ts"
    return ChannelKind.LIVE, SourceKind.TS, "ts"


def why_unsupported(stream: StreamUrl, properties: Mapping[str, str], ffmpeg: str) -> str:
    """
    Why a stream cannot be played, in words that follow a colon, or empty.

    :param properties: Kodi's, names in lower case.
    :param ffmpeg: path of the ffmpeg there is, or empty.
    """
    if properties and any(properties.get(name) for name in _DRM):
        return "it is protected by DRM"
    if not stream.form and (
        properties.get(MANIFEST_TYPE, "").lower() == "ism" or _SMOOTH.search(stream.path) is not None
    ):
        return "it is Smooth Streaming, which is not supported"
    if stream.form not in ("", "mpd") and _LISTENS.search(stream.query) is not None:
        return "it waits for a sender to call, which is not supported"
    if stream.form and not ffmpeg:
        return f"it needs ffmpeg because it comes as {stream.form}, and there is no ffmpeg: install it"
    return ""


def remux_command(ffmpeg: str, stream: StreamUrl, headers: Headers, verify_tls: bool) -> tuple[str, ...]:
    """
    The command that writes a stream whose ``form`` is not empty as MPEG-TS, pictures and sound untouched.

    :param headers: request headers; only HTTP has a place for them.
    """
    input_format, protocols = _REMUXED[stream.form]
    options = ["-protocol_whitelist", protocols, "-f", input_format]
    if stream.form == "rtsp":
        options += ["-rtsp_flags", "prefer_tcp"]
    elif stream.form == "mpd":
        if stream.url.startswith("https:"):
            # Not the default of every ffmpeg, and an error where there is no TLS.
            options += ["-tls_verify", "1" if verify_tls else "0"]
        if headers:
            options += ["-headers", "".join(f"{name}: {value}\r\n" for name, value in headers)]
    return (ffmpeg, "-nostdin", "-v", "error", *options, "-i", stream.url, "-c", "copy", "-f", "mpegts", "-")
