"""Who has logged in to the pages: a cookie that only we can have made."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from hmac import compare_digest

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from iptvd.accounts import Accounts, User, fingerprint

#: The cookie's name, and seconds that a login lasts.
COOKIE = b"iptvd"
LIFETIME = 30 * 86_400
# Bytes that stand for the token and the password of who has logged in: others end all logins.
_PART = 16


class Logins:
    """
    Makes cookies, and reads them.

    :param key: secret bytes of the installation; another one ends all logins.
    :param api_token: that of who manages, as it is now; empty for none.
    :param wall: seconds since the epoch.
    """

    def __init__(
        self, key: bytes, accounts: Accounts, api_token: Callable[[], str], wall: Callable[[], float]
    ) -> None:
        derived = HKDF(SHA256(), 32, None, b"iptvd logins").derive(key)
        self._box = Fernet(urlsafe_b64encode(derived))
        self._accounts = accounts
        self._api_token = api_token
        self._wall = wall

    def cookie(self, user: User | None) -> str:
        """The value of the cookie of a user, or of who manages."""
        told = self._secrets_of(user) + (user.name if user is not None else "").encode("utf-8", "surrogatepass")
        return self._box.encrypt_at_time(told, int(self._wall())).decode()

    def of(self, value: bytes | None) -> tuple[str, bool]:
        """The name of the user whose cookie that is, and whether it is who manages; empty and false for none."""
        if not value:
            return "", False
        try:
            told = self._box.decrypt_at_time(value, LIFETIME, int(self._wall()))
        except InvalidToken:
            return "", False
        name = told[_PART:].decode("utf-8", "surrogatepass")
        user = self._accounts.users.get(name) if name else None
        gone = user is None if name else not self._api_token()
        if gone or not compare_digest(self._secrets_of(user), told[:_PART]):
            return "", False
        return name, not name

    def _secrets_of(self, user: User | None) -> bytes:
        secrets = self._api_token() if user is None else f"{user.token}\n{user.password}"
        return fingerprint(secrets)[:_PART]
