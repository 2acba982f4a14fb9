"""The crowd: viewers of every habit that come, watch for a while and go, each by a sequence of chance of its own."""

from __future__ import annotations

import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from http.client import HTTPException
from threading import Event, Lock, Thread
from time import monotonic
from urllib.parse import urljoin

from tests.daemon.client import Stream
from tests.soak.scene import BIG, DROPPED, FILM, SEEN, Choice, Scene

PACKET = 188
#: Statuses of a playlist or a segment that has gone meanwhile.
_GONE = (404, 502, 503, 504)
_URI = re.compile(r'URI="([^"]+)"')
_MOST_FAULTS = 40


class Crowd:
    """
    Everyone who watches; ``with`` lets them come and, in the end, has all of them gone.

    :ivar done: what happened, by its name.
    :ivar faults: what no viewer should have seen.
    """

    def __init__(self, scene: Scene, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self._scene = scene
        self._stopped = Event()
        self._lock = Lock()
        self._film = scene.media.read("film.mp4")
        habits: Mapping[Callable[[_Viewer], None], int] = {
            _Viewer.zap: 7,
            _Viewer.zap_where_few_may: 4,
            _Viewer.read_slowly: 2,
            _Viewer.pause: 2,
            _Viewer.leave_abruptly: 2,
            _Viewer.follow_hls: 4,
            _Viewer.seek: 3,
        }
        alone = [habit for habit, count in habits.items() for _ in range(count)]
        self._threads = [
            Thread(target=_Viewer(self, scene, f"{number}", random.Random(f"{seed}/{number}")).live, args=(habit,))
            for number, habit in enumerate(alone)
        ]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def over(self) -> bool:
        """Whether all are to go."""
        return self._stopped.is_set()

    def wait(self, seconds: float) -> None:
        """Wait, but not when all are to go."""
        self._stopped.wait(seconds)

    def tell(self, what: str) -> None:
        """Something happened."""
        with self._lock:
            self.done[what] += 1

    def complain(self, fault: str) -> None:
        """Something happened that should not."""
        with self._lock:
            self.done["faults"] += 1
            if len(self.faults) < _MOST_FAULTS:
                self.faults.append(fault)

    def is_film(self, start: int, data: bytes) -> bool:
        """Whether these are the film's bytes from ``start`` on."""
        return self._film[start : start + len(data)] == data

    @property
    def film_size(self) -> int:
        """Bytes of the film."""
        return len(self._film)


class _Viewer:
    """One of them, who has one habit; to the daemon it is one viewer, whatever it opens."""

    def __init__(self, crowd: Crowd, scene: Scene, name: str, chance: random.Random) -> None:
        self._crowd = crowd
        self._server = scene.daemon
        self._choices = scene.choices
        self._chance = chance
        self._headers = {"User-Agent": f"Viewer {name}"}
        films = (FILM, DROPPED, BIG)
        everyday = [choice for choice in self._choices.values() if not choice.limited and choice.name not in films]
        self._live = everyday
        self._limited = [choice for choice in self._choices.values() if choice.limited]

    def live(self, habit: Callable[[_Viewer], None]) -> None:
        """Do the one thing again and again."""
        while not self._crowd.over:
            try:
                habit(self)
            except (OSError, HTTPException) as error:
                # What was asked for is gone, or was cut: the outcome of its session tells how.
                self._crowd.tell(f"cut: {type(error).__name__}")
            self._crowd.wait(self._chance.uniform(0, 0.5))

    def _open(self, choice: Choice, path: str = "", rcvbuf: int | None = None, **more: str) -> Stream | None:
        """Begin to watch; None when it is refused."""
        stream = self._server.open_stream(path or choice.path, {**self._headers, **more}, rcvbuf=rcvbuf)
        if stream.status in (200, 206):
            return stream
        said = stream.read(200)
        stream.close()
        if choice.fits(stream.status):
            self._crowd.tell(f"refused: {stream.status}")
        else:
            self._crowd.complain(f"{choice.name} as {path or choice.path}: {stream.status} {said!r}")
        return None

    def _as_stream(self, choice: Choice) -> str:
        return choice.as_form("ts") if choice.path.endswith(".m3u8") else choice.path

    def _leave(self, stream: Stream) -> None:
        if self._chance.random() < 0.35:
            stream.reset()
        else:
            stream.close()

    def _watch(self, choice: Choice, seconds: float) -> None:
        """Watch as players do: what comes, at once; and look whether it is a stream of packets."""
        stream = self._open(choice, self._as_stream(choice))
        if stream is None:
            return
        try:
            data = stream.read(20 * PACKET)
            if any(sync != 0x47 for sync in data[::PACKET]):
                self._crowd.complain(f"{choice.name}: what comes is no TS: {data[:8]!r}")
            end = monotonic() + seconds
            while data and monotonic() < end and not self._crowd.over:
                data = stream.read(8 * PACKET)
            self._crowd.tell("watched" if data else "ended early")
        finally:
            self._leave(stream)

    # The habits

    def zap(self) -> None:
        """From one channel to the next, some of them HLS, most for a moment."""
        self._watch(self._chance.choice(self._live), min(15.0, self._chance.expovariate(1 / 3)))

    def zap_where_few_may(self) -> None:
        """The same at the provider with a limit: refused at times, never for ever."""
        choice = self._chance.choice(self._limited)
        if choice.name.endswith("film"):
            stream = self._open(choice)
            if stream is not None:
                stream.read(self._chance.choice([1, 100_000]))
                self._leave(stream)
        elif self._chance.random() < 0.2:
            self._follow(choice, self._chance.uniform(0, 6))
        else:
            self._watch(choice, min(10.0, self._chance.expovariate(1 / 2)))

    def read_slowly(self) -> None:
        """Less than what comes, so that it falls off the ring again and again."""
        choice = self._chance.choice([self._choices["Stuffed"], self._choices[SEEN], self._choices["Faultless"]])
        stream = self._open(choice, rcvbuf=4096)
        if stream is None:
            return
        end = monotonic() + self._chance.uniform(10, 40)
        try:
            while monotonic() < end and not self._crowd.over and stream.read(16 * PACKET):
                self._crowd.wait(0.12)
            self._crowd.tell("read slowly")
        finally:
            self._leave(stream)

    def pause(self) -> None:
        """Read, then nothing for long: too long at times; then on, if it may still."""
        choice = self._chance.choice([*self._live, self._choices[BIG]])
        stream = self._open(choice, self._as_stream(choice), rcvbuf=8192)
        if stream is None:
            return
        try:
            stream.read(self._chance.randrange(1, 400_000))
            self._crowd.wait(self._chance.choice([3, 6, 12, 25]))
            self._crowd.tell("paused" if stream.read(100 * PACKET) else "paused too long")
        finally:
            self._leave(stream)

    def leave_abruptly(self) -> None:
        """Reset the connection at any moment, while the request is on its way too."""
        choice = self._chance.choice([*self._live, *self._limited, self._choices[FILM]])
        connection = self._server.connect()
        request = f"GET {choice.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {self._headers['User-Agent']}\r\n\r\n"
        cut = self._chance.choice([len(request), len(request), self._chance.randrange(len(request))])
        with connection:
            connection.sendall(request[:cut].encode())
            self._crowd.wait(self._chance.choice([0, 0.01, 0.1, 0.5, 2]))
            # To linger for no time is to reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._crowd.tell("left abruptly")

    def follow_hls(self) -> None:
        """Follow a channel as HLS, whatever it comes as."""
        chosen = [choice for choice in self._live if choice.path.endswith(".m3u8") or self._chance.random() < 0.4]
        self._follow(self._chance.choice(chosen or self._live), self._chance.uniform(2, 25))

    def _follow(self, choice: Choice, seconds: float) -> None:
        path, text = choice.as_form("m3u8"), ""
        for _ in range(2):
            found = self._playlist(choice, path)
            if found is None:
                return
            path, text = found
            if "#EXT-X-STREAM-INF" not in text:
                break
            path = urljoin(path, next(line for line in text.splitlines() if line and not line.startswith("#")))
        seen: set[str] = set()
        end = monotonic() + seconds
        while monotonic() < end and not self._crowd.over:
            found = self._playlist(choice, path)
            if found is None:
                return
            names = [urljoin(path, line) for line in found[1].splitlines() if line and not line.startswith("#")]
            extras = [urljoin(path, uri) for uri in _URI.findall(found[1])]
            for name in [*extras, *names[-3:]]:
                if name not in seen and not self._segment(choice, name):
                    return
                seen.add(name)
            self._crowd.wait(1)
        self._crowd.tell("followed HLS")

    def _playlist(self, choice: Choice, path: str) -> tuple[str, str] | None:
        answer = self._server.get(path, self._headers)
        if answer.status == 200:
            return path, answer.text
        if choice.fits(answer.status) or answer.status == 404:
            self._crowd.tell(f"playlist: {answer.status}")
        else:
            self._crowd.complain(f"playlist of {choice.name}: {answer.status} {answer.body[:200]!r}")
        return None

    def _segment(self, choice: Choice, path: str) -> bool:
        """Get one, or leave in the middle of it; False when this viewer is gone after that."""
        with self._server.open_stream(path, self._headers) as stream:
            if stream.status not in (200, 206):
                self._crowd.tell(f"segment: {stream.status}")
                if stream.status not in _GONE:
                    self._crowd.complain(f"segment of {choice.name}: {stream.status}")
                return stream.status == 404
            if self._chance.random() < 0.05:
                stream.read(1000)
                stream.reset()
                return False
            stream.read_to_end()
        return True

    def seek(self) -> None:
        """Parts of films: the bytes have to be the film's."""
        name = self._chance.choice([FILM, FILM, DROPPED, BIG])
        size = 1 << 30 if name == BIG else self._crowd.film_size
        start = self._chance.randrange(size)
        last = min(size - 1, start + self._chance.choice([0, 1000, 300_000, size]))
        wanted = min(last + 1 - start, self._chance.choice([1, 50_000, 1 << 21]))
        stream = self._open(self._choices[name], Range=f"bytes={start}-{last}")
        if stream is None:
            return
        try:
            data = stream.read(wanted)
            if name != BIG and (len(data) != wanted or not self._crowd.is_film(start, data)):
                self._crowd.complain(f"{name}: not its {wanted} bytes from {start} on, but {len(data)} bytes")
            self._crowd.tell("sought")
        finally:
            self._leave(stream)
