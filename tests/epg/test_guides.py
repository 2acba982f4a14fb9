"""A guide through its life."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.guides import FIRST_RETRY, sources_of
from iptvd.errors import ProviderError, StoreError
from iptvd.model import Fetched, GuideFile, ProviderState
from tests.epg.epg_case import ADDRESS, TERMS, EpgCase, fetched


class SourcesTests(SynchronousTestCase):
    def test_in_the_order_of_preference(self) -> None:
        """The operator's own guides come first, then each provider's for its own channels."""
        own, other = GuideFile("http://panel.test/xmltv.php?password=x"), GuideFile("http://panel.test/b")
        sources = sources_of([ADDRESS, "/srv/guide.xml"], {"panel": [own, other], "none": []})
        self.assertEqual(
            [(source.name, source.place, source.providers) for source in sources],
            [
                ("epg 1", GuideFile(ADDRESS), ()),
                ("epg 2", Path("/srv/guide.xml"), ()),
                ("panel", own, ("panel",)),
                ("panel 2", other, ("panel",)),
            ],
        )

    def test_addresses_are_not_told(self) -> None:
        """What is kept and shown of a guide tells another address from this one, and not which it is."""
        first, second = sources_of([ADDRESS, ADDRESS + "x"], {})
        self.assertNotEqual(first.address, second.address)
        for text in (repr(first), first.address):
            self.assertNotIn("secret", text)


class GuideTests(EpgCase):
    def test_an_unchanged_guide_is_not_taken_in_again(self) -> None:
        """The server is asked whether it has changed, also after a restart."""
        self.start(ADDRESS)
        self.service.database.write_bytes(b"")
        linked = len(self.children.of("linking"))
        self.web.answers = [fetched(304)]
        self.advance(TERMS.interval)
        self.assertEqual(self.web.asked[-1], (ADDRESS, (("If-None-Match", '"1"'),)))
        self.service.stopService()
        self.service = self.make()
        self.start(ADDRESS)
        self.assertEqual(self.web.asked[-1], (ADDRESS, (("If-None-Match", '"1"'),)))
        self.assertEqual(len(self.children.of("importing")), 1)
        self.assertEqual(self.service.statuses[0].state, ProviderState.OK)
        self.assertEqual(len(self.children.of("linking")), linked + 1)

    def test_another_address_or_no_database(self) -> None:
        """What is known of another address says nothing, and neither does it where the database is gone."""
        self.start(ADDRESS)
        for address in (ADDRESS, ADDRESS + "?x"):
            self.service.stopService()
            self.service = self.make()
            self.start(address)
            self.assertEqual(self.web.asked[-1], (address, ()))
            self.service.database.write_bytes(b"")

    def test_a_failure_loses_nothing(self) -> None:
        """A guide that cannot be had or read is told of, and tried again soon; what was taken in stays."""
        self.start(ADDRESS)
        (status,) = self.service.statuses
        linked = len(self.children.of("linking"))
        delay = TERMS.interval
        troubles: tuple[tuple[Fetched | Exception, str, str], ...] = (
            (ProviderError(ProviderState.UNREACHABLE, "it does not answer"), "unreachable", "does not answer"),
            (fetched(401), "auth_failed", "401"),
            (fetched(403), "blocked", "403"),
            (fetched(500), "unreachable", "500"),
            (StoreError("the disk is full"), "stale", "disk"),
            (RuntimeError("secret"), "not_understood", "the log has the details"),
        )
        for failures, (answer, state, words) in enumerate(troubles, 1):
            self.web.answers = [answer]
            self.advance(delay)
            self.assertEqual((status.state.value, status.failures), (state, failures))
            self.assertIn(words, status.sentence)
            blocked = state == "blocked"
            delay = TERMS.interval if blocked else min(FIRST_RETRY * 2 ** (failures - 1), TERMS.interval)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.web.answers = [fetched()]
        self.children.says["importing"] = (3, {"state": "not_understood", "sentence": "it is cut short"})
        self.advance(delay)
        self.assertEqual((status.state, status.sentence), (ProviderState.NOT_UNDERSTOOD, "it is cut short"))
        self.assertEqual((status.programmes, status.last_good), (2, 0.0))
        self.assertEqual(len(self.children.of("linking")), linked)

    def test_a_file(self) -> None:
        """A file is taken in as it lies there, and again when it has changed."""
        file = self.folder / "own.xml"
        self.start(str(file))
        (status,) = self.service.statuses
        self.assertEqual(status.state, ProviderState.UNCONFIGURED)
        self.assertIn("check its path", status.sentence)
        for content, imports in ((b"one", 1), (b"one", 1), (b"another", 2)):
            if not file.exists() or file.read_bytes() != content:
                file.write_bytes(content)
            self.service.refresh()
            self.assertEqual(len(self.children.of("importing")), imports)
        self.assertEqual(self.children.of("importing")[0][2], str(file))
