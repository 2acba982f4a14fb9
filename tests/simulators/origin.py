"""
The origin: a small server with everything that real origins serve, and with their faults.

=====================  ========================================================================================
``/live/NAME.ts``      endless TS in real time (``film``, ``other``, ``audio``; any other name is the film)
``/radio/NAME.aac``    endless ADTS; ``.mp3`` likewise
``/vod/NAME``          ``film.mp4``, ``film.mkv``, ``film.ts``, ``big.ts`` with ranges, validators and HEAD
``/hls/SET/``          ``plain``, ``aes``, ``fmp4``, ``single``, ``multi``, ``audio``: on demand
``/hls-live/SET/``     the same sets live: each an ``index.m3u8`` that moves on with the time
``/lists/``            ``basic.m3u``, ``basic.m3u.gz``, ``big.m3u``, ``endless.m3u``
``/stats``             JSON: what came and went, by path, see `tests.simulators.wire.Tally`
``/control``           POST {path: {knob: value} or null}: knobs from now on; the path may end in ``*``
``/reset``             POST: no knobs, and counts from zero
=====================  ========================================================================================

Every path takes the knobs of `tests.simulators.knobs.KNOBS` in its query.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from attrs import asdict
from twisted.internet.interfaces import IReactorTime

from tests.simulators.exchange import Reply, Request, text_reply
from tests.simulators.files import Vod
from tests.simulators.hls import HlsFiles, HlsLive
from tests.simulators.knobs import ControlledKnobs, Knobs
from tests.simulators.lists import Lists
from tests.simulators.live import ON_AIR, Live, Radio
from tests.simulators.media import Media
from tests.simulators.wire import OriginFactory, Tally


class Origin:
    """
    The origin's contents and its counts; `factory` makes its connections.

    :param clock: the reactor.
    """

    def __init__(self, media: Media, clock: IReactorTime) -> None:
        began = clock.seconds() - ON_AIR

        def now() -> float:
            return clock.seconds() - began

        self.factory = OriginFactory(clock, self.answer)
        self._controlled = ControlledKnobs()
        self._hls_live = HlsLive(media, now)
        self._tallies: dict[str, Tally] = {}
        self._faces: dict[str, Callable[[Request, Knobs], Reply]] = {
            "live": Live(media, now).answer,
            "radio": Radio(media).answer,
            "vod": Vod(media).answer,
            "hls": HlsFiles(media).answer,
            "hls-live": self._hls_live.answer,
            "lists": Lists().answer,
        }

    def answer(self, request: Request) -> tuple[Reply, Knobs, Tally]:
        """
        What a request gets, the knobs that hold for it, and where it is counted.

        :raises ValueError: when a knob's value makes no sense.
        """
        if request.path == "/stats":
            return _json(self._stats()), Knobs({}), Tally()
        if request.path in ("/control", "/reset"):
            return self._change(request), Knobs({}), Tally()
        knobs = self._controlled.for_request(request.path, request.query)
        face = self._faces.get(request.path.split("/")[1])
        reply = text_reply(404, "nothing here") if face is None else face(request, knobs)
        return reply, knobs, self._tallies.setdefault(request.path, Tally())

    def _change(self, request: Request) -> Reply:
        if request.method != "POST":
            return text_reply(405, "POST it")
        if request.path == "/reset":
            self._controlled.clear()
            self._hls_live.reset()
            self._tallies.clear()
        else:
            self._controlled.update(json.loads(request.body))
        return _json({})

    def _stats(self) -> dict[str, object]:
        paths = {}
        for path, tally in self._tallies.items():
            undelivered = self.factory.undelivered(tally)
            paths[path] = {**asdict(tally), "delivered": tally.written - undelivered}
        connections = {"open": len(self.factory.connections), "accepted": self.factory.accepted}
        return {"connections": connections, "paths": paths}


def _json(value: object) -> Reply:
    return Reply(200, (("Content-Type", "application/json"),), json.dumps(value).encode())
