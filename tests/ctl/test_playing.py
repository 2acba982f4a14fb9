"""A channel in a player."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iptvd.ctl import playing
from tests.ctl.double import CtlCase, Reply, Request, problem
from tests.doubles import folder_for

#: A player that keeps what it was told, and what it was fed.
PLAYER = """#!/bin/sh
printf '%s\\n' "$0" "$@" > "{folder}/arguments"
case "$*" in *-) cat > "{folder}/fed" ;; esac
exit {status}
"""


class PlayTests(CtlCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = folder_for(self)
        self.channels = [
            self.channel(7, 1, "News 24"),
            self.channel(8, 2, "Sport"),
            self.channel(9, 3, "Sport Extra"),
            self.channel(10, 4, "24"),
            self.channel(11, None, "Film", "mp4"),
        ]
        self.double.table["GET /api/channels"] = self.page
        for each in self.channels:
            self.double.table[f"GET /api/channels/{each['id']}"] = Reply(each)
            self.double.table[f"HEAD /stream/{each['id']}.ts"] = Reply(None)

    def channel(self, id: int, number: int | None, name: str, extension: str = "ts") -> dict[str, Any]:
        return {"id": id, "number": number, "name": name, "stream": f"{self.double.url}/stream/{id}.{extension}"}

    def page(self, request: Request) -> Reply:
        """A page of the channels, two at a time at most."""
        words, offset = request.query.get("q", "").casefold(), int(request.query["offset"])
        found = [each for each in self.channels if all(word in each["name"].casefold() for word in words.split())]
        return Reply({"channels": found[offset : offset + 2], "total": len(found)})

    def players(self, *names: str, status: int = 0) -> Mapping[str, str]:
        """An environment with these players and no others."""
        for name in names:
            program = self.folder / name
            program.write_text(PLAYER.format(folder=self.folder, status=status))
            program.chmod(0o755)
        return {"PATH": f"{self.folder}:/nonexistent"}

    def played(self, *words: str, **options: Any) -> list[str]:
        """What the player was told."""
        self.call("play", *words, **options)
        program, *arguments = (self.folder / "arguments").read_text().splitlines()
        return [Path(program).name, *arguments]

    def test_found(self) -> None:
        """A channel is found by its number, else by its id, else by its name."""
        table = {"1": 7, "7": 7, "24": 10, "sport": 8, "Sport extra": 9, "extra": 9, "film": 11, "news": 7}
        for words, identity in table.items():
            out = self.call("play", "--print", *words.split())
            self.assertIn(f"/stream/{identity}.", out, words)
        self.assertEqual(self.json("play", "--print", "1"), self.channels[0])

    def test_not_found(self) -> None:
        """A name that nothing has, or that several have, is a sentence."""
        self.assertEqual(self.refused("play", "nothing", status=5), "There is no channel nothing.")
        said = self.refused("play", "o", status=2)
        self.assertEqual(said, "Which one, by its number or id: 2 Sport, 3 Sport Extra?")
        self.channels += [self.channel(20 + each, 20 + each, f"Other {each}") for each in range(20)]
        self.assertIn(" and 10 more?", self.refused("play", "other", status=2))

    def test_odd_answer(self) -> None:
        """What is no channel is not taken for one."""
        self.double.table["GET /api/channels/77"] = Reply([1])
        self.refused("play", "77", status=5)

    def test_daemon_says_no(self) -> None:
        """A refusal while a channel is looked for by its id is told."""
        self.double.table["GET /api/channels/77"] = problem(503, "Not now.")
        self.assertEqual(self.refused("play", "77", status=1), "Not now.")

    def test_no_address(self) -> None:
        """A channel that has no address of ours is not played."""
        self.channels[0] |= {"stream": "file:///etc/passwd", "unsupported": "it is encrypted"}
        self.assertIn("it is encrypted", self.refused("play", "1", status=1))

    def test_players(self) -> None:
        """The first player that is there plays the channel, or the one that was named."""
        url = f"{self.double.url}/stream/7.ts"
        for name, arguments in reversed(playing.PLAYERS.items()):
            self.assertEqual(self.played("1", env=self.players(name)), [name, *arguments, url])
        self.assertEqual(self.played("1", "--player", "vlc", env=self.players()), ["vlc", "--play-and-exit", url])

    def test_no_player(self) -> None:
        """Without a player the address is printed; where one was named, that is an error."""
        self.assertEqual(self.call("play", "1", env=self.players()), f"{self.double.url}/stream/7.ts\n")
        self.call("play", "1", "--player", "vlc", env=self.players(), status=1)
        self.assertIn("There is no vlc", self.result.stderr)

    def test_player_fails(self) -> None:
        """A player that cannot play it ends the command with 1."""
        self.assertEqual(
            self.refused("play", "1", status=1, env=self.players("mpv", status=2)), "mpv ended with status 2."
        )

    def test_token_needed(self) -> None:
        """Where watching needs our token, the player is given the stream and never the token."""
        self.double.table["HEAD /stream/7.ts"] = Reply(None, 401)
        self.double.table["GET /stream/7.ts"] = Reply("media", 200, "video/mp2t")
        env = {**self.players("mpv"), "IPTVD_API_TOKEN": "s3cret", "PATH": f"{self.folder}:/bin:/usr/bin"}
        self.assertEqual(self.played("1", "--player", "mpv", env=env), ["mpv", "-"])
        self.assertEqual((self.folder / "fed").read_text(), "media")
        self.assertEqual(self.last.headers["x-api-token"], "s3cret")

    def test_playlists_need_a_token_again(self) -> None:
        """Of HLS that needs our token the player is given the one stream that is made of it."""
        self.channels[0]["stream"] = f"{self.double.url}/stream/7.m3u8"
        self.double.table["HEAD /stream/7.m3u8"] = Reply(None, 403)
        self.double.table["GET /stream/7.ts"] = Reply("media", 200, "video/mp2t")
        env = {**self.players("mpv"), "PATH": f"{self.folder}:/bin:/usr/bin"}
        self.assertEqual(self.played("1", "--player", "mpv", env=env), ["mpv", "-"])
        self.double.table["GET /stream/7.ts"] = Reply("Full.", 503, "text/plain")
        self.assertEqual(self.refused("play", "1", "--player", "mpv", status=1, env=env), "Full.")

    def test_player_that_leaves(self) -> None:
        """A player that is closed while it is fed ends the command."""
        self.double.table["HEAD /stream/7.ts"] = Reply(None, 401)
        self.double.table["GET /stream/7.ts"] = Reply("x" * 3_000_000, 200, "video/mp2t")
        player = self.folder / "mpv"
        player.write_text("#!/bin/sh\nexit 0\n")
        player.chmod(0o755)
        self.call("play", "1", env={"PATH": f"{self.folder}:/nonexistent"})

    def test_behind_a_prefix(self) -> None:
        """A daemon behind a prefix is asked below it, once."""
        self.double.table["GET /tv/api/channels"] = self.page
        for each in self.channels:
            each["stream"] = each["stream"].replace("/stream/", "/tv/stream/")
        self.double.table["HEAD /tv/stream/7.ts"] = Reply(None)
        env = {**self.players("mpv"), "IPTVD_URL": f"{self.double.url}/tv"}
        self.assertEqual(self.played("1", env=env), ["mpv", f"{self.double.url}/tv/stream/7.ts"])

    def test_nothing_is_run_by_a_shell(self) -> None:
        """A channel's address is one argument of the player, whatever is in it."""
        called: list[Any] = []

        class Done:
            returncode = 0

        def run(command: list[str], **options: object) -> Done:
            called.append((command, options))
            return Done()

        self.patch(subprocess, "run", run)
        self.channels[0]["stream"] = f"{self.double.url}/stream/7.ts;reboot"
        self.double.table["HEAD /stream/7.ts;reboot"] = Reply(None)
        self.call("play", "1", env=self.players("mpv"))
        ((command, options),) = called
        self.assertEqual((len(command), "shell" in options), (2, False))
