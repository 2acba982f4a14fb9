"""Accounts, as those see them who have one, and those who have none."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest

from iptvd.accounts import KIND, User, to_record
from iptvd.sqlite_store import SqliteStore
from tests.daemon.client import TIMEOUT, Response, Stream, wait_for
from tests.daemon.launch import facts, stream_ids
from tests.daemon.playing import Own, Playing, playing, watch_all
from tests.doubles import offload, result
from tests.simulators.media import Media
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Channels of each kind, and the origin's path of each.
PATHS = {
    "One": "/live/one.ts",
    "Two": "/live/two.ts",
    "HLS": "/hls-live/plain/index.m3u8",
    "Film": "/vod/film.mp4",
}
#: What only those may have who may watch.
GUARDED = (
    *("/", "/playlist.m3u8", "/playlist.m3u", "/get_playlist.php", "/epg.xml", "/stream/{id}.ts", "/stream/{id}.m3u8"),
    *("/logo/{id}", "/api/channels", "/api/search?q=one", "/content/x.ts", "/key/x", "/hls/{id}/x/1.ts"),
)
#: What players of other makers ask for.
FACES = (
    *("/lineup.json", "/auto/v1", "/player_api.php?username=x&password=y", "/get.php?username=x&password=y"),
    *("/live/x/y/{id}.ts", "/xmltv.php?username=x&password=y"),
)
#: What only those may do who manage.
MANAGED = ("/api/users", "/streams", "/clients", "/stats", "/health/detailed", "/webhooks", "/api/stats")

ANNA, BOB = "token-of-anna", "token-of-bob"


class Addresses:
    """Addresses of this machine, each once: who is wrong often at one waits there."""

    def __init__(self) -> None:
        self._last = 9

    def __call__(self) -> str:
        self._last += 1
        return f"127.0.{self._last // 200}.{self._last % 200 + 10}"


fresh = Addresses()


def ask(
    daemon: Playing, path: str, address: str = "127.0.0.1", *, method: str = "GET", body: bytes = b"", **headers: str
) -> Response:
    """What somebody at an address is answered, at first: of what is endless only the head."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=TIMEOUT, source_address=(address, 0))
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        endless = response.getheader("Content-Length") is None and response.status == 200
        return Response(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read1(1000) if endless else response.read(),
        )
    finally:
        connection.close()


def view(daemon: Playing, path: str, address: str, agent: str = "TV") -> Stream:
    """Somebody at an address who has begun to watch."""
    connection = socket.create_connection(("127.0.0.1", daemon.port), TIMEOUT, source_address=(address, 0))
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\nUser-Agent: {agent}\r\n\r\n"
    stream = Stream(connection, head.encode(), "GET")
    if stream.status != 200:
        stream.close()
        raise AssertionError(f"{path}: {stream.status}")
    assert len(stream.read(188)) == 188
    return stream


def refused(answer: Response) -> bool:
    """Whether somebody got nothing; an Xtream player is told so in its own way."""
    assert b"One" not in answer.body
    return answer.status in (401, 403, 404) or answer.body == b'{"user_info": {"auth": 0}}'


def put(daemon: Playing, name: str, **fields: object) -> None:
    """Have a user be so; there is one of that name, or there is not."""
    known = daemon.get(f"/api/users/{name}").status == 200
    path, method = (f"/api/users/{name}", "PUT") if known else ("/api/users", "POST")
    body = json.dumps({"username": name, **fields}).encode()
    answer = daemon.request(method, path, {"Content-Type": "application/json"}, body)
    assert answer.status in (200, 201), answer


def playlist(daemon: Playing, token: str = ANNA) -> dict[str, str]:
    """The channels of a user, with the path of each."""
    text = daemon.get(f"/playlist.m3u8?token={token}").text
    return {name: f"/~{token}/stream/{rest}" for name, rest in stream_ids(text).items()}


