"""What an Xtream panel says of times."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError, ProviderError
from iptvd.model import Programme, ProviderState, SourceKind
from iptvd.protocols.catchup import Moment
from iptvd.protocols.xtream_guide import (
    LONGEST_DESCRIPTION,
    MOST_PROGRAMMES,
    guide_url,
    read_programmes,
    read_zone,
    recordings,
)
from tests.simulators.panel_content import programme

NOW = 1_772_690_400
HOUR = 3600


def body_of(*rows: object) -> bytes:
    return json.dumps({"epg_listings": rows}).encode()


def read(*rows: object, zone: tzinfo = UTC) -> list[Programme]:
    return read_programmes(body_of(*rows), zone, NOW)


class ZoneTests(SynchronousTestCase):
    def zone(self, **info: object) -> tzinfo:
        return read_zone(json.dumps({"user_info": {"auth": 1}, "server_info": info}).encode())

    def test_by_its_name(self) -> None:
        """A panel's times are in the zone that it names."""
        self.assertEqual(self.zone(timezone="Europe/London", time_now="x"), ZoneInfo("Europe/London"))

    def test_by_its_clock(self) -> None:
        """Where that is none, its clock tells, whole quarters of an hour from UTC."""
        for name in ("", None, "Nowhere/At all", "../etc/passwd", "/etc/passwd", "America", 5):
            zone = self.zone(timezone=name, time_now="2026-03-05 11:30:05", timestamp_now=NOW)
            self.assertEqual(zone, timezone(timedelta(hours=5, minutes=30)), name)

    def test_by_nothing(self) -> None:
        """A panel that tells nothing of use has UTC."""
        for info in (
            {},
            {"time_now": "2026-03-05 06:00:00"},
            {"time_now": "2026-13-05 06:00:00", "timestamp_now": NOW},
            {"time_now": "2026-03-09 06:00:00", "timestamp_now": str(NOW)},
            {"timestamp_now": NOW},
        ):
            self.assertIs(self.zone(**info), UTC)
        for body in (b"[]", b"", b"<html>", b'{"server_info": []}', b'{"user_info": {}, "server'):
            self.assertIs(read_zone(body), UTC)


class AddressTests(SynchronousTestCase):
    def test_guide(self) -> None:
        """The guide is asked for with the account, whatever signs are in it."""
        self.assertEqual(
            guide_url("http://tv.test", "a b", "c&d"), "http://tv.test/xmltv.php?username=a+b&password=c%26d"
        )

    def test_recordings(self) -> None:
        """What was shown is asked for by the panel's own clock, in whole minutes around it."""
        moment = Moment(NOW + 90, 40, NOW + HOUR)
        found = recordings("http://tv.test", "u", "p", 7, "ts", moment, ZoneInfo("Asia/Kolkata"))
        self.assertEqual(
            found,
            [
                (SourceKind.VOD, "http://tv.test/timeshift/u/p/2/2026-03-05:11-31/7.ts"),
                (
                    SourceKind.VOD,
                    "http://tv.test/streaming/timeshift.php?username=u&password=p&stream=7"
                    "&start=2026-03-05:11-31&duration=2",
                ),
            ],
        )
        found = recordings("http://tv.test", "u", "p", 7, "hls", moment, UTC)
        self.assertEqual(found[0], (SourceKind.HLS, "http://tv.test/timeshift/u/p/2/2026-03-05:06-01/7.m3u8"))


