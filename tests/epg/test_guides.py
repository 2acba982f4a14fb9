"""A guide through its life, and all of them together."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.child import DAMAGED
from iptvd.epg.guides import FIRST_RETRY, GuideSource, Terms, sources_of
from iptvd.epg.service import EpgService
from iptvd.epg.work import DamagedError, Writers
from iptvd.errors import ProviderError, StoreError
from iptvd.lineup import Lineup
from iptvd.model import Event, Fetched, GuideFile, Headers, ProviderState
from iptvd.repeating import JITTER
from iptvd.store import Offload, RowsFile
from tests.doubles import folder_for, offload, result, sliced

ADDRESS = "http://user:secret@guide.test/epg.xml.gz"
TERMS = Terms(3600.0, ("--days", "3"), 1 << 20)


class Web:
    """A guide's server: answers with what is in ``answers``, the last again and again."""

    def __init__(self) -> None:
        self.answers: list[Fetched | Exception] = []
        self.asked: list[tuple[str, Headers]] = []

    async def save(
        self,
        url: str,
        path: Path,
        offload: Offload,
        *,
        headers: Headers = (),
        limit: int,
        timeout: float,  # noqa: ASYNC109
        verify_tls: bool = True,
    ) -> Fetched:
        self.asked.append((url, headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        path.write_bytes(answer.body)  # noqa: ASYNC240 - a test
        return answer


def fetched(status: int = 200, etag: str = "") -> Fetched:
    """An answer."""
    return Fetched(status, ADDRESS, {"etag": etag} if etag else {}, b"guide")


def rows_of(path: Path) -> list[Any]:
    """What a file of rows has."""
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


class Children:
    """Children that do nothing but say what they are told to."""

    def __init__(self) -> None:
        self.started: list[list[str]] = []
        self.says: dict[str, tuple[int, object]] = {
            "importing": (0, {"channels": 1, "programmes": 2, "skipped": {"no title": 3}}),
            "linking": (0, {"matched": 1}),
        }
        self.rows: list[Any] = []
        self.waiting: Deferred[None] | None = None

    async def run(self, argv: Sequence[str]) -> tuple[int, bytes]:
        module = argv[2].rpartition(".")[2]
        self.started.append([module, *argv[3:]])
        if module == "linking":
            self.rows = rows_of(Path(argv[4]))
        if self.waiting is not None:
            await self.waiting
        status, said = self.says[module]
        return status, b"noise\n" + json.dumps(said).encode() + b"\n"

    def of(self, module: str) -> list[list[str]]:
        """The arguments of each run of a module."""
        return [arguments for name, *arguments in self.started if name == module]


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


class WritersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.children = Children()
        self.writers = Writers(self.children.run)

    def test_one_after_another(self) -> None:
        """Nobody writes while another one does."""
        waiting: Deferred[None] = Deferred()
        self.children.waiting = waiting
        first = Deferred.fromCoroutine(self.writers("importing", "a"))
        second = Deferred.fromCoroutine(self.writers("linking", "db", str(self.empty())))
        self.assertEqual(len(self.children.started), 1)
        self.children.waiting = None
        waiting.callback(None)
        self.assertEqual(self.successResultOf(first)["programmes"], 2)
        self.assertEqual(self.successResultOf(second), {"matched": 1})

    def empty(self) -> Path:
        path = folder_for(self) / "rows"
        path.write_text("{}\n")
        return path

    def test_how_they_end(self) -> None:
        """What a child says of how it went is what is told."""
        for status, said, kind, sentence in (
            (3, {"state": "not_understood", "sentence": "it is HTML"}, ProviderError, "it is HTML"),
            (DAMAGED, {}, DamagedError, "damaged"),
            (1, {}, StoreError, "ended with 1"),
            (-9, "", StoreError, "ended with -9"),
            (0, "no object", StoreError, "ended with 0"),
        ):
            self.children.says["importing"] = (status, said)
            with self.assertRaises(kind) as caught:
                result(self.writers("importing"))
            self.assertIn(sentence, str(caught.exception))


class EpgServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = folder_for(self)
        self.web = Web()
        self.web.answers = [fetched(etag='"1"')]
        self.children = Children()
        self.lineup = Lineup(revision="one")
        self.events: list[tuple[str, Event]] = []
        self.service = self.make()

    def make(self) -> EpgService:
        return EpgService(
            self.folder,
            lambda name, kind: RowsFile(self.folder / name, kind, sliced, offload),
            lambda source: self.web,
            self.children.run,
            offload,
            self.clock,
            self.clock.seconds,
            Random(1),
            lambda: self.lineup,
            lambda: self.events,
        )

    def start(self, *addresses: str) -> None:
        self.service.configure(sources_of(addresses, {}), TERMS)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds * (1 + JITTER))

    def test_fetched_imported_and_linked(self) -> None:
        """A guide is fetched, taken in, and what channels show is linked to it; the download is gone afterwards."""
        self.start(ADDRESS)
        ((database, name, path, *terms),) = self.children.of("importing")
        self.assertEqual((database, name, terms), (str(self.service.database), "epg 1", ["--days", "3"]))
        self.assertFalse(Path(path).exists())
        (status,) = self.service.statuses
        self.assertEqual(
            (status.state, status.sentence, status.channels, status.programmes, status.skipped),
            (ProviderState.OK, "", 1, 2, {"no title": 3}),
        )
        self.assertEqual(self.children.rows[0], {"guides": {"epg 1": []}})

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

    def test_before_the_first_lineup(self) -> None:
        """Until there is a lineup, what was linked last stays."""
        self.lineup = Lineup()
        self.start(ADDRESS)
        self.assertEqual(self.children.of("linking"), [])
        self.lineup = Lineup(revision="one")
        self.events = [("site", Event("k", "Ann vs Bob", 60.0, None, "Tennis", ("1",)))]
        self.service.relink()
        self.assertEqual(
            self.children.rows,
            [
                {"guides": {"epg 1": []}},
                {
                    "event": {
                        "provider": "site",
                        "key": "k",
                        "title": "Ann vs Bob",
                        "start": 60.0,
                        "stop": None,
                        "category": "Tennis",
                        "channels": ["1"],
                    }
                },
            ],
        )

    def test_linking_is_tried_again(self) -> None:
        """When it fails it is tried again after some minutes."""
        self.children.says["linking"] = (1, {})
        self.start()
        self.assertEqual(len(self.children.of("linking")), 1)
        self.children.says["linking"] = (0, {})
        self.advance(400.0)
        self.assertEqual(len(self.children.of("linking")), 2)

    def test_other_settings(self) -> None:
        """A guide that stays goes on; one that is gone is not asked for any more, and the lineup is linked anew."""
        self.start(ADDRESS, ADDRESS + "2")
        asked, linked = len(self.web.asked), len(self.children.of("linking"))
        self.service.configure(sources_of([ADDRESS], {}), TERMS)
        self.assertEqual((len(self.web.asked), len(self.children.of("linking"))), (asked, linked + 1))
        self.assertEqual([status.name for status in self.service.statuses], ["epg 1"])
        self.service.configure([GuideSource("epg 1", GuideFile(ADDRESS))], Terms(60.0, (), 1))
        self.assertEqual(len(self.web.asked), asked + 1)

    def test_a_guide_that_comes_back(self) -> None:
        """A guide that was taken out of the settings is fetched whole when it is there again, also after a restart."""
        self.start(ADDRESS)
        self.service.database.write_bytes(b"")
        for restart in (False, True):
            self.service.configure([], TERMS)
            if restart:
                self.service.stopService()
                self.service = self.make()
                self.start(ADDRESS)
            else:
                self.service.configure(sources_of([ADDRESS], {}), TERMS)
            self.assertEqual(self.web.asked[-1], (ADDRESS, ()))

    def test_a_damaged_database(self) -> None:
        """It is set aside and made anew from the guides, without anybody's help."""
        self.start(ADDRESS)
        self.service.database.write_bytes(b"damaged")
        self.children.says["linking"] = (DAMAGED, {})
        self.service.relink()
        self.assertFalse(self.service.database.exists())
        self.assertEqual(self.service.database.with_name("guide.db.damaged").read_bytes(), b"damaged")
        self.assertEqual(self.web.asked[-1], (ADDRESS, ()))
        self.assertEqual(len(self.children.of("importing")), 2)
        self.children.says["linking"] = (0, {})
        self.advance(400.0)
        self.children.says["importing"] = (DAMAGED, {})
        self.service.refresh()
        self.advance(FIRST_RETRY)
        self.assertEqual(self.web.asked[-1], (ADDRESS, ()))

    def test_a_damaged_file_of_what_is_known(self) -> None:
        """Then the guides are taken in anew."""
        self.start(ADDRESS)
        self.service.stopService()
        self.service.database.write_bytes(b"")
        (self.folder / "guides.rows").write_text("damaged")
        self.service = self.make()
        self.start(ADDRESS)
        self.assertEqual(self.web.asked[-1], (ADDRESS, ()))

    def test_the_children_are_ours(self) -> None:
        """They are run by the Python that runs the daemon."""
        seen: list[Sequence[str]] = []

        async def run(argv: Sequence[str]) -> tuple[int, bytes]:
            seen.append(argv)
            return 0, b"{}"

        result(Writers(run)("linking", "x"))
        self.assertEqual(seen, [[sys.executable, "-m", "iptvd.epg.linking", "x"]])
