"""Tests of which ffmpeg is used."""

from __future__ import annotations

import os
import subprocess
from importlib.machinery import ModuleSpec
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from iptvd import ffmpeg
from iptvd.errors import ConfigError


class FindTests(SynchronousTestCase):
    """With a PATH that holds what the test put there."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.patch(os, "environ", {"PATH": str(self.folder)})
        self.package(None)

    def package(self, folder: Path | None) -> None:
        """Have imageio-ffmpeg installed in a folder, or not at all."""
        spec = None
        if folder is not None:
            spec = ModuleSpec("imageio_ffmpeg", None, is_package=True)
            spec.submodule_search_locations = [str(folder)]
        self.patch(ffmpeg, "find_spec", lambda name: spec if name == "imageio_ffmpeg" else None)

    def program(self, name: str, mode: int = 0o755) -> str:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
        return str(path)

    def test_configured(self) -> None:
        """The operator's ffmpeg is used, by path or by name, whatever else there is."""
        self.program("ffmpeg")
        mine = self.program("ffmpeg-mine")
        for configured in (mine, "ffmpeg-mine", os.path.relpath(mine)):
            self.assertEqual(Path(ffmpeg.find(configured)).resolve(), Path(mine))
            self.assertTrue(Path(ffmpeg.find(configured)).is_absolute())

    def test_configured_wrongly(self) -> None:
        """An ffmpeg that cannot be run is refused with a sentence that names it."""
        self.program("ffmpeg")
        for configured in ("/nowhere/ffmpeg", "ffmpeg-mine", self.program("text", 0o644), str(self.folder)):
            with self.assertRaises(ConfigError) as caught:
                ffmpeg.find(configured)
            self.assertIn(f"{configured} is not a program that can be run", caught.exception.sentence)

    def test_on_path(self) -> None:
        """Otherwise the machine's ffmpeg is used, before one that a package has brought."""
        self.program("binaries/ffmpeg-linux")
        self.package(self.folder)
        mine = self.program("ffmpeg")
        self.assertEqual(ffmpeg.find(""), mine)

    def test_packaged(self) -> None:
        """Otherwise the one inside the imageio-ffmpeg package is used, if it is a program."""
        self.package(self.folder)
        self.assertEqual(ffmpeg.find(""), "")
        self.program("binaries/README.md")
        self.program("binaries/ffmpeg-a", 0o644)
        self.assertEqual(ffmpeg.find(""), "")
        mine = self.program("binaries/ffmpeg-linux-v1")
        self.assertEqual(ffmpeg.find(""), mine)

    def test_named_for_the_package(self) -> None:
        """The package's own variable names another, if that is a program."""
        self.package(self.folder)
        packaged = self.program("binaries/ffmpeg-linux-v1")
        os.environ["IMAGEIO_FFMPEG_EXE"] = "/nowhere/ffmpeg"
        self.assertEqual(ffmpeg.find(""), packaged)
        os.environ["IMAGEIO_FFMPEG_EXE"] = mine = self.program("other")
        self.assertEqual(ffmpeg.find(""), mine)

    def test_none(self) -> None:
        """A machine without any gives an empty path."""
        self.assertEqual(ffmpeg.find(""), "")


class InstalledTests(SynchronousTestCase):
    """With the package as it is installed for tests."""

    def test_runs(self) -> None:
        """The packaged ffmpeg is found without help, and is one."""
        self.patch(os, "environ", {"PATH": ""})
        found = ffmpeg.find("")
        self.assertIn("imageio_ffmpeg", found)
        printed = subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stdout
        self.assertTrue(printed.startswith("ffmpeg version"))
