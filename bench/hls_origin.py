"""An origin of one HLS channel: a window of segments that moves with the clock, and who fetched what how often."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.hearing import answer

#: Seconds of a segment, and how many a playlist names.
TARGET = 2.0
WINDOW = 6


class State:
    """What there is, and what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.segments = [path.read_bytes() for path in sorted(folder.glob("*.ts"))]
        self.fetched: Counter[str] = Counter()
        self.begun = time.monotonic()
        self.lock = threading.Lock()

    def newest(self) -> int:
        """The number of the newest segment."""
        return WINDOW + int((time.monotonic() - self.begun) / TARGET)

    def playlist(self) -> bytes:
        """As it is now."""
        last = self.newest()
        first = last - WINDOW + 1
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{TARGET:.0f}"]
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
        for number in range(first, last + 1):
            lines += [f"#EXTINF:{TARGET:.3f},", f"seg-{number}.ts"]
        return "\n".join([*lines, ""]).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers."""

    protocol_version = "HTTP/1.1"
    state: State

    def do_GET(self) -> None:
        """A playlist or a segment."""
        state, name = self.state, self.path.rpartition("/")[2]
        with state.lock:
            state.fetched[name] += 1
        if name.endswith(".m3u8"):
            body, kind = state.playlist(), "application/vnd.apple.mpegurl"
        else:
            number = int(name.removeprefix("seg-").removesuffix(".ts"))
            body, kind = state.segments[number % len(state.segments)], "video/mp2t"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


def main() -> None:
    """``python -m bench.hls_origin FOLDER``; each line on standard input is answered with the counts so far."""
    state = Handler.state = State(Path(sys.argv[1]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def told(what: object) -> object:
        with state.lock:
            fetched, state.fetched = state.fetched, Counter()
        return {"port": server.server_address[1], "fetched": fetched}

    while answer(told):
        continue


if __name__ == "__main__":
    main()
