"""The tuners over HTTP: what their clients ask, in the order in which they do."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from iptvd.delivery.patience import ZAP
from iptvd.errors import UpstreamError
from iptvd.lineup import Lineup
from iptvd.model import ChannelKind, Entry, Source, SourceKind
from iptvd.protocols.hdhomerun import check_digit
from iptvd.tuners import TUNERS
from tests.doubles import join
from tests.protocols.tsmaking import made_film
from tests.web.building import Answer, entries, lineup_of
from tests.web.loop import Client, Stage

ONE, TWO = Entry("1", "One", group="News", number=7), Entry("2", "Two", group='A "B" & <C>', number=12)
HLS = Entry("3", "HLS", group="News", source_kind=SourceKind.HLS, extension="m3u8", number=30)
RADIO = Entry("4", "Radio", group="News", kind=ChannelKind.RADIO, extension="mp3", number=40)
FILM = Entry("5", "Film", group="News", kind=ChannelKind.VOD, source_kind=SourceKind.VOD, extension="mp4")
LOCKED = Entry("6", "Locked", group="News", unsupported="it is protected", number=60)
SECOND = made_film(seconds=1)
UPNP = "{urn:schemas-upnp-org:device-1-0}"
ERROR = "X-HDHomeRun-Error"


class TunerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage(self, ONE, TWO, HLS, RADIO, FILM, LOCKED)
        for key in "123456":
            kind = SourceKind.HLS if key == "3" else SourceKind.TS
            self.stage.sources[key] = [("p", Source(kind, url=f"http://origin.test/{key}"))]
        self.stage.tuners.configure(True, TUNERS.from_toml(["news?group=News"]))

    def ask(self, path: str, method: str = "GET", *headers: tuple[str, str]) -> Answer:
        return self.stage.ask(path, *headers, method=method).answer(method)

    def told(self, path: str) -> Any:
        answer = self.ask(path)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        return json.loads(answer.plain)


class DocumentTests(TunerTestCase):
    def test_discover(self) -> None:
        """A tuner tells what it is, with links by the address it was asked for."""
        facts = self.told("/discover.json")
        self.assertEqual(check_digit(int(facts.pop("DeviceID"), 16)), 0)
        self.assertNotIn("hdtc", facts["ModelNumber"].lower())
        for name in ("Manufacturer", "ModelNumber", "FirmwareName", "FirmwareVersion", "DeviceAuth"):
            self.assertTrue(facts.pop(name), name)
        expected = {
            "FriendlyName": "iptvd",
            "BaseURL": "http://127.0.0.1",
            "LineupURL": "http://127.0.0.1/lineup.json",
            "TunerCount": 8,
        }
        self.assertEqual(facts, expected)

    def test_several(self) -> None:
        """Each tuner is a device of its own, at an address of its own, which it keeps when it is asked again."""
        main, news, again = map(self.told, ("/discover.json", "/hdhr/news/discover.json", "/hdhr/all/discover.json"))
        self.assertEqual(news["BaseURL"], "http://127.0.0.1/hdhr/news")
        self.assertEqual(news["LineupURL"], "http://127.0.0.1/hdhr/news/lineup.json")
        self.assertEqual((news["FriendlyName"], again["FriendlyName"]), ("iptvd news", "iptvd"))
        self.assertNotEqual(main["DeviceID"], news["DeviceID"])
        self.assertEqual((main["DeviceID"], again["BaseURL"]), (again["DeviceID"], "http://127.0.0.1/hdhr/all"))

    def test_by_number(self) -> None:
        """A tuner of the settings is at its number, too, and there tells of where it is by its name."""
        for path in ("discover.json", "lineup.json", "device.xml", "lineup_status.json"):
            by_name, by_number = self.ask(f"/hdhr/news/{path}"), self.ask(f"/1/{path}")
            self.assertEqual((by_number.status, by_number.body), (200, by_name.body), path)
        for path in ("/1", "/1/", "/1/nothing.json", "/1/auto", "/0/discover.json", "/2/discover.json"):
            self.assertEqual(self.ask(path).status, 404, path)
        client = self.stage.ask("/1/auto/v7")
        self.stage.deliver([SECOND])
        self.assertIn(SECOND, client.body)
        self.assertEqual(self.ask("/1/auto/v12").headers[ERROR], "801 Unknown Channel")

    def test_capacity(self) -> None:
        """A tuner has as many tuners as there can be streams."""
        self.stage.hub.max_streams = 3
        self.assertEqual(self.told("/discover.json")["TunerCount"], 3)
        self.stage.limits["home"] = 2
        self.assertEqual(self.told("/hdhr/news/discover.json")["TunerCount"], 2)

    def test_lineup(self) -> None:
        """A lineup has the live channels that can be played, by their numbers."""
        self.assertEqual(
            self.told("/lineup.json"),
            [
                {"GuideNumber": str(number), "GuideName": name, "URL": f"http://127.0.0.1/auto/v{number}"}
                for number, name in ((7, "One"), (12, "Two"), (30, "HLS"))
            ],
        )
        self.assertEqual(
            [(each["GuideName"], each["URL"]) for each in self.told("/hdhr/news/lineup.json")],
            [("One", "http://127.0.0.1/hdhr/news/auto/v7"), ("HLS", "http://127.0.0.1/hdhr/news/auto/v30")],
        )

    def test_lineups_of_any_size(self) -> None:
        """A lineup may be empty, or long."""
        self.stage.shown.lineup = Lineup()
        self.assertEqual(self.told("/lineup.json"), [])
        self.stage.shown.lineup = lineup_of(*entries(1234))
        lineup = self.told("/lineup.json")
        self.assertEqual(len({each["GuideNumber"] for each in lineup}), 1234)
        self.assertTrue(all(each["GuideNumber"].isdigit() for each in lineup))

    def test_scan(self) -> None:
        """A client that looks for channels is told that they are found, and may stop looking at any time."""
        status = self.told("/lineup_status.json")
        self.assertEqual((status["ScanInProgress"], status["ScanPossible"]), (0, 1))
        self.assertIn(status["Source"], status["SourceList"])
        for scan in ("start", "abort"):
            answer = self.ask(f"/lineup.post?scan={scan}&source=Cable", "POST", ("Content-Length", "0"))
            self.assertEqual((answer.status, answer.body), (200, b""))
        for wrong in ("", "?scan=", "?scan=later", "?favorite=%2B7"):
            answer = self.ask(f"/hdhr/news/lineup.post{wrong}", "POST", ("Content-Length", "0"))
            self.assertEqual((answer.status, answer.text), (400, "Scan is start or abort.\n"))
        answer = self.ask("/lineup.post?scan=start")
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "POST"))
        self.assertEqual(self.ask("/lineup.json", "POST", ("Content-Length", "0")).status, 405)

    def test_device(self) -> None:
        """The device tells the same of itself by UPnP."""
        answer = self.ask("/hdhr/news/device.xml")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/xml; charset=utf-8"))
        root = ElementTree.fromstring(answer.body)
        self.assertEqual(root.tag, f"{UPNP}root")
        self.assertEqual(root.findtext(f"{UPNP}URLBase"), "http://127.0.0.1/hdhr/news")
        device = root.find(f"{UPNP}device")
        assert device is not None
        found = {each.tag.removeprefix(UPNP): each.text for each in device}
        self.assertEqual(found["deviceType"], "urn:schemas-upnp-org:device:MediaServer:1")
        self.assertEqual(found["friendlyName"], "iptvd news")
        self.assertEqual(found["serialNumber"], self.told("/hdhr/news/discover.json")["DeviceID"])
        self.assertRegex(found["UDN"] or "", "^uuid:[0-9a-f-]{36}$")
        for name in ("manufacturer", "modelName", "modelNumber"):
            self.assertTrue(found[name], name)

    def test_head(self) -> None:
        """Only the head is sent where only that is asked for."""
        for path in ("/discover.json", "/lineup.json", "/device.xml", "/lineup_status.json"):
            answer = self.ask(path, "HEAD")
            self.assertEqual((answer.status, answer.body), (200, b""))

    def test_nothing_there(self) -> None:
        """What no tuner has is not there, nor is a tuner that is not set."""
        for path in (
            "/hdhr",
            "/hdhr/",
            "/hdhr/news",
            "/hdhr/news/",
            "/hdhr/sports/discover.json",
            "/hdhr/news/nothing.json",
            "/hdhr/%ff/discover.json",
            "/discover.json/x",
            "/auto",
        ):
            self.assertEqual(self.ask(path).status, 404, path)

    def test_off(self) -> None:
        """Where it is unset there are no tuners, and a sentence says so."""
        self.stage.tuners.configure(False)
        for path in ("/discover.json", "/lineup.json", "/device.xml", "/lineup_status.json", "/auto/v7"):
            answer = self.ask(path)
            self.assertEqual((answer.status, "the setting hdhomerun" in answer.text), (404, True), path)
        self.assertEqual(self.ask("/hdhr/all/discover.json").status, 404)

    def test_strangers(self) -> None:
        """Who may not watch is told nothing of it."""
        from_afar = ("X-Forwarded-For", "203.0.113.9")
        for path in ("/discover.json", "/lineup.json", "/device.xml", "/lineup_status.json", "/auto/v7"):
            answer = self.ask(path, "GET", from_afar)
            self.assertEqual((answer.status, "auto/v" in answer.text), (403, False), path)
        self.assertEqual(self.ask("/lineup.post?scan=start", "POST", from_afar, ("Content-Length", "0")).status, 403)
        self.assertEqual(self.stage.ends, [])


class UserTests(TunerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.stage.trust(trusted_networks=(ip_network("127.0.0.0/8"),), api_token="secret")
        self.stage.tuners.configure(True, TUNERS.from_toml(["bob?user=bob", "news?group=News"]))
        join(
            self.stage.admission,
            User("bob", "bobs-token", groups=("News",), max_connections=2),
            User("eve", "eves-token"),
        )

    def documents(self, prefix: str) -> tuple[Any, Any, str]:
        """The description of a tuner, its lineup, and what it tells of itself by UPnP."""
        device = self.told(f"{prefix}/discover.json")
        upnp = ElementTree.fromstring(self.ask(f"{prefix}/device.xml").body).findtext(f"{UPNP}URLBase")
        return device, self.told(f"{prefix}/lineup.json"), upnp or ""

    def test_with_a_token(self) -> None:
        """With a user's token in its address a tuner has what they may see, at addresses with their token."""
        base = "http://127.0.0.1/~bobs-token"
        device, lineup, upnp = self.documents("/~bobs-token")
        self.assertEqual((device["BaseURL"], device["LineupURL"], upnp), (base, f"{base}/lineup.json", base))
        self.assertEqual(device["TunerCount"], 2)
        self.assertEqual([(each["GuideName"], each["URL"]) for each in lineup], [
            ("One", f"{base}/auto/v7"), ("HLS", f"{base}/auto/v30"),
        ])  # fmt: skip
        other, lineup, _ = self.documents("/~eves-token/hdhr/news")
        self.assertEqual(other["BaseURL"], "http://127.0.0.1/~eves-token/hdhr/news")
        self.assertEqual([each["GuideName"] for each in lineup], ["One", "HLS"])
        ids = {self.told(f"/~{name}-token/discover.json")["DeviceID"] for name in ("bobs", "eves")}
        self.assertEqual(len(ids), 2)

    def test_own(self) -> None:
        """A user's own tuner needs no token in a trusted network, and all of its links have that user's."""
        device, lineup, upnp = self.documents("/hdhr/bob")
        base = "http://127.0.0.1/~bobs-token/hdhr/bob"
        self.assertEqual((device["BaseURL"], upnp), (base, base))
        self.assertEqual([each["URL"] for each in lineup], [f"{base}/auto/v7", f"{base}/auto/v30"])
        again, same, _ = self.documents("/~bobs-token/hdhr/bob")
        self.assertEqual((again, same), (device, lineup))
        self.assertEqual(self.told("/1/discover.json"), device)
        self.assertEqual(self.told("/hdhr/bob/lineup_status.json")["ScanPossible"], 1)
        scan = self.ask("/hdhr/bob/lineup.post?scan=start", "POST", ("Content-Length", "0"))
        self.assertEqual(scan.status, 200)

    def test_refused(self) -> None:
        """Without a token, and from elsewhere, nothing is told; nor is a user's tuner to another user."""
        afar = ("X-Forwarded-For", "203.0.113.9")
        for path in ("discover.json", "lineup.json", "device.xml", "lineup_status.json", "auto/v7"):
            for whole, headers, status in (
                (f"/{path}", (), 401),
                (f"/hdhr/news/{path}", (), 401),
                (f"/hdhr/bob/{path}", (afar,), 401),
                (f"/1/{path}", (afar,), 401),
                (f"/2/{path}", (), 401),
                (f"/~eves-token/hdhr/bob/{path}", (), 403),
            ):
                answer = self.ask(whole, "GET", *headers)
                self.assertEqual((answer.status, "bobs-token" in answer.text), (status, False), whole)
        self.assertEqual(self.stage.ends, [])

    def test_play(self) -> None:
        """What plays at a user's tuner is that user's, whoever asks for it; of other groups nothing plays."""
        for path in ("/hdhr/bob/auto/v7", "/~bobs-token/auto/v7"):
            client = self.stage.ask(path)
            self.stage.deliver([SECOND])
            self.assertIn(SECOND, client.body)
        self.assertEqual(len(self.stage.hub.of_user("bob")), 2)
        for path in ("/hdhr/bob/auto/v12", "/~bobs-token/auto/v12"):
            answer = self.ask(path)
            self.assertEqual((answer.status, answer.headers[ERROR]), (404, "801 Unknown Channel"))


