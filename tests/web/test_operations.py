"""Operations: how they are declared, and what is said of a field that is wrong."""

from __future__ import annotations

import re

from msgspec import Struct
from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.operations import Operation, Query, invalid
from iptvd.web.tree import operations_of
from tests.web.managing import Managing


class InvalidTests(SynchronousTestCase):
    def test_a_field(self) -> None:
        """The refusal of a field names it, in its sentence and for programs."""
        refusal = invalid("headers.Referer", "it cannot be sent")
        self.assertEqual((refusal.status, refusal.sentence), (422, "headers.Referer: it cannot be sent"))
        self.assertEqual(refusal.errors, (("headers.Referer", "it cannot be sent"),))

    def test_all_of_it(self) -> None:
        """What is wrong with all of a body names no field."""
        refusal = invalid("", "the body is too long")
        self.assertEqual((refusal.sentence, refusal.errors), ("the body is too long", (("", "the body is too long"),)))


class DeclaredTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.operations: list[Operation] = operations_of(Managing(self).parts)

    def test_what_changes_something(self) -> None:
        """Only who manages may do what changes something."""
        changing = [each for each in self.operations if each.method != "GET"]
        self.assertGreater(len(changing), 5)
        self.assertEqual([each.path for each in changing if not each.manages], [])

    def test_each_name_once(self) -> None:
        """No operation has two parts of its path, or two arguments, of one name."""
        for each in self.operations:
            for names in (re.findall(r"\{(\w+)\}", each.path), [query.name for query in each.query]):
                self.assertEqual(len(names), len(set(names)), each)

    def test_bodies(self) -> None:
        """What is taken is described, and GET takes nothing."""
        for each in self.operations:
            self.assertTrue(each.body is None or issubclass(each.body, Struct), each)
            self.assertFalse(each.method == "GET" and each.body is not None, each)

    def test_arguments(self) -> None:
        """An argument is text, and need not be there, unless it is said otherwise."""
        self.assertEqual((Query("q", "Words.").kind, Query("q", "Words.").required), (str, False))
