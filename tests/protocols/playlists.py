"""What the tests of playlists share: a mint that remembers, and playlists given line by line."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.m3u8 import Rewritten, Role, rewrite

BASE = "http://cdn.example.com/live/one/index.m3u8?token=abc&lang=en&lang=de&odd=a%22b"


class Minted:
    """Gives out numbered URIs and remembers what for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Role, str]] = []

    def __call__(self, url: str, role: Role, extension: str) -> str:
        self.calls.append((url, role, extension))
        return f"/m/{role.value}{len(self.calls)}.{extension}"


class RewriteTestCase(SynchronousTestCase):
    """Rewrites playlists given line by line."""

    def setUp(self) -> None:
        self.minted = Minted()

    def rewrite(self, *lines: str, variables: Mapping[str, str] | None = None) -> Rewritten:
        body = "\n".join(("#EXTM3U", *lines, "")).encode()
        return rewrite(body, BASE, self.minted, variables)

    def lines(self, *lines: str, variables: Mapping[str, str] | None = None) -> list[str]:
        """What these lines became."""
        return self.rewrite(*lines, variables=variables).body.decode().split("\n")[1:-1]

    def refused(self, *lines: str, variables: Mapping[str, str] | None = None) -> str:
        with self.assertRaises(ProtocolError) as caught:
            self.rewrite(*lines, variables=variables)
        self.assertNotIn("cdn.example", caught.exception.sentence)
        return str(caught.exception)
