"""Where lists say that what was shown before is to be had."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.model import SourceKind
from iptvd.protocols import catchup
from iptvd.protocols.catchup import Moment, days_of, filled, of_xtream, recordings, templates

#: 2026-03-05 06:07:08 in UTC, for half an hour, asked for an hour and a second later.
MOMENT = Moment(1_772_690_828, 1800, 1_772_694_429)
XTREAM = "http://tv.test:8080/live/u%40x/p/77.ts"
KINDS = ["default", "append", "shift", "timeshift", "flussonic", "flussonic-hls", "fs", "xc", "vod", "disabled", ""]


def told(**attributes: str) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", "-"), value) for name, value in attributes.items())


class DaysTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """A channel has a past when its list says how that is asked for, in whatever words."""
        for attributes in (
            told(catchup="default", catchup_source="x"),
            told(catchup=" Shift "),
            told(catchup_type="append"),
            told(catchup_source="http://a.test/{utc}"),
            told(tvg_rec="3"),
            told(timeshift="3"),
        ):
            self.assertIsNotNone(days_of(attributes), attributes)

    def test_not_kept(self) -> None:
        """Words that nobody knows, and none at all, are no past."""
        for attributes in (
            (),
            told(catchup="disabled"),
            told(catchup_days="5"),
            told(timeshift="0"),
            told(tvg_rec="x"),
        ):
            self.assertIsNone(days_of(attributes), attributes)

    def test_how_long(self) -> None:
        """How many days it goes back is what the list says; nobody is believed more than a year."""
        for attributes, days in (
            (told(catchup="xc", catchup_days="7"), 7),
            (told(catchup="xc", catchup_days="0", tvg_rec="4"), 4),
            (told(catchup="xc", timeshift=" 5"), 5),
            (told(catchup="xc", catchup_days="99999"), catchup.MOST_DAYS),
            (told(catchup="xc", catchup_days="-1"), 0),
            (told(catchup="xc"), 0),
        ):
            self.assertEqual(days_of(attributes), days, attributes)


class TemplateTests(SynchronousTestCase):
    def of(self, url: str, **attributes: str) -> tuple[str, ...]:
        return templates(told(**attributes), url)

    def test_default(self) -> None:
        """A template of its own is used as it is, without a player's options behind it."""
        found = self.of("http://a.test/1", catchup="default", catchup_source="http://b.test/{utc}|User-Agent=x")
        self.assertEqual(found, ("http://b.test/{utc}",))

    def test_append(self) -> None:
        """What is to be appended is, and an address has only one question mark."""
        source = "?utc={utc}"
        self.assertEqual(
            self.of("http://a.test/1", catchup="append", catchup_source=source), ("http://a.test/1" + source,)
        )
        found = self.of("http://a.test/1?t=2", catchup="append", catchup_source=source)
        self.assertEqual(found, ("http://a.test/1?t=2&utc={utc}",))
        found = self.of("http://a.test/1", catchup="append", catchup_source="-{utc}.ts")
        self.assertEqual(found, ("http://a.test/1-{utc}.ts",))

    def test_shift(self) -> None:
        """A shifted address says when it is to begin, and what the time is now."""
        self.assertEqual(self.of("http://a.test/1", catchup="shift"), ("http://a.test/1?utc={utc}&lutc={lutc}",))
        self.assertEqual(self.of("http://a.test/1?b", tvg_rec="2"), ("http://a.test/1?b&utc={utc}&lutc={lutc}",))

    def test_flussonic(self) -> None:
        """Flussonic has the past beside the channel, under the same token, as a stream or a playlist."""
        for url, found in (
            (
                "http://a.test/151/mpegts?token=t",
                (
                    "http://a.test/151/archive-{utc}-{duration}.ts?token=t",
                    "http://a.test/151/timeshift_abs-{utc}.ts?token=t",
                ),
            ),
            (
                "http://a.test/x/151/index.m3u8",
                (
                    "http://a.test/x/151/index-{utc}-{duration}.m3u8",
                    "http://a.test/x/151/timeshift_rel-{offset:1}.m3u8",
                ),
            ),
            (
                "https://a.test/151/mono.m3u8?t",
                (
                    "https://a.test/151/mono-{utc}-{duration}.m3u8?t",
                    "https://a.test/151/mono-timeshift_rel-{offset:1}.m3u8?t",
                ),
            ),
            ("http://a.test/mpegts", ()),
            ("http://a.test/151/live", ()),
        ):
            for kind in ("flussonic", "fs", "flussonic-hls", "flussonic-ts"):
                self.assertEqual(self.of(url, catchup=kind), found, url)

    def test_xtream(self) -> None:
        """A panel's channel has its past in the panel's folders, also where the list only says that there is one."""
        ways = (
            "http://tv.test:8080/timeshift/u%40x/p/{duration:60}/{Y}-{m}-{d}:{H}-{M}/77.ts",
            "http://tv.test:8080/streaming/timeshift.php?username=u%40x&password=p&stream=77"
            "&start={Y}-{m}-{d}:{H}-{M}&duration={duration:60}",
        )
        for kind in ("xc", "default", "append"):
            self.assertEqual(self.of(XTREAM, catchup=kind), ways)
        self.assertEqual(self.of("http://tv.test:8080/u%40x/p/77", catchup="xc"), ways)
        playlist = self.of("https://tv.test/in/live/u/p/7.m3u8?x", catchup="xc")
        self.assertEqual(playlist[0], "https://tv.test/in/timeshift/u/p/{duration:60}/{Y}-{m}-{d}:{H}-{M}/7.m3u8")
        for url in ("http://tv.test/1.ts", "http://tv.test/a/b/c.ts", "udp://239.0.0.1:1234"):
            self.assertEqual(self.of(url, catchup="xc"), ())

    def test_braces_of_an_account(self) -> None:
        """A password with braces in it is a password."""
        (path, query) = of_xtream("http://tv.test", "{utc}", "{Y}/", 7, "ts")
        for way in (path, query):
            self.assertNotIn("1772690828", filled(way, MOMENT))
            self.assertIn("%7BY%7D%2F", way)
        self.assertEqual(
            self.of("http://a.test/{utc}", catchup="shift")[0], "http://a.test/%7Butc%7D?utc={utc}&lutc={lutc}"
        )

    def test_ids(self) -> None:
        """What goes by an id of the list's own is to be had where the list tells it."""
        source = "http://a.test/{catchup-id}"
        self.assertEqual(self.of("http://a.test/1", catchup="vod", catchup_source=source), ())
        self.assertEqual(self.of("http://a.test/1", catchup="vod", catchup_source=source, catchup_id="7"), (source,))
        self.assertEqual(self.of("http://a.test/1", catchup="vod"), ())

    def test_nothing(self) -> None:
        """A channel without a past has no address of it."""
        self.assertEqual(self.of(XTREAM), ())
        self.assertEqual(self.of(XTREAM, catchup="disabled", catchup_source="http://a.test/{utc}"), ())


