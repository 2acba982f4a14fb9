"""The rules: who may watch and who may manage, by what a request shows and where it comes from."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.access import Access, Shown, Who
from iptvd.accounts import KIND, User, to_record
from iptvd.admission import Admission
from iptvd.trust import Caller
from tests.delivery.test_relay import CHANNEL
from tests.doubles import Kept, admission

BASE = "http://192.168.1.10:8085"
ANNA, BOB = User("anna", "anna-token", groups=("Sport",)), User("bob", "bob-token", expires=100.0)

#: Where requests come from.
HERE = Caller("127.0.0.1", BASE, trusted=True, via_untrusted_proxy=False, certain=True, direct=True)
HOME = evolve(HERE, address="192.168.1.2")
STRANGER = evolve(HERE, address="203.0.113.9", trusted=False)
PROXIED = evolve(HERE, direct=False)
CLAIMED = evolve(HERE, trusted=False, via_untrusted_proxy=True, certain=False, direct=False)


def allowed(who: Who) -> bool:
    return not who.status


class AccessTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def rules(self, *users: User, **settings: Any) -> Access:
        return self.admission(*users, **settings).access

    def admission(self, *users: User, failure: str = "", **settings: Any) -> Admission:
        store = Kept()
        store.kinds[KIND] = {user.name: to_record(user) for user in users}
        store.failure = failure
        made = admission(self.clock, store, **settings)
        self.addCleanup(made.close)
        return made


class WatchingTests(AccessTestCase):
    def test_without_users(self) -> None:
        """As long as there is no user, the trusted networks may watch and nobody else, whatever they show."""
        rules = self.rules()
        for shown in (Shown(), Shown(("anything",)), Shown(("anything",), "anna"), Shown(user="gone")):
            for caller in (HERE, HOME):
                who = rules.judge(caller, shown)
                self.assertEqual((allowed(who), who.user, who.caller), (True, None, caller))
            self.assertEqual(rules.judge(STRANGER, shown).status, 403)
        self.assertIn("trusted_networks", rules.judge(STRANGER, Shown()).sentence)
        self.assertIn("trusted_proxies", rules.judge(CLAIMED, Shown()).sentence)

    def test_with_users(self) -> None:
        """With users everybody needs a token, at home as well: 401 without one, 403 with a wrong one."""
        rules = self.rules(ANNA, BOB)
        for caller in (HERE, HOME, STRANGER, CLAIMED):
            self.assertEqual(rules.judge(caller, Shown()).status, 401)
            self.assertEqual(rules.judge(caller, Shown(("wrong",))).status, 403)
            who = rules.judge(caller, Shown(("anna-token",)))
            self.assertEqual((allowed(who), who.user), (True, ANNA))

    def test_names(self) -> None:
        """Where a request says whose token it has, it has to be that one's."""
        rules = self.rules(ANNA, BOB)
        self.assertEqual(rules.judge(HOME, Shown(("anna-token",), "anna")).user, ANNA)
        for name in ("bob", "nobody"):
            self.assertEqual(rules.judge(HOME, Shown(("anna-token",), name)).status, 403)

    def test_several_tokens(self) -> None:
        """Of several tokens one that is right is enough."""
        self.assertEqual(self.rules(ANNA).judge(HOME, Shown(("wrong", "anna-token"))).user, ANNA)

    def test_links(self) -> None:
        """The links that a user is given have the token in them, whatever it is made of."""
        odd = User("odd", "a/b ?#\n")
        rules = self.rules(ANNA, odd)
        self.assertEqual(rules.judge(HOME, Shown(("anna-token",))).caller.base_url, f"{BASE}/~anna-token")
        self.assertEqual(rules.judge(HOME, Shown(("a/b ?#\n",))).caller.base_url, f"{BASE}/~a%2Fb%20%3F%23%0A")

    def test_barred(self) -> None:
        """Who has expired or is switched off is told so, from that moment on."""
        rules = self.rules(BOB, evolve(ANNA, active=False))
        self.assertTrue(allowed(rules.judge(HOME, Shown(("bob-token",)))))
        self.clock.advance(100)
        for shown in (Shown(("bob-token",)), Shown(user="bob")):
            who = rules.judge(HOME, shown)
            self.assertEqual((who.status, who.user), (403, None))
            self.assertIn("expired", who.sentence)
        self.assertIn("switched off", rules.judge(HOME, Shown(("anna-token",))).sentence)

    def test_logged_in(self) -> None:
        """Who has logged in needs no token, but a wrong one is wrong all the same."""
        rules = self.rules(ANNA, BOB)
        who = rules.judge(HOME, Shown(user="anna"))
        self.assertEqual((who.user, who.logged_in), (ANNA, True))
        self.assertEqual(rules.judge(HOME, Shown(("wrong",), user="anna")).status, 403)
        self.assertEqual(rules.judge(HOME, Shown(("bob-token",), user="anna")).user, BOB)

    def test_unreadable(self) -> None:
        """Where it is not known who there is, nobody may watch but who manages."""
        rules = self.rules(failure="damaged", api_token="secret")
        for caller in (HERE, HOME, STRANGER):
            for shown in (Shown(), Shown(("anna-token",)), Shown(user="anna")):
                self.assertEqual(rules.judge(caller, shown).status, 503)
            self.assertTrue(allowed(rules.judge(caller, Shown(("secret",)))))

    def test_groups(self) -> None:
        """What somebody may know of are the channels of their groups."""
        rules = self.rules(ANNA, BOB)
        for token, sees in (("anna-token", False), ("bob-token", True)):
            self.assertIs(rules.judge(HOME, Shown((token,))).may_see(CHANNEL), sees)
        self.assertTrue(self.rules().judge(HOME, Shown()).may_see(CHANNEL))


