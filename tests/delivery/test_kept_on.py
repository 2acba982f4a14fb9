"""Channels that are kept on though nobody watches them; `tests.web.test_panel_api` sees how they are asked for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from iptvd.delivery import kept_on
from iptvd.delivery.kept_on import KeptOn
from iptvd.delivery.live import LiveSettings
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel
from iptvd.protocols.sniff import Media
from tests.delivery.test_live import OTHER, LiveTestCase
from tests.delivery.test_relay import CHANNEL
from tests.doubles import result


class KeptOnTests(LiveTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.live.settings = LiveSettings(linger=0.25)
        self.kept_on = KeptOn(self.live, self.clock.seconds)

    def start(self, channel: Channel = CHANNEL) -> bool:
        return result(self.kept_on.start(channel))

    def starting(self) -> Deferred[bool]:
        return Deferred.fromCoroutine(self.kept_on.start(CHANNEL))

    def test_on(self) -> None:
        """A channel stays on and keeps its connection for as long as it is wanted, and no longer."""
        self.clock.advance(7.0)
        self.assertTrue(self.start())
        self.assertEqual(dict(self.kept_on.on), {1: (CHANNEL, 7.0)})
        self.clock.advance(2 * self.live.settings.linger)
        self.assertEqual((list(self.live.on_air), self.slots.used("a")), ([1], 1))
        self.assertTrue(self.kept_on.stop(1))
        self.assertEqual(dict(self.kept_on.on), {})
        self.clock.advance(self.live.settings.linger)
        self.nothing_left()

    def test_once(self) -> None:
        """What is on already is not started again, and what is not on cannot be stopped."""
        self.assertEqual([self.start(), self.start()], [True, False])
        self.assertEqual((self.origins.asked, self.live.on_air[1].users), (["a"], 1))
        self.assertEqual([self.kept_on.stop(1), self.kept_on.stop(1)], [True, False])

    def test_while_it_starts(self) -> None:
        """What is being started is not on yet; it can be stopped, and whoever waits for it is told so."""
        self.origins.script["a"] = [Deferred()]
        waiting = self.starting()
        self.assertFalse(self.start())
        self.assertEqual(dict(self.kept_on.on), {})
        self.assertTrue(self.kept_on.stop(1))
        self.assertIn("stopped before it was on", str(self.failureResultOf(waiting, UpstreamError).value))
        self.nothing_left()

    def test_who_wants_it_leaves(self) -> None:
        """Nothing is on that nobody waited for to the end."""
        opening: Deferred[Any] = Deferred()
        self.origins.script["a"] = [opening]
        waiting = self.starting()
        waiting.cancel()
        self.failureResultOf(waiting, UpstreamError, CancelledError)
        self.nothing_left()
        self.origins.script["a"] = [Media.TS]
        self.assertTrue(self.start())

    def test_what_fails(self) -> None:
        """What cannot be had, or cannot be kept on, is not on, and may be started again."""
        self.origins.script["a"] = [UpstreamError(504, "it does not answer"), Media.MP3, Media.TS]
        for sentence in ("does not answer", "no MPEG-TS"):
            with self.assertRaisesRegex(UpstreamError, sentence):
                self.start()
            self.nothing_left()
        self.assertTrue(self.start())

    def test_turned_off(self) -> None:
        """What was turned off by somebody else is on no longer, and may be started again."""
        self.start()
        self.live.turn_off(1, "the operator wants it so")
        self.assertEqual((dict(self.kept_on.on), self.kept_on.stop(1)), ({}, False))
        self.nothing_left()
        self.assertTrue(self.start())

    def test_on_again(self) -> None:
        """What is started again while it lingers is not touched by what becomes of the time before."""
        self.start()
        self.kept_on.stop(1)
        self.assertTrue(self.start())
        self.clock.advance(2 * self.live.settings.linger)
        self.assertEqual(list(self.kept_on.on), [1])
        self.live.close()
        self.assertEqual(dict(self.kept_on.on), {})
        self.nothing_left()

    def test_some_of_them(self) -> None:
        """Those that are wanted no longer are let go, and the others stay."""
        self.start()
        self.start(OTHER)
        self.kept_on.stop_all(lambda channel: channel.id == OTHER.id)
        self.assertEqual(list(self.kept_on.on), [1])

    def test_how_many(self) -> None:
        """There is an end to how many are kept on."""
        self.patch(kept_on, "MOST", 1)
        self.start()
        with self.assertRaisesRegex(LimitError, "stop one first"):
            self.start(OTHER)
        self.kept_on.stop(1)
        self.assertTrue(self.start(OTHER))
