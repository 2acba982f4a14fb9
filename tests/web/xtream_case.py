"""A stage with something of every kind, asked as Xtream clients ask."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from iptvd.limits import LONGEST
from iptvd.model import ChannelKind, Entry, SourceKind
from tests.doubles import result
from tests.web.building import Answer
from tests.web.loop import Client, Stage

#: Far from 1970, and within 32 bits.
NOW = 1_900_000_000
TOKEN = "alice-token-0123"

NEWS = Entry("1", "One", group="News", number=7, tvg_id="one.test", catchup=(("catchup", "xc"), ("catchup-days", "3")))
SPORT = Entry("2", 'Two "HD" é', group="Sport", number=12, source_kind=SourceKind.HLS, extension="m3u8")
RADIO = Entry("3", "Radio", group="News", kind=ChannelKind.RADIO, extension="mp3", number=40)
PLAIN = Entry("4", "Nowhere", number=50, catchup=(("catchup", "shift"),))
LOCKED = Entry("5", "Locked", group="News", unsupported="it is protected", number=60)


def film(key: str, name: str, group: str = "Films", extension: str = "mkv") -> Entry:
    """A film, or an episode."""
    return Entry(key, name, ChannelKind.VOD, SourceKind.VOD, extension, group)


FILM = film("f1", "A Film (2020)")
EPISODES = (
    film("e2", "Show S01E02 Second", "Series", "mp4"),
    film("e1", "Show S01E01 Pilot", "Series", "mp4"),
    film("e3", "Show S02E01", "Series", "mp4"),
    film("e4", "Other S01 Special", "Sport"),
)
ENTRIES = (NEWS, SPORT, RADIO, PLAIN, LOCKED, FILM, *EPISODES)


class XtreamTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage(self, *ENTRIES)
        self.stage.loop.advance(NOW)

    def id_of(self, name: str) -> int:
        return self.stage.channel(name).id

    def keep(self, name: str = "alice", token: str = TOKEN, **more: Any) -> None:
        """Have a user."""
        result(self.stage.admission.accounts.put(User(name, token, **more)))

    def get(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Answer:
        return self.answered(self.stage.ask(path, *headers, method=method), method)

    def answered(self, client: Client, method: str = "GET") -> Answer:
        """What a client is answered, who waits for that as long as it takes when something was wrong."""
        if not client.read():
            self.stage.loop.advance(LONGEST)
        return client.answer(method)

    def post(self, path: str, **arguments: str) -> Answer:
        """What is answered to a form."""
        form = urlencode(arguments)
        client = self.stage.ask(
            path,
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", str(len(form))),
            method="POST",
        )
        client.send(form.encode())
        return self.answered(client)

    def api(self, action: str = "", script: str = "player_api.php", **arguments: str) -> Any:
        """What a client is told, who is alice unless it is said otherwise."""
        asked = {"username": "alice", "password": TOKEN, **({"action": action} if action else {}), **arguments}
        answer = self.get(f"/{script}?{urlencode(asked)}")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        return json.loads(answer.body)