class ManagingTests(AccessTestCase):
    def manages(self, rules: Access, caller: Caller, *tokens: str) -> bool:
        return rules.judge(caller, Shown(tokens)).manager

    def test_with_a_token(self) -> None:
        """Where there is an API token it decides, wherever a request comes from, and it may watch too."""
        for rules in (self.rules(api_token="secret"), self.rules(ANNA, api_token="secret")):
            for caller in (HERE, HOME, STRANGER, CLAIMED):
                who = rules.judge(caller, Shown(("x", "secret")))
                self.assertEqual((who.manager, allowed(who), who.ambient, who.user), (True, True, False, None))
                for tokens in ((), ("Secret",), ("secret ",), ("anna-token",), ("\ud800",)):
                    self.assertFalse(self.manages(rules, caller, *tokens), tokens)

    def test_without_one(self) -> None:
        """Where there is none, this machine itself may manage, directly, and nobody else."""
        for rules in (self.rules(), self.rules(ANNA)):
            for caller, manages in (
                (HERE, True),
                (HOME, False),
                (STRANGER, False),
                (PROXIED, False),
                (CLAIMED, False),
            ):
                for tokens in ((), ("",), ("anna-token",)):
                    self.assertIs(self.manages(rules, caller, *tokens), manages, caller)

    def test_networks(self) -> None:
        """Other networks may where the operator says so, as long as there is no API token."""
        networks = (ip_network("192.168.1.0/24"),)
        rules = self.rules(manage_networks=networks)
        self.assertTrue(self.manages(rules, HOME))
        for caller in (STRANGER, evolve(HOME, certain=False), evolve(HOME, address="")):
            self.assertFalse(self.manages(rules, caller))
        self.assertFalse(self.manages(self.rules(manage_networks=networks, api_token="secret"), HOME))

    def test_who_manages_may_not_watch_as_everybody(self) -> None:
        """Who may manage for being near needs a token to watch, as everybody does, where there are users."""
        who = self.rules(ANNA).judge(HERE, Shown())
        self.assertEqual((who.manager, who.status), (True, 401))

    def test_as_a_user(self) -> None:
        """Who manages and shows a user's token sees what that user sees, and goes on to manage."""
        rules = self.rules(ANNA, BOB, api_token="secret")
        for shown in (Shown(("secret", "anna-token")), Shown(("anna-token",), manager=True)):
            who = rules.judge(HOME, shown)
            self.assertEqual((who.manager, who.user), (True, ANNA))
            self.assertEqual(who.caller.base_url, f"{BASE}/~anna-token")
        self.clock.advance(100)
        who = rules.judge(HOME, Shown(("secret", "bob-token")))
        self.assertEqual((who.manager, who.user, allowed(who)), (True, None, True))

    def test_what_a_browser_sends_by_itself(self) -> None:
        """Only who shows a token is taken to mean what is asked; to manage it has to be the API token."""
        near, far = self.rules(ANNA), self.rules(ANNA, api_token="secret")
        for rules, caller, shown, ambient in (
            (near, HERE, Shown(), True),
            (near, HERE, Shown(("wrong",)), True),
            (near, HERE, Shown(("anna-token",)), True),
            (near, HOME, Shown(("anna-token",)), False),
            (near, HOME, Shown(user="anna"), True),
            (far, HOME, Shown(("secret",)), False),
            (far, HOME, Shown(("secret", "anna-token")), False),
            (far, HOME, Shown(manager=True), True),
            (far, HOME, Shown(("anna-token",), manager=True), True),
            (self.rules(), HOME, Shown(), True),
        ):
            self.assertIs(rules.judge(caller, shown).ambient, ambient, shown)


class AnyTests(AccessTestCase):
    @given(
        st.sampled_from([HERE, HOME, STRANGER, PROXIED, CLAIMED]),
        st.lists(st.sampled_from(["anna-token", "bob-token", "secret", "x", ""]), max_size=3),
        st.sampled_from(["", "anna", "bob", "x"]),
        st.sampled_from(["", "anna", "x"]),
        st.booleans(),
        st.sampled_from(["", "secret"]),
    )
    def test_whatever_is_shown(
        self, caller: Caller, tokens: list[str], name: str, user: str, manager: bool, api_token: str
    ) -> None:
        """Whatever is shown, nobody watches where there are users but who is one or has the API token."""
        rules = self.rules(ANNA, BOB, api_token=api_token)
        who = rules.judge(caller, Shown(tuple(filter(None, tokens)), name, user, manager))
        if who.user is not None:
            self.assertTrue(who.user.token in tokens or who.user.name == user)
            self.assertEqual(who.caller.base_url, f"{BASE}/~{who.user.token}")
        elif allowed(who):
            self.assertTrue(manager or (api_token and api_token in tokens))
        else:
            self.assertIn(who.status, (401, 403))
            self.assertTrue(who.sentence)
