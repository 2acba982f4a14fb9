"""How providers are doing, told by the API."""

from __future__ import annotations

import json
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from iptvd.lineup_service import LineupService
from iptvd.model import Account, ProviderState
from iptvd.refresh import ProviderStatus
from iptvd.web.operations import Call
from iptvd.web.providers_api import ProvidersApi
from iptvd.web.request import Refusal
from tests.doubles import result
from tests.web.loop import Stage

SECRET = "http://user:s3cret@upstream.example.com/"


class Runner:
    """One that counts how often it was told to refresh."""

    def __init__(self, status: ProviderStatus) -> None:
        self.status = status
        self.refreshed = 0

    def refresh(self) -> None:
        self.refreshed += 1


class Lineup:
    """What is asked of the lineup service."""

    def __init__(self, *statuses: ProviderStatus) -> None:
        self.runners = {status.name: Runner(status) for status in statuses}

    @property
    def statuses(self) -> list[ProviderStatus]:
        return [runner.status for runner in self.runners.values()]


HOME = ProviderStatus(
    "home",
    "xtream",
    ProviderState.STALE,
    f"not refreshed: {SECRET} said no",
    5,
    1769860800.0,
    1769864400.0,
    account=Account("Active", 2, 1, 1772539200.0),
)


class ProvidersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lineup = Lineup(HOME, ProviderStatus("demo", "demo"))
        self.api = ProvidersApi(cast(LineupService, self.lineup))

    def call(self, **path: str) -> Call:
        return Call(cast(Any, None), path)

    def test_all(self) -> None:
        """Each provider is told with its state, its times and its account, and with no address."""
        home, demo = result(self.api.all(self.call())).providers
        self.assertEqual((home.name, home.kind, home.state, home.entries), ("home", "xtream", "stale", 5))
        self.assertEqual((home.last_good, home.next_refresh), ("2026-01-31T12:00:00Z", "2026-01-31T13:00:00Z"))
        self.assertEqual(home.sentence, "not refreshed: (its address) said no")
        assert home.account is not None
        self.assertEqual((home.account.status, home.account.max_connections), ("Active", 2))
        self.assertEqual((home.account.active_connections, home.account.trial), (1, False))
        self.assertEqual(home.account.expires, "2026-03-03T12:00:00Z")
        self.assertEqual((demo.state, demo.last_good, demo.account), ("loading", None, None))

    def test_refresh(self) -> None:
        """A provider is asked anew, the others are not."""
        self.assertEqual(result(self.api.refresh(self.call(name="home"))).name, "home")
        self.assertEqual([each.refreshed for each in self.lineup.runners.values()], [1, 0])

    def test_unknown(self) -> None:
        """A name that no provider has is not found."""
        refusal = self.assertRaises(Refusal, lambda: result(self.api.refresh(self.call(name="none"))))
        self.assertEqual(refusal.status, 404)

    def test_in_the_tree(self) -> None:
        """It is answered at its address, to who manages."""
        stage = Stage(self)
        told = json.loads(stage.ask("/api/providers").answer().body)
        self.assertEqual([each["name"] for each in told["providers"]], ["home"])
        stage.trust(api_token="s3cret")
        self.assertEqual(stage.ask("/api/providers").answer().status, 401)
        self.assertEqual(stage.ask("/api/providers/home/refresh", method="POST").answer().status, 401)
        shown = ("X-API-Token", "s3cret")
        self.assertEqual(stage.ask("/api/providers", shown).answer().status, 200)
        self.assertEqual(stage.ask("/api/providers/home/refresh", shown).answer().status, 405)
