"""Who may what, put together: what the API has kept, the users among it, logins, and the rules as they are now."""

from __future__ import annotations

from collections.abc import Callable
from socket import gethostname

from twisted.internet.interfaces import IReactorTime

from iptvd.access import Access
from iptvd.accounts import Accounts
from iptvd.interfaces import IStore
from iptvd.logins import Logins
from iptvd.records import Records
from iptvd.settings import Config
from iptvd.trust import Trust


class Admission:
    """
    All of it.

    :param key: secret bytes of the installation.
    :param wall: seconds since the epoch.
    :ivar access: another one whenever users or settings change.
    """

    def __init__(
        self, store: IStore, key: bytes, config: Config, clock: IReactorTime, wall: Callable[[], float]
    ) -> None:
        self._config = config
        self._wall = wall
        self.records = Records(store)
        self.records.load()
        self.accounts = Accounts(self.records, clock, wall)
        self.logins = Logins(key, self.accounts, lambda: self.api_token, wall)
        self.access = self._rules(config)
        self.accounts.on_change(lambda revoked: self.configure(self._config))

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._wall()

    @property
    def api_token(self) -> str:
        """The token of who manages, as it is now; empty for none."""
        return self._config.api_token

    @property
    def notices(self) -> list[str]:
        """What the operator should know of what is kept."""
        found = []
        if self.records.unreadable:
            found.append(
                f"{self.records.unreadable}. Until iptvd is started again with it, only who manages may watch, and "
                "nothing is kept."
            )
        if self.records.failure:
            found.append(f"What the API was told last could not be kept: {self.records.failure}.")
        for name in sorted(self.accounts.unfit):
            found.append(f"The account {name} is damaged: put it anew, or delete it.")
        return found

    def configure(self, config: Config) -> None:
        """
        Go by these settings.

        :raises ConfigError: when they make no sense.
        """
        self.access = self._rules(config)
        self._config = config

    def close(self) -> None:
        """Look at the time no more."""
        self.accounts.close()

    def _rules(self, config: Config) -> Access:
        trust = Trust(
            config.trusted_proxies,
            config.trusted_networks,
            config.allowed_hosts,
            config.public_url,
            own_names=(gethostname(),),
        )
        return Access(trust, self.accounts, config.api_token, config.manage_networks, self._wall)
