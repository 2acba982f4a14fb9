"""A script written for m3u-proxy's API, as its users write them, and a player that says how far it is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.daemon.client import TIMEOUT, wait_for
from tests.simulators.media import find_ffmpeg


class Script:
    """
    What such scripts do: JSON with the standard library's client, and the fields by their names.

    :ivar status: of the last answer.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str] | None = None) -> None:
        self.base_url = base_url
        self.status = 0
        self._headers = {"Content-Type": "application/json", **(headers or {})}

    def call(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """The answer, whatever its status."""
        data = json.dumps(body).encode() if body is not None else None
        url = self.base_url + path + (f"?{urlencode(query)}" if query else "")
        try:
            with urlopen(Request(url, data, self._headers, method=method), timeout=TIMEOUT) as answer:
                self.status = answer.status
                return json.load(answer)
        except HTTPError as error:
            self.status = error.code
            return json.load(error)

    def create(self, url: str, failover: Sequence[str] = (), **more: object) -> Any:
        """What its command line does with ``create``."""
        return self.call("POST", "/streams", {"url": url, "failover_urls": list(failover), **more})

    def fail_over(self, stream_id: str) -> Any:
        """The answer to going over to the next URL; where that takes long, as it is then, once it has been done."""
        before = self.stream(stream_id)["current_url"]
        told = self.call("POST", f"/streams/{stream_id}/failover")
        assert self.status == 200, told
        if "being tried" in told["message"]:
            wait_for(lambda: self.stream(stream_id)["current_url"] != before, what="the next URL")
            return {**told, "current_url": self.stream(stream_id)["current_url"]}
        return told

    def stats(self) -> Any:
        """The same with ``stats``."""
        return self.call("GET", "/stats")

    def stream(self, stream_id: str) -> Any:
        """What is counted of one stream."""
        return self.call("GET", f"/streams/{stream_id}")["stream"]

    def printed(self) -> str:
        """What its command line prints for ``stats``: it reads each field as a text or a number, never as null."""
        stats = self.stats()
        proxy = stats["proxy_stats"]
        lines = [
            f"Uptime: {proxy['uptime_seconds']} seconds",
            f"Streams: {proxy['total_streams'] + 0} ({proxy['active_streams'] + 0} active)",
            f"Clients: {proxy['total_clients'] + 0} ({proxy['active_clients'] + 0} active)",
            f"Served: {proxy['total_bytes_served'] / 1024:.1f} KB, {proxy['total_segments_served'] + 0} segments",
        ]
        for stream in stats["streams"]:
            lines += [f"{stream['stream_id'][:16]}: {stream['original_url'][:50]}", stream["user_agent"][:50]]
            lines += [f"{stream['client_count'] + 0} clients, {stream['total_bytes_served'] / 1024:.1f} KB"]
            lines += [f"{stream['total_segments_served'] + 0} segments, {stream['error_count'] + 0} errors"]
            lines += [f"{stream['has_failover']} {stream['last_access'][:19]}"]
        for client in stats["clients"]:
            lines += [f"{client['client_id'][:16]}: {client['stream_id'][:16]} {client['user_agent'][:50]}"]
            lines += [
                f"{client['ip_address'][:40]} {client['bytes_served'] / 1024:.1f} {client['segments_served'] + 0}"
            ]
        return "\n".join(lines)


class Player:
    """
    ffmpeg, that decodes the picture of a URL in real time, from its beginning to its end.

    :ivar frames: how many it has decoded.
    """

    def __init__(self, url: str, *options: str) -> None:
        command = [find_ffmpeg(), "-nostdin", "-v", "error", "-progress", "pipe:1", "-stats_period", "0.1"]
        if ".m3u8" in url:
            command += ["-allowed_extensions", "ALL", "-extension_picky", "0"]
        command += [*options, "-i", url, "-map", "0:v", "-f", "null", "-"]
        self.frames = 0
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._words: list[str] = []
        self._threads = [Thread(target=self._count), Thread(target=self._listen)]
        for thread in self._threads:
            thread.start()

    def _count(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            name, _, value = line.strip().partition("=")
            if name == "frame":
                self.frames = int(value)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        self._words.extend(self._process.stderr)

    @property
    def words(self) -> str:
        """What it has complained about."""
        return "".join(self._words)

    def wait_for_frames(self, count: int, timeout: float = 2 * TIMEOUT) -> None:
        """Wait until it has decoded so many more."""
        wanted = self.frames + count

        def there() -> bool:
            ended = self._process.poll()
            assert ended is None or self.frames >= wanted, f"it ended with {ended}: {self.words}"
            return self.frames >= wanted

        wait_for(there, timeout, f"{count} frames more")

    def wait_for_end(self) -> int:
        """Wait until it ends by itself; how it did."""
        return self._process.wait(2 * TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
