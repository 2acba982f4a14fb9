"""Bodies handed to viewers, and what is told of them."""

from __future__ import annotations

import gc
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from iptvd.delivery.opening import Opened
from iptvd.delivery.session import Session
from iptvd.protocols.upstream import Upstream
from iptvd.web.request import AnswerResource
from iptvd.web.stream import Player, respond
from tests.web.building import Tree, entries, lineup_of


class Body(Upstream):
    """A body that has come already."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._deliver(data)
        self._end(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


class Segment(AnswerResource):
    """A part of a session, with what its origin says of it."""

    def __init__(self, player: Player, session: Session, opened: Opened) -> None:
        super().__init__()
        self._player, self._session, self._opened = player, session, opened

    async def answer(self, request: Request) -> bytes | None:
        if self._opened.upstream is None:
            respond(request, self._opened)
            return b""
        self._player.play(request, self._session, self._opened, endless=False, over=lambda outcome, reason: None)
        return None


class PlayerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree(lineup_of(*entries(1)))
        self.session = self.tree.watch(self.tree.shown.lineup.channels[0])
        self.player = Player(self.tree.clock, 15.0, 300.0)

    def show(self, *opened: Opened) -> None:
        for number, one in enumerate(opened):
            self.tree.add(str(number), Segment(self.player, self.session, one))

    def test_a_session_keeps_nothing_of_its_segments(self) -> None:
        """However long a session lasts, a segment that has been sent costs nothing any more."""
        body = Body(b"G" * 188)
        kept = ref(body)
        self.show(Opened(body, 200, (("Content-Length", "188"),)))
        del body
        self.assertEqual(self.tree.ask("/0").body, b"G" * 188)
        self.assertIsNone(self.session.outcome)
        self.tree.root.delEntity(b"0")
        gc.collect()
        self.assertIsNone(kept())

    def test_types(self) -> None:
        """What an origin sends is never a web page of ours, whatever it says or does not say."""
        types = ("text/html; charset=utf-8", "image/SVG+xml", "application/javascript", "video/mp2t", "")
        self.show(*(Opened(Body(b"x"), 200, (("Content-Type", kind),) if kind else ()) for kind in types))
        found = [self.tree.ask(f"/{number}").headers.get("Content-Type") for number in range(len(types))]
        self.assertEqual(found, [*["application/octet-stream"] * 3, "video/mp2t", None])

    def test_a_range_that_is_not_there(self) -> None:
        """To a range past the end there is no body, and the answer says so."""
        self.show(Opened(None, 416, (("Content-Range", "bytes */5"),)))
        answer = self.tree.ask("/0")
        self.assertEqual((answer.status, answer.body), (416, b""))
        self.assertEqual(answer.headers["Content-Length"], "0")
