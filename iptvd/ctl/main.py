"""The command itself: ``iptvctl`` and all that follows it."""

from __future__ import annotations

import io
import sys

import click
from click.shell_completion import get_completion_class

from iptvd import __version__
from iptvd.ctl.asked import with_options
from iptvd.ctl.channels import channels, epg, search
from iptvd.ctl.playing import play
from iptvd.ctl.providers import providers
from iptvd.ctl.streams import streams
from iptvd.ctl.users import users
from iptvd.ctl.viewers import clients, health, kick, stats
from iptvd.ctl.watching import monitor

#: What the console script is called.
NAME = "iptvctl"

_EPILOG = (
    "The daemon and its token are found by themselves on the machine that it runs on; elsewhere, set IPTVD_URL and "
    "IPTVD_API_TOKEN. Exit status: 0 done, 1 the daemon says no, 2 wrong usage, 3 the daemon cannot be reached, "
    "4 not allowed, 5 there is no such thing."
)


@click.group(name=NAME, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@with_options
@click.version_option(__version__, prog_name=NAME)
def iptvctl() -> None:
    """Look after an iptvd daemon: its channels, streams, viewers, users and providers."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding does not have is no reason to stop.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@iptvctl.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """
    Print what makes a shell complete this command.

    For bash: eval "$(iptvctl completion bash)" in ~/.bashrc.
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(iptvctl, {}, NAME, "_IPTVCTL_COMPLETE").source())


for _command in (channels, clients, epg, health, kick, monitor, play, providers, search, stats, streams, users):
    iptvctl.add_command(_command)
