"""Users: who they are, and what becomes of them."""

from __future__ import annotations

import json

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import KIND, TOKEN_LENGTH, Accounts, User, from_record, new_token, to_record
from iptvd.errors import StoreError
from iptvd.records import Record, Records
from tests.delivery.test_relay import CHANNEL
from tests.doubles import Kept, result

ANNA = User("anna", "anna-token", max_connections=2, groups=("Sport",), created=1.0, extra={"level": 3})
BOB = User("bob", "bob-token", expires=100.0)
SPORT = evolve(CHANNEL, group="Sport")


class UserTests(SynchronousTestCase):
    def test_what_may_be_seen(self) -> None:
        """Who has groups sees the channels of those, who has none sees all."""
        for user, channel, seen in ((ANNA, SPORT, True), (ANNA, CHANNEL, False), (BOB, CHANNEL, True)):
            self.assertIs(user.may_see(channel), seen)

    def test_why_not(self) -> None:
        """Who is switched off, or has expired, may not watch, and is told why."""
        self.assertEqual((ANNA.barred(10**9), BOB.barred(99.9)), ("", ""))
        self.assertIn("expired", BOB.barred(100))
        self.assertIn("switched off", evolve(BOB, active=False).barred(0))

    def test_no_secret_in_a_log(self) -> None:
        """Neither token nor password is in what is logged of a user."""
        text = repr(evolve(ANNA, password="hash", extra={"pin": "pin-of-anna"}))
        for secret in ("anna-token", "hash", "pin-of-anna"):
            self.assertNotIn(secret, text)

    def test_tokens(self) -> None:
        """A new token is long, no other's, and of letters and digits: no path, shell or option reads it otherwise."""
        tokens = {new_token() for _ in range(100)}
        self.assertEqual(len(tokens), 100)
        for token in tokens:
            self.assertRegex(token, rf"\A[A-Za-z0-9]{{{TOKEN_LENGTH}}}\Z")


class RecordTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        """A user is the same after a way through a file."""
        for user in (ANNA, BOB, User("c", "t", "hash", None, 0, False, (), "notes", "c@example.com", 2.5)):
            self.assertEqual(from_record(user.name, json.loads(json.dumps(to_record(user)))), user)

    def test_what_is_left_out(self) -> None:
        """A record needs no more than a token, and what a later version may have in it does not matter."""
        self.assertEqual(from_record("a", {"token": "t", "later": [1]}), User("a", "t"))

    def test_what_does_not_fit(self) -> None:
        """What is no user is none."""
        record = to_record(ANNA)
        for name, value in (
            ("token", ""),
            ("token", None),
            ("token", 5),
            ("expires", "tomorrow"),
            ("expires", float("nan")),
            ("expires", float("inf")),
            ("expires", 10**400),
            ("max_connections", -1),
            ("max_connections", 1.5),
            ("active", "yes"),
            ("groups", "Sport"),
            ("groups", [1]),
            ("extra", []),
        ):
            self.assertRaises(ValueError, from_record, "a", {**record, name: value})
        self.assertRaises(ValueError, from_record, "a", {})


class AccountsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = Kept()
        self.store.kinds[KIND] = {user.name: to_record(user) for user in (ANNA, BOB)}
        self.accounts = self.made()

    def made(self) -> Accounts:
        self.records = Records(self.store)
        self.records.load()
        accounts = Accounts(self.records, self.clock, self.clock.seconds)
        self.revoked: list[list[str]] = []
        accounts.on_change(lambda names: self.revoked.append(sorted(names)))
        self.addCleanup(accounts.close)
        return accounts

    def put(self, user: User) -> list[str]:
        """Keep a user; whose sessions have to end."""
        self.revoked.clear()
        result(self.accounts.put(user))
        (revoked,) = self.revoked
        return revoked


