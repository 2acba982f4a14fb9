"""
A website with channels, whose pages lead through players on other hosts to HLS on another again.

Its hosts are addresses of loopback, told apart by the Host header; they share one port:

=========  ==========================================================================================================
`SITE`     the site: ``/24-7-channels.php`` or ``/daddy.json``, ``/`` (the home page), ``/schedule/…``, ``/logos/…``,
           ``/watch.php``, and ``/FOLDER/stream-N.php`` for each of `FOLDERS`
`MOVED`    the same site, where it redirects to when ``moved`` is ``host``
`PLAYER`   the players' pages ``/WAY/embed.php?id=N``, and ``/server_lookup.php``
`FRAME`    the frames nested in them, ``/WAY/frame.php?id=N``
`MEDIA`    playlists, keys and segments, see `tests.simulators.website_media`
`ADS`      what nobody needs
=========  ==========================================================================================================

At every host ``/site``, ``/control``, ``/expire``, ``/reset`` and ``/seen`` are the tests': see `WebsiteProcess`.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from attrs import asdict, define, evolve, field, fields, frozen
from twisted.internet.interfaces import IReactorTime

from tests.simulators import website_pages as pages
from tests.simulators import website_schedule as schedule
from tests.simulators.exchange import Reply, Request, refusal, text_reply
from tests.simulators.knobs import ControlledKnobs, Knobs
from tests.simulators.live import ON_AIR
from tests.simulators.media import Media
from tests.simulators.website_media import MediaHost
from tests.simulators.website_players import STREAM_PAGE, PlayerHosts, html_reply
from tests.simulators.website_stations import (
    ADS,
    FRAME,
    MEDIA,
    MOVED,
    ODD,
    PLAYER,
    SITE,
    STATIONS,
    WAYS,
    Way,
    logos,
)
from tests.simulators.wire import OriginFactory, Tally

#: Requests that are remembered.
MOST_SEEN = 50_000

_LISTS = {"L1": pages.list_grid, "L2": pages.list_cards, "new": pages.list_redesigned}
_JSON = (("Content-Type", "application/json"),)


@define
class Options:
    """
    How the site is now.

    :ivar shape: of its list: ``L1`` to ``L4``, or ``new``, which nobody has seen before.
    :ivar schedule: ``S1``, ``S2``, ``both`` or empty.
    :ivar day: how days are written, see `website_schedule.day_label`.
    :ivar odd: whether the list has `ODD` in it, and the schedule malformed items.
    :ivar without: the numbers of channels that it does not have.
    :ivar players: the ways of some channels' players, by number, instead of those in `WAYS`.
    :ivar strict: whether Referer, Origin and method have to be right.
    :ivar method: the method that stream pages want.
    :ivar challenge: the status with which every page of the site is a challenge, 0 for none.
    :ivar moved: ``host`` or ``path``: where every page of the site redirects (301) to, or empty.
    :ivar down: hosts that reset every connection.
    :ivar padding: bytes that every page of the site is made longer by.
    :ivar requests: of a playlist, after which its path is over, 0 for no limit; likewise ``seconds``.
    :ivar expired: the status of a path that is over.
    """

    shape: str = "L1"
    schedule: str = "S1"
    day: str = "plain"
    odd: bool = True
    without: list[str] = field(factory=list)
    players: dict[str, list[str]] = field(factory=dict)
    strict: bool = True
    method: str = "GET"
    challenge: int = 0
    moved: str = ""
    down: list[str] = field(factory=list)
    padding: int = 0
    requests: int = 0
    seconds: float = 0.0
    expired: int = 403


@frozen
class Seen:
    """A request that came, and the status that it got (0 when none was sent)."""

    host: str
    method: str
    path: str
    query: str
    referer: str
    origin: str
    agent: str
    status: int


class Website:
    """
    The hosts' contents; `factory` makes their connections.

    :param clock: the reactor.
    :param now: when it is for its schedule, in seconds since the epoch.
    """

    def __init__(self, media: Media, clock: IReactorTime, now: float) -> None:
        began = clock.seconds() - ON_AIR
        self.factory = OriginFactory(clock, self.answer)
        self.options = Options()
        self.port = 0
        self.seen: list[Seen] = []
        self._now = now
        self._knobs = ControlledKnobs()
        self._media = MediaHost(media, lambda: clock.seconds() - began, lambda: self.url(MEDIA))
        self._players = PlayerHosts(self.url, self._media.passes)
        self._logos = {path: Reply(200, (("Content-Type", kind),), data) for path, (kind, data) in logos().items()}

    def url(self, host: str) -> str:
        """The address of a host, without a slash at the end."""
        return f"http://{host}:{self.port}"

    def answer(self, request: Request) -> tuple[Reply, Knobs, Tally]:
        """
        What a request gets, and the knobs that hold for it.

        :raises ValueError: when the tests ask for something that there is not.
        """
        if request.path in ("/site", "/control", "/expire", "/reset", "/seen"):
            return self._change(request), Knobs({}), Tally()
        host = request.headers.get("host", "").partition(":")[0]
        knobs = self._knobs.for_request(request.path, {})
        if host in self.options.down:
            knobs = Knobs({"drop": "1"})
        reply = self._at(host, request, knobs)
        asked = refusal(request, knobs) or reply
        silent = knobs.has("drop") or knobs.has("never")
        if len(self.seen) < MOST_SEEN:
            self.seen.append(_seen(host, request, 0 if silent else asked.status))
        return reply, knobs, Tally()

    def _change(self, request: Request) -> Reply:
        if request.path == "/seen":
            return Reply(200, _JSON, json.dumps([*map(asdict, self.seen)]).encode())
        if request.method != "POST":
            return text_reply(405, "POST it")
        if request.path == "/expire":
            self._media.passes.end()
        elif request.path == "/control":
            self._knobs.update(json.loads(request.body))
        elif request.path == "/site":
            self._set(json.loads(request.body))
        else:
            self.options = Options()
            self._knobs.clear()
            self._media.reset()
            self.seen.clear()
        return text_reply(200, "done")

    def _set(self, options: dict[str, Any]) -> None:
        unknown = options.keys() - {each.name for each in fields(Options)}
        if unknown:
            raise ValueError(f"there is no option {', '.join(unknown)}")
        self.options = evolve(self.options, **options)
        self._media.passes.requests = self.options.requests
        self._media.passes.seconds = self.options.seconds

    def _at(self, host: str, request: Request, knobs: Knobs) -> Reply:
        if host in (SITE, MOVED):
            return self._site(host, request)
        if host == MEDIA:
            player = self.url(FRAME if self._media.from_frame(request.path) else PLAYER)
            if self.options.strict and not _sent_from(request, player):
                return text_reply(403, "not for you")
            return self._media.answer(request, knobs, self.options.expired)
        if host in (PLAYER, FRAME):
            return self._players.answer(host, request, self.options.strict)
        return text_reply(404, "nothing here")

    # The site

    def _site(self, host: str, request: Request) -> Reply:
        options, path = self.options, request.path
        if path in self._logos:
            return self._logos[path]
        if options.challenge:
            headers = (("Content-Type", "text/html; charset=UTF-8"), ("Cache-Control", "private, no-store"))
            return Reply(options.challenge, headers, pages.CHALLENGE.encode())
        tree = "/tv" if options.moved == "path" else ""
        if (options.moved == "host" and host == SITE) or (tree and not path.startswith(f"{tree}/")):
            place = self.url(MOVED if options.moved == "host" else SITE) + tree + request.target
            return text_reply(301, "moved").header("Location", place)
        path = path.removeprefix(tree)
        homes = tuple(f"{self.url(each)}/" for each in (SITE, MOVED))
        if options.strict and path != "/" and not request.headers.get("referer", "").startswith(homes):
            return text_reply(403, "where do you come from?")
        reply = self._page(path, request)
        if options.padding and isinstance(reply.body, bytes):
            return evolve(reply, body=reply.body + b"<!--" + b"x" * options.padding + b"-->")
        return reply

    def _page(self, path: str, request: Request) -> Reply:
        options = self.options
        listed = (*STATIONS, *(ODD if options.odd else ()))
        stations = [each for each in listed if each.number not in options.without]
        if path == "/24-7-channels.php" and options.shape in _LISTS:
            return html_reply(_LISTS[options.shape](stations))
        if path == "/daddy.json" and options.shape == "L3":
            return Reply(200, _JSON, pages.list_json(stations).encode())
        day, events = schedule.announced(self._now)
        label = schedule.day_label(day, options.day)
        if path == "/":
            feeds = [pages.list_feeds(stations)] if options.shape == "L4" else []
            days = [schedule.schedule_page(label, events)] if options.schedule in ("S2", "both") else []
            return html_reply(pages.home([*feeds, *days]))
        if path == "/schedule/schedule-generated.php" and options.schedule in ("S1", "both"):
            return html_reply(schedule.schedule_json(label, events, options.odd))
        if path == "/watch.php":
            return html_reply(pages.frame_page(f"/stream/stream-{request.query.get('id', '')}.php"))
        found = STREAM_PAGE.fullmatch(path)
        return text_reply(404, "no such page") if found is None else self._stream(found[1], request)

    def _stream(self, number: str, request: Request) -> Reply:
        station = next((each for each in STATIONS if each.number == number), None)
        if station is None:
            return text_reply(404, "no such channel")
        if self.options.strict and request.method != self.options.method:
            return text_reply(405, f"{self.options.method} it")
        named = self.options.players.get(number)
        ways = WAYS.get(number, (Way.P1,)) if named is None else [Way(each) for each in named]
        players = [f"{self.url(PLAYER)}/{way.value}/embed.php?id={number}" for way in ways]
        # The first of several is named without its scheme, as is allowed (RFC 3986, 4.2).
        if len(players) > 1:
            players[0] = players[0].removeprefix("http:")
        return html_reply(pages.stream_page(station.written, self.url(ADS), players))


def _sent_from(request: Request, player: str) -> bool:
    """Whether a request has the Referer and the Origin of a page at that host."""
    headers = request.headers
    return headers.get("referer", "").startswith(f"{player}/") and headers.get("origin") == player


def _seen(host: str, request: Request, status: int) -> Seen:
    headers, query = request.headers, urlsplit(request.target).query
    referer, origin, agent = (headers.get(name, "") for name in ("referer", "origin", "user-agent"))
    return Seen(host, request.method, request.path, query, referer, origin, agent, status)
