"""
The tuners over HTTP, as HDHomeRun devices have it: documents that describe them, and ``/auto/v<number>`` to watch.

The one with every channel is at the root, because that is where its clients look when they are given a mere address;
that one and all others are below ``/hdhr/<name>/`` too, and those of the settings below ``/<number>/``, which is for
clients that have no room for more (see `iptvd.protocols.hdhomerun.LONGEST_BASE_URL`). A tuner's links lead to where it
was asked, by its name.

With users a tuner needs a user's token, and so do its links: they have that of whoever asks. In a trusted network a
user's own tuner needs none, and then its links have that user's.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from uuid import NAMESPACE_OID, uuid5
from xml.sax.saxutils import escape

from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd import __version__
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel
from iptvd.tuners import AUTH, Tuner, Tuners
from iptvd.web.answering import AnswerResource
from iptvd.web.api import Folder
from iptvd.web.request import Refusal, argument, caller_of, refuse, require_viewer, send, who_of
from iptvd.web.stream import Faces, StreamResource

#: The header in which an HDHomeRun says why it does not play, and what it says in it.
ERROR = "X-HDHomeRun-Error"
UNKNOWN_CHANNEL = "801 Unknown Channel"
ALL_IN_USE = "805 All Tuners In Use"
NOT_TUNED = "806 Tune Failed"

_JSON, _XML = "application/json", "application/xml; charset=utf-8"
_STEP = 100
_NUMBER = re.compile(r"v([0-9]{1,10})")

_DEVICE = """\
<?xml version="1.0" encoding="UTF-8"?>
<root xmlns="urn:schemas-upnp-org:device-1-0">
 <specVersion><major>1</major><minor>0</minor></specVersion>
 <URLBase>{base}</URLBase>
 <device>
  <deviceType>urn:schemas-upnp-org:device:MediaServer:1</deviceType>
  <friendlyName>{name}</friendlyName>
  <manufacturer>iptvd</manufacturer>
  <modelName>iptvd</modelName>
  <modelNumber>iptvd</modelNumber>
  <serialNumber>{device_id}</serialNumber>
  <UDN>uuid:{udn}</UDN>
 </device>
</root>
"""


class TunerDocument(AnswerResource):
    """
    One document of a tuner.

    :param name: the tuner's.
    :param prefix: what comes before its paths here.
    """

    guarded = False

    def __init__(self, tuners: Tuners, name: str, prefix: str) -> None:
        super().__init__()
        self.tuners = tuners
        self._name = name
        self._prefix = prefix

    async def answer(self, request: Request) -> bytes:
        """The document, its links by the address it was asked for."""
        tuner = _asked(self.tuners, self._name, request)
        if request.postpath:
            raise Refusal(404, "There is nothing at this address.")
        request.setHeader("Cache-Control", "no-store")
        return await self.tell(request, tuner, caller_of(request).base_url + self._prefix)

    @abstractmethod
    async def tell(self, request: Request, tuner: Tuner, base_url: str) -> bytes:
        """The answer."""


class DiscoverResource(TunerDocument):
    """``discover.json``: what the device is."""

    async def tell(self, request: Request, tuner: Tuner, base_url: str) -> bytes:
        """See above."""
        user = who_of(request).user
        facts = {
            "FriendlyName": tuner.title,
            "Manufacturer": "iptvd",
            "ModelNumber": "iptvd",
            "FirmwareName": "iptvd",
            "FirmwareVersion": __version__,
            "DeviceID": f"{self.tuners.device_id(tuner, user):08X}",
            "DeviceAuth": AUTH,
            "BaseURL": base_url,
            "LineupURL": f"{base_url}/lineup.json",
            "TunerCount": await self.tuners.count(tuner, user),
        }
        return send(request, json.dumps(facts).encode(), _JSON)


class DeviceResource(TunerDocument):
    """``device.xml``: the same for UPnP (Device Architecture 1.0, section 2.1)."""

    async def tell(self, request: Request, tuner: Tuner, base_url: str) -> bytes:
        """See above."""
        device_id = f"{self.tuners.device_id(tuner, who_of(request).user):08X}"
        udn = uuid5(NAMESPACE_OID, device_id)
        text = _DEVICE.format(base=escape(base_url), name=tuner.title, device_id=device_id, udn=udn)
        return send(request, text.encode(), _XML)


class StatusResource(TunerDocument):
    """``lineup_status.json``: that no scan is under way: the providers list the channels."""

    async def tell(self, request: Request, tuner: Tuner, base_url: str) -> bytes:
        """See above."""
        facts = {"ScanInProgress": 0, "ScanPossible": 1, "Source": "Cable", "SourceList": ["Cable"]}
        return send(request, json.dumps(facts).encode(), _JSON)


class LineupResource(TunerDocument):
    """``lineup.json``: the tuner's channels."""

    async def tell(self, request: Request, tuner: Tuner, base_url: str) -> bytes:
        """See above."""
        channels, may_see = self.tuners.lineup().channels, who_of(request).may_see
        # Grows in place and gives its value without a copy; to join five megabytes takes a turn of the reactor.
        body = BytesIO()

        def steps() -> Iterator[None]:
            for start in range(0, len(channels), _STEP):
                for channel in channels[start : start + _STEP]:
                    if tuner.has(channel) and may_see(channel):
                        body.write(b"," if body.tell() else b"[")
                        body.write(_listed(channel, base_url))
                yield

        await self.tuners.sliced(steps())
        body.write(b"]" if body.tell() else b"[]")
        # To compress a large one takes longer than a turn of the reactor may.
        return send(request, body.getvalue(), _JSON, compress=False)


