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
        self.logins = Logins(key, self.accounts, lambda: self._config.api_token, wall)
        self.access = self._rules()
        self.accounts.on_change(lambda revoked: self.configure(self._config))

    @property
    def notices(self) -> list[str]:
        """What the operator should know of what is kept."""
        return [f"{reason}." for reason in (self.records.unreadable, self.records.failure) if reason]

    def configure(self, config: Config) -> None:
        """
        Go by these settings.

        :raises ConfigError: when they make no sense.
        """
        self._config = config
        self.access = self._rules()

    def close(self) -> None:
        """Look at the time no more."""
        self.accounts.close()

    def _rules(self) -> Access:
        config = self._config
        trust = Trust(
            config.trusted_proxies,
            config.trusted_networks,
            config.allowed_hosts,
            config.public_url,
            own_names=(gethostname(),),
        )
        return Access(trust, self.accounts, config.api_token, config.manage_networks, self._wall)
