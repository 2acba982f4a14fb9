"""``iptvctl play``: a channel in a player of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import click

from iptvd.ctl.api import Api
from iptvd.ctl.asked import Asked, asking
from iptvd.ctl.channels import MOST
from iptvd.ctl.exits import Ended, Exit
from iptvd.ctl.texts import listed, number, of

#: The players that are looked for, with what they are told beside what to play.
PLAYERS = {
    "mpv": (),
    "vlc": ("--play-and-exit",),
    "ffplay": ("-hide_banner", "-loglevel", "warning", "-autoexit"),
}
#: Channels that are looked through.
_MANY = 1_000_000
#: Channels that a person is told of when several are meant.
_FEW = 10
_PIECE = 1 << 16


@click.command()
@click.argument("channel", nargs=-1, required=True)
@click.option("--player", type=click.Choice(list(PLAYERS)), help="Which player; the first of these that is there.")
@click.option("--print", "only_print", is_flag=True, help="Print the channel's address and play nothing.")
@asking
def play(asked: Asked, channel: tuple[str, ...], player: str | None, only_print: bool) -> None:
    """Play a channel, by its number, id or name; print its address where there is no player."""
    found = find_channel(asked.api, " ".join(channel))
    url = of(found, "stream")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise Ended(Exit.REFUSED, f"This channel cannot be played: {of(found, 'unsupported') or 'it has no address'}.")
    program = None if only_print else next(filter(shutil.which, [player] if player else PLAYERS), None)
    if program is None:
        asked.tell(found, lambda: asked.line(url))
        if player and not only_print:
            raise Ended(Exit.REFUSED, f"There is no {player} on this machine.")
        return
    path = _path_below(url, asked.api)
    command = [program, *PLAYERS[program]]
    if asked.api.allows(path):
        status = subprocess.run([*command, asked.api.place.url + path], check=False).returncode
    else:
        status = _fed(asked.api, path, [*command, "-"])
    if status:
        raise Ended(Exit.REFUSED, f"{program} ended with status {status}.")


def find_channel(api: Api, name: str) -> Mapping[str, Any]:
    """
    The channel that somebody means.

    :raises Ended: when there is none, or it could be several.
    """
    if name.isascii() and name.isdigit() and len(name) < 11:
        wanted = int(name)
        for each in _channels(api):
            if of(each, "number") == wanted:
                return each
        try:
            found = api.get("api", "channels", name)
        except Ended as error:
            if error.exit_code != Exit.NOT_FOUND:
                raise
        else:
            if isinstance(found, Mapping):
                return found
    near = []
    for each in _channels(api, name):
        if str(of(each, "name")).casefold() == name.casefold():
            return each
        near.append(each)
    if len(near) == 1:
        return near[0]
    if not near:
        raise Ended(Exit.NOT_FOUND, f"There is no channel {name}.")
    few = ", ".join(f"{of(each, 'number')} {of(each, 'name')}" for each in near[:_FEW])
    more = f" and {len(near) - _FEW} more" if len(near) > _FEW else ""
    raise Ended(Exit.USAGE, f"Which one, by its number or id: {few}{more}?")


def _channels(api: Api, words: str = "") -> Iterator[Mapping[str, Any]]:
    offset = 0
    while offset < _MANY:
        facts = api.get("api", "channels", q=words, offset=offset, limit=MOST)
        found = listed(facts, "channels")
        yield from found
        offset += len(found)
        if not found or offset >= number(of(facts, "total")):
            return


def _path_below(url: str, api: Api) -> str:
    """What follows our address of the daemon in one that it has made, behind whatever prefix."""
    path = urlsplit(url).path
    prefix = urlsplit(api.place.url).path
    return path.removeprefix(prefix) if prefix else path


def _fed(api: Api, path: str, command: list[str]) -> int:
    """
    Play what needs our token: the player is given the stream and not the token, which the list of processes shows.

    :return: the player's exit status.
    """
    # A playlist would lead to what needs the token again.
    stem, mark, ending = path.rpartition(".")
    shown = f"{stem}.ts" if mark and ending == "m3u8" else path
    with api.stream(shown) as answer, subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with suppress(OSError, HTTPException):
            while piece := answer.read1(_PIECE):
                process.stdin.write(piece)
        with suppress(OSError):
            process.stdin.close()
        return process.wait()
