"""What is said of the resources that have no operations: they answer just that."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.described import described
from iptvd.web.operations import Operation
from tests.doubles import folder_for
from tests.epg.guide import Shown
from tests.web.on_air import HOUR, NOW, OnAir

#: This machine, which manages.
LOCAL = "127.0.0.1"
OPERATIONS = {operation.path: operation for operation in described()}


class DescribedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = OnAir(folder_for(self))
        self.addCleanup(self.tree.reader.close)
        self.tree.guide(*(Shown("a", NOW + n * HOUR, NOW + (n + 1) * HOUR, f"Hour {n}") for n in range(3)))

    def answer(self, path: str, **names: object) -> Any:
        """What an address answers, as the type that describes it; fields that are not described are found."""
        operation: Operation = OPERATIONS[path.partition("?")[0]]
        answer: Any = operation.answer
        told = self.tree.tell(path.format(**names), LOCAL)
        value: Any = msgspec.convert(told, answer)
        if "/search" not in path:
            self.assertEqual(_fields(told), _fields(msgspec.to_builtins(value)))
        return value

    def test_answers(self) -> None:
        """Channels, programmes, events, results and matches are what they are described to be."""
        channel = self.answer("/api/channels").channels[0]
        self.assertEqual(channel.now.title, "Hour 0")
        self.assertEqual(self.answer("/api/channels/{id}", id=channel.id).id, channel.id)
        self.assertEqual(len(self.answer("/api/channels/{id}/programmes", id=channel.id).programmes), 3)
        self.answer("/api/events")
        self.assertEqual({each.type for each in self.answer("/api/search?q=hour").results}, {"programme"})
        self.answer("/api/epg/matches")

    def test_health(self) -> None:
        """How the daemon is, is what it is described to be, in brief and at length."""
        self.tree.watch(self.tree.shown.lineup.channels[0])
        self.assertEqual(self.answer("/health").status, "healthy")
        self.assertEqual(len(self.answer("/health/detailed").sessions), 1)
        self.assertFalse(OPERATIONS["/health"].manages)
        self.assertTrue(OPERATIONS["/health/detailed"].manages)

    def test_refusals(self) -> None:
        """The arguments that are described are the ones that are looked at."""
        for path, operation in OPERATIONS.items():
            names = {each.name for each in operation.query}
            for name in names & {"limit", "offset", "how", "type", "live", "hidden", "from", "to"}:
                where = path.format(id=self.tree.ids[0])
                self.assertEqual(self.tree.ask(f"{where}?q=x&{name}=wrong", peer=LOCAL).status, 400, (path, name))


def _fields(value: Any) -> Any:
    """The names of all fields, however deep."""
    if isinstance(value, dict):
        return {name: _fields(each) for name, each in value.items()}
    return [_fields(each) for each in value] if isinstance(value, list) else None
