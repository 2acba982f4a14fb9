"""HLS passed through: many viewers of one channel, playlists and segments, against a caching proxy."""

from __future__ import annotations

import time

from bench import contenders
from bench.film import segments
from bench.lab import Lab
from bench.processes import Helper
from bench.report import Table, share

TITLE = "HLS, many viewers of one channel"

VIEWERS = 1000
RATE = 1000
#: What nginx needs to fetch each thing once: playlists for half a target duration, one request at a time.
_CACHED = (
    "proxy_cache hls; proxy_cache_lock on; proxy_cache_valid 200 1s; proxy_cache_use_stale updating;"
    " proxy_cache_background_update on; } location ~ \\.ts$ { proxy_pass http://127.0.0.1:%d; proxy_http_version 1.1;"
    " proxy_cache hls; proxy_cache_lock on; proxy_cache_valid 200 60s;"
)
#: Seconds of each measurement at least: some segments long.
LEAST = 8.0
MOST_ROUNDS = 3


def run(lab: Lab) -> list[Table]:
    """Each viewer keeps a connection, reloads its playlist every target duration, and fetches each new segment."""
    origin = lab.add(Helper("hls_origin", str(segments(lab.films, RATE))))
    port = origin.ask()["port"]
    viewers = lab.add(Helper("hls_viewers"))
    path = "/live/channel.m3u8"
    those = [lab.iptvd(port, [path], form="hls")]
    if contenders.present("nginx"):
        those.insert(0, lab.add(contenders.nginx(lab.folder, port, extra=_CACHED % port)))
    what = f"{VIEWERS:,} viewers x {RATE / 1000:g} Mbit/s"
    late, cost = Table(f"{what}, a playlist, p99", "ms"), Table(f"{what}, CPU", "s/GB")
    most = Table(f"{what}, fetches of one segment at the origin, the most", "fetches")
    rate = Table(f"{what}, answers", "a second")
    playlists: dict[str, list[float]] = {}
    for _ in range(min(lab.rounds, MOST_ROUNDS)):
        for contender in those:
            viewers.ask(do="watch", port=contender.port, path=contender.path(path), count=VIEWERS)
            time.sleep(3)
            origin.ask()
            joining = viewers.ask(do="playlists")["playlists"]
            viewers.ask(do="anew")
            begun, spent = time.monotonic(), contender.process.cpu()
            time.sleep(max(LEAST, lab.seconds))
            spent, took = contender.process.cpu() - spent, time.monotonic() - begun
            seen, fetched = viewers.ask(do="playlists"), origin.ask()["fetched"]
            viewers.ask(do="leave")
            time.sleep(0.5)
            name = contender.name
            late.add(name, share(seen["playlists"], 0.99) / 1e6)
            late.add(f"{name}, in the three seconds they join in", share(joining, 0.99) / 1e6)
            cost.add(name, spent / (seen["bytes"] / 1e9))
            rate.add(name, seen["requests"] / took)
            most.add(name, max((count for what, count in fetched.items() if what.endswith(".ts")), default=0))
            count = sum(count for what, count in fetched.items() if what.endswith(".m3u8"))
            playlists.setdefault(name, []).append(count / took)
            if seen["failed"]:
                rate.notes.append(f"{name}: {seen['failed']} viewers were lost")
    late.at_most("iptvd", 50)
    most.at_most("iptvd", 1)
    for name, counts in playlists.items():
        most.notes.append(f"{name} fetched the playlist {share(counts, 0.5):.1f} times a second (1 is half a target)")
    return [late, most, rate, cost]
