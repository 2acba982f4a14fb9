"""Who may import whom: the lines that keep the parts apart, read from the sources themselves."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import iptvd

PACKAGE = Path(iptvd.__file__).parent
PROJECT = PACKAGE.parent

#: Of the protocols, those that move bytes with Twisted; all others are pure.
NOT_PURE = {
    "file_upstream",
    "http_upstream",
    "kept",
    "memory_upstream",
    "origin_socket",
    "origin_tls",
    "process_upstream",
    "resting",
    "socks_endpoint",
    "splice",
    "upstream",
}


def imports_in(source: str, package: str) -> Iterator[str]:
    """
    What a source imports, wherever in it, as whole names: ``from a import b`` as ``a.b``.

    :param package: of the module, for relative imports.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def module_name(path: Path) -> str:
    """The name a file is imported by."""
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def modules() -> dict[str, set[str]]:
    """Every module of ours, and what it imports."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = module_name(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found[name] = set(imports_in(path.read_text(), package))
    return found


def is_within(name: str, *packages: str) -> bool:
    """Whether something is, or belongs to, one of these packages."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


class ArchitectureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.modules = modules()

    def below(self, package: str) -> dict[str, set[str]]:
        found = {name: imported for name, imported in self.modules.items() if is_within(name, package)}
        self.assertTrue(found, package)
        return found

    def holds(self, modules: dict[str, set[str]], *forbidden: str) -> None:
        wrong = {f"{name}: {each}" for name, names in modules.items() for each in names if is_within(each, *forbidden)}
        self.assertEqual(wrong, set())

    def test_imports_are_seen(self) -> None:
        """Imports are found in every form they have."""
        source = (
            "import a.b, c\nfrom d import e\nfrom . import f\nfrom ..g import h\ndef x():\n    from i.j import k\n"
        )
        names = set(imports_in(source, "iptvd.web"))
        self.assertEqual(names, {"a.b", "c", "d.e", "iptvd.web.f", "iptvd.g.h", "i.j.k"})
        self.assertIn("iptvd.protocols.http1", {module_name(PACKAGE / "protocols" / "http1.py")})
        self.assertIn("iptvd.providers", self.modules)

    def test_pure(self) -> None:
        """Parsers, values and errors need nothing but the standard library, attrs and each other."""
        protocols = {f"iptvd.protocols.{name}" for name in NOT_PURE}
        pure = {name for name in self.below("iptvd.protocols") if name not in protocols}
        pure |= {"iptvd.model", "iptvd.errors"}
        self.assertLess(15, len(pure))
        for name in pure:
            for each in self.modules[name]:
                ours = any(is_within(each, other) for other in pure - {"iptvd.protocols"})
                known = each.split(".")[0] in sys.stdlib_module_names
                self.assertTrue(ours or known or is_within(each, "attrs"), f"{name} imports {each}")

    def test_what_is_not_pure_needs_twisted(self) -> None:
        """The list of what is not pure names only what uses Twisted, directly or by another of the list."""
        protocols = {f"iptvd.protocols.{name}" for name in NOT_PURE}
        for name in protocols:
            self.assertTrue(any(is_within(each, "twisted", "zope", *protocols) for each in self.modules[name]), name)

    def test_protocols(self) -> None:
        """Protocols know nothing of settings, channels being watched, providers and pages."""
        others = [f"iptvd.{name}" for name in ("delivery", "web", "providers", "config", "settings", "service")]
        self.holds(self.below("iptvd.protocols"), *others)

    def test_providers(self) -> None:
        """A provider sees what it is given, and neither how channels are delivered nor the pages."""
        allowed = ("iptvd.interfaces", "iptvd.model", "iptvd.errors", "iptvd.protocols", "iptvd.website")
        for name, imported in (self.below("iptvd.providers") | self.below("iptvd.website")).items():
            for each in imported:
                if is_within(each, "iptvd"):
                    self.assertTrue(is_within(each, *allowed), f"{name} imports {each}")

    def test_delivery(self) -> None:
        """Delivery knows neither the pages nor any provider."""
        self.holds(self.below("iptvd.delivery"), "iptvd.web", "iptvd.providers", "twisted.web")

    def test_web(self) -> None:
        """The pages know no provider and none of the parts by which channels are kept on disk."""
        self.holds(self.below("iptvd.web"), "iptvd.providers", "iptvd.config", "iptvd.service")

    def test_pages(self) -> None:
        """Nothing knows the pages but what puts the parts together: what happens can be told without them."""
        makers = ("iptvd.web", "iptvd.playing", "iptvd.service")
        self.holds({name: names for name, names in self.modules.items() if not is_within(name, *makers)}, "iptvd.web")

    def test_no_concrete_provider(self) -> None:
        """Nothing names a provider: they are found."""
        rest = {name: names for name, names in self.modules.items() if not is_within(name, "iptvd.providers")}
        kinds = [name for name in self.modules if is_within(name, "iptvd.providers") and name != "iptvd.providers"]
        self.holds(rest, *kinds)

    def test_top(self) -> None:
        """Nothing imports what puts the parts together, and it alone knows the global reactor."""
        self.holds(self.modules, "iptvd.tap")
        rest = {name: names for name, names in self.modules.items() if name != "iptvd.tap"}
        self.holds(rest, "twisted.internet.reactor", "iptvd.service")
        self.assertIn("twisted.internet.reactor", self.modules["iptvd.tap"])

    def test_plugin_file(self) -> None:
        """What twistd loads of us to list its commands is text: it imports nothing of ours."""
        source = (PROJECT / "twisted" / "plugins" / "iptvd_plugin.py").read_text()
        names = set(imports_in(source, "twisted.plugins"))
        self.assertFalse(any(is_within(name, "iptvd") for name in names))
        self.assertFalse((PROJECT / "twisted" / "__init__.py").exists())
        self.assertFalse((PROJECT / "twisted" / "plugins" / "__init__.py").exists())

    def test_no_private_names_of_others(self) -> None:
        """No module of ours imports what another module of ours keeps to itself."""
        for name, imported in self.modules.items():
            for each in imported:
                private = is_within(each, "iptvd") and any(part.startswith("_") for part in each.split("."))
                self.assertFalse(private and "__version__" not in each, f"{name} imports {each}")