class AccountsTests(AccountsTestCase):
    def test_who_there_is(self) -> None:
        """Whoever was kept is there after a restart, and is known by the token and by nothing else."""
        self.assertEqual(dict(self.accounts.users), {"anna": ANNA, "bob": BOB})
        self.assertEqual(self.accounts.of_token("anna-token"), ANNA)
        for token in ("anna-toke", "anna-token ", "ANNA-TOKEN", "", "\ud800", "anna"):
            self.assertIsNone(self.accounts.of_token(token), token)

    def test_coming_and_going(self) -> None:
        """A user can watch from the moment at which it is kept, and not after it has been removed."""
        carl = User("carl", "carl-token")
        self.assertEqual(self.put(carl), [])
        self.assertEqual(self.accounts.of_token("carl-token"), carl)
        self.assertEqual(self.store.kinds[KIND]["carl"]["token"], "carl-token")
        self.revoked.clear()
        result(self.accounts.remove("carl"))
        self.assertEqual(self.revoked, [["carl"]])
        self.assertEqual((self.accounts.of_token("carl-token"), "carl" in self.accounts.users), (None, False))
        result(self.accounts.remove("nobody"))
        self.assertEqual(self.revoked, [["carl"]])

    def test_what_ends_what_is_watched(self) -> None:
        """Another token, fewer groups, and being switched off end what is watched; the rest does not."""
        for change, ends in (
            (evolve(ANNA, notes="x", max_connections=1), False),
            (evolve(ANNA, groups=("Sport", "News")), False),
            (evolve(ANNA, groups=()), False),
            (evolve(ANNA, groups=("Sport",)), True),
            (ANNA, False),
            (evolve(ANNA, groups=("News",)), True),
            (evolve(ANNA, active=False), True),
            (evolve(ANNA, token="new-token"), True),
            (evolve(ANNA, token="new-token", expires=0.0), True),
        ):
            self.assertEqual(self.put(change), ["anna"] if ends else [], change)

    def test_another_token(self) -> None:
        """With a new token the old one is wrong at once."""
        self.put(evolve(ANNA, token="new-token"))
        self.assertIsNone(self.accounts.of_token("anna-token"))
        self.assertEqual(self.accounts.of_token("new-token"), self.accounts.users["anna"])

    def test_two_with_one_token(self) -> None:
        """A token that two have by somebody's hand is that of the first, and never of nobody in particular."""
        self.put(User("carl", "anna-token"))
        self.assertEqual(self.accounts.of_token("anna-token"), ANNA)
        result(self.accounts.remove("carl"))
        self.assertEqual(self.accounts.of_token("anna-token"), ANNA)

    def test_what_they_may(self) -> None:
        """What somebody may watch, and how much at once, is as it is now; who is gone may watch nothing."""
        self.assertTrue(self.accounts.may_watch("anna", SPORT))
        self.assertFalse(self.accounts.may_watch("anna", CHANNEL))
        self.assertFalse(self.accounts.may_watch("nobody", CHANNEL))
        self.assertEqual([self.accounts.limit_of(name) for name in ("anna", "bob", "nobody")], [2, 0, 0])
        self.assertTrue(self.accounts.may_watch("bob", CHANNEL))
        self.clock.advance(100)
        self.assertFalse(self.accounts.may_watch("bob", CHANNEL))

    def test_what_cannot_be_kept(self) -> None:
        """When a change cannot be kept, everybody is as before."""
        self.store.failure = "the disk is full"
        for work in (self.accounts.put(evolve(ANNA, active=False)), self.accounts.remove("bob")):
            self.assertRaises(StoreError, result, work)
        self.assertEqual(dict(self.accounts.users), {"anna": ANNA, "bob": BOB})
        self.assertEqual(self.revoked, [])

    def test_unreadable(self) -> None:
        """Where it is not known who there is, that is said."""
        self.assertEqual(self.accounts.unreadable, "")
        self.store.failure = "it is damaged"
        self.assertEqual(self.made().unreadable, "it is damaged")

    def test_going_over_them(self) -> None:
        """Somebody who goes over all users meanwhile is not disturbed by one who comes."""
        names = iter(self.accounts.users)
        self.assertEqual(next(names), "anna")
        self.put(User("carl", "carl-token"))
        self.assertEqual(list(names), ["bob"])


class ExpiryTests(AccountsTestCase):
    def test_at_its_time(self) -> None:
        """Who expires is told of at that moment, and once."""
        self.clock.pump([1] * 99)
        self.assertEqual(self.revoked, [])
        self.clock.advance(1)
        self.assertEqual(self.revoked, [["bob"]])
        self.clock.pump([60] * 10)
        self.assertEqual((self.revoked, self.clock.getDelayedCalls()), ([["bob"]], []))

    def test_another_time(self) -> None:
        """What counts is the expiry that somebody has now, and one in the past counts at once."""
        self.put(evolve(BOB, expires=500.0))
        self.clock.pump([10] * 49)
        self.assertEqual(self.revoked, [[]])
        self.assertEqual(self.put(evolve(BOB, expires=480.0)), ["bob"])
        self.assertEqual(self.put(evolve(BOB, expires=None)), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_clocks_are_set(self) -> None:
        """When the clock is set forward, whoever has expired by it is found within a minute."""
        wall = [0.0]
        accounts = Accounts(self.records, self.clock, lambda: wall[0])
        self.addCleanup(accounts.close)
        heard: list[frozenset[str]] = []
        accounts.on_change(heard.append)
        wall[0] = 10**6
        self.clock.advance(60)
        self.assertEqual(heard, [frozenset({"bob"})])

    def test_far_away(self) -> None:
        """An expiry far away, whatever it is, is waited for without trouble."""
        self.put(evolve(ANNA, expires=1e300))
        self.clock.pump([60] * 5)
        self.assertEqual(self.revoked[1:], [["bob"]])

    def test_closing(self) -> None:
        """After the end nothing is waited for."""
        self.accounts.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class UnfitTests(AccountsTestCase):
    """Records that somebody has changed by hand."""

    def made_with(self, record: Record) -> Accounts:
        self.store.kinds[KIND] = {"anna": record}
        return self.made()

    def test_one_that_is_none(self) -> None:
        """A user whose record is none may not watch, and is there all the same: nothing opens because of it."""
        for record in ({}, {"token": 5}, {"token": ""}, {**to_record(ANNA), "groups": 7}):
            accounts = self.made_with(record)
            self.assertEqual((list(accounts.users), accounts.unfit), (["anna"], {"anna"}))
            self.assertTrue(accounts.users["anna"].barred(0))
            for token in ("", "5", "anna-token"):
                self.assertIsNone(accounts.of_token(token))

    def test_put_anew(self) -> None:
        """Putting such a user anew mends it, and removing it does as well."""
        for mend in (lambda: self.accounts.put(ANNA), lambda: self.accounts.remove("anna")):
            self.accounts = self.made_with({})
            result(mend())
            self.assertEqual(self.accounts.unfit, frozenset())
        self.assertEqual(dict(self.accounts.users), {})
