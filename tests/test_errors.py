"""What our errors promise to whoever catches them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import (
    ConfigError,
    IptvdError,
    LimitError,
    ProtocolError,
    ProviderError,
    StoreError,
    TokenError,
    UpstreamError,
)
from iptvd.model import ProviderState

SENTENCE = "the playlist is empty: choose another one"


class ErrorsTests(SynchronousTestCase):
    def test_a_sentence(self) -> None:
        """Every error is one of ours and gives the sentence that it was made with, and nothing beside it."""
        for error in (
            IptvdError(SENTENCE),
            ConfigError(SENTENCE),
            ProviderError(ProviderState.BLOCKED, SENTENCE),
            ProtocolError(SENTENCE),
            UpstreamError(503, SENTENCE),
            LimitError(SENTENCE, 60),
            TokenError(SENTENCE),
            StoreError(SENTENCE),
        ):
            self.assertIsInstance(error, IptvdError)
            self.assertEqual((error.sentence, str(error)), (SENTENCE, SENTENCE))

    def test_apart_from_each_other(self) -> None:
        """Whoever catches one kind does not catch another."""
        kinds = IptvdError.__subclasses__()
        for kind in (ConfigError, ProviderError, ProtocolError, UpstreamError, LimitError, TokenError, StoreError):
            self.assertEqual([each for each in kinds if issubclass(kind, each)], [kind])

    def test_what_health_shows(self) -> None:
        """A provider's error tells the state that health then shows."""
        for state in ProviderState:
            self.assertIs(ProviderError(state, SENTENCE).state, state)

    def test_what_a_viewer_is_answered(self) -> None:
        """An origin's error tells the status that a viewer is answered with."""
        for status in (404, 502, 503, 504):
            self.assertEqual(UpstreamError(status, SENTENCE).status, status)

    def test_when_to_ask_again(self) -> None:
        """A refusal for a limit tells when asking again makes sense: soon, where nobody says."""
        self.assertEqual(LimitError(SENTENCE).retry_after, 5)
        self.assertEqual(LimitError(SENTENCE, retry_after=60).retry_after, 60)
