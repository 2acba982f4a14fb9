"""The lists of channels that such sites have, in the shapes seen so far."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from attrs import frozen

from iptvd.website.extraction import Field, Reading, Row, Shape
from iptvd.website.texts import channel_id, channel_name, id_in_link

#: Channels of one site that are listed: the first.
MOST = 20_000

_SUBJECT = "channel list"
_LINKS = re.compile(r"watch\.php\?")

#: L1: a grid, each link to a stream page.
GRID = Shape(
    _SUBJECT,
    "L1",
    (Field("id", id_in_link, "a[href]", "href"), Field("name", channel_name, "strong")),
    rows=".grid-item",
    mark=re.compile("grid-item"),
)
#: L2: cards, each a link to a page that the player is watched on.
CARDS = Shape(
    _SUBJECT,
    "L2",
    (Field("id", id_in_link, "", "href"), Field("name", channel_name, ".card__title")),
    rows="a.card[href]",
    mark=_LINKS,
)
#: L3: JSON.
JSON = Shape(
    _SUBJECT,
    "L3",
    (Field("id", channel_id, "channel_id"), Field("name", channel_name, "channel_name")),
)
#: L4: the feeds of events on the home page: an id under several titles, a title on several ids.
FEEDS = Shape(
    _SUBJECT,
    "L4",
    (Field("id", id_in_link, "", "href"), Field("name", channel_name, "", "title")),
    rows='a[href*="watch.php?"][title]',
    mark=_LINKS,
)

#: The pages that have a list, with the shapes that they may have, in the order in which they are tried.
PAGES: tuple[tuple[str, tuple[Shape, ...]], ...] = (
    ("/24-7-channels.php", (GRID, CARDS)),
    ("/daddy.json", (JSON,)),
    ("/", (FEEDS,)),
)


@frozen
class Listed:
    """
    A channel as it is listed.

    :ivar id: what the site knows it by; not always a number.
    """

    id: str
    name: str


class ListReading:
    """
    One list, read by one shape.

    :ivar channels: by id, each under the first name that it has.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.channels: dict[str, Listed] = {}
        self._reading = Reading(shape, self._take)
        self._skipped: Counter[str] = Counter()

    def steps(self, body: bytes, text: str) -> Iterator[None]:
        """
        Read a page in short steps.

        :param text: the body as text.
        :raises ProtocolError: when JSON is wanted and it is something else.
        """
        return self._reading.items(body) if self.shape is JSON else self._reading.page(text)

    def _take(self, row: Row) -> None:
        ((identity,), (name,)) = row["id"], row["name"]
        known = self.channels.get(identity)
        if known is not None:
            self._skipped["listed twice" if known.name == name else "listed under another name too"] += 1
        elif len(self.channels) >= MOST:
            self._skipped[f"more than {MOST}"] += 1
        else:
            self.channels[identity] = Listed(identity, name)

    @property
    def skipped(self) -> Counter[str]:
        """Why rows were left out, and how many for each reason."""
        return self._reading.skipped + self._skipped

    @property
    def failure(self) -> str:
        """Where the shape does not fit the page, when there are no channels."""
        return self._reading.failure
