"""
What happens, posted to where the operator says.

Each webhook has a queue and a worker of its own: what one of them makes of it concerns no other, and nothing waits for
any. What does not fit into a queue pushes out what has waited longest, which is counted.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from random import Random

from attrs import define
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from iptvd.activity import Activity, Happening, Kind
from iptvd.errors import IptvdError
from iptvd.log import Log
from iptvd.webhook_settings import Webhook

#: What waits for one webhook at most.
QUEUE = 200
#: Seconds before each further attempt; where there are more, the last counts for them.
PAUSES = (1.0, 4.0, 16.0)
#: The share by which they vary, so that many do not come at once to what has just come back.
JITTER = 0.25

#: Posts a body with headers, and gives the status of the answer; an `IptvdError` says why there is none.
Post = Callable[[Webhook, Mapping[str, str], bytes], Awaitable[int]]


@define
class Counts:
    """What became of what a webhook was to be told."""

    delivered: int = 0
    failed: int = 0
    dropped: int = 0


def pauses(retries: int) -> Sequence[float]:
    """Seconds before each further attempt."""
    return [PAUSES[min(done, len(PAUSES) - 1)] for done in range(retries)]


def signature(secret: str, body: bytes) -> str:
    """What a receiver compares with its own: HMAC (RFC 2104) with SHA-256 of the body, in hexadecimal."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Hook:
    """
    One webhook at work.

    :param counts: is counted up.
    """

    log = Log()

    def __init__(self, webhook: Webhook, post: Post, clock: IReactorTime, random: Random, counts: Counts) -> None:
        self.webhook = webhook
        self.counts = counts
        self._post = post
        self._clock = clock
        self._random = random
        self._waiting: deque[Happening] = deque()
        self._work: Deferred[None] | None = None

    @property
    def waiting(self) -> int:
        """How much is still to be told, without what is being told."""
        return len(self._waiting)

    def offer(self, happening: Happening) -> None:
        """Tell it of this, if it wants to know."""
        if happening.kind not in self.webhook.events:
            return
        if len(self._waiting) >= QUEUE:
            self._waiting.popleft()
            self.counts.dropped += 1
        self._waiting.append(happening)
        if self._work is None:
            self._begin()

    def stop(self) -> None:
        """Give up what there is."""
        self._waiting.clear()
        work, self._work = self._work, None
        if work is not None:
            work.cancel()

    def _begin(self) -> None:
        work: Deferred[None] = Deferred.fromCoroutine(self._run())
        if not work.called:
            self._work = work

        def ended(result: object) -> object:
            if self._work is work:
                self._work = None
            return result

        work.addBoth(ended)
        work.addErrback(lambda failure: failure.trap(CancelledError) and None)
        work.addErrback(lambda failure: self.log.fault("a webhook could not be told", failure))

    async def _run(self) -> None:
        while self._waiting:
            happening = self._waiting.popleft()
            reason = await self._deliver(happening)
            if not reason:
                self.counts.delivered += 1
                continue
            self.counts.failed += 1
            self.log.warn(
                "{webhook}: {kind} could not be delivered: {reason}",
                webhook=self.webhook.name,
                kind=happening.kind.value,
                reason=reason,
            )

    async def _deliver(self, happening: Happening) -> str:
        """Try until it is taken; gives why it was not, or nothing."""
        reason = ""
        for pause in (*pauses(self.webhook.retries), None):
            reason = await self.attempt(happening)
            if not reason:
                return ""
            if pause is not None:
                await deferLater(self._clock, pause * (1 + self._random.uniform(-JITTER, JITTER)))
        return reason

    async def attempt(self, happening: Happening) -> str:
        """Try once; gives why it was not taken, or nothing."""
        body = happening.json
        headers = {
            "Content-Type": "application/json",
            "X-Iptvd-Event": happening.kind.value,
            "X-Iptvd-Delivery": str(happening.id),
        }
        if self.webhook.secret:
            headers["X-Iptvd-Signature"] = signature(self.webhook.secret, body)
        try:
            status = await self._post(self.webhook, headers, body)
        except IptvdError as error:
            return error.sentence
        return "" if 200 <= status < 300 else f"it answers with status {status}"


class Webhooks(Service, Collector):
    """All of them, and what is counted of them."""

    def __init__(self, activity: Activity, post: Post, clock: IReactorTime, random: Random) -> None:
        self.setName("webhooks")
        self._activity = activity
        self._post = post
        self._clock = clock
        self._random = random
        self._hooks: dict[str, Hook] = {}
        self._position = activity.newest
        self._forget: Callable[[], None] | None = None

    def configure(self, webhooks: Sequence[Webhook]) -> None:
        """Have these; one that is as before goes on, what another had still to be told is given up."""
        former, self._hooks = self._hooks, {}
        for webhook in webhooks:
            present = former.get(webhook.name)
            if present is not None and present.webhook == webhook:
                self._hooks[webhook.name] = former.pop(webhook.name)
            else:
                counts = present.counts if present is not None else Counts()
                self._hooks[webhook.name] = Hook(webhook, self._post, self._clock, self._random, counts)
        for hook in former.values():
            hook.stop()
        self._listen()

    @property
    def webhooks(self) -> Sequence[Webhook]:
        """Those that there are."""
        return [hook.webhook for hook in self._hooks.values()]

    async def test(self, name: str) -> str:
        """
        Tell one of them something that has not happened, once and at once.

        :return: why it was not taken, or nothing.
        """
        hook = self._hooks[name]
        wanted = hook.webhook.events
        kind = next(kind for kind in (Kind.STREAM_STARTED, *Kind) if kind in wanted)
        facts = {"test": True, "message": "Nothing has happened: this is a test."}
        return await hook.attempt(Happening(0, self._activity.now, kind, 0, facts))

    def startService(self) -> None:
        """Tell of what happens from now on."""
        super().startService()
        self._listen()

    def stopService(self) -> None:
        """Tell no more."""
        super().stopService()
        self._listen()
        for hook in self._hooks.values():
            hook.stop()

    def _listen(self) -> None:
        wanted = self.running and bool(self._hooks)
        if wanted and self._forget is None:
            self._position = self._activity.newest
            self._forget = self._activity.listen(self._woken)
        elif not wanted and self._forget is not None:
            self._forget()
            self._forget = None

    def _woken(self) -> None:
        found = self._activity.since(self._position)
        if found is None:
            found = self._activity.recent
        # More may happen in a moment than is kept: what is gone counts for all, whether they wanted it or not.
        lost = self._activity.newest - self._position - len(found)
        self._position = self._activity.newest
        for hook in self._hooks.values():
            hook.counts.dropped += lost
            for happening in found:
                hook.offer(happening)

    def collect(self) -> Iterable[Metric]:
        """What became of it, for the metrics; nothing where there is no webhook."""
        if not self._hooks:
            return ()
        results = CounterMetricFamily(
            "iptvd_webhook_events", "What webhooks were told, or were to be told", labels=["webhook", "result"]
        )
        waiting = GaugeMetricFamily("iptvd_webhook_waiting", "What webhooks are still to be told", labels=["webhook"])
        for name, hook in self._hooks.items():
            counts = hook.counts
            for result, count in (
                ("delivered", counts.delivered),
                ("failed", counts.failed),
                ("dropped", counts.dropped),
            ):
                results.add_metric([name, result], count)
            waiting.add_metric([name], hook.waiting)
        return (results, waiting)