class ProgrammeTests(SynchronousTestCase):
    def test_in_order(self) -> None:
        """Programmes come in order, what is on first and without what is over, each time once."""
        rows = [programme(NOW + at * HOUR, NOW + (at + 1) * HOUR, f"P{at}") for at in (2, -2, -1, 0, 1, 1)]
        found = read(*rows)
        self.assertEqual([each.title for each in found], ["P0", "P1", "P2"])
        self.assertEqual((found[0].start, found[0].stop), (NOW, NOW + HOUR))

    def test_texts(self) -> None:
        """Texts come in base64, and plain too."""
        row = programme(NOW, NOW + HOUR, "Café & Co", "First line.\nSecond &amp; last.")
        self.assertEqual((read(row)[0].title, read(row)[0].description), ("Café & Co", "First line. Second & last."))
        for plain in ("News", "The News at 6", "Übersee", "abcd", "e\u00e9=="):
            (found,) = read({**row, "title": plain, "description": None})
            self.assertEqual((found.title, found.description), (plain, ""))

    def test_long_texts(self) -> None:
        """Texts without an end are cut."""
        words = "word " * 5000
        row = {**programme(NOW, NOW + HOUR, "x" * 5000, words), "start": 5}
        (found,) = read(row)
        self.assertEqual(len(found.title), 200)
        self.assertTrue(LONGEST_DESCRIPTION - 5 < len(found.description) <= LONGEST_DESCRIPTION)

    def test_times_of_the_panel(self) -> None:
        """Without seconds since the epoch the panel's own clock is read."""
        row = {"title": "x", "start": "2026-03-05 11:30:00", "end": "2026-03-05 12:30"}
        (found,) = read(row, zone=ZoneInfo("Asia/Kolkata"))
        self.assertEqual((found.start, found.stop), (NOW, NOW + HOUR))

    def test_what_is_none(self) -> None:
        """A row that is no programme costs no other one."""
        good = programme(NOW, NOW + HOUR, "Good")
        bad: list[object] = [
            None,
            "x",
            [],
            {},
            {**good, "title": ""},
            {**good, "title": 5.5, "stop_timestamp": NOW},
            {**good, "start_timestamp": "x", "start": "yesterday"},
            {**good, "start_timestamp": 0, "start": "0001-01-01 00:00:00"},
            {**good, "start_timestamp": "", "start": "2026-02-31 00:00:00"},
            {**good, "stop_timestamp": 10**14},
            {**good, "title": b64encode(b"\xff\xfe").decode(), "stop_timestamp": 1},
        ]
        self.assertEqual([each.title for each in read(*bad, good)], ["Good"])
        zone = timezone(timedelta(hours=14))
        self.assertEqual(read({**good, "start_timestamp": 0, "start": "0001-01-01 00:00:00"}, zone=zone), [])

    def test_nothing(self) -> None:
        """A channel of which nothing is known has no programmes, however that is written."""
        for body in (b"[]", b"{}", b"null", b" false\n", b'""', b'{"epg_listings": null}', b'{"epg_listings": {}}'):
            self.assertEqual(read_programmes(body, UTC, NOW), [], body)

    def test_as_an_object(self) -> None:
        """A list that comes as an object is read like one."""
        body = json.dumps({"epg_listings": {"3": programme(NOW, NOW + HOUR, "A")}, "more": [1]}).encode()
        self.assertEqual([each.title for each in read_programmes(body, UTC, NOW)], ["A"])

    def test_many(self) -> None:
        """No more are taken than somebody looks at."""
        rows = [programme(NOW + at, NOW + at + HOUR, "x") for at in range(MOST_PROGRAMMES + 50)]
        self.assertEqual(len(read(*rows)), MOST_PROGRAMMES)

    def test_no_json(self) -> None:
        """What is no JSON, and a login in its place, is an error."""
        for body in (b"<html>", b"", b'{"epg_listings": [{'):
            self.assertRaises(ProtocolError, read_programmes, body, UTC, NOW)
        error = self.assertRaises(ProviderError, read_programmes, b'{"user_info": {"auth": 0}}', UTC, NOW)
        self.assertIs(error.state, ProviderState.AUTH_FAILED)

    @given(st.recursive(st.none() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists))
    def test_any(self, value: object) -> None:
        """Whatever stands in a row, what comes out are programmes."""
        names = ("title", "description", "start", "end", "start_timestamp", "stop_timestamp")
        for name in names:
            for found in read({**programme(NOW, NOW + HOUR, "Good"), name: value}):
                self.assertLess(found.start, found.stop)
                datetime.fromtimestamp(found.stop, UTC)
                self.assertTrue(found.title)