class TuningTests(TunerTestCase):
    def tune(self, path: str, method: str = "GET") -> Client:
        return self.stage.ask(path, method=method)

    def refused(self, client: Client, status: int, error: str) -> Answer:
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers[ERROR]), (status, error))
        return answer

    def test_play(self) -> None:
        """A channel plays by its number, shared with all who watch it in other ways."""
        first, second = self.tune("/auto/v7"), self.tune("/hdhr/news/auto/v7?transcode=none")
        third = self.stage.ask(self.stage.path("One"))
        self.stage.deliver([SECOND])
        for client in (first, second, third):
            self.assertIn(b"Content-Type: video/mp2t\r\n", client.read())
            self.assertEqual(client.body, SECOND)
        self.assertEqual(self.stage.origins.asked, ["1"])

    def test_a_playlist(self) -> None:
        """A channel whose source is a playlist is MPEG-TS too."""
        client = self.tune("/auto/v30")
        self.stage.deliver([SECOND])
        self.assertEqual(client.body, SECOND)

    def test_head(self) -> None:
        """To tell the type nothing is opened."""
        answer = self.tune("/auto/v7", "HEAD").answer("HEAD")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "video/mp2t"))
        self.assertEqual(self.stage.origins.asked, [])

    def test_unknown(self) -> None:
        """What is not in the tuner's lineup is refused as a device does it."""
        for path in (
            "/auto/v8",
            "/auto/v0",
            "/auto/7",
            "/auto/v",
            "/auto/v7.1",
            "/auto/v7/x",
            "/auto/v40",
            "/auto/v60",
            "/hdhr/news/auto/v12",
            "/auto/v" + "9" * 5000,
        ):
            answer = self.refused(self.tune(path), 404, "801 Unknown Channel")
            self.assertIn("This tuner has no channel of that number", answer.text)
        self.assertEqual(self.stage.ends, [])

    def test_full(self) -> None:
        """When all streams are in use the next one is refused as a device does it; when one is free it plays."""
        self.stage.hub.max_streams = 1
        first = self.tune("/auto/v7")
        self.stage.deliver([SECOND])
        answer = self.refused(self.tune("/auto/v12"), 503, "805 All Tuners In Use")
        self.assertEqual(answer.headers["Retry-After"], "5")
        first.leave()
        second = self.tune("/auto/v12")
        self.stage.deliver([SECOND])
        self.assertEqual(second.body, SECOND)

    def test_no_connection_left(self) -> None:
        """Likewise when the provider's connections are all in use."""
        self.stage.limits["p"] = 1
        self.tune("/auto/v7")
        self.stage.deliver([SECOND])
        second = self.tune("/auto/v12")
        for _ in range(10):
            self.stage.loop.advance(ZAP / 4)
            self.stage.loop.settle()
        self.refused(second, 503, "805 All Tuners In Use")
        self.assertEqual(self.stage.outcomes(), ["refused"])

    def test_no_source(self) -> None:
        """A channel that cannot be had is told from one that does not exist."""
        self.stage.origins.script["1"] = [UpstreamError(504, "the origin does not answer")]
        answer = self.refused(self.tune("/auto/v7"), 504, "806 Tune Failed")
        self.assertIn("does not answer", answer.text)
        self.assertEqual(self.stage.outcomes(), ["exhausted"])
