"""Every error that is ours: each carries one sentence a user can act on, never a secret and never an upstream URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iptvd.model import ProviderState


class IptvdError(Exception):
    """
    The root of all errors raised on purpose.

    ``str(error)`` is a sentence for a user.
    """

    @property
    def sentence(self) -> str:
        """What went wrong, in one sentence."""
        return str(self)


class ConfigError(IptvdError):
    """A setting is wrong: the sentence names it, where it came from and what would be right."""


class ProviderError(IptvdError):
    """A provider could not deliver a lineup or a source; ``state`` is what health then shows."""

    def __init__(self, state: ProviderState, sentence: str) -> None:
        super().__init__(sentence)
        self.state = state


class ProtocolError(IptvdError):
    """Bytes from outside are not what their format allows, or exceed a bound of ours."""


class UpstreamError(IptvdError):
    """
    An origin could not be opened, or failed before its first byte.

    :ivar status: the HTTP status a viewer is answered with: 404, 502, 503 or 504.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class LimitError(IptvdError):
    """
    A session was refused because a limit is reached.

    :ivar retry_after: seconds after which asking again makes sense.
    """

    def __init__(self, sentence: str, retry_after: int = 5) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class TokenError(IptvdError):
    """A token is forged, cut short, of another version, or has expired."""


class StoreError(IptvdError):
    """The state directory cannot be read or written."""
