"""How webhooks are asked, on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from iptvd.errors import ProviderError
from iptvd.posting import Posting
from iptvd.webhook_settings import Webhook

HEADERS = {"Content-Type": "application/json", "X-Iptvd-Event": "slots"}
BODY = '{"é": 1}'.encode()


class Taking(Resource):
    """Keeps what it is given."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[bytes, bytes | None, str | None, bytes]] = []

    def render(self, request: Request) -> bytes:
        body = request.content.read() if request.content is not None else b""
        self.given.append((request.method, request.uri, request.getHeader("X-Iptvd-Event"), body))
        if request.path == b"/moved":
            request.redirect(b"/elsewhere")
        elif request.path == b"/long":
            return b"x" * (2 << 20)
        elif request.path == b"/wrong":
            request.setResponseCode(418)
        return b"thanks"


@pytest.fixture
def taking() -> Iterator[tuple[Taking, str]]:
    """A receiver, and where it is."""
    resource = Taking()
    port = reactor.listenTCP(0, Site(resource), interface="127.0.0.1")  # type: ignore[arg-type]
    address = port.getHost()
    assert isinstance(address, IPv4Address)
    yield resource, f"http://127.0.0.1:{address.port}"
    pytest_twisted.blockon(port.stopListening())


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_posts(taking: tuple[Taking, str]) -> None:
    """A webhook gets the body whole, with its headers, and what it answers is its status."""
    resource, url = taking
    post = Posting(reactor, "iptvd/test", 5.0)
    assert await post(Webhook("a", url + "/a?key=1", nearby=True), HEADERS, BODY) == 200
    assert await post(Webhook("a", url + "/wrong", nearby=True), HEADERS, BODY) == 418
    assert resource.given == [(b"POST", b"/a?key=1", "slots", BODY), (b"POST", b"/wrong", "slots", BODY)]


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_nearby(taking: tuple[Taking, str]) -> None:
    """One on this machine is not asked without the operator's word, by whatever name, and it is said how."""
    resource, url = taking
    post = Posting(reactor, "iptvd/test", 5.0)
    for address in (url, url.replace("127.0.0.1", "localhost")):
        with pytest.raises(ProviderError, match="say nearby = true if that is meant") as caught:
            await post(Webhook("a", address), HEADERS, BODY)
        assert "127.0.0.1" not in caught.value.sentence
    assert resource.given == []


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_is_not_taken(taking: tuple[Taking, str]) -> None:
    """A redirect is not followed with what is posted, and an answer without an end is not read to its end."""
    resource, url = taking
    post = Posting(reactor, "iptvd/test", 5.0)
    for path, words in (("/moved", "it redirects what is posted"), ("/long", "the answer is longer than 1 MiB")):
        with pytest.raises(ProviderError, match=words):
            await post(Webhook("a", url + path, nearby=True), HEADERS, BODY)
    assert [uri for _, uri, _, _ in resource.given] == [b"/moved", b"/long"]
