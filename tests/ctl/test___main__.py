"""The command where its script is not on the path."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from iptvd import __version__


class ModuleTests(SynchronousTestCase):
    def test_version(self) -> None:
        """``python -m iptvd.ctl`` is the command, by its own name."""
        done = subprocess.run(
            [sys.executable, "-m", "iptvd.ctl", "--version"], capture_output=True, check=True, text=True
        )
        self.assertEqual(done.stdout, f"iptvctl, version {__version__}\n")
