"""
Opaque tokens for what an HLS viewer may ask us to fetch: the upstream URL, encrypted and authenticated.

A token is everything we know of a request, so nothing is kept per URL and a restart forgets nothing. The encryption is
deterministic (AES-SIV, RFC 5297): the same grant gives the same token, and a segment keeps its address from one reload
of a live playlist to the next, which players and caches count on. That it shows when two tokens are for the same grant
is all that it gives away.

On the wire, in URL-safe base64 without padding: one byte of version, authenticated but not encrypted; the synthetic
IV of 16 bytes; and then, encrypted, a header, the session and the URL.
"""

from __future__ import annotations

import binascii
import os
import stat
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from struct import Struct

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from iptvd.errors import ProtocolError, StoreError, TokenError
from iptvd.protocols.m3u8 import Role

#: Bytes of a URL that can be sealed, and characters of a token that is looked at: the longest URL gives less.
MAX_URL = 8 * 1024
MAX_TOKEN = 12 * 1024
#: Tokens that were opened last, which are not decrypted again, and the characters of one that is worth it.
RECENT = 4096
_SHORT = 1024
#: Bytes of the key: AES-SIV with two keys of 256 bits.
KEY_SIZE = 64

_VERSION = b"\x01"
# Role, length of the session, channel, source, and the end in seconds since the epoch; then session and URL.
_HEADER = Struct(">BBIIQ")
_CODES = {Role.PLAYLIST: 1, Role.SEGMENT: 2, Role.INIT: 3, Role.KEY: 4, Role.OTHER: 5}
_ROLES = {code: role for role, code in _CODES.items()}
# From the alphabet of URLs to the one that the strict decoder knows, in which what is not ours becomes nothing.
_ALPHABET = bytes.maketrans(b"-_+/=", b"+/\0\0\0")


@frozen
class Grant:
    """
    Leave to have one upstream URL fetched.

    :ivar url: absolute, http or https, up to `MAX_URL` bytes.
    :ivar channel: the id of the channel it belongs to.
    :ivar session: the id of the viewer's session, ASCII, up to 255 characters.
    :ivar source: 0 to 2^32 - 1, tells which source's headers go with the request.
    """

    url: str = field(repr=False)
    role: Role
    channel: int
    session: str
    source: int


class TokenBox:
    """
    Seals grants into tokens and opens them again.

    A token lives for ``lifetime`` and up to ``step`` longer: it ends with the step that ``now + lifetime`` falls into,
    so that it stays the same within a step.

    :param key: `KEY_SIZE` secret bytes; see `load_key`.
    :param clock: seconds since the epoch.
    :param lifetime: seconds that a token lives at least.
    :param step: seconds, whole.
    """

    def __init__(self, key: bytes, clock: Callable[[], float], lifetime: float = 86_400.0, step: int = 86_400) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a key has {KEY_SIZE} bytes")
        self._cipher = AESSIV(key)
        self._clock = clock
        self._lifetime = lifetime
        self._step = step
        # Those opened last, the latest at the end, each with its end in seconds since the epoch.
        self._recent: dict[str, tuple[Grant, int]] = {}

    def seal(self, grant: Grant) -> str:
        """
        The token for a grant: letters, digits, ``-`` and ``_``.

        :raises ProtocolError: when the URL is longer than `MAX_URL` bytes, or not one.
        """
        try:
            url = grant.url.encode("ascii")
        except UnicodeEncodeError:
            raise ProtocolError("An address holds characters that have to be percent-encoded.") from None
        if len(url) > MAX_URL:
            raise ProtocolError(f"An address is longer than {MAX_URL >> 10} KiB.")
        session = grant.session.encode("ascii")
        end = (int((self._clock() + self._lifetime) // self._step) + 1) * self._step
        header = _HEADER.pack(_CODES[grant.role], len(session), grant.channel, grant.source, end)
        sealed = self._cipher.encrypt(header + session + url, [_VERSION])
        return urlsafe_b64encode(_VERSION + sealed).rstrip(b"=").decode("ascii")

    def open(self, token: str, in_use: Callable[[str], bool] = lambda session: False) -> Grant:
        """
        The grant that a token was sealed from.

        :param in_use: whether a session goes on; its tokens do not expire meanwhile.
        :raises TokenError: when it is not ours or not whole, of another version, or expired.
        """
        found = self._recent.pop(token, None) or self._opened(token)
        grant, end = found
        if self._clock() >= end and not in_use(grant.session):
            raise TokenError("This address has expired: open the channel again.")
        if len(token) <= _SHORT:
            self._recent[token] = found
            if len(self._recent) > RECENT:
                del self._recent[next(iter(self._recent))]
        return grant

    def _opened(self, token: str) -> tuple[Grant, int]:
        raw = _decoded(token)
        if raw[:1] != _VERSION:
            raise TokenError("This address is of another version of this server: open the channel again.")
        try:
            plain = self._cipher.decrypt(raw[1:], [_VERSION])
        except InvalidTag:
            raise TokenError(_NOT_OURS) from None
        code, length, channel, source, end = _HEADER.unpack_from(plain)
        rest = plain[_HEADER.size :].decode("ascii")
        return Grant(rest[length:], _ROLES[code], channel, rest[:length], source), end


_NOT_OURS = "This address is not one that this server gave out, or not all of it: open the channel again."


def _decoded(token: str) -> bytes:
    # Only the one spelling that we write is taken, so that a token has no second form.
    if len(token) > MAX_TOKEN or not token.isascii():
        raise TokenError(_NOT_OURS)
    padded = token.encode("ascii").translate(_ALPHABET) + b"=" * (-len(token) % 4)
    try:
        raw = binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error:
        raise TokenError(_NOT_OURS) from None
    if not raw or binascii.b2a_base64(raw, newline=False) != padded:
        raise TokenError(_NOT_OURS)
    return raw


def load_key(path: Path) -> bytes:
    """
    The key kept in a file, which is made when there is none.

    Two processes that start at once get the same key, and a crash leaves a whole file or none.

    :raises StoreError: when it cannot be read or made, is of the wrong size, or others may read it.
    """
    try:
        with suppress(FileNotFoundError):
            return _read_key(path)
        _make_key(path)
        return _read_key(path)
    except OSError as error:
        raise StoreError(f"The key file {path} can be neither read nor made: {error.strerror}.") from error


def _read_key(path: Path) -> bytes:
    # Not blocking, should it be a pipe.
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"The key file {path} is not a file: move it away, and a new one is made.")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise StoreError(f"The key file {path} may be read or written by others: run chmod 600 {path}.")
        key = file.read(KEY_SIZE + 1)
    if len(key) != KEY_SIZE:
        raise StoreError(
            f"The key file {path} does not hold {KEY_SIZE} bytes: restore it, or delete it to get a new one."
        )
    return key


def _make_key(path: Path) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.partial")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
            os.fchmod(file.fileno(), 0o600)
            file.write(os.urandom(KEY_SIZE))
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never replaces the key that another process has just made.
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
