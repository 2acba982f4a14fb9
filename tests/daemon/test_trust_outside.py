"""Who gets what, and by which address, as seen from outside; and requests that are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.client import Response
from tests.daemon.harness import Daemon
from tests.daemon.launch import channels, facts

pytestmark = pytest.mark.daemon

LIST = "#EXTM3U\n#EXTINF:-1 tvg-logo=http://127.0.0.1:9/logo.png,One\nhttp://127.0.0.1:9/secret-path/one.ts\n"

PROXIED = {"X-Forwarded-For": "192.168.7.7"}
#: What only those may have who may watch; and who may manage, for the last.
GUARDED = ("/", "/playlist.m3u8", "/playlist.m3u", "/stream/{one}", "/logo/{id}", "/api/channels", "/metrics")
#: What only those may have who may manage.
MANAGED = ("/health/detailed", "/api/epg/matches")


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Daemon]]:
    """Makes a daemon with one channel and these settings, once for each."""
    made: dict[str, Daemon] = {}

    def started(toml: str) -> Daemon:
        if toml not in made:
            folder: Path = tmp_path_factory.mktemp("trust")
            (folder / "list.m3u").write_text(LIST)
            made[toml] = Daemon(folder, "--provider", f"m3u:{folder / 'list.m3u'}", toml=toml).start()
            made[toml].wait_for_json("/health", {"channels_count": 1})
        return made[toml]

    yield started
    for each in made.values():
        each.close()
        assert "Traceback" not in each.log_text()


@pytest.fixture(scope="module")
def plain(make: Callable[[str], Daemon]) -> Daemon:
    """The daemon as it is without any setting."""
    return make('public_url = "https://tv.example.com/iptv"\n')


@pytest.fixture(scope="module")
def behind(make: Callable[[str], Daemon]) -> Daemon:
    """The daemon behind a proxy on this machine."""
    return make('trusted_proxies = ["127.0.0.1"]\nallowed_hosts = ["tv.home.example.com"]\n')


@pytest.fixture(scope="module")
def closed(make: Callable[[str], Daemon]) -> Daemon:
    """The daemon for another network."""
    return make('trusted_networks = ["10.0.0.0/8"]\n')


def guarded(daemon: Daemon, headers: dict[str, str], one: str) -> list[Response]:
    """The answers to requests for all that is guarded."""
    return [daemon.get(path.format(one=one, id=one.partition(".")[0]), headers) for path in GUARDED]


def link(response: Response) -> str:
    """What the link to the one channel of a playlist starts with."""
    (url,) = (line for line in response.text.splitlines() if line.startswith("http"))
    base, _, _ = url.partition("/stream/")
    assert f'tvg-logo="{base}/logo/' in response.text
    return base


@pytest.mark.parametrize(
    "host", ["evil.example.com", "tv.example.com.evil.test", "127.0.0.1.nip.test", "a b", "x:y:z"]
)
def test_hosts_that_are_not_ours(plain: Daemon, host: str) -> None:
    """A name that is not ours gets nothing at all, because a web page could have made it point here."""
    for path in ("/", "/playlist.m3u8", "/ping", "/health", "/nothing"):
        response = plain.get(path, {"Host": host})
        kind = "application/problem+json" if path == "/health" else "text/plain; charset=utf-8"
        assert (response.status, response.headers["content-type"]) == (421, kind)
        assert "One" not in response.text


@pytest.mark.parametrize("host", ["localhost", "tv.local", "192.0.2.7:99", "[::1]:8085", "tv.example.com"])
def test_hosts_that_are_ours(plain: Daemon, host: str) -> None:
    """An address, localhost, a .local name and the public URL's name are ours, and links lead back there."""
    expected = "https://tv.example.com/iptv" if host == "tv.example.com" else f"http://{host}"
    assert link(plain.get("/playlist.m3u8", {"Host": host})) == expected


def test_forwarded_by_who_is_not_trusted(plain: Daemon) -> None:
    """Whoever comes through a proxy that is not trusted may not watch, whatever its headers say."""
    one = channels(plain)["One"]
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host", "CF-Connecting-IP"):
        for response in guarded(plain, {name: "for=127.0.0.1" if name == "Forwarded" else "127.0.0.1"}, one):
            assert response.status == 403
            assert "trusted_proxies" in response.text or "trusted_networks" in response.text
        assert [plain.get(path, {name: "127.0.0.1"}).status for path in MANAGED] == [401, 401]
    for path in ("/ping", "/health"):
        assert plain.get(path, PROXIED).status == 200


def test_links_behind_a_proxy(behind: Daemon) -> None:
    """Behind a proxy that is trusted, links are what the proxy's client can open."""
    https = PROXIED | {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "tv.home.example.com"}
    for headers, base in (
        ({}, behind.url),
        (PROXIED | {"Host": "tv.home.example.com"}, "http://tv.home.example.com"),
        (https, "https://tv.home.example.com"),
        (https | {"X-Forwarded-Port": "8443"}, "https://tv.home.example.com:8443"),
        (https | {"X-Forwarded-Prefix": "/iptv/"}, "https://tv.home.example.com/iptv"),
        (
            {"Forwarded": 'for=192.168.7.7;proto=https;host="tv.home.example.com:444"'},
            "https://tv.home.example.com:444",
        ),
    ):
        response = behind.get("/playlist.m3u8", headers)
        assert response.status == 200, (headers, response)
        assert link(response) == base
        # Each has a rendering of its own, and knows it again.
        again = behind.get("/playlist.m3u8", headers | {"If-None-Match": response.headers["etag"]})
        assert again.status == 304


