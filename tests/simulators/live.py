"""Endless streams: the film as live TS that every client joins where it is now, and as radio."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulators.exchange import Reply, Request
from tests.simulators.files import TYPES
from tests.simulators.knobs import Knobs
from tests.simulators.looped import LoopedTs, looped_bytes
from tests.simulators.media import SECONDS, Media

#: The films there are; any other name is the first.
FILMS = ("film", "other", "audio")
#: Every live stream is on the air for so many seconds already when the origin starts.
ON_AIR = 60.0


class Live:
    """
    ``/live/NAME.ts``.

    The name chooses one of `FILMS`, and whatever else it is called it is the film, so that a test has as many channels
    as it likes.

    :param now: seconds since the streams began.
    """

    def __init__(self, media: Media, now: Callable[[], float]) -> None:
        self._now = now
        self._films = {name: LoopedTs(media.read(f"{name}.ts"), SECONDS) for name in FILMS}

    def answer(self, request: Request, knobs: Knobs) -> Reply:
        """The reply to a request below ``/live/``."""
        stem = request.path.rpartition("/")[2].partition(".")[0]
        film = self._films.get(stem, self._films["film"])
        burst = knobs.number("burst", 1.0)
        position = knobs.number("start", max(0.0, self._now() - burst))
        body = film.play(position, burst, knobs.number("rate", 1.0), knobs.number("mbit", 0))
        return Reply(200, (("Content-Type", "video/mp2t"), ("Cache-Control", "no-cache")), body, framing="close")


class Radio:
    """``/radio/NAME.aac`` and ``/radio/NAME.mp3``: bare audio, with the headers that radio servers send."""

    def __init__(self, media: Media) -> None:
        self._sounds = {extension: media.read(f"radio{extension}") for extension in (".aac", ".mp3")}

    def answer(self, request: Request, knobs: Knobs) -> Reply:
        """The reply to a request below ``/radio/``."""
        extension = ".mp3" if request.path.endswith(".mp3") else ".aac"
        sound = self._sounds[extension]
        headers = (("Content-Type", TYPES[extension]), ("icy-name", "Two tones"), ("icy-br", "96"))
        return Reply(200, headers, looped_bytes(sound, SECONDS, knobs.number("rate", 1.0)), framing="close")
