"""
The Xtream Codes face: a panel's addresses, for the many players that want a server, a name and a password.

The name is a user's, the password their app token; where there are no users, any will do for whoever may watch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from twisted.web.resource import Resource

from iptvd.web.answering import AnswerResource
from iptvd.web.api import Folder
from iptvd.web.kept_channels import KeptChannels
from iptvd.web.xtream_api import PanelApi, PlayerApi, XtreamApi
from iptvd.web.xtream_body import Bodies
from iptvd.web.xtream_catalogue import Catalogues
from iptvd.web.xtream_media import LiveResource, MediaResource, TimeshiftQuery, TimeshiftResource
from iptvd.web.xtream_playlists import GuideScript, PlaylistScript

if TYPE_CHECKING:
    from iptvd.web.tree import Parts


def xtream_children(parts: Parts, playlist: AnswerResource, guide: AnswerResource) -> Iterator[tuple[bytes, Resource]]:
    """
    All of it, by the names it has at the top.

    :param playlist: answers for the playlist.
    :param guide: answers for the guide.
    """
    faces, on = parts.faces, parts.on
    api = XtreamApi(
        Catalogues(faces.lineup, parts.sliced),
        Bodies(parts.sliced, faces.clock),
        parts.admission.accounts,
        faces.hub,
        lambda channel: faces.lineup().by_id.get(channel),
        on.reader,
        on.days,
        on.short_guide,
        parts.wall,
    )
    streaming = Folder()
    streaming.putChild(b"timeshift.php", TimeshiftQuery(faces))
    yield b"player_api.php", PlayerApi(api)
    yield b"panel_api.php", PanelApi(api)
    yield b"get.php", PlaylistScript(playlist)
    yield b"get_playlist.php", PlaylistScript(playlist)
    yield b"xmltv.php", GuideScript(guide)
    yield b"live", LiveResource(faces, KeptChannels(parts.admission.records, parts.lineup).find)
    yield b"movie", MediaResource(faces)
    yield b"series", MediaResource(faces)
    yield b"timeshift", TimeshiftResource(faces)
    yield b"streaming", streaming