def test_clients_behind_a_proxy(behind: Daemon) -> None:
    """Behind a trusted proxy its clients are judged by their own address."""
    one = channels(behind)["One"]
    assert {response.status for response in guarded(behind, PROXIED, one)} - {502} == {200}
    for address in ("203.0.113.9", "192.168.7.7, 203.0.113.9", "nonsense", ""):
        statuses = {response.status for response in guarded(behind, {"X-Forwarded-For": address, "Via": "x"}, one)}
        assert statuses == {403}, address
    for headers in (PROXIED, {"X-Forwarded-For": "203.0.113.9"}):
        assert [behind.get(path, headers).status for path in MANAGED] == [401, 401]
    # Not even a client on the proxy's own machine: whatever comes through it is told apart by no address.
    assert behind.get(MANAGED[0], {"X-Forwarded-For": "127.0.0.1"}).status == 401


def test_other_networks(closed: Daemon) -> None:
    """
    Who is not in a trusted network gets no channel and no page; that we are there is told to all.

    How we are, and which channels there are, is told on the machine itself, where one manages.
    """
    *watching, channels, metrics = guarded(closed, {}, "1.ts")
    assert ({response.status for response in watching}, channels.status, metrics.status) == ({403}, 200, 200)
    assert closed.get("/health/detailed").status == 200
    assert "trusted_networks" in closed.get("/playlist.m3u8").text
    assert (closed.get("/ping").status, closed.get("/ping").text) == (200, "pong\n")
    health = facts(closed, "/health")
    assert health["status"] == "healthy"
    assert "providers" not in health
    assert closed.get("/content/AAAA.ts").status == 403
    assert closed.get("/key/AAAA").status == 403


def test_nothing_there(plain: Daemon) -> None:
    """What is not there is a plain 404 with a sentence, for GET and HEAD, and nothing but GET and HEAD is done."""
    for path in (
        "/nothing",
        "/stream/",
        "/stream/1",
        "/stream/x.ts",
        "/stream/99999999999",
        "/logo/x",
        "/a/b/c",
    ):
        response = plain.get(path)
        assert response.status == 404, path
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        assert response.text.endswith(".\n")
        assert "<" not in response.text
        head = plain.head(path)
        assert (head.status, head.body) == (404, b"")
    for method in ("POST", "PUT", "DELETE", "TRACE", "FOO"):
        assert plain.request(method, "/playlist.m3u8").status in (405, 501)
    assert plain.request("OPTIONS", "/playlist.m3u8").headers["access-control-allow-origin"] == "*"


BROKEN = {
    "no request": b"\r\n\r\n\r\n",
    "words": b"hello there\r\n\r\n",
    "two words": b"GET /\r\n\r\n",
    "no version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "binary": bytes(range(256)) * 8 + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "huge header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(20_000)),
    "no colon": b"GET / HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "minus": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    "form": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\nabc",
    "absolute": b"GET http://evil.test/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "proxy": b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_requests(plain: Daemon, case: str) -> None:
    """What is no request gets a refusal or a closed connection, never a look inside, and the daemon goes on."""
    try:
        answer = plain.raw(BROKEN[case], silence=0.3)
    except (BrokenPipeError, ConnectionResetError):
        answer = None
    if answer is not None:
        for word in (b"Traceback", b"iptvd.web", b"twisted.", b"site-packages", b".py"):
            assert word not in answer.data
        assert b"One" not in answer.data or case in ("no host", "absolute", "no colon", "form", "no version")
    assert plain.get("/ping").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/%00",
        "/stream/%00.ts",
        "/stream/1%00.ts",
        "/stream/..%2f..%2fetc%2fpasswd",
        "/../../../../etc/passwd",
        "/stream/../../etc/passwd",
        "/logo/..%2f..%2ftokens.key",
        "/logo/%2e%2e%2f%2e%2e%2ftokens.key",
        "/content/..%2f..%2ftokens.key",
        "/key/../../tokens.key",
        "//etc/passwd",
        "/stream/%ff%fe.ts",
        "/%c0%ae%c0%ae/",
        "/%",
        "/%zz",
        "/stream/0.ts",
        "/stream/-1.ts",
        "/stream/4294967297.ts",
        "/stream/1.ts.ts",
        "/key/" + "A" * 8000,
    ],
)
def test_odd_paths(plain: Daemon, path: str) -> None:
    """A path that means nothing, or tries to leave ours, is an answer of ours: a sentence, and no file."""
    response = plain.raw_get(path)
    head, _, body = response.data.partition(b"\r\n\r\n")
    assert int(head.split()[1]) in (400, 403, 404, 414), head
    for word in (b"root:", b"Traceback", b".py"):
        assert word not in body
    assert plain.get("/ping").status == 200


@pytest.mark.parametrize(
    "query", ["type=%00", "group=%ff", "page=0", "page=x", "page=" + "9" * 5000, "format=", "&&&=="]
)
def test_odd_queries(plain: Daemon, query: str) -> None:
    """A query that makes no sense is refused with a sentence or means nothing."""
    for path in ("/", "/playlist.m3u8"):
        assert plain.get(f"{path}?{query}").status in (200, 400)


def test_no_secret_in_public(plain: Daemon) -> None:
    """Nothing that anybody may see tells where channels come from."""
    for path in ("/health", "/health/detailed", "/metrics", "/playlist.m3u8", "/"):
        text = plain.get(path).text
        assert "secret-path" not in text
        assert str(plain.folder) not in text
    assert json.loads(plain.get("/health").body)["status"] == "healthy"
