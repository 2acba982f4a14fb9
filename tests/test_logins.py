"""The cookie of a login."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import KIND, User, to_record
from iptvd.logins import LIFETIME, Logins
from tests.doubles import Kept, admission, result

ANNA = User("anna", "anna-token", password="hash")


class LoginsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        store = Kept()
        store.kinds[KIND] = {"anna": to_record(ANNA), "bob": to_record(User("bob", "bob-token"))}
        self.admission = admission(self.clock, store, api_token="secret")
        self.logins = self.admission.logins
        self.api_token = "secret"

    def others(self, key: bytes) -> Logins:
        """Those of another installation, or of this one after a restart."""
        return Logins(key, self.admission.accounts, lambda: self.api_token, self.clock.seconds)

    def test_a_user(self) -> None:
        """The cookie of a user says who that is, after a restart as well."""
        value = self.logins.cookie(ANNA).encode()
        self.assertEqual(self.logins.of(value), ("anna", False))
        self.assertEqual(self.others(bytes(32)).of(self.others(bytes(32)).cookie(ANNA).encode()), ("anna", False))

    def test_who_manages(self) -> None:
        """The cookie of who manages says that, as long as the API token is the one it was made by."""
        logins = self.others(bytes(32))
        value = logins.cookie(None).encode()
        self.assertEqual(logins.of(value), ("", True))
        for token in ("other", ""):
            self.api_token = token
            self.assertEqual(logins.of(value), ("", False))
        self.assertEqual(logins.of(logins.cookie(None).encode()), ("", False))

    def test_what_is_none(self) -> None:
        """What we have not made, or another installation has, is nothing."""
        value = self.logins.cookie(ANNA).encode()
        changed = value[:20] + (b"A" if value[20:21] != b"A" else b"B") + value[21:]
        for other in (None, b"", b"x", b"\xff\xfe", value[:-1], changed, self.strange()):
            self.assertEqual(self.logins.of(other), ("", False), other)

    def strange(self) -> bytes:
        return self.others(bytes(range(32))).cookie(ANNA).encode()

    def test_the_secrets_stand_for_it(self) -> None:
        """Another token, another password, or the end of a user ends its logins."""
        value = self.logins.cookie(ANNA).encode()
        for change in (evolve(ANNA, token="new-token"), evolve(ANNA, password="other")):
            result(self.admission.accounts.put(change))
            self.assertEqual(self.logins.of(value), ("", False))
        result(self.admission.accounts.put(evolve(ANNA, notes="x")))
        self.assertEqual(self.logins.of(value), ("anna", False))
        result(self.admission.accounts.remove("anna"))
        self.assertEqual(self.logins.of(value), ("", False))

    def test_no_secret_in_it(self) -> None:
        """Nothing of a cookie can be read by whoever has it."""
        for user in (ANNA, None):
            for secret in ("anna", "secret"):
                self.assertNotIn(secret, self.logins.cookie(user))

    def test_for_how_long(self) -> None:
        """A login lasts a month."""
        value = self.logins.cookie(ANNA).encode()
        self.clock.advance(LIFETIME)
        self.assertEqual(self.logins.of(value), ("anna", False))
        self.clock.advance(1)
        self.assertEqual(self.logins.of(value), ("", False))
