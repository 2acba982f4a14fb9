"""
Finding the provider plugins: a file is dropped into a folder, and at the next look it is there.

Twisted's own ``getPlugins`` logs and forgets what fails to import and keeps a cache beside the files; here a failure
is kept as a sentence for the operator, nothing is cached, and nothing is written.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pkgutil
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import FileFinder, ModuleSpec
from pathlib import Path
from types import ModuleType

import attrs
from attrs import frozen
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

import iptvd.providers
from iptvd.interfaces import IProviderMaker

#: A kind is also a name; a second provider of the kind adds ``-2`` and so on to it, within 32 characters.
KIND = re.compile(r"[a-z][a-z0-9_]{0,27}")

_LONGEST_FAILURE = 300


@frozen
class Found:
    """
    The plugins there are.

    :ivar makers: by kind.
    :ivar failures: file or module, to why it cannot be used: ``ImportError: no module named 'x'``.
    """

    makers: Mapping[str, IProviderMaker]
    failures: Mapping[str, str]


def discover(extra_dirs: Sequence[Path] = ()) -> Found:
    """
    Import every plugin file of the providers package and of these folders, in this order; the first of a kind wins.

    A file whose name starts with an underscore is no plugin. A file that was imported before is not read again.

    :param extra_dirs: folders, already judged with `refusal`; those that do not exist are skipped.
    """
    importlib.invalidate_caches()
    makers: dict[str, IProviderMaker] = {}
    failures: dict[str, str] = {}
    for folder in extra_dirs:
        try:
            os.scandir(folder).close()
        except FileNotFoundError:
            continue
        except OSError as error:
            failures[str(folder)] = f"{type(error).__name__}: {error.strerror}"
    for spec in _specs(extra_dirs):
        where = spec.origin or spec.name
        try:
            for maker in _makers(_imported(spec)):
                fault = _fault(maker, makers)
                if fault:
                    failures[where] = fault
                else:
                    makers[maker.kind] = maker
        except (Exception, SystemExit) as error:
            failures[where] = _sentence(error)
    return Found(makers, failures)


def refusal(folder: Path, state_dir: Path) -> str:
    """
    Why no code may be loaded from a folder, as the end of a sentence; empty when it may, or when none can be.

    What the daemon can write, whoever finds a hole in it can write too: such a file must never become code.
    """
    if not folder.is_absolute():
        return "is a relative path: give it from the root on"
    try:
        real, state = folder.resolve(), state_dir.resolve()
        if real == state or state in real.parents:
            return "lies in the state folder, which the daemon writes: keep plugins elsewhere"
        status = real.stat()
    except (FileNotFoundError, PermissionError):
        return ""
    except (OSError, RuntimeError):
        return "cannot be looked at: it is no path of a folder"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a folder"
    if os.geteuid() == 0:
        if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return "can be written by others than root: let root own it, with no write access for group and others"
    elif os.access(real, os.W_OK):
        return "can be written by the daemon itself: let it belong to root and be read-only for the daemon"
    return ""


def _specs(extra_dirs: Sequence[Path]) -> Iterator[ModuleSpec]:
    for info in pkgutil.iter_modules(iptvd.providers.__path__):
        if not info.name.startswith("_"):
            name = f"{iptvd.providers.__name__}.{info.name}"
            if isinstance(info.module_finder, FileFinder) and (spec := info.module_finder.find_spec(name)):
                yield spec
    for folder in extra_dirs:
        for info in pkgutil.iter_modules([str(folder)]):
            if not info.name.startswith("_") and isinstance(info.module_finder, FileFinder):
                spec = info.module_finder.find_spec(info.name)
                if spec is not None and spec.origin is not None:
                    yield _renamed(info.name, spec, spec.origin)


def _renamed(stem: str, spec: ModuleSpec, origin: str) -> ModuleSpec:
    """The spec of a file outside the package, under a name that is its alone in this process."""
    name = f"{iptvd.providers.__name__}.{stem}"
    if _taken(name, origin):
        name += "_" + hashlib.sha256(os.fsencode(origin)).hexdigest()[:12]
    own = importlib.util.spec_from_file_location(
        name, origin, submodule_search_locations=spec.submodule_search_locations
    )
    return own if own is not None else spec


def _taken(name: str, origin: str) -> bool:
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None) != origin
    return importlib.util.find_spec(name) is not None


def _imported(spec: ModuleSpec) -> ModuleType:
    module = sys.modules.get(spec.name)
    if module is not None and getattr(module, "__file__", None) == spec.origin:
        return module
    if importlib.util.find_spec(spec.name) is not None:
        return importlib.import_module(spec.name)
    assert spec.loader is not None  # a file that was found has one
    module = importlib.util.module_from_spec(spec)
    # As the import system does it: the module is known while it runs, and forgotten when it fails.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    return module


def _makers(module: ModuleType) -> list[IProviderMaker]:
    return [each for each in list(vars(module).values()) if IProviderMaker.providedBy(each)]


def _fault(maker: IProviderMaker, makers: Mapping[str, IProviderMaker]) -> str:
    """Why a maker cannot be used; empty when it can. One that another file has imported as well is no fault."""
    try:
        verifyObject(IProviderMaker, maker)
    except Invalid as error:
        return _sentence(error)
    kind: object = maker.kind
    if not isinstance(kind, str) or not KIND.fullmatch(kind):
        return "its kind must be 1 to 28 lower-case letters, digits and underscores, a letter first"
    if not (isinstance(maker.settings, type) and attrs.has(maker.settings)):
        return f"the settings of kind {kind} must be an attrs class"
    if makers.get(kind, maker) is not maker:
        return f"there is another plugin of kind {kind}, which is used instead"
    return ""


def _sentence(error: BaseException) -> str:
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return words if len(words) <= _LONGEST_FAILURE else words[: _LONGEST_FAILURE - 1] + "…"
