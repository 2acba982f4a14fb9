"""``/clients``: who watches, for programs that know m3u-proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from iptvd.delivery.session import Session
from iptvd.model import Outcome
from iptvd.streams import Streams, stream_id_of
from iptvd.web.operations import Call, Operation
from iptvd.web.request import Refusal
from iptvd.web.stream_facts import ClientTold, StreamFacts
from iptvd.web.streams_api import Done

if TYPE_CHECKING:
    from iptvd.web.tree import Parts


class ClientsTold(Struct):
    """Everybody who watches."""

    total_clients: int
    clients: list[ClientTold]


class ClientInfo(ClientTold, kw_only=True):
    """Somebody who watches; ``client`` is the same again."""

    client: ClientTold


def clients_operations(parts: Parts) -> list[Operation]:
    """What can be done with those who watch."""
    clients = ClientsApi(parts.streams, StreamFacts(parts.streams, parts.config))
    one = "/clients/{client_id}"
    of_stream = "/hls/{stream_id}/clients/{client_id}"
    return [
        Operation("GET", "/clients", "Everybody who watches", clients.all, ClientsTold),
        Operation("GET", one, "Somebody who watches", clients.get, ClientInfo),
        Operation("DELETE", one, "End what somebody watches", clients.end, Done),
        Operation("DELETE", of_stream, "End what somebody watches of a stream", clients.end, Done),
    ]


class ClientsApi:
    """Does it."""

    def __init__(self, streams: Streams, facts: StreamFacts) -> None:
        self._streams = streams
        self._facts = facts

    async def all(self, call: Call) -> object:
        """Everybody."""
        return {"total_clients": len(self._streams.clients()), "clients": self._facts.clients()}

    async def get(self, call: Call) -> object:
        """One of them."""
        facts = self._facts.client(self._session(call))
        return {**facts, "client": facts}

    async def end(self, call: Call) -> object:
        """End their session."""
        session = self._session(call)
        session.end(Outcome.ENDED_BY_OPERATOR, "the operator has ended this session")
        return Done(f"Client {session.id} disconnected")

    def _session(self, call: Call) -> Session:
        session = self._streams.client(call.path["client_id"])
        stream = call.path.get("stream_id")
        others = session is not None and stream not in (None, stream_id_of(session.channel), str(session.channel.id))
        if session is None or others:
            raise Refusal(404, "Nobody watches by that id.")
        return session