class FillingTests(SynchronousTestCase):
    def fill(self, template: str, **attributes: str) -> str:
        return filled(template, MOMENT, UTC, told(**attributes))

    def test_placeholders(self) -> None:
        """Every placeholder that players know stands for what it does there, in either way of writing."""
        for name, value in {
            "utc": "1772690828",
            "start": "1772690828",
            "utcend": "1772692628",
            "end": "1772692628",
            "lutc": "1772694429",
            "now": "1772694429",
            "timestamp": "1772694429",
            "duration": "1800",
            "duration:1": "1800",
            "offset": "3601",
            "offset:1": "3601",
            "offset:60": "61",
            "Y": "2026",
            "m": "03",
            "d": "05",
            "H": "06",
            "M": "07",
            "S": "08",
            "utc:YmdHMS": "20260305060708",
            "end:H:M": "06:37",
            "lutc:Y-m-d?": "2026-03-05%3F",
        }.items():
            for template in (f"{{{name}}}", f"${{{name}}}"):
                self.assertEqual(self.fill(template), value, template)

    def test_whole_minutes(self) -> None:
        """So many minutes from the full one are asked for that nothing of the end is missing."""
        self.assertEqual(self.fill("{duration:60}"), "31")
        self.assertEqual(filled("{duration:60}", Moment(1200, 1800, 9999)), "30")
        self.assertEqual(filled("{duration:60}", Moment(1259, 1, 9999)), "1")
        self.assertEqual(filled("{offset}", Moment(50, 1, 40)), "0")

    def test_others(self) -> None:
        """What is no placeholder stays as it is."""
        for text in (
            "{foo}",
            "{utc",
            "$utc",
            "{}",
            "{duration:0}",
            "{duration:x}",
            "{Y:1}",
            "{UTC}",
            "{catchup-id:1}",
        ):
            self.assertEqual(self.fill(text), text)

    def test_zone(self) -> None:
        """Dates are written as the server has them; seconds since the epoch are the same everywhere."""
        zone = ZoneInfo("America/New_York")
        self.assertEqual(filled("{Y}-{m}-{d}:{H}-{M} {utc}", MOMENT, zone), "2026-03-05:01-07 1772690828")
        self.assertEqual(filled("{H}:{M}", MOMENT, timezone(timedelta(minutes=330))), "11:37")

    def test_correction(self) -> None:
        """A list can say by how many hours its times are off."""
        self.assertEqual(
            self.fill("{utc} {H} {end} {now}", catchup_correction="-1.5"), "1772696228 07 1772698028 1772694429"
        )
        for wrong in ("x", "", "1e9", "99999"):
            self.assertEqual(self.fill("{utc}", catchup_correction=wrong), "1772690828")

    def test_id(self) -> None:
        """The channel's own id cannot be anything but one part of an address."""
        self.assertEqual(self.fill("/{catchup-id}/", catchup_id="a/b?c&d é#"), "/a%2Fb%3Fc%26d%20%C3%A9%23/")

    @example("{utc}{catchup-id}", "{utc}")
    @given(st.text(), st.text())
    def test_any(self, template: str, own_id: str) -> None:
        """Whatever a list writes, only numbers, dates and ids that are one part of an address come in."""
        text = filled(template, MOMENT, UTC, told(catchup_id=own_id))
        fixed = re.split(r"\$?\{[A-Za-z-]{1,16}(?::[^{}]{1,64})?\}", template)
        position = 0
        for part in fixed:
            at = text.find(part, position)
            self.assertGreaterEqual(at, 0)
            position = at + len(part)
        if len(fixed) == 1:
            self.assertEqual(text, template)


class RecordingTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """A past comes as a playlist or as a file, as its address tells."""
        source = "http://a.test/{utc}/index.m3u8"
        found = recordings(told(catchup="default", catchup_source=source), "http://a.test/1", "", MOMENT, UTC)
        self.assertEqual(found, [(SourceKind.HLS, "http://a.test/1772690828/index.m3u8")])
        found = recordings(told(catchup="xc"), XTREAM, "", MOMENT, UTC)
        self.assertEqual([kind for kind, _ in found], [SourceKind.VOD, SourceKind.VOD])
        self.assertEqual(found[0][1], "http://tv.test:8080/timeshift/u%40x/p/31/2026-03-05:06-07/77.ts")
        found = recordings(told(catchup="shift"), "http://a.test/1", "hls", MOMENT, UTC)
        self.assertEqual(found[0][0], SourceKind.HLS)

    def test_only_over_the_web(self) -> None:
        """A list cannot have anything else asked for: no file, no device, no other protocol."""
        for source in (
            "file:///etc/passwd?{utc}",
            "/etc/passwd",
            "udp://239.0.0.1:1/{utc}",
            "http://a.test/x.mpd",
            "-",
        ):
            found = recordings(told(catchup="default", catchup_source=source), "http://a.test/1", "", MOMENT, UTC)
            self.assertEqual(found, [], source)

    @given(
        st.sampled_from(KINDS), st.text(max_size=40), st.sampled_from([XTREAM, "http://a.test/1/mpegts", "udp://@:1"])
    )
    def test_any(self, kind: str, source: str, url: str) -> None:
        """Whatever a list says, what comes out is an address of the web, or nothing."""
        attributes = told(catchup=kind, catchup_source=source, catchup_days="3")
        for _, found in recordings(attributes, url, "", MOMENT, UTC):
            self.assertRegex(found, r"^https?://[!-~]+$")
