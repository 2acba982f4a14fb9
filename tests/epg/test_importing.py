"""Guides on their way into the database."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from tests.daemon.client import wait_for
from tests.doubles import folder_for
from tests.epg.guide import Shown, rows, show, take_in, xmltv

HOUR = 3600.0


class ImportingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = folder_for(self) / "guide.db"
        self.now = time.time() // 60 * 60

    def shown(self, count: int, title: str = "Show", channel: str = "one.test") -> list[Shown]:
        """A programme an hour, the first one on now."""
        return [
            Shown(channel, self.now + number * HOUR, self.now + (number + 1) * HOUR, f"{title} {number}")
            for number in range(count)
        ]

    def child(self, file: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "iptvd.epg.importing", str(self.database), "one", str(file)],
            stderr=subprocess.PIPE,
        )

    def titles(self) -> list[str]:
        """The titles in force, in the order of time."""
        return [
            str(title)
            for (title,) in rows(
                self.database,
                "SELECT title FROM programme JOIN guide_channel ON guide_channel.id = programme.channel"
                " JOIN source ON source.name = guide_channel.source"
                " AND source.generation = guide_channel.generation ORDER BY programme.id",
            )
        ]

    def test_what_is_in_force(self) -> None:
        """A guide is there with its channels, those too that it shows but never declares."""
        said = take_in(
            self.database,
            "one",
            xmltv([*self.shown(2), *self.shown(1, "Else", "two.test")], {"one.test": "One", "three.test": "Three"}),
        )
        self.assertEqual(said, {"channels": 3, "programmes": 3, "skipped": {}})
        self.assertEqual(sorted(self.titles()), ["Else 0", "Show 0", "Show 1"])
        channels = rows(self.database, "SELECT guide_id, names FROM guide_channel ORDER BY guide_id")
        self.assertEqual(channels, [("one.test", '["One"]'), ("three.test", '["Three"]'), ("two.test", "[]")])

    def test_a_newer_one_takes_its_place(self) -> None:
        """After the next import only that is there, and what channels show goes over to it at once."""
        take_in(self.database, "one", xmltv(self.shown(3), {"gone.test": "Gone"}))
        take_in(self.database, "two", xmltv(self.shown(1, "Two", "two.test")))
        show(self.database, {1: ("One", "one.test"), 2: ("Gone", "gone.test"), 3: ("Two", "two.test")})
        take_in(self.database, "one", xmltv(self.shown(2, "New")))
        self.assertEqual(sorted(self.titles()), ["New 0", "New 1", "Two 0"])
        listed = rows(
            self.database,
            "SELECT listing.channel, guide_id FROM listing JOIN guide_channel ON guide_channel.id = guide"
            " ORDER BY listing.channel",
        )
        self.assertEqual(listed, [(1, "one.test"), (3, "two.test")])
        self.assertEqual(rows(self.database, "SELECT count(*) FROM programme"), [(3,)])
        found = rows(self.database, "SELECT count(*) FROM programme_words WHERE programme_words MATCH 'show'")
        self.assertEqual(found, [(0,)])
        self.assertEqual(rows(self.database, "SELECT value FROM counter WHERE name = 'revision'"), [(3,)])

    def test_a_bad_one_leaves_the_old(self) -> None:
        """What cannot be read, or shows nothing of these days, leaves what was there."""
        take_in(self.database, "one", xmltv(self.shown(2)))
        guide = xmltv(self.shown(5000, "New"))
        old = xmltv([Shown("one.test", self.now - 99 * 24 * HOUR, self.now - 98 * 24 * HOUR, "Past")])
        for bad in (guide[:-20], guide.replace(b"New 4000", b"<b>"), b"<html/>", b"<tv/>", old, b""):
            with self.assertRaises(ProtocolError):
                take_in(self.database, "one", bad)
            self.assertEqual(self.titles(), ["Show 0", "Show 1"])
            self.assertEqual(rows(self.database, "SELECT count(*) FROM programme"), [(2,)])

    def test_what_is_left_out_is_counted(self) -> None:
        """What is long over, too far ahead or listed twice is left out."""
        days = 24 * HOUR
        said = take_in(
            self.database,
            "one",
            xmltv(
                [
                    *self.shown(1),
                    *self.shown(1, "Twice"),
                    Shown("one.test", self.now - 3 * days, self.now - 2 * days, "Over"),
                    Shown("one.test", self.now + 2 * days, self.now + 3 * days, "Ahead"),
                ]
            ),
            "--past-days=1",
            "--days=1",
        )
        self.assertEqual(
            said["skipped"],
            {"another programme of the channel begins with it": 1, "long over": 1, "too far ahead": 1},
        )
        self.assertEqual(self.titles(), ["Show 0"])

    def test_killed_in_the_middle(self) -> None:
        """A run that is killed leaves the old guide, and the next one clears away what it left."""
        take_in(self.database, "one", xmltv(self.shown(2)))
        file = self.database.with_name("big.xml")
        file.write_bytes(xmltv([one for number in range(200) for one in self.shown(300, "New", f"c{number}.test")]))
        child = self.child(file)
        assert child.stderr is not None
        self.addCleanup(child.stderr.close)
        wait_for(lambda: rows(self.database, "SELECT count(*) FROM programme")[0][0] != 2, 30, "the import to begin")
        child.send_signal(signal.SIGKILL)
        self.assertEqual(child.wait(), -signal.SIGKILL)
        self.assertEqual(self.titles(), ["Show 0", "Show 1"])
        self.assertNotEqual(rows(self.database, "SELECT count(*) FROM programme"), [(2,)])
        take_in(self.database, "one", xmltv(self.shown(3)))
        self.assertEqual(rows(self.database, "SELECT count(*) FROM programme"), [(3,)])

    def test_as_a_child(self) -> None:
        """It says in a line of JSON how it went, and ends with what that means."""
        file = self.database.with_name("guide.xml")
        for content, status, part in (
            (xmltv(self.shown(1)), 0, {"channels": 1, "programmes": 1, "skipped": {}}),
            (b"<html/>", 3, {"state": "not_understood"}),
        ):
            file.write_bytes(content)
            child = self.child(file)
            _, heard = child.communicate(timeout=60)
            said = json.loads(heard.splitlines()[-1])
            self.assertEqual((child.returncode, {**said, **part}), (status, said))
        self.database.write_bytes(b"this is no database, and long enough to tell" * 50)
        child = self.child(file)
        _, heard = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 4)
