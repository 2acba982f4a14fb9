"""Tokens tell viewers nothing, open to what they were sealed from, and cannot be made or changed by anyone else."""

from __future__ import annotations

import os
import string
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError, StoreError, TokenError
from iptvd.protocols.m3u8 import Role
from iptvd.tokens import KEY_SIZE, MAX_TOKEN, MAX_URL, RECENT, Grant, TokenBox, load_key

KEY = bytes(range(KEY_SIZE))
DAY = 86_400
GRANT = Grant("https://cdn.example.com/live/one/1.ts?token=abc", Role.SEGMENT, 12, "s3ssion", 4_000_000_000)


class TokenTests(SynchronousTestCase):
    """Sealing and opening."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.box = self.make()

    def make(self, key: bytes = KEY) -> TokenBox:
        return TokenBox(key, self.clock.seconds)

    def refused(self, token: str) -> str:
        with self.assertRaises(TokenError) as caught:
            self.box.open(token)
        return str(caught.exception)

    @given(
        st.builds(
            Grant,
            url=st.text(alphabet=string.printable, max_size=300),
            role=st.sampled_from(Role),
            channel=st.integers(1, 2**31 - 1),
            session=st.text(alphabet=string.ascii_letters + string.digits, max_size=40),
            source=st.integers(0, 2**32 - 1),
        )
    )
    def test_opens_to_what_was_sealed(self, grant: Grant) -> None:
        """A token opens to the grant it was sealed from, and can stand in a URL."""
        token = self.box.seal(grant)
        self.assertLessEqual(set(token), set(string.ascii_letters + string.digits + "-_"))
        self.assertEqual(self.box.open(token), grant)

    def test_after_a_restart(self) -> None:
        """With the same key a token opens after a restart, and another key's does not open."""
        token = self.box.seal(GRANT)
        self.assertEqual(self.make().open(token), GRANT)
        self.box = self.make(os.urandom(KEY_SIZE))
        self.refused(token)

    def test_same_across_reloads(self) -> None:
        """The same URL has the same token from one reload of a playlist to the next, and others have others."""
        token = self.box.seal(GRANT)
        self.clock.advance(6)
        self.assertEqual(self.make().seal(evolve(GRANT)), token)
        tokens = {
            self.box.seal(evolve(GRANT, **change))
            for change in (
                {},
                {"url": GRANT.url + "x"},
                {"role": Role.KEY},
                {"channel": 13},
                {"session": "other"},
                {"source": 1},
            )
        }
        self.assertEqual(len(tokens), 6)

    def test_expiry(self) -> None:
        """A token lives for a day and until the end of the day after; at that border the next one is another."""
        # 10 s before a border.
        self.clock.advance(DAY - self.clock.seconds() % DAY - 10)
        token = self.box.seal(GRANT)
        self.clock.advance(9.5)
        self.assertEqual(self.box.seal(GRANT), token)
        self.clock.advance(0.5)
        self.assertNotEqual(self.box.seal(GRANT), token)
        self.clock.advance(DAY - 1)
        self.assertEqual(self.box.open(token), GRANT)
        self.clock.advance(1)
        self.assertEqual(self.refused(token), "This address has expired: open the channel again.")

    def test_opened_again(self) -> None:
        """A token that was opened before opens to the same, expires like any other, and few are remembered."""
        token = self.box.seal(GRANT)
        for _ in range(3):
            self.assertEqual(self.box.open(token), GRANT)
        for number in range(RECENT + 10):
            self.box.open(self.box.seal(evolve(GRANT, channel=number)))
        long = self.box.seal(evolve(GRANT, url="https://cdn.example.com/" + "x" * 4000))
        self.assertEqual((self.box.open(long), self.box.open(token)), (self.box.open(long), GRANT))
        self.assertLessEqual(len(self.box._recent), RECENT)
        self.clock.advance(2 * DAY)
        for _ in range(2):
            self.assertIn("expired", self.refused(token))
        self.assertEqual(self.box.open(token, lambda session: session == GRANT.session), GRANT)
        self.assertIn("expired", self.refused(token))

    def test_a_session_that_goes_on(self) -> None:
        """What a session was given does not expire while it goes on."""
        token = self.box.seal(GRANT)
        self.clock.advance(10 * DAY)
        self.assertEqual(self.box.open(token, lambda session: session == GRANT.session), GRANT)
        self.refused(token)

    def test_lives_at_least_its_lifetime(self) -> None:
        """Sealed at a border, a token lives for its lifetime and a whole step."""
        box = TokenBox(KEY, self.clock.seconds, lifetime=30, step=10)
        self.clock.advance(-self.clock.seconds() % 10)
        token = box.seal(GRANT)
        self.clock.advance(39)
        self.assertEqual(box.open(token), GRANT)
        self.clock.advance(1)
        self.assertRaises(TokenError, box.open, token)

    def test_changed(self) -> None:
        """A token of which one bit is changed does not open."""
        token = self.box.seal(GRANT)
        for index, character in enumerate(token):
            for bit in range(7):
                changed = chr(ord(character) ^ 1 << bit)
                self.refused(token[:index] + changed + token[index + 1 :])

    def test_cut_or_lengthened(self) -> None:
        """A token that is cut short anywhere, or has something after it, does not open."""
        token = self.box.seal(GRANT)
        for end in range(len(token)):
            self.refused(token[:end])
        for more in ("A", "AAAA", "=", "==", ".ts", "\n"):
            self.refused(token + more)

    @given(st.text(max_size=80))
    def test_anything(self, token: str) -> None:
        """Any text at all is refused with a sentence."""
        self.assertTrue(self.refused(token).endswith("open the channel again."))

    def test_other_spellings(self) -> None:
        """A token has one spelling: ordinary base64, padding or stray bits are not it."""
        tokens = [self.box.seal(evolve(GRANT, url=GRANT.url + "x" * count)) for count in range(40)]
        for token in tokens:
            for other in (
                token.replace("-", "+"),
                token.replace("_", "/"),
                token + "=" * (-len(token) % 4),
                f" {token}",
            ):
                if other != token:
                    self.assertIn("not one that this server gave out", self.refused(other))

    def test_other_version(self) -> None:
        """A token of another version says so."""
        token = self.box.seal(GRANT)
        self.assertEqual(
            self.refused("Ag" + token[2:]),
            "This address is of another version of this server: open the channel again.",
        )

    def test_tells_nothing(self) -> None:
        """Neither a token nor what is printed of a grant shows its URL."""
        self.assertNotIn("cdn.example.com", repr(GRANT))
        self.assertNotIn("Y2RuLmV4YW1wbGUuY29t", self.box.seal(GRANT))
        self.assertNotIn(KEY.hex(), repr(self.box))

    def test_bounds(self) -> None:
        """The longest URL is 8 KiB, its token is looked at, and nothing longer than 12 KiB is."""
        long = evolve(GRANT, url="http://a.test/".ljust(MAX_URL, "x"), session="s" * 255)
        token = self.box.seal(long)
        self.assertLessEqual(len(token), MAX_TOKEN)
        self.assertEqual(self.box.open(token), long)
        with self.assertRaises(ProtocolError):
            self.box.seal(evolve(long, url=long.url + "x"))
        self.refused("A" * (MAX_TOKEN + 4))

    def test_only_ascii(self) -> None:
        """A URL that is not percent-encoded is refused, without showing it."""
        with self.assertRaises(ProtocolError) as caught:
            self.box.seal(evolve(GRANT, url="http://a.test/ü"))
        self.assertNotIn("a.test", caught.exception.sentence)

    def test_short_key(self) -> None:
        """A key of another size is never taken."""
        self.assertRaises(ValueError, self.make, KEY[:32])


