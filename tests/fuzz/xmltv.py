"""Guides in XMLTV: what is understood of them has to be well-formed again, and in order."""

from __future__ import annotations

from iptvd.epg.details import programme_of
from iptvd.errors import ProtocolError
from iptvd.protocols.xmltv import GuideChannel, GuideProgramme, XmltvParser
from tests.fuzz.targets import split, told

_PROGRAMME = b'<programme start="20260101120000 +0000" stop="20260101130000" channel="a">%b</programme>'
_FULL = _PROGRAMME % (
    b'<title lang="en">T &amp; T</title><sub-title>S</sub-title><desc>D&nbsp;<b>x</b></desc><credits><director>A'
    b'</director><actor role="R">B</actor></credits><date>2026</date><category>C</category><length units="minutes">5'
    b'</length><icon src="http://example.com/i.png"/><episode-num system="xmltv_ns">1.2/5.0</episode-num>'
    b'<previously-shown start="2025"/><premiere/><new/><rating system="r"><value>18</value></rating>'
    b"<star-rating><value>1/2</value></star-rating>"
)
_GUIDE = b'<?xml version="1.0" encoding="UTF-8"?>%b<tv><channel id="a"><display-name>A</display-name></channel>%b</tv>'

SEEDS = [
    prefix + guide
    for prefix in (b"\0", b"\xff")
    for guide in (
        _GUIDE % (b"", _FULL),
        _GUIDE % (b'<!DOCTYPE tv SYSTEM "xmltv.dtd">', _PROGRAMME % b"<title>x</title>"),
        _GUIDE % (b'<!DOCTYPE tv [<!ENTITY a "b">]>', b"&a;"),
        b'\xef\xbb\xbf<tv><programme start="202601011200 CET" channel="a"><title>&eacute;</title></programme></tv>',
        "<?xml version='1.0' encoding='UTF-16'?><tv/>".encode("utf-16"),
        b"<?xml version='1.0' encoding='koi8-r'?><tv>\xc1</tv>",
    )
]


def one(data: bytes) -> None:
    """Read it as a guide, piece by piece."""
    parser = XmltvParser()
    try:
        found = [item for piece in split(data) for item in parser.feed(piece)]
        found += parser.close()
    except ProtocolError as error:
        told(error.sentence)
        return
    for item in found:
        if isinstance(item, GuideProgramme):
            assert item.channel
            assert item.title
            assert 0 < item.start < item.stop
            assert programme_of(item.start, item.stop, item.title, item.xml).title
        else:
            assert isinstance(item, GuideChannel)
            assert item.id
