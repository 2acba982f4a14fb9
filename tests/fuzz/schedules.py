"""The schedules that websites have, as JSON and as pages, and the labels of their days."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date

from iptvd.errors import ProtocolError
from iptvd.website.day_labels import read_label, read_time
from iptvd.website.schedules import Announcements
from tests.fuzz.targets import VECTORS, told

_FOLDER = VECTORS / "website"
_LABELS = [label.encode() for label, *_ in json.loads((_FOLDER / "day_labels.json").read_text())["days"]]
SEEDS = [*((_FOLDER / name).read_bytes() for name in ("s1.json", "s2.html")), *_LABELS, b"20:15", b"[]", b"{}"]

#: 2026-01-15.
_NOW = 1_768_435_200.0


def one(data: bytes) -> None:
    """Read it as each of them."""
    text = data.decode("utf-8", "replace")
    for page in (True, False):
        found = Announcements(lambda name: UTC, _NOW)
        _read(found.read_page(text) if page else found.read_json(data))
        assert found.failure
        for event in found.events:
            assert event.key
            assert event.title
            assert event.stop is None or event.stop > event.start
    for read in (lambda: read_label(text, date(2026, 1, 15)), lambda: read_time(text)):
        try:
            read()
        except ProtocolError as error:
            told(error.sentence)


def _read(steps: Iterator[None]) -> None:
    try:
        for _ in steps:
            pass
    except ProtocolError as error:
        told(error.sentence)