@pytest.fixture(scope="module")
def started(media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with channels, which at the end has nothing left over."""
    channels = [
        Own(name, shared_origin.at(path), 'form = "vod"' if name == "Film" else "") for name, path in PATHS.items()
    ]
    with playing(tmp_path_factory.mktemp("accounts"), channels) as daemon:
        yield daemon
        wait_for(lambda: not daemon.active(), 30, "the end of all sessions")


@pytest.fixture
def daemon(started: Playing) -> Playing:
    """The daemon with two users, who watch nothing yet: one may have two connections, the other one."""
    for name, token, limit in (("anna", ANNA, 2), ("bob", BOB, 1)):
        started.request("DELETE", f"/api/users/{name}")
        put(started, name, token=token, max_connections=limit)
    wait_for(lambda: not started.active(), what="the end of what was watched before")
    return started


def users(daemon: Playing) -> list[dict[str, object]]:
    """All users as the API has them, but for what they watch."""
    value: Any = daemon.get("/api/users").json()
    return [{name: it for name, it in user.items() if name != "active_connections"} for user in value["users"]]


def test_nothing_without_a_token(daemon: Playing) -> None:
    """Where there are accounts nobody gets anything without a token, or with a wrong one, from whatever face."""
    number = playlist(daemon)["One"].rpartition("/")[2].partition(".")[0]
    for path in GUARDED:
        path = path.format(id=number)
        wrong = f"{path}{'&' if '?' in path else '?'}token=wrong"
        for asked, method, status in (
            (path, "GET", 401),
            (path, "HEAD", 401),
            (wrong, "GET", 403),
            (f"/~wrong{path}", "HEAD", 403),
        ):
            answer = ask(daemon, asked, fresh(), method=method, X_Forwarded_For="203.0.113.9")
            assert answer.status == status, (method, asked)
    for path in FACES:
        assert refused(ask(daemon, path.format(id=number), fresh())), path
    # Whoever manages, as the machine itself may here, has to know what there is.
    assert ask(daemon, "/api/channels", fresh()).status == 200
    assert daemon.active() == 0


def test_everything_plays(daemon: Playing) -> None:
    """The playlist is had by query, by Basic and by path, and players play all that it lists: TS, HLS and films."""
    texts = {
        ask(daemon, f"/playlist.m3u8?token={ANNA}").text,
        ask(daemon, f"/~{ANNA}/playlist.m3u8").text,
        ask(daemon, "/playlist.m3u8", Authorization="Basic " + b64encode(f"anna:{ANNA}".encode()).decode()).text,
        ask(daemon, f"/get_playlist.php?token={ANNA}").text,
    }
    (text,) = texts
    put(daemon, "anna", max_connections=0)
    urls = {name: f"{daemon.url}/~{ANNA}/stream/{rest}" for name, rest in stream_ids(text).items()}
    assert all(url in text for url in urls.values())
    urls["One as HLS"] = urls["One"].replace(".ts", ".m3u8")
    urls["HLS by query"] = f"{urls['HLS'].replace(f'/~{ANNA}', '')}?token={ANNA}"
    urls["One by query"] = f"{urls['One'].replace(f'/~{ANNA}', '')}?token={ANNA}"
    for watched in watch_all(urls).values():
        watched.assert_plays()


def test_the_limits(daemon: Playing) -> None:
    """Two users watch as much as their accounts allow, from whatever addresses, and not more; each has their own."""
    anna, bob = playlist(daemon), playlist(daemon, BOB)
    with (
        view(daemon, anna["One"], "127.0.0.2"),
        view(daemon, anna["Film"], "127.0.0.3") as second,
        view(daemon, bob["One"], "127.0.0.2"),
    ):
        for paths, limit in ((anna, 2), (bob, 1)):
            for name in ("One", "Two", "HLS", "Film"):
                answer = ask(daemon, paths[name], "127.0.0.4")
                assert answer.status == 503, (name, answer)
                assert answer.text == f"All {limit} connections of this account are in use.\n"
        second.close()
        wait_for(lambda: ask(daemon, anna["Two"], "127.0.0.4").status == 200, what="the connection that is free")
    wait_for(lambda: not daemon.active(), what="the end of all sessions")


def test_a_zap(daemon: Playing) -> None:
    """On an account with one connection the next channel begins at once, although the one before was not closed."""
    paths = playlist(daemon, BOB)
    before = daemon.outcomes()
    with view(daemon, paths["One"], "127.0.0.2") as first, view(daemon, paths["Two"], "127.0.0.2"):
        first.read_to_end()
        assert daemon.outcome_of(before) == "viewer_left"
        assert daemon.active() == 1
        with view(daemon, paths["One"], "127.0.0.2"):
            assert daemon.active() == 1


def test_expiry(daemon: Playing) -> None:
    """What somebody watches ends when the account expires, and nothing more is to be had then."""
    paths = playlist(daemon)
    before = daemon.outcomes()
    soon = time.time() + 1.5
    with view(daemon, paths["One"], "127.0.0.2") as stream:
        put(daemon, "anna", expires_at=datetime.fromtimestamp(soon, UTC).isoformat())
        stream.read_to_end()
        assert time.time() >= soon
        assert daemon.outcome_of(before) == "ended_by_operator"
    for path in (paths["One"], f"/playlist.m3u8?token={ANNA}", f"/~{ANNA}/epg.xml"):
        answer = ask(daemon, path, fresh())
        assert (answer.status, answer.text) == (403, "This account has expired.\n")


def test_removal(daemon: Playing) -> None:
    """Whoever is removed is cut off, in TS and in HLS, and nobody else is."""
    paths, bob = playlist(daemon), playlist(daemon, BOB)
    media = urljoin(paths["HLS"], ask(daemon, paths["HLS"], "127.0.0.3").text.splitlines()[-1])
    assert ask(daemon, media, "127.0.0.3").status == 200
    with view(daemon, paths["One"], "127.0.0.2") as stream, view(daemon, bob["One"], "127.0.0.2") as other:
        assert daemon.request("DELETE", "/api/users/anna").status == 204
        stream.read_to_end()
        assert daemon.active() == 1
        for path in (media, paths["One"], paths["HLS"]):
            assert ask(daemon, path, fresh()).status == 403
        assert len(other.read(100_000)) == 100_000


def test_the_login(daemon: Playing) -> None:
    """A browser is sent to the login, and sees the pages with the cookie that it gets there; after a restart, too."""
    put(daemon, "anna", password="correct horse")
    page: dict[str, Any] = {"Accept": "text/html"}
    sent = ask(daemon, "/?page=1", **page)
    assert (sent.status, sent.headers["location"]) == (303, f"{daemon.url}/login?next=%2F%3Fpage%3D1")
    form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": daemon.url}
    for password, status in (("wrong", 403), ("correct horse", 303)):
        body = urlencode({"name": "anna", "password": password, "next": "/?page=1"}).encode()
        answer = ask(daemon, "/login", fresh(), method="POST", body=body, **form)
        assert answer.status == status
    assert answer.headers["location"] == f"{daemon.url}/?page=1"
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert f"/~{ANNA}/playlist.m3u8" in ask(daemon, "/?page=1", Cookie=cookie).text
    daemon.restart()
    assert ask(daemon, "/?page=1", Cookie=cookie).status == 200
    put(daemon, "anna", password="another")
    assert ask(daemon, "/?page=1", Cookie=cookie).status == 401


def test_a_restart(daemon: Playing) -> None:
    """After a restart everybody has the same token and the same limits, and what is played as HLS goes on."""
    before = playlist(daemon)
    media = urljoin(before["HLS"], ask(daemon, before["HLS"], "127.0.0.3").text.splitlines()[-1])
    known = users(daemon)
    daemon.restart()
    wait_for(lambda: playlist(daemon) == before, what="the same playlist")
    assert users(daemon) == known
    assert ask(daemon, media, "127.0.0.3").status == 200
    with view(daemon, before["One"], "127.0.0.2"):
        assert ask(daemon, before["Two"], "127.0.0.4").status == 503
    for path in ("/playlist.m3u8", before["One"].replace(ANNA, "wrong")):
        assert ask(daemon, path, fresh()).status in (401, 403)


def test_a_foreign_address(media: Media, shared_origin: OriginProcess, tmp_path: Path) -> None:
    """Without accounts the trusted networks see everything, and an address of none gets nothing from any face."""
    toml = 'trusted_networks = ["127.0.0.0/29"]\napi_token = "secret"\n'
    with playing(tmp_path, [Own("One", shared_origin.at(PATHS["One"]))], toml=toml) as daemon:
        number = daemon.path_of("One").rpartition("/")[2].partition(".")[0]
        for path in (*GUARDED, *FACES, "/discover.json"):
            assert refused(ask(daemon, path.format(id=number), "127.0.0.9")), path
        for path in MANAGED:
            for address in ("127.0.0.9", "127.0.0.1"):
                assert ask(daemon, path, address).status == 401, path
            assert ask(daemon, path, "127.0.0.9", X_API_Token="secret").status == 200, path
            assert ask(daemon, path, fresh(), X_API_Token="wrong").status == 403, path
        with view(daemon, daemon.path_of("One"), "127.0.0.2"):
            assert daemon.active() == 1
        assert ask(daemon, "/playlist.m3u8", "127.0.0.2").status == 200


def test_what_was_kept_before(shared_origin: OriginProcess, tmp_path: Path) -> None:
    """Accounts that are there at the start hold from the first request on; a damaged one does not stop anything."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    store = SqliteStore(state, offload)
    store.load()
    result(store.put(KIND, "anna", to_record(User("anna", ANNA))))
    result(store.put(KIND, "carl", {"token": 7}))
    with Playing(tmp_path, toml=f'[[provider]]\nkind = "channels"\nname = "own"\n{_one(shared_origin)}') as daemon:
        assert ask(daemon, "/playlist.m3u8").status == 401
        wait_for(lambda: "One" in playlist(daemon), what="the channel")
        notices = facts(daemon)["notices"]
        assert any("The account carl is damaged" in notice for notice in notices), notices
        assert "Traceback" not in daemon.log_text()


def test_a_damaged_file(shared_origin: OriginProcess, tmp_path: Path) -> None:
    """Where it is not known who may watch, nobody may, and it is said why; the file is left as it is."""
    (tmp_path / "state").mkdir(mode=0o700)
    file = tmp_path / "state" / "api.db"
    file.write_bytes(b"no database" * 1000)
    with Playing(tmp_path, toml=f'[[provider]]\nkind = "channels"\nname = "own"\n{_one(shared_origin)}') as daemon:
        for path in ("/playlist.m3u8", "/", f"/~{ANNA}/playlist.m3u8"):
            assert ask(daemon, path).status == 503
        (notice,) = (each for each in facts(daemon)["notices"] if "api.db" in each)
        assert "damaged: put a copy in its place" in notice
        body = json.dumps({"username": "anna"}).encode()
        answer = daemon.request("POST", "/api/users", {"Content-Type": "application/json"}, body)
        assert answer.status == 503, answer
        assert "Traceback" not in daemon.log_text()
    assert file.read_bytes() == b"no database" * 1000


def test_a_locked_file(daemon: Playing) -> None:
    """While another program holds the file nothing can be changed, which health tells; who may watch still may."""
    paths = playlist(daemon)
    with view(daemon, paths["One"], "127.0.0.2") as stream:
        other = sqlite3.connect(daemon.state / "api.db")
        try:
            other.execute("BEGIN IMMEDIATE")
            answer = daemon.request("DELETE", "/api/users/bob")
            assert answer.status == 503, answer
            assert any("could not be kept" in notice for notice in facts(daemon)["notices"])
            with view(daemon, playlist(daemon, BOB)["One"], "127.0.0.3"):
                assert len(stream.read(100_000)) == 100_000
        finally:
            other.close()
        assert daemon.request("DELETE", "/api/users/bob").status == 204
    assert not any("could not be kept" in notice for notice in facts(daemon)["notices"])


def _one(origin: OriginProcess) -> str:
    return Own("One", origin.at(PATHS["One"])).toml


def test_no_token_in_the_log(daemon: Playing) -> None:
    """Whatever was asked for, no token and no password is in the log."""
    text = daemon.log_text()
    for secret in (ANNA, BOB, "correct horse"):
        assert secret not in text
