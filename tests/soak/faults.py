"""What happens to the origins: one at a time dies, falls silent or refuses, and comes back."""

from __future__ import annotations

import random
from collections import Counter
from threading import Event, Thread

from tests.soak.scene import Origin, Scene

#: Seconds between the end of one fault and the next, at least and at most.
BETWEEN = (8.0, 16.0)
#: What an origin that refuses does with new requests; those that go on are not touched.
REFUSALS: tuple[dict[str, object], ...] = (
    {"status": 503},
    {"status": 404},
    {"drop": 1},
    {"never": 1},
    {"as_": "html"},
    {"head_delay": 3},
)


class Saboteur:
    """
    Does it for as long as its ``with`` lasts, and leaves the origins well.

    :ivar done: how often each was done.
    """

    def __init__(self, scene: Scene, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._scene = scene
        self._chance = random.Random(f"{seed}/faults")
        self._stopped = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Saboteur:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        # The first to die is the one that the players have at their start.
        origin, fault = self._scene.east, self._kill
        faults = [self._kill, self._kill, self._silence, self._silence, self._refuse]
        try:
            while not self._stopped.wait(self._chance.uniform(*BETWEEN)):
                fault(origin)
                origin = self._chance.choice([self._scene.east, self._scene.west])
                fault = self._chance.choice(faults)
        except BaseException as error:  # told by who waits for us
            self.error = error

    def _kill(self, origin: Origin) -> None:
        """SIGKILL, and nothing listens there for a while."""
        origin.kill()
        self.done["killed"] += 1
        self._stopped.wait(self._chance.uniform(1, 6))
        origin.revive()

    def _silence(self, origin: Origin) -> None:
        """Every connection stalls: for a moment, or for good as far as a viewer can tell."""
        origin.freeze()
        self.done["silenced"] += 1
        self._stopped.wait(self._chance.choice([0.7, 2.0, 4.0, 8.0]))
        origin.thaw()

    def _refuse(self, origin: Origin) -> None:
        """Whoever comes is refused."""
        origin.running.control("/*", **self._chance.choice(REFUSALS))
        self.done["refused"] += 1
        self._stopped.wait(self._chance.uniform(2, 8))
        origin.running.control("/*")
