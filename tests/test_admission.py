"""Who may what, put together."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.access import Shown
from iptvd.accounts import KIND, User, to_record
from iptvd.errors import ConfigError, StoreError
from iptvd.settings import Config
from tests.doubles import Kept, admission, folder_for, result
from tests.test_access import HERE, HOME

ANNA = User("anna", "anna-token", expires=100.0)


class AdmissionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = Kept()
        self.config = Config(state_dir=folder_for(self))

    def test_other_rules(self) -> None:
        """The rules are other ones whenever a user has come, changed, expired or gone, or the settings have."""
        made = admission(self.clock, self.store)
        seen = [made.access]
        for change in (
            lambda: result(made.accounts.put(ANNA)),
            lambda: self.clock.advance(60),
            lambda: self.clock.advance(40),
            lambda: result(made.accounts.remove("anna")),
            lambda: made.configure(evolve(self.config, api_token="secret")),
        ):
            change()
            seen.append(made.access)
        self.assertEqual(len({id(each) for each in seen}), len(seen) - 1)
        # A minute in which nobody expires changes nothing.
        self.assertIs(seen[1], seen[2])
        self.assertEqual((made.api_token, made.now), ("secret", 100.0))
        self.assertTrue(made.access.judge(HOME, Shown(("secret",))).manager)

    def test_bad_settings(self) -> None:
        """Settings that make no sense change nothing."""
        made = admission(self.clock, self.store)
        before = made.access
        bad = evolve(self.config, api_token="secret", allowed_hosts=("not a host",))
        self.assertRaises(ConfigError, made.configure, bad)
        self.assertEqual((made.access, made.api_token), (before, ""))
        result(made.accounts.put(ANNA))
        self.assertEqual(made.access.api_token, "")

    def test_all_is_well(self) -> None:
        """When all is well there is nothing to tell."""
        self.assertEqual(admission(self.clock, self.store).notices, [])

    def test_unreadable(self) -> None:
        """When it cannot be read what was kept, the operator is told what holds until it can, and nobody watches."""
        self.store.failure = "api.db is damaged"
        made = admission(self.clock, self.store)
        (notice,) = made.notices
        self.assertIn("api.db is damaged. Until", notice)
        self.assertEqual(made.access.judge(HERE, Shown()).status, 503)

    def test_what_cannot_be_kept(self) -> None:
        """When a change cannot be kept the operator is told, until one can; who could watch before still can."""
        made = admission(self.clock, self.store)
        result(made.accounts.put(ANNA))
        self.store.failure = "the disk is full"
        self.assertRaises(StoreError, result, made.accounts.remove("anna"))
        (notice,) = made.notices
        self.assertIn("the disk is full.", notice)
        self.assertEqual(made.access.judge(HOME, Shown(("anna-token",))).user, ANNA)
        self.store.failure = ""
        result(made.accounts.remove("anna"))
        self.assertEqual(made.notices, [])

    def test_damaged_accounts(self) -> None:
        """An account that was damaged by hand is told of by its name, and the others are as they were."""
        self.store.kinds[KIND] = {"anna": to_record(ANNA), "carl": {"token": 1}, "bob": {}}
        made = admission(self.clock, self.store)
        told = [notice.partition(" is ")[0] for notice in made.notices]
        self.assertEqual(told, ["The account bob", "The account carl"])
        self.assertEqual(made.access.judge(HOME, Shown(("anna-token",))).user, ANNA)

    def test_the_end(self) -> None:
        """After the end nothing is waited for."""
        made = admission(self.clock, self.store)
        result(made.accounts.put(ANNA))
        made.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
