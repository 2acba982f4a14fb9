"""The guide as XMLTV."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.export import Asked
from tests.doubles import folder_for
from tests.epg.guide import Shown, show, take_in, xmltv

HOUR = 3600.0
FULL = (
    "<sub-title>Part &lt;1&gt;</sub-title><desc lang='en'>What \"happens\" &amp; why</desc>"
    "<credits><guest>Zoe</guest><director>Al</director></credits><date>2026</date><category>News</category>"
    "<episode-num system='onscreen'>S1 E2</episode-num><rating system='X'><value>PG</value></rating>"
    "<icon src='http://example.com/a.png'/><new/><video><present>yes</present></video>"
)


class ExportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = folder_for(self) / "guide.db"
        self.now = time.time() // 60 * 60
        shown = [
            Shown("a", self.now + number * HOUR, self.now + (number + 1) * HOUR, f"Show & {number}", FULL)
            for number in range(-48, 72)
        ]
        take_in(self.database, "one", xmltv([*shown, Shown("unused", self.now, self.now + HOUR, "Unused")]))
        show(self.database, {7: ('Alpha "A" & <B>', "a"), 8: ("Beta", "nothing")})

    def export(self, *arguments: str, **asked: Any) -> bytes:
        child = subprocess.run(
            [sys.executable, "-m", "iptvd.epg.export", str(self.database), *arguments],
            input=bytes(Asked("http://127.0.0.1:1/pre", **asked)),
            stdout=subprocess.PIPE,
            check=True,
            timeout=60,
        )
        return child.stdout

    def test_it_is_valid(self) -> None:
        """The validator of the XMLTV project finds nothing, whatever the guide had in it."""
        file = Path(self.database.with_name("out.xml"))
        file.write_bytes(self.export())
        validator = subprocess.run(
            ["tv_validate_file", str(file)],
            env={**os.environ, "XMLTV_SUPPLEMENT": "/usr/share/xmltv"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=60,
        )
        self.assertEqual((validator.returncode, validator.stdout.decode()), (0, "Validated ok.\n"))

    def test_what_it_tells(self) -> None:
        """Every channel of the lineup that has any, and the programmes of the last day and those to come."""
        tree = ElementTree.fromstring(self.export())
        channels = {one.get("id"): one.findtext("display-name") for one in tree.iter("channel")}
        self.assertEqual(channels, {"7.test": 'Alpha "A" & <B>'})
        icons = [one.get("src") for one in tree.iterfind("channel/icon")]
        self.assertEqual(icons, ["http://127.0.0.1:1/pre/logo/7"])
        programmes = list(tree.iter("programme"))
        self.assertEqual({one.get("channel") for one in programmes}, {"7.test"})
        self.assertEqual(programmes[-1].findtext("title"), "Show & 71")
        self.assertEqual(programmes[-1].findtext("sub-title"), "Part <1>")
        self.assertTrue(24 + 71 <= len(programmes) <= 24 + 73)

    def test_what_is_asked_for(self) -> None:
        """Fewer days, one group, of those that may be seen, and gzip."""
        for asked, channels, programmes in (
            ({"days": 1}, 1, range(48, 51)),
            ({"group": "Group"}, 1, range(95, 98)),
            ({"group": "None"}, 0, range(1)),
            ({"groups": ["None", "Group"]}, 1, range(95, 98)),
            ({"groups": ["None", "'\"\0ß"]}, 0, range(1)),
            ({"groups": ["None"], "group": "Group"}, 0, range(1)),
            ({"groups": ["Group"], "group": "Group"}, 1, range(95, 98)),
        ):
            tree = ElementTree.fromstring(self.export(**asked))
            self.assertEqual(len(list(tree.iter("channel"))), channels)
            self.assertIn(len(list(tree.iter("programme"))), programmes)
        self.assertEqual(gzip.decompress(self.export("--gzip")), self.export())

    def test_a_reader_that_has_had_enough(self) -> None:
        """It ends when nobody reads any more."""
        child = subprocess.Popen(
            [sys.executable, "-m", "iptvd.epg.export", str(self.database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stdin is not None
        child.stdin.write(bytes(Asked("http://127.0.0.1:1")))
        child.stdin.close()
        self.assertEqual((child.stderr.read(), child.wait(60)), (b"", 0))
        child.stderr.close()