class KeyTests(SynchronousTestCase):
    """The key file."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "tokens.key"

    def refused(self) -> str:
        with self.assertRaises(StoreError) as caught:
            load_key(self.path)
        self.assertIn(str(self.path), caught.exception.sentence)
        return str(caught.exception)

    def test_made_once(self) -> None:
        """The first start makes a key that nobody else may read, later ones read it, and nothing is left beside it."""
        key = load_key(self.path)
        self.assertEqual(len(key), KEY_SIZE)
        self.assertEqual(load_key(self.path), key)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(list(self.folder.iterdir()), [self.path])
        self.path.unlink()
        self.assertNotEqual(load_key(self.path), key)

    def test_two_at_once(self) -> None:
        """When another process makes the key at the same moment, its key is taken."""
        link = os.link

        def link_too_late(source: Path, target: Path) -> None:
            target.write_bytes(KEY)
            target.chmod(0o600)
            link(source, target)

        with mock.patch("os.link", link_too_late):
            self.assertEqual(load_key(self.path), KEY)
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_wrong_size(self) -> None:
        """A key file that is cut short or too long is neither used nor overwritten."""
        for size in (0, KEY_SIZE - 1, KEY_SIZE + 1):
            self.path.write_bytes(b"x" * size)
            self.path.chmod(0o600)
            self.assertIn("does not hold 64 bytes", self.refused())
            self.assertEqual(self.path.stat().st_size, size)

    def test_open_to_others(self) -> None:
        """A key that others may read or write is refused, with the command that mends it."""
        self.path.write_bytes(KEY)
        for mode in (0o640, 0o604, 0o602, 0o620):
            self.path.chmod(mode)
            self.assertIn(f"chmod 600 {self.path}", self.refused())
        self.path.chmod(0o600)
        self.assertEqual(load_key(self.path), KEY)

    def test_not_a_file(self) -> None:
        """A folder or a pipe in the key's place is refused at once."""
        self.path.mkdir()
        self.assertIn("Is a directory", self.refused())
        self.path.rmdir()
        os.mkfifo(self.path, 0o600)
        self.assertIn("is not a file", self.refused())

    def test_no_place(self) -> None:
        """Where no key can be made, the reason is told."""
        self.path = self.folder / "missing" / "tokens.key"
        self.assertIn("No such file or directory", self.refused())
