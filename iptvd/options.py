"""The command line of ``twistd iptvd``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from twisted.python import usage

from iptvd import __version__
from iptvd.config import load
from iptvd.describe import describe
from iptvd.discovery import Found, discover
from iptvd.errors import ConfigError
from iptvd.settings import DEFAULT_FILE, Config, Loaded

_EXAMPLES = f"""
Examples:
  twistd -n iptvd --provider demo
  twistd -n iptvd --provider m3u:/srv/channels.m3u --listen tcp:8085:interface=127.0.0.1
  twistd -n iptvd --config {DEFAULT_FILE} --check-config

What no option sets comes from the environment (IPTVD_PORT=8085), else from the settings file
({DEFAULT_FILE}, if it exists). Passwords belong there, not onto the command line.
"""


def _absolute(path: str) -> str:
    """
    A path that still means the same when twistd has gone to another folder and the settings are read again.

    :raises ValueError: when it begins with the home of a user who does not exist.
    """
    try:
        return str(Path(path).expanduser().absolute()) if path else ""
    except RuntimeError:
        raise ValueError("there is no such user") from None


class Options(usage.Options):
    """
    What stands after ``twistd iptvd``.

    :ivar loaded: the settings, once `parse` or `parseOptions` has run.
    """

    loaded: Loaded

    optParameters = (
        ("config", None, None, f"The settings file, instead of {DEFAULT_FILE}.", _absolute),
        ("public-url", None, None, "Where viewers find this daemon, such as https://tv.example.com."),
        ("state-dir", None, None, "The folder for what has to survive a restart.", _absolute),
        ("max-streams", None, None, "How many viewers are served at once; 0 for no limit."),
        ("log-level", None, None, "The least level to log: debug, info, warn, error or critical."),
    )
    optFlags = (("check-config", None, "Check the settings, print them with where each comes from, and exit."),)

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        *,
        default_file: Path = DEFAULT_FILE,
        find: Callable[[Sequence[Path]], Found] = discover,
    ) -> None:
        super().__init__()
        self._environ = environ
        self._default_file = default_file
        self._find = find
        self._providers: list[str] = []
        self._listen: list[str] = []

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.loaded.config

    @property
    def given(self) -> dict[str, object]:
        """What the command line sets, as `iptvd.config.load` takes it."""
        given = {name.replace("-", "_"): self[name] for name, *_ in self.optParameters if self[name] is not None}
        return given | {"provider": tuple(self._providers), "listen": tuple(self._listen)}

    def opt_provider(self, provider: str) -> None:
        """A provider to start: KIND, KIND:ARGUMENT or KIND:@NAME; can be given more than once."""
        self._providers.append(provider)

    def opt_listen(self, endpoint: str) -> None:
        """Where to serve viewers, such as tcp:8085, tls:443:... or unix:...; can be given more than once."""
        self._listen.append(endpoint)

    def opt_help(self) -> None:
        """Print this help and exit."""
        sys.stdout.write(f"{self}\n")
        raise SystemExit(0)

    def opt_version(self) -> None:
        """Print the version and exit."""
        sys.stdout.write(f"iptvd {__version__}\n")
        raise SystemExit(0)

    def getUsage(self, width: int | None = None) -> str:
        """The options, the providers there are, and examples."""
        makers = self._find(()).makers
        kinds = "".join(f"  {kind:<12} {makers[kind].summary}\n" for kind in sorted(makers))
        return super().getUsage(width) + ("\nProviders:\n" + kinds if kinds else "") + _EXAMPLES

    def read_settings(self) -> Loaded:
        """
        Read all settings anew, with the same command line.

        :raises ConfigError: with one sentence, for the first thing that is wrong; ``loaded`` stays what it was.
        """
        return load(self.given, self._environ, default_file=self._default_file, find=self._find)

    def postOptions(self) -> None:
        """Read the settings once the command line is known."""
        try:
            self.loaded = self.read_settings()
        except ConfigError as error:
            raise usage.UsageError(error.sentence) from None
        if self["check-config"]:
            sys.stdout.write(describe(self.loaded))
            raise SystemExit(0)

    def parse(self, options: Sequence[str]) -> None:
        """
        Parse a command line and read the settings, as a program or a ``.tac`` file wants it.

        :raises UsageError: with one sentence, for the first thing that is wrong.
        """
        super().parseOptions(list(options))

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse as twistd does; what is wrong is said in one sentence on standard error, with exit status 1.

        Left to twistd, a UsageError would be preceded by pages of help, in which the sentence drowns.
        """
        try:
            self.parse(sys.argv[1:] if options is None else options)
        except usage.UsageError as error:
            sys.stderr.write(f"iptvd: {error}\n")
            raise SystemExit(1) from None
