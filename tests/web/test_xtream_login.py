"""Logins, as Xtream clients have them."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.session import Face, Viewer
from iptvd.limits import FIRST
from iptvd.web.xtream_login import NEVER, UNLIMITED, server_info
from tests.web.xtream_case import NOW, TOKEN, XtreamTestCase

AUTH_ZERO = {"user_info": {"auth": 0}}


class LoginTests(XtreamTestCase):
    def test_user(self) -> None:
        """A user is told of their account, every field in the type that clients count on."""
        self.keep(expires=NOW + 3600.5, max_connections=2, created=1_700_000_000.9)
        expected = {
            "username": "alice",
            "password": TOKEN,
            "message": "",
            "auth": 1,
            "status": "Active",
            "exp_date": str(NOW + 3600),
            "is_trial": "0",
            "active_cons": "0",
            "created_at": "1700000000",
            "max_connections": "2",
            "allowed_output_formats": ["ts", "m3u8"],
        }
        self.assertEqual(self.api()["user_info"], expected)
        self.assertEqual(self.api("get_something_new")["user_info"], expected)

    def test_server(self) -> None:
        """The server is told by the address that was asked, without anybody's token in it, and counts in UTC."""
        self.keep()
        self.assertEqual(
            self.api()["server_info"],
            {
                "url": "127.0.0.1",
                "port": "80",
                "https_port": "443",
                "rtmp_port": "1935",
                "server_protocol": "http",
                "timezone": "UTC",
                "timestamp_now": NOW,
                "time_now": "2030-03-17 17:46:40",
                "process": True,
            },
        )

    def test_no_end(self) -> None:
        """An account without an end and without a limit has numbers for both that clients can hold."""
        self.keep()
        info = self.api()["user_info"]
        self.assertEqual((info["exp_date"], info["max_connections"]), (str(NEVER), str(UNLIMITED)))
        self.keep(expires=5e9, max_connections=9)
        self.stage.hub.max_streams = 4
        info = self.api()["user_info"]
        self.assertEqual((info["exp_date"], info["max_connections"]), (str(NEVER), "4"))
        self.keep()
        self.assertEqual(self.api()["user_info"]["max_connections"], "4")

    def test_connections(self) -> None:
        """What a user watches is counted, and nobody else's."""
        self.keep()
        self.keep("bob", "bob-token")
        for user in ("alice", "alice", "bob"):
            self.stage.hub.admit(self.stage.channel("One"), Viewer("127.0.0.1", "VLC", user), Face.TS)
        self.assertEqual(self.api()["user_info"]["active_cons"], "2")

    def test_nobody(self) -> None:
        """Without users any name and password will do, or none, for whoever may watch."""
        info = self.api(username="tv", password="tv")["user_info"]
        self.assertEqual((info["auth"], info["status"], info["username"], info["password"]), (1, "Active", "tv", "tv"))
        self.assertEqual(int(info["exp_date"]), NEVER)
        self.stage.hub.admit(self.stage.channel("One"), Viewer("127.0.0.1", "VLC"), Face.TS)
        info = json.loads(self.get("/player_api.php").body)["user_info"]
        self.assertEqual((info["active_cons"], info["auth"]), ("1", 1))
        self.assertTrue(info["username"] and info["password"])

    def test_stranger(self) -> None:
        """Without users nobody from elsewhere gets in, whatever they call themselves."""
        self.stage.trust(trusted_networks=())
        self.assertEqual(self.api(), AUTH_ZERO)
        self.assertEqual(self.api("get_live_streams"), AUTH_ZERO)

    def test_wrong(self) -> None:
        """A wrong name or password, or none, is told in the body, under status 200, whatever is asked for."""
        self.keep()
        self.keep("bob", "bob-token")
        for wrong in (
            {"password": "x"},
            {"username": "bob"},
            {"username": "", "password": ""},
            {"password": TOKEN[:-1]},
            {"password": TOKEN + "é"},
        ):
            for action in ("", "get_live_streams", "get_series_info"):
                self.assertEqual(self.api(action, **wrong), AUTH_ZERO)
        self.assertEqual(self.api(script="panel_api.php", password="x"), AUTH_ZERO)

    def test_tried(self) -> None:
        """One wrong login after the other is answered later and later, whatever the status of the answer."""
        self.keep()
        for seconds in (FIRST, 2 * FIRST, 4 * FIRST):
            client = self.stage.ask("/player_api.php?username=alice&password=x")
            self.stage.loop.advance(seconds - 0.01)
            self.assertEqual(client.read(), b"")
            self.stage.loop.advance(0.01)
            self.assertEqual(json.loads(client.answer().body), AUTH_ZERO)
        # Who shows nothing tries nothing.
        self.assertEqual(json.loads(self.stage.ask("/player_api.php").answer().body), AUTH_ZERO)

    def test_form(self) -> None:
        """A client that posts a form is told the same as one that asks in the query."""
        self.keep()
        answer = self.post("/player_api.php", username="alice", password=TOKEN)
        self.assertEqual(json.loads(answer.body), self.api())
        answer = self.post("/player_api.php", username="alice", password=TOKEN, action="get_live_categories")
        self.assertEqual(json.loads(answer.body), self.api("get_live_categories"))
        answer = self.post("/player_api.php", username="alice", password="x")
        self.assertEqual(json.loads(answer.body), AUTH_ZERO)

    def test_over(self) -> None:
        """An account that has expired, or is switched off, is told so, and nothing else to whatever is asked."""
        for more, status, message in (
            ({"expires": NOW - 1.0}, "Expired", "this account has expired"),
            ({"active": False}, "Disabled", "this account has been switched off"),
        ):
            self.keep(**more)
            for action in ("", "get_live_streams", "get_vod_categories"):
                told = self.api(action)
                info = told["user_info"]
                self.assertEqual((info["auth"], info["status"], info["message"]), (1, status, message))
                self.assertEqual(set(told), {"user_info", "server_info"})
            self.assertEqual(self.api(password="x"), AUTH_ZERO)
            self.assertEqual(self.api(username="bob"), AUTH_ZERO)
            for path in ("get.php", "xmltv.php", "get_playlist.php"):
                self.assertEqual(self.get(f"/{path}?username=alice&password={TOKEN}").status, 403)

    def test_not_known(self) -> None:
        """As long as it is not known who there is, that is an error, and no wrong login."""
        self.stage.admission.records.unreadable = "the store cannot be read"
        self.assertEqual(self.get("/player_api.php?username=a&password=b").status, 503)

    def test_methods(self) -> None:
        """HEAD has no body, and what is not to be had is refused with what is."""
        self.keep()
        answer = self.get(f"/player_api.php?username=alice&password={TOKEN}", method="HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))
        answer = self.get(f"/player_api.php?username=alice&password={TOKEN}&action=get_live_streams", method="HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(self.get("/player_api.php", method="DELETE").status, 405)


class ServerTests(SynchronousTestCase):
    def test_ports(self) -> None:
        """The port that was asked is told under the protocol that it has; a host is bare, but for an IPv6 one."""
        for base, expected in {
            "http://tv.example.com:8085": ("tv.example.com", "8085", "443", "http"),
            "https://tv.example.com": ("tv.example.com", "80", "443", "https"),
            "https://tv.example.com:8443/iptv": ("tv.example.com", "80", "8443", "https"),
            "http://[::1]:8085": ("[::1]", "8085", "443", "http"),
        }.items():
            told = server_info(base, NOW)
            names = ("url", "port", "https_port", "server_protocol")
            self.assertEqual(tuple(told[name] for name in names), expected)
