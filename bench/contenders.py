"""The contenders: iptvd, nginx and HAProxy, each set up to pass on what one origin has."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.processes import PATIENCE, ROOT, Process, free_port, unprivileged

#: What nginx reads at a time: its default of one page would be a handicap.
NGINX_BUFFER = "32k"

_NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 16000; }}
http {{
  access_log off; keepalive_timeout 60s; keepalive_requests 1000000; tcp_nodelay on;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  proxy_cache_path cache keys_zone=hls:1m max_size=256m use_temp_path=off;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass {scheme}://127.0.0.1:{origin}; proxy_http_version 1.1; chunked_transfer_encoding off;
      proxy_buffer_size {buffer}; proxy_buffers 8 {buffer}; {extra}
    }}
  }}
}}
"""

_HAPROXY = """
global
  maxconn 4000
  nbthread 1
  {no}
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  option splice-response
frontend viewers
  bind 127.0.0.1:{port}
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin}
"""


class Contender:
    """
    One of them, running.

    :ivar paths: by the path at the origin the path here; empty when they are the same.
    """

    def __init__(self, name: str, process: Process, port: int, paths: Mapping[str, str]) -> None:
        self.name = name
        self.process = process
        self.port = port
        self._paths = paths
        process.wait_for_port(port)

    def path(self, origin: str) -> str:
        """Where it has what the origin has at a path."""
        return self._paths.get(origin, origin)

    def json(self, path: str) -> Any:
        """What it tells."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
            return json.load(answer)


def present(program: str) -> bool:
    """Whether Debian's package is installed."""
    return shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin") is not None


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    number = 1
    while folder.exists():
        folder = parent / f"{name}-{(number := number + 1)}"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def nginx(parent: Path, origin: int, *, scheme: str = "http", extra: str = "proxy_buffering off;") -> Contender:
    """The package nginx-light."""
    folder, port = _folder(parent, "nginx"), free_port()
    settings = folder / "nginx.conf"
    settings.write_text(_NGINX.format(port=port, scheme=scheme, origin=origin, buffer=NGINX_BUFFER, extra=extra))
    command = unprivileged(["/usr/sbin/nginx", "-p", str(folder), "-e", "stderr", "-c", str(settings)])
    return Contender("nginx", Process(command, folder, "nginx", {}), port, {})


def haproxy(parent: Path, origin: int, *, spliced: bool) -> Contender:
    """The package haproxy."""
    name = "HAProxy, splicing" if spliced else "HAProxy, not splicing"
    folder, port = _folder(parent, "haproxy"), free_port()
    settings = folder / "haproxy.cfg"
    settings.write_text(_HAPROXY.format(port=port, origin=origin, no="" if spliced else "nosplice"))
    command = unprivileged(["/usr/sbin/haproxy", "-db", "-f", str(settings)])
    return Contender(name, Process(command, folder, "haproxy", {}), port, {})


def iptvd(
    parent: Path,
    urls: Sequence[str | tuple[str, str]],
    *,
    sharing: str = "shared",
    form: str = "ts",
    settings: str = "",
    environment: Mapping[str, str] | None = None,
    name: str = "iptvd",
) -> Contender:
    """
    iptvd out of this tree, with a channel for each URL, or for each two: a source and the one after it.

    :param settings: more of them, as TOML.
    :param environment: see `bench.daemon`.
    """
    folder, port = _folder(parent, "iptvd"), free_port()
    lines = [f'listen = ["tcp:{port}:interface=127.0.0.1"]', f'state_dir = "{folder}/state"', 'log_level = "warn"']
    lines += [f'sharing = "{sharing}"', "provider_dirs = []", "merge_by_tvg_id = true", settings]
    # All viewers come from one address here.
    lines += [f"{name} = 0" for name in ("connections_per_address", "token_rate") if name not in settings]
    for place in range(2):
        lines += ["[[provider]]", 'kind = "channels"', f'name = "p{place}"']
        table = [
            (index, url if isinstance(url, str) else url[place])
            for index, url in enumerate(urls)
            if place == 0 or not isinstance(url, str)
        ]
        for index, url in table:
            lines += ["[[provider.channel]]", f'name = "c{index}"', f'tvg_id = "c{index}"', f'url = "{url}"']
            lines += [f'form = "{form}"']
        if not table:
            del lines[-3:]
    file = folder / "iptvd.toml"
    file.write_text("\n".join(lines) + "\n")
    command = unprivileged([sys.executable, "-m", "bench.daemon", "-n", "--pidfile=", "iptvd", "--config", str(file)])
    process = Process(command, folder, "iptvd", {"PYTHONPATH": str(ROOT), **(environment or {})})
    found: dict[str, str] = {}
    contender = Contender(name, process, port, found)
    end = time.monotonic() + PATIENCE
    while len(found) < len(urls) and time.monotonic() < end:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/playlist.m3u8", timeout=PATIENCE) as answer:
            found.update(_paths(answer.read().decode(), urls))
        time.sleep(0.02)
    if len(found) < len(urls):
        process.stop()
        raise RuntimeError(f"iptvd has {len(found)} of {len(urls)} channels: {process.log.read_text()[-2000:]}")
    return contender


def _paths(playlist: str, urls: Sequence[str | tuple[str, str]]) -> dict[str, str]:
    """By the path at the origin, the path below ``/stream/``."""
    found: dict[str, str] = {}
    index = -1
    for line in playlist.splitlines():
        if line.startswith("#EXTINF"):
            index = int(line.rpartition(",c")[2])
        elif "/stream/" in line:
            url = urls[index]
            at_origin = (url if isinstance(url, str) else url[0]).split("/", 3)[3]
            found["/" + at_origin] = "/stream/" + line.partition("/stream/")[2]
    return found


def versions() -> list[str]:
    """What was measured."""
    found = [f"Python {sys.version.split()[0]}"]
    code = "import iptvd, twisted; print('iptvd', iptvd.__version__, '/ Twisted', twisted.__version__)"
    asked = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found.insert(0, asked.stdout.strip())
    for command in (["/usr/sbin/nginx", "-v"], ["/usr/sbin/haproxy", "-v"], ["ffmpeg", "-version"], ["mpv", "-V"]):
        if present(Path(command[0]).name):
            told = subprocess.run(command, capture_output=True, text=True, check=False)
            line = (told.stdout or told.stderr).splitlines()[0]
            found.append(line.split(" Copyright")[0].replace("nginx version: ", "").split(" - http")[0])
    return found