class ScanResource(TunerDocument):
    """``lineup.post``: told to look for channels, which are those there are already."""

    def render(self, request: Request) -> Any:
        """Answer what a client posts."""
        if request.method != b"POST":
            return refuse(request, Refusal(405, "Only POST works here.", (("Allow", "POST"),)))
        return self.render_GET(request)

    async def tell(self, request: Request, tuner: Tuner, base_url: str) -> bytes:
        """Nothing, as the device does."""
        if argument(request, "scan") not in ("start", "abort"):
            raise Refusal(400, "scan is start or abort")
        return send(request, b"", "text/plain; charset=utf-8")


class TunedResource(StreamResource):
    """
    ``/auto/v<number>``: a channel of a tuner as MPEG-TS; refused as the device does it.

    :param path: what follows ``/auto/``.
    """

    guarded = False

    def __init__(self, faces: Faces, tuners: Tuners, name: str, path: str) -> None:
        super().__init__(faces, path)
        self._tuners = tuners
        self._tuner_name = name
        self._path = path

    async def answer(self, request: Request) -> bytes | None:
        """Play it."""
        _asked(self._tuners, self._tuner_name, request)
        try:
            return await super().answer(request)
        except LimitError:
            request.setHeader(ERROR, ALL_IN_USE)
            raise
        except UpstreamError:
            request.setHeader(ERROR, NOT_TUNED)
            raise

    def _channel(self, request: Request) -> tuple[Channel, str]:
        tuner = _tuner(self._tuners, self._tuner_name)
        match = _NUMBER.fullmatch(self._path)
        number = int(match[1]) if match and not request.postpath else 0
        # A millisecond or two where there are 50,000: less than it would take to keep them by their numbers.
        found = (channel for channel in self._tuners.lineup().channels if channel.number == number)
        may_see = who_of(request).may_see
        channel = next((channel for channel in found if tuner.has(channel) and may_see(channel)), None)
        if channel is None:
            sentence = "This tuner has no channel of that number; its lineup.json has those there are."
            raise Refusal(404, sentence, ((ERROR, UNKNOWN_CHANNEL),))
        return channel, "ts"


class AutoResource(Resource):
    """``/auto/``: the names below it are a tuner's channels."""

    def __init__(self, faces: Faces, tuners: Tuners, name: str) -> None:
        super().__init__()
        self._make: Callable[[str], Resource] = lambda path: TunedResource(faces, tuners, name, path)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The channel of that name, whether it exists or not."""
        return self._make(path.decode("utf-8", "replace"))


_DOCUMENTS: dict[bytes, type[TunerDocument]] = {
    b"discover.json": DiscoverResource,
    b"device.xml": DeviceResource,
    b"lineup.json": LineupResource,
    b"lineup_status.json": StatusResource,
    b"lineup.post": ScanResource,
}


def tuner_children(faces: Faces, tuners: Tuners, name: str, prefix: str) -> Iterator[tuple[bytes, Resource]]:
    """All of a tuner, by the names it has below ``prefix``."""
    for path, document in _DOCUMENTS.items():
        yield path, document(tuners, name, prefix)
    yield b"auto", AutoResource(faces, tuners, name)


class TunersResource(Resource):
    """``/hdhr/``: the names below it are tuners."""

    def __init__(self, faces: Faces, tuners: Tuners) -> None:
        super().__init__()
        self._faces = faces
        self._tuners = tuners

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The tuner of that name; without one, nothing is below it: see `iptvd.web.site.IptvdSite`."""
        tuner = self._tuners.find(path.decode("utf-8", "replace"))
        return self._folder(tuner) if tuner is not None else Folder()

    def numbered(self, path: bytes) -> Resource | None:
        """The tuner of that number, None where there is none."""
        tuner = self._tuners.numbered(path.decode("utf-8", "replace"))
        return self._folder(tuner) if tuner is not None else None

    def _folder(self, tuner: Tuner) -> Resource:
        folder = Folder()
        for name, child in tuner_children(self._faces, self._tuners, tuner.name, f"/hdhr/{tuner.name}"):
            folder.putChild(name, child)
        return folder


def _asked(tuners: Tuners, name: str, request: Request) -> Tuner:
    """
    The tuner of a name, for who asks, which from now on may be its user.

    :raises Refusal: when there is none, or it is not for them.
    """
    tuner = tuners.find(name)
    who = who_of(request)
    if tuner is not None:
        who = tuners.who_at(tuner, who)
        request.who, request.caller = who, who.caller  # type: ignore[attr-defined]
    require_viewer(request)
    return _tuner(tuners, name)


def _tuner(tuners: Tuners, name: str) -> Tuner:
    tuner = tuners.find(name)
    if tuner is None:
        raise Refusal(404, "There is no tuner here: see the setting hdhomerun.")
    return tuner


def _listed(channel: Channel, base_url: str) -> bytes:
    number = str(channel.number)
    facts = {"GuideNumber": number, "GuideName": channel.name, "URL": f"{base_url}/auto/v{number}"}
    return json.dumps(facts, ensure_ascii=False).encode("utf-8", "replace")
