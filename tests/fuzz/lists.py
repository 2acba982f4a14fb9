"""The lists of channels that websites have: each page in every shape."""

from __future__ import annotations

from iptvd.errors import ProtocolError
from iptvd.website.channel_lists import PAGES, ListReading
from tests.fuzz.targets import VECTORS, told

SEEDS = [
    (VECTORS / "website" / name).read_bytes() for name in ("l1.html", "l2.html", "l3.json", "l4.html", "stream.html")
]


def one(data: bytes) -> None:
    """Read it in each shape."""
    text = data.decode("utf-8", "replace")
    for _, shapes in PAGES:
        for shape in shapes:
            reading = ListReading(shape)
            try:
                for _ in reading.steps(data, text):
                    pass
            except ProtocolError as error:
                told(error.sentence)
            assert isinstance(reading.failure, str)
            assert all(count > 0 for count in reading.skipped.values())
            assert all(each.id and each.name for each in reading.channels.values())
