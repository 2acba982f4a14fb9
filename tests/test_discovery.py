"""Tests of finding the provider plugins."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

import iptvd.providers
from iptvd.discovery import Found, discover, refusal

_PLUGIN = """
from collections.abc import Mapping
from attrs import frozen
from zope.interface import implementer
from iptvd.interfaces import IProviderMaker

@frozen
class Settings:
    url: str = ""

@implementer(IProviderMaker)
class Maker:
    kind = {kind}
    summary = {summary}
    settings = Settings
    def settings_from_argument(self, argument):
        return {{}}
    def make(self, settings, context):
        return None

maker = Maker()
"""


def plugin(kind: object, summary: str = "x") -> str:
    return _PLUGIN.format(kind=repr(kind), summary=repr(summary))


class DiscoveryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.known = set(sys.modules)
        self.addCleanup(self.forget)
        self.patch(sys, "dont_write_bytecode", True)
        self.folder = self.make_folder()
        # The plugins of the daemon itself have their own tests.
        self.patch(iptvd.providers, "__path__", [])

    def forget(self) -> None:
        for name in set(sys.modules) - self.known:
            if name.startswith("iptvd.providers."):
                del sys.modules[name]

    def make_folder(self, **files: str) -> Path:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        return folder

    def find(self, *folders: Path) -> Found:
        return discover(folders or (self.folder,))

    def test_dropped_in(self) -> None:
        """A file that is dropped in is there at the next look, one that is taken away is not."""
        self.assertEqual(self.find(), Found({}, {}))
        (self.folder / "tv_one.py").write_text(plugin("one"))
        self.assertEqual(list(self.find().makers), ["one"])
        (self.folder / "tv_two.py").write_text(plugin("two"))
        first = self.find()
        self.assertEqual(sorted(first.makers), ["one", "two"])
        self.assertIs(self.find().makers["one"], first.makers["one"])
        (self.folder / "tv_one.py").unlink()
        self.assertEqual(list(self.find().makers), ["two"])

    def test_in_the_package(self) -> None:
        """A file in a folder of the providers package is imported as a part of it."""
        iptvd.providers.__path__.append(str(self.folder))
        self.assertEqual(discover(), Found({}, {}))
        (self.folder / "tv_part.py").write_text(plugin("part"))
        found = discover()
        self.assertEqual(list(found.makers), ["part"])
        self.assertEqual(type(found.makers["part"]).__module__, "iptvd.providers.tv_part")
        self.assertIs(vars(sys.modules["iptvd.providers.tv_part"])["maker"], found.makers["part"])

    def test_package(self) -> None:
        """A plugin can be a folder with files of its own."""
        (self.folder / "tv_pack").mkdir()
        (self.folder / "tv_pack" / "inner.py").write_text(plugin("pack"))
        (self.folder / "tv_pack" / "__init__.py").write_text("from .inner import maker\n")
        self.assertEqual(self.find(), Found(self.find().makers, {}))
        self.assertEqual(list(self.find().makers), ["pack"])

    def test_nothing_is_written(self) -> None:
        """Looking for plugins leaves no file behind."""
        (self.folder / "tv_one.py").write_text(plugin("one"))
        self.find()
        self.assertEqual(os.listdir(self.folder), ["tv_one.py"])  # noqa: PTH208

    def test_what_is_no_plugin(self) -> None:
        """Files with an underscore and other files are left alone."""
        for name in ("_private.py", "__init__.py", "notes.txt", "tv.py.bak"):
            (self.folder / name).write_text("raise SystemExit('read')")
        self.assertEqual(self.find(), Found({}, {}))

    def test_failures(self) -> None:
        """A file that fails to import is told with its fault, and does not keep the others away."""
        for name, text in (
            ("tv_bad_import", "import no_such_thing"),
            ("tv_bad_syntax", "def x(:\n"),
            ("tv_bad_exit", "raise SystemExit('gone')"),
            ("tv_bad_long", "raise ValueError('a\\n' * 500)"),
            ("tv_good", plugin("good")),
        ):
            (self.folder / f"{name}.py").write_text(text)
        found = self.find()
        self.assertEqual(list(found.makers), ["good"])
        faults = {Path(where).stem: why for where, why in found.failures.items()}
        self.assertEqual(faults["tv_bad_import"], "ModuleNotFoundError: No module named 'no_such_thing'")
        self.assertIn("SyntaxError: ", faults["tv_bad_syntax"])
        self.assertEqual(faults["tv_bad_exit"], "SystemExit: gone")
        self.assertEqual(len(faults["tv_bad_long"]), 300)
        self.assertNotIn("\n", faults["tv_bad_long"])
        self.assertEqual(len(faults), 4)

    def test_mended(self) -> None:
        """A file that failed is tried again at the next look."""
        file = self.folder / "tv_mended.py"
        file.write_text("import no_such_thing")
        self.assertEqual(list(self.find().failures), [str(file)])
        file.write_text(plugin("mended"))
        self.assertEqual(list(self.find().makers), ["mended"])

    def test_contract(self) -> None:
        """What claims to be a plugin and does not keep the contract is a failure."""
        texts = {
            "tv_upper": plugin("Upper"),
            "tv_dash": plugin("a-b"),
            "tv_none": plugin(None),
            "tv_longer": plugin("a" * 29),
            "tv_plain": plugin("plain") + "Maker.settings = dict\n",
            "tv_less": plugin("less") + "del Maker.make\n",
        }
        found = self.find(self.make_folder(**texts))
        self.assertEqual(dict(found.makers), {})
        faults = {Path(where).stem: why for where, why in found.failures.items()}
        self.assertEqual(set(faults), set(texts))
        self.assertIn("lower-case letters", faults["tv_upper"])
        self.assertIn("attrs class", faults["tv_plain"])
        self.assertIn("make", faults["tv_less"])

    def test_first_wins(self) -> None:
        """Of two plugins of a kind the first is used, and the other is told."""
        one, two = self.make_folder(tv_a=plugin("same", "1")), self.make_folder(tv_b=plugin("same", "2"))
        found = self.find(one, two)
        self.assertEqual(found.makers["same"].summary, "1")
        self.assertEqual(list(found.failures), [str(two / "tv_b.py")])
        self.assertIn("another plugin of kind same", found.failures[str(two / "tv_b.py")])

    def test_shared(self) -> None:
        """A plugin that another one has imported is not there twice."""
        names = {"tv_a": plugin("same"), "tv_b": "from iptvd.providers.tv_a import maker\n"}
        found = self.find(self.make_folder(**names))
        self.assertEqual((list(found.makers), dict(found.failures)), (["same"], {}))

    def test_same_file_name(self) -> None:
        """Files of one name in several folders are all found."""
        iptvd.providers.__path__.append(str(self.make_folder(tv_x=plugin("zero"))))
        one, two = self.make_folder(tv_x=plugin("one")), self.make_folder(tv_x=plugin("two"))
        for _ in range(2):
            found = self.find(one, two)
            self.assertEqual((sorted(found.makers), dict(found.failures)), (["one", "two", "zero"], {}))

    def test_missing_folder(self) -> None:
        """A folder that is not there is skipped; one that cannot be read is told."""
        self.assertEqual(self.find(self.folder / "none"), Found({}, {}))
        with mock.patch("os.scandir", side_effect=PermissionError(13, "Permission denied")):
            found = self.find(self.folder)
        self.assertEqual(dict(found.failures), {str(self.folder): "PermissionError: Permission denied"})


class OwnPluginsTests(SynchronousTestCase):
    def test_all_load(self) -> None:
        """Every plugin that comes with the daemon can be used."""
        found = discover()
        self.assertEqual(dict(found.failures), {})
        self.assertIn("demo", found.makers)


class RefusalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.state.mkdir()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(mode=0o755)

    def refusal(self, folder: Path) -> str:
        return refusal(folder, self.state)

    def test_missing(self) -> None:
        """A folder that does not exist, or cannot be looked into, is no danger."""
        self.assertEqual(self.refusal(self.folder / "none"), "")
        with mock.patch.object(Path, "stat", side_effect=PermissionError):
            self.assertEqual(self.refusal(self.folder), "")

    def test_relative(self) -> None:
        """A relative path is refused."""
        self.assertIn("relative", self.refusal(Path("plugins")))

    def test_state(self) -> None:
        """Nothing in the state folder becomes code, by whatever path it is named."""
        (self.state / "plugins").mkdir(mode=0o555)
        link = self.folder / "link"
        link.symlink_to(self.state / "plugins")
        for folder in (self.state, self.state / "plugins", self.state / "none", link, self.folder / ".." / link):
            self.assertIn("state folder", self.refusal(folder))

    def test_not_a_folder(self) -> None:
        """A file is no folder, and a loop of links is nothing."""
        file = self.folder / "file"
        file.write_text("")
        self.assertEqual(self.refusal(file), "is not a folder")
        loop = self.folder / "loop"
        loop.symlink_to(loop)
        self.assertIn("cannot be looked at", self.refusal(loop))

    def test_root(self) -> None:
        """For root, a folder that others can write is refused."""
        with mock.patch("os.geteuid", return_value=0):
            for mode, good in ((0o755, True), (0o555, True), (0o775, False), (0o757, False)):
                self.folder.chmod(mode)
                if os.stat(self.folder).st_uid == 0:  # noqa: PTH116
                    self.assertEqual(self.refusal(self.folder) == "", good, oct(mode))
            self.folder.chmod(0o755)
            other = mock.Mock(st_uid=1000, st_mode=0o40755)
            with mock.patch.object(Path, "stat", return_value=other):
                self.assertIn("others than root", self.refusal(self.folder))

    def test_user(self) -> None:
        """For a user, a folder that the daemon can write is refused."""
        with mock.patch("os.geteuid", return_value=1000):
            for writable in (True, False):
                with mock.patch("os.access", return_value=writable):
                    self.assertEqual("by the daemon itself" in self.refusal(self.folder), writable)
