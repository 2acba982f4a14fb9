"""Turning channels on and off, and how the machine is."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import kept_on
from iptvd.delivery.opening import Opened
from iptvd.delivery.session import Face, Viewer
from iptvd.errors import UpstreamError
from iptvd.model import ChannelKind, Entry, Outcome, Source, SourceKind
from iptvd.protocols.sniff import Media
from tests.web.managing import Managing

ONE, TWO = Entry("1", "One"), Entry("2", "Two")
FILM = Entry("f", "Film", ChannelKind.VOD, extension="mp4")
DRM = Entry("d", "Drm", unsupported="it is protected by DRM")
START, STOP = "/api/stream/start", "/api/stream/stop"


class StreamsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self, ONE, TWO, FILM, DRM, home=1)
        for entry in (ONE, TWO):
            url = f"http://origin.test/{entry.key}"
            self.stage.sources[entry.key] = [("home", Source(SourceKind.TS, url=url))]

    def asked(self, name: str = "One") -> dict[str, Any]:
        return {"channel_id": self.stage.channel(name).id}

    def active(self) -> dict[str, Any]:
        told = self.stage.call("GET", "/api/streams/active")
        self.assertEqual(told["count"], len(told["streams"]))
        streams: dict[str, Any] = told["streams"]
        return streams

    def test_on_and_off(self) -> None:
        """A channel that is started takes a connection and is on without a viewer, until it is stopped."""
        started = self.stage.call("POST", START, self.asked())
        name = str(self.asked()["channel_id"])
        self.assertEqual((started["channel_id"], started["pid"]), (name, os.getpid()))
        self.assertEqual(started["stream"], f"http://127.0.0.1/stream/{name}.ts")
        self.assertEqual(self.active(), {name: {"pid": os.getpid(), "started": "1970-01-01T00:00:00Z"}})
        self.assertEqual(self.stage.slots.used("home"), 1)
        self.stage.loop.advance(60.0)
        self.assertEqual(len(self.stage.live.on_air), 1)
        self.stage.call("POST", STOP, self.asked())
        self.assertEqual(self.active(), {})
        self.stage.loop.advance(self.stage.live.settings.linger)
        self.stage.assert_nothing_left()

    def test_twice(self) -> None:
        """A channel that is on stays on when it is started again, and one word stops it."""
        for _ in range(2):
            self.stage.call("POST", START, self.asked())
        self.assertEqual(self.stage.origins.asked, ["1"])
        self.stage.call("POST", STOP, self.asked())
        self.assertEqual(self.stage.refused("POST", STOP, self.asked())[0], 404)

    def test_an_own_channel(self) -> None:
        """An own channel is known by what the panel calls it, and is off when it is removed."""
        body = {"channel_id": "news-1", "name": "News", "source_url": "http://origin.test/7"}
        added = self.stage.call("POST", "/api/channels", body, 201)
        for asked in ("news-1", added["id"]):
            self.stage.call("POST", START, {"channel_id": asked})
        self.assertEqual(list(self.active()), ["news-1"])
        self.stage.call("DELETE", "/api/channels/news-1", None, 204)
        self.assertEqual(self.active(), {})

    def test_watched(self) -> None:
        """What is watched is active, too, and goes on when it is kept on no longer."""
        self.stage.loop.advance(100.0)
        session = self.stage.hub.admit(self.stage.channel("Two"), Viewer("127.0.0.1"), Face.TS)
        name = str(self.stage.channel("Two").id)
        self.assertEqual(self.active()[name]["started"], "1970-01-01T00:01:40Z")
        self.stage.loop.advance(100.0)
        self.stage.call("POST", START, self.asked("Two"))
        self.assertEqual(self.active()[name]["started"], "1970-01-01T00:01:40Z")
        self.stage.call("POST", STOP, self.asked("Two"))
        self.assertEqual(list(self.active()), [name])
        session.end(Outcome.VIEWER_LEFT)
        self.assertEqual(self.active(), {})

    def test_no_connection_left(self) -> None:
        """Where the provider has no connection left nothing is started."""
        self.stage.call("POST", START, self.asked())
        status, sentence = self.stage.refused("POST", START, self.asked("Two"))
        self.assertEqual((status, sentence), (503, "All 1 connections of home are in use."))
        self.assertEqual(len(self.active()), 1)

    def test_sources_that_fail(self) -> None:
        """What cannot be had is not on, now or when it fails later."""
        self.stage.origins.script["1"] = [UpstreamError(504, "the origin does not answer"), Media.MP3, Media.TS]
        self.assertEqual(self.stage.refused("POST", START, self.asked())[0], 504)
        self.assertEqual(self.stage.refused("POST", START, self.asked())[0], 502)
        self.assertEqual(self.active(), {})
        self.stage.call("POST", START, self.asked())
        self.stage.live.close()
        self.assertEqual(self.active(), {})
        self.assertEqual(self.stage.slots.total, 0)

    def test_stopped_while_it_starts(self) -> None:
        """What is stopped before it is on never is."""
        opening: Deferred[Opened] = Deferred()
        self.stage.origins.script["1"] = [opening]
        client = self.stage.begin("POST", START, self.asked())
        self.assertEqual(self.active(), {})
        self.stage.call("POST", STOP, self.asked())
        self.assertEqual(client.answer("POST").status, 503)
        self.assertEqual((self.active(), self.stage.slots.total, dict(self.stage.live.on_air)), ({}, 0, {}))

    def test_what_cannot_be_kept_on(self) -> None:
        """A film, what cannot be played, what is not shared and what is not there are not started."""
        self.stage.isolated.add(self.stage.channel("Two").id)
        for name, status in (("Film", 422), ("Drm", 501), ("Two", 409)):
            self.assertEqual(self.stage.refused("POST", START, self.asked(name))[0], status)
        for asked in ("x", 0, "12345"):
            for path in (START, STOP):
                self.assertEqual(self.stage.refused("POST", path, {"channel_id": asked})[0], 404)
        for path in (START, STOP):
            self.assertEqual(self.stage.refused("POST", path, {})[0], 422)

    def test_how_many(self) -> None:
        """There is an end to how many are kept on."""
        self.patch(kept_on, "MOST", 1)
        self.stage.limits["home"] = 0
        self.stage.call("POST", START, self.asked())
        self.assertEqual(self.stage.refused("POST", START, self.asked("Two"))[0], 503)


class MachineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self, ONE)

    def test_how_the_machine_is(self) -> None:
        """Who manages is told how busy the machine is, since when we run, and how many channels are on."""
        self.stage.loop.advance(5400.0)
        session = self.stage.hub.admit(self.stage.channel("One"), Viewer("127.0.0.1"), Face.TS)
        told = self.stage.call("GET", "/api/stats")
        session.end(Outcome.VIEWER_LEFT)
        self.assertEqual((told["active_streams"], told["uptime_hours"]), (1, 1.5))
        for name in ("cpu_percent", "memory_percent", "disk_percent"):
            self.assertTrue(0 <= told[name] <= 100, told)
        for name in ("memory_used_gb", "network_sent_gb", "network_recv_gb"):
            self.assertGreaterEqual(told[name], 0)
        self.assertGreater(told["memory_percent"] * told["memory_used_gb"], 0)

    def test_alive(self) -> None:
        """Anybody may see that we are here, and nobody but who manages how."""
        self.stage.trust(api_token="t", trusted_networks=())
        self.assertEqual(self.stage.call("GET", "/api/health"), {"status": "ok", "timestamp": "1970-01-01T00:00:00Z"})
        for path in ("/api/stats", "/api/streams/active"):
            self.assertEqual(self.stage.send("GET", path).status, 401)
