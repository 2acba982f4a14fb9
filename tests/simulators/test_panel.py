"""The panel that other tests rely on does what panels do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent, StubTreq
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data

from tests.simulators.panel import CUT_SHORT, Fault, Panel
from tests.simulators.panel_content import Shape, User, episode, programme

LOGIN = "player_api.php?username=user&password=pass"


class Endless(Resource):
    """A stream that never ends."""

    isLeaf = True

    def render(self, request: Request) -> int:
        request.write(b"G")
        return NOT_DONE_YET


class Leaving(Protocol):
    """A viewer that leaves with the first bytes."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class PanelTests(SynchronousTestCase):
    """In memory."""

    def setUp(self) -> None:
        self.panel = Panel()
        self.panel.category("live", 1, "News")
        self.panel.add_live(51, "One")
        self.panel.add_series(7, "Show", [episode(71, 1, 1, "A"), episode(81, 2, 1, "B")])
        self.client: Any = StubTreq(self.panel.resource())

    def got(self, path: str, method: str = "GET", data: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body for a request."""
        work = self.client.request(method, f"http://panel.test/{path}", data=data, allow_redirects=False)
        self.client.flush()
        response = self.successResultOf(work)
        content = self.client.content(response)
        self.client.flush()
        return response.code, self.successResultOf(content)

    def json(self, path: str) -> object:
        """The answer to an API call."""
        return json.loads(self.got(path)[1])

    def test_login(self) -> None:
        """A login tells of the account, by GET and by POST; a wrong one is refused."""
        answer = self.json(LOGIN)
        assert isinstance(answer, dict)
        self.assertEqual((answer["user_info"]["auth"], answer["user_info"]["status"]), (1, "Active"))
        _, body = self.got("player_api.php", "POST", {"username": "user", "password": "pass"})
        self.assertEqual(json.loads(body), answer)
        for action in ("", "&action=get_live_streams"):
            self.assertEqual(self.json(f"player_api.php?username=user&password=x{action}"), {"user_info": {"auth": 0}})

    def test_lists(self) -> None:
        """The lists hold what was put in, by category when one is asked for."""
        answer = self.json(f"{LOGIN}&action=get_live_streams&category_id=1")
        assert isinstance(answer, list)
        self.assertEqual([row["stream_id"] for row in answer], [51])
        self.assertEqual(self.json(f"{LOGIN}&action=get_live_streams&category_id=2"), [])
        self.assertEqual(self.panel.actions(), ["get_live_streams", "get_live_streams"])

    def test_shapes(self) -> None:
        """Answers come in odd shapes when told to."""
        self.panel.shapes = {Shape.LISTS_AS_OBJECTS, Shape.NUMBERS_AS_STRINGS}
        answer = self.json(f"{LOGIN}&action=get_live_streams")
        assert isinstance(answer, dict)
        self.assertEqual(answer["0"]["stream_id"], "51")
        asked = f"{LOGIN}&action=get_series_info&series_id=7"
        for shape, kinds in ((Shape.SEASONS_AS_LIST, [list, list]), (Shape.EPISODES_AS_LIST, [dict, dict])):
            self.panel.shapes = {shape, Shape.INFO_AS_LIST}
            answer = self.json(asked)
            assert isinstance(answer, dict)
            self.assertEqual([type(item) for item in answer["episodes"]], kinds)
            self.assertEqual(answer["info"], [])

    def test_faults(self) -> None:
        """Faults hit the call they are for, or all."""
        self.panel.faults = {"get_series": CUT_SHORT}
        self.assertRaises(ValueError, self.json, f"{LOGIN}&action=get_series")
        self.json(LOGIN)
        self.panel.faults = {"*": Fault.page(503)}
        status, body = self.got(LOGIN)
        self.assertEqual((status, body[:9]), (503, b"<!DOCTYPE"))

    def test_delay(self) -> None:
        """An answer comes after the delay."""
        self.panel.clock = clock = Clock()
        self.panel.delay = 5.0
        agent = RequestTraversalAgent(self.panel.resource())
        work = HTTPClient(agent).get(f"http://panel.test/{LOGIN}")
        agent.flush()
        self.assertNoResult(work)
        clock.advance(5)
        agent.flush()
        self.assertEqual(self.successResultOf(work).code, 200)

    def test_playlist(self) -> None:
        """The playlist names the channels with the addresses of their streams."""
        _, body = self.got("get.php?username=user&password=pass&type=m3u_plus&output=m3u8")
        head, info, url = body.decode().splitlines()
        self.assertEqual((head, url), ("#EXTM3U", "http://panel.test/live/user/pass/51.m3u8"))
        self.assertIn('group-title="News",One', info)
        self.assertEqual(self.got("get.php?username=user&password=x")[0], 403)

    def test_streams(self) -> None:
        """Streams are served to who has an account, HLS through a redirect."""
        folder = Resource()
        folder.putChild(b"index.m3u8", Data(b"#EXTM3U", "application/vnd.apple.mpegurl"))
        self.panel.live = {51: Data(b"live", "video/mp2t")}
        self.panel.series = {71: Data(b"episode", "video/x-matroska")}
        self.panel.hls = {51: folder}
        self.assertEqual(self.got("live/user/pass/51.ts"), (200, b"live"))
        self.assertEqual(self.got("series/user/pass/71.mkv"), (200, b"episode"))
        self.assertEqual(self.got("live/user/pass/51.m3u8")[0], 302)
        self.assertEqual(self.got("hls/user/pass/51/index.m3u8"), (200, b"#EXTM3U"))
        for path, status in (
            ("live/user/x/51.ts", 401),
            ("hls/user/x/51/index.m3u8", 401),
            ("live/user/pass/52.ts", 404),
            ("hls/user/pass/52/index.m3u8", 404),
            ("live/user", 404),
        ):
            self.assertEqual(self.got(path)[0], status, path)
        self.panel.users[0].status = "Expired"
        self.assertEqual(self.got("live/user/pass/51.ts")[0], 401)
        self.assertEqual(self.panel.users[0].active, [])

    def test_the_past(self) -> None:
        """What was shown before is served in either way of asking for it, when it is asked for as panels want it."""
        self.panel.past = {51: Data(b"past", "video/mp2t")}
        query = "streaming/timeshift.php?username=user&password=pass&stream=51&duration=5&start="
        for path, answer in (
            ("timeshift/user/pass/5/2026-03-05:06-07/51.ts", (200, b"past")),
            (query + "2026-03-05:06-07", (200, b"past")),
            (query + "1772690828", (404, b"no")),
            ("timeshift/user/pass/x/2026-03-05:06-07/51.ts", (404, b"no")),
            ("timeshift/user/pass/5/2026-03-05:06-07/52.ts", (404, b"no")),
            ("timeshift/user/x/5/2026-03-05:06-07/51.ts", (401, b"no")),
            ("timeshift/user", (404, b"no")),
        ):
            self.assertEqual(self.got(path), answer, path)
        self.assertEqual(self.panel.seen[1].query, query.partition("?")[2] + "2026-03-05:06-07")
        self.assertEqual(self.panel.users[0].active, [])

    def test_guide(self) -> None:
        """The guide is served to who has an account, and so is what comes next at a channel."""
        self.panel.listings = {51: [programme(3600 * at, 3600 * at + 3600, f"P{at}") for at in range(6)]}
        status, body = self.got("xmltv.php?username=user&password=pass")
        self.assertEqual((status, body), (200, self.panel.guide))
        self.assertEqual(self.got("xmltv.php?username=user&password=x")[0], 403)
        answer = self.json(f"{LOGIN}&action=get_short_epg&stream_id=51")
        assert isinstance(answer, dict)
        self.assertEqual([row["start"] for row in answer["epg_listings"]][1], "1970-01-01 01:00:00")
        self.assertEqual(len(answer["epg_listings"]), 4)


@pytest.fixture
def panel() -> Iterator[tuple[Panel, str]]:
    """A panel on loopback, and its address."""
    panel = Panel(users=[User("user", "pass", max_connections=1)], live={51: Endless(), 52: Endless()})
    site = Site(panel.resource())
    port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[arg-type]
    address = port.getHost()
    assert isinstance(address, IPv4Address)
    yield panel, f"http://127.0.0.1:{address.port}"
    pytest_twisted.blockon(port.stopListening())


async def leave(response: IResponse, user: User) -> None:
    """Leave in the middle of a stream, and wait until the panel has seen it."""
    seen: Deferred[None] = Deferred()
    user.active[0].notifyFinish().addBoth(lambda result: seen.callback(None))
    response.deliverBody(Leaving())
    await seen


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_connections(panel: tuple[Panel, str]) -> None:
    """As many streams as the account has connections are served, and one that ends makes room for another."""
    simulated, base = panel
    (user,) = simulated.users
    agent = Agent(reactor)
    first = await agent.request(b"GET", f"{base}/live/user/pass/51.ts".encode())
    assert first.code == 200
    refused = await agent.request(b"GET", f"{base}/live/user/pass/52.ts".encode())
    assert refused.code == simulated.refusal
    refused.deliverBody(Leaving())
    await leave(first, user)
    assert user.active == []
    third = await agent.request(b"GET", f"{base}/live/user/pass/52.ts".encode())
    assert third.code == 200
    await leave(third, user)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_files(panel: tuple[Panel, str], tmp_path: Path) -> None:
    """A film is served out of a file, parts of it too."""
    simulated, base = panel
    film = tmp_path / "film.mp4"
    film.write_bytes(b"0123456789")
    simulated.movie = {61: film}
    agent = Agent(reactor)
    whole = await agent.request(b"GET", f"{base}/movie/user/pass/61.mp4".encode())
    assert (whole.code, await readBody(whole)) == (200, b"0123456789")
    part = await agent.request(b"GET", f"{base}/movie/user/pass/61.mp4".encode(), Headers({"Range": ["bytes=2-4"]}))
    assert (part.code, await readBody(part)) == (206, b"234")
