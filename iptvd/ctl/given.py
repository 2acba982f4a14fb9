"""
The daemon's own settings as somebody else on its machine finds them: in the environment and in its files.

What is looked for is little, and reading it must not take the time that loading the daemon does; so this follows
`iptvd.config` without using it.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from iptvd.aliases import read_aliases
from iptvd.errors import ConfigError

PREFIX = "IPTVD_"
#: Where the daemon looks for its settings, and where its systemd unit has secrets.
SETTINGS_FILE = Path("/etc/iptvd/iptvd.toml")
ENVIRONMENT_FILE = Path("/etc/iptvd/iptvd.env")
#: Bytes of either.
LARGEST = 4 * 1024 * 1024

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)")


class _TooLargeError(ValueError):
    """A file that is no file of settings."""


@frozen
class Given:
    """
    What is set.

    :ivar environments: names and texts, each with what it is called; the first one counts first.
    :ivar table: the settings file.
    :ivar file: what that is called.
    :ivar notes: a sentence for each file that is there and says nothing to us.
    """

    environments: tuple[tuple[str, Mapping[str, str]], ...]
    table: Mapping[str, Any]
    file: str
    notes: tuple[str, ...] = ()

    def find(self, setting: str) -> tuple[Any, str] | None:
        """A setting, as text or as TOML has it, and where it comes from; None where it is not set."""
        for called, environ in self.environments:
            own = PREFIX + setting.upper()
            if environ.get(own):
                return environ[own], f"{called} {own}"
            name, text = read_aliases(environ, ()).settings.get(setting, ("", ""))
            if name:
                return text, f"{called} {name}"
        if setting in self.table:
            return self.table[setting], self.file
        return None


def look(environ: Mapping[str, str], settings_file: str, files: tuple[Path, Path]) -> Given:
    """
    Look for settings.

    :param settings_file: the one that somebody has named, or empty.
    :param files: the settings file and the unit's environment, where none are named.
    :raises ConfigError: when a file that was named cannot be read.
    """
    notes: list[str] = []
    named = settings_file or environ.get(PREFIX + "CONFIG", "")
    file = Path(named) if named else files[0]
    environments = [("environment", environ)]
    lines = _read(files[1], "The daemon's environment", _assignments, notes)
    if lines is not None:
        environments.append((f"file {files[1]}", lines))
    table = _read(file, "The settings file", tomllib.loads, notes)
    if named and table is None:
        raise ConfigError(notes[-1] if notes else f"The settings file {file} is not there.")
    return Given(tuple(environments), table or {}, f"file {file}", tuple(notes))


def _read(file: Path, called: str, read: Callable[[str], dict[str, Any]], notes: list[str]) -> dict[str, Any] | None:
    """A file's content, None where there is none to be had, with a note of why."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise _TooLargeError
        return read(content.decode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        why = f"cannot be read: {os.strerror(error.errno)}" if error.errno else "cannot be read"
    except _TooLargeError:
        why = f"is larger than {LARGEST // 1024 // 1024} MiB"
    except (ValueError, RecursionError):
        # What is wrong with it is for who starts the daemon, which says so.
        why = "is not understood"
    notes.append(f"{called} {file} {why}.")
    return None


def _assignments(text: str) -> dict[str, str]:
    """The variables of a systemd ``EnvironmentFile`` (systemd.exec(5)), one a line."""
    return dict(_assigned(text))


def _assigned(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        found = _ASSIGNMENT.fullmatch(line)
        if found is not None:
            name, value = found[1], found[2].strip()
            if value[:1] in ("'", '"'):
                try:
                    value = "".join(shlex.split(value, posix=True)[:1])
                except ValueError:
                    continue
            yield name, value
