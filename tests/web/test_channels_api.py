"""The channels and their programmes, as they are told over HTTP."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from iptvd.model import ChannelKind, Entry, Programme
from tests.doubles import folder_for, join
from tests.epg.guide import Shown
from tests.web.building import BASE, STRANGER, UPSTREAM, entries, lineup_of, query
from tests.web.on_air import HOUR, NOW, OnAir

RADIO = Entry("radio", "Ráadio", ChannelKind.RADIO, group="Radio")


class ChannelsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = OnAir(folder_for(self), lineup_of(*entries(25), RADIO))
        self.addCleanup(self.tree.reader.close)

    def page(self, **arguments: str) -> dict[str, Any]:
        page: dict[str, Any] = self.tree.tell("/api/channels" + query(**arguments))
        return page

    def names(self, **arguments: str) -> list[str]:
        return [channel["name"] for channel in self.page(**arguments)["channels"]]

    def test_a_channel(self) -> None:
        """A channel has its id, number, name, group, the playlist's tvg-id, and our own links."""
        channel = self.page()["channels"][0]
        ours = self.tree.ids[0]
        self.assertEqual(
            channel,
            {
                "id": ours,
                "number": 1,
                "name": "Channel 1",
                "group": "Group 0",
                "kind": "live",
                "tvg_id": "channel1.test",
                "logo": f"{BASE}/logo/{ours}",
                "stream": f"{BASE}/stream/{ours}.ts",
                "providers": ["home"],
                "status": {"state": "unknown"},
            },
        )
        self.assertEqual(self.tree.tell(f"/api/channels/{ours}"), channel)

    def test_no_secrets(self) -> None:
        """Nothing of where a channel comes from is told."""
        for path in ("/api/channels", f"/api/channels/{self.tree.ids[0]}"):
            text = self.tree.ask(path).plain
            self.assertNotIn(UPSTREAM, text)
            self.assertNotIn("secret", text)

    def test_without_a_tvg_id(self) -> None:
        """A channel that has no tvg-id of its own has the one that the playlist gives it."""
        (radio,) = self.page(type="radio")["channels"]
        self.assertEqual(radio["tvg_id"], f"{radio['id']}.iptvd")

    def test_pages(self) -> None:
        """Channels come page by page, in their order, with how many there are in all."""
        page = self.page(limit="10", offset="20")
        self.assertEqual((page["offset"], page["limit"], page["total"]), (20, 10, 26))
        self.assertEqual([each["name"] for each in page["channels"]][:2], ["Channel 21", "Channel 22"])
        self.assertEqual(len(page["channels"]), 6)
        self.assertEqual(self.page(offset="26")["channels"], [])
        self.assertEqual(len(self.page()["channels"]), 26)

    def test_filters(self) -> None:
        """Channels are chosen as in the playlist, and by words in their names."""
        self.assertEqual(self.names(group="Group 2"), [f"Channel {number}" for number in range(21, 26)])
        self.assertEqual(self.names(type="radio"), ["Ráadio"])
        self.assertEqual(self.names(provider="nobody"), [])
        self.assertEqual(self.names(q="NEL 25"), ["Channel 25"])
        self.assertEqual(self.page(q="channel 2", limit="2")["total"], 8)
        for words in ("type=film", "limit=0", "limit=501", "offset=-1", "q=" + "x" * 201):
            self.assertEqual(self.tree.ask(f"/api/channels?{words}").status, 400, words)

    def test_a_large_lineup(self) -> None:
        """In a lineup of many channels the page, the filter and the count are right as well."""
        self.tree.shown.lineup = lineup_of(*entries(1234))
        page = self.page(offset="998", limit="4")
        self.assertEqual([each["name"] for each in page["channels"]], [f"Channel {n}" for n in range(999, 1003)])
        self.assertEqual(page["total"], 1234)

    def test_now_and_next(self) -> None:
        """A channel tells what is on and what comes next, where that is known."""
        self.tree.guide(
            Shown("a", NOW - 60, NOW + 60, "On now", "<desc>What it is</desc>"),
            Shown("a", NOW + 60, NOW + HOUR, "Then"),
            Shown("b", NOW + HOUR, NOW + 2 * HOUR, "Later"),
        )
        first, second, third = self.page(limit="3")["channels"]
        self.assertEqual(
            first["now"],
            {
                "title": "On now",
                "start": "2030-03-17T17:46:00Z",
                "end": "2030-03-17T17:48:00Z",
                "description": "What it is",
            },
        )
        self.assertEqual(first["next"]["title"], "Then")
        self.assertNotIn("now", second)
        self.assertEqual(second["next"]["title"], "Later")
        self.assertFalse({"now", "next"} & third.keys())
        self.assertEqual(self.tree.tell(f"/api/channels/{first['id']}"), first)

    def test_status(self) -> None:
        """A channel tells how it did last, and why; never where it comes from."""
        one, other = self.tree.ids[:2]
        self.tree.reach.bad(one, f"http://user:secret@{UPSTREAM}/1.ts answers 404")
        self.tree.reach.good(other)
        first, second = self.page(limit="2")["channels"]
        when = "2030-03-17T17:47:00Z"
        self.assertEqual(
            first["status"], {"state": "failing", "reason": "(its address) answers 404", "last_tried": when}
        )
        self.assertEqual(second["status"], {"state": "ok", "last_seen": when, "last_tried": when})

    def test_what_is_not_there(self) -> None:
        """A channel that is not there is a 404 that says where the others are."""
        for name in ("0", "x", "99999999999", "-1", "%C2%B2", "1.ts", "2147483647"):
            for path in (f"/api/channels/{name}", f"/api/channels/{name}/programmes"):
                answer = self.tree.ask(path)
                self.assertEqual(answer.status, 404, path)
                self.assertIn("/api/channels", answer.text)
        self.assertEqual(self.tree.ask(f"/api/channels/{self.tree.ids[0]}/x").status, 404)
        self.assertEqual(self.tree.ask("/api/channels/").status, 200)
        self.assertEqual(self.tree.ask("/api/channels", peer=STRANGER).status, 403)


class UserTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = OnAir(folder_for(self), lineup_of(*entries(25)))
        self.addCleanup(self.tree.reader.close)
        join(self.tree.admission, User("bob", "bobs-token", groups=("Group 1",)), User("eve", "eves-token"))

    def test_groups(self) -> None:
        """A user has the channels of their groups, counted as if there were no others, with links of their own."""
        page = self.tree.tell("/~bobs-token/api/channels?limit=5&offset=1")
        self.assertEqual([each["name"] for each in page["channels"]], [f"Channel {n}" for n in range(12, 17)])
        self.assertEqual(page["total"], 10)
        channel = page["channels"][0]
        for name in ("stream", "logo"):
            self.assertTrue(channel[name].startswith(f"{BASE}/~bobs-token/"))
        self.assertEqual(self.tree.tell("/api/channels?token=bobs-token&group=Group+0")["total"], 0)
        self.assertEqual(self.tree.tell("/~eves-token/api/channels")["total"], 25)
        self.assertEqual(self.tree.ask("/api/channels").status, 401)

    def test_one_of_another_group(self) -> None:
        """A channel of another group is not there, nor are its programmes and its logo."""
        theirs, other = self.tree.ids[10], self.tree.ids[0]
        for path in ("/api/channels/{}", "/api/channels/{}/programmes", "/logo/{}"):
            self.assertEqual(self.tree.ask("/~bobs-token" + path.format(theirs)).status, 200, path)
            self.assertEqual(self.tree.ask("/~bobs-token" + path.format(other)).status, 404, path)
            self.assertEqual(self.tree.ask("/~eves-token" + path.format(other)).status, 200, path)


class ProgrammesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = OnAir(folder_for(self))
        self.addCleanup(self.tree.reader.close)
        self.tree.guide(*(Shown("a", NOW + n * HOUR, NOW + (n + 1) * HOUR, f"Hour {n}") for n in range(-30, 60)))
        self.first, self.second, _ = self.tree.ids

    def titles(self, channel: int, **arguments: str) -> list[str]:
        told = self.tree.tell(f"/api/channels/{channel}/programmes" + query(**arguments))
        self.assertEqual(told["channel"]["id"], channel)
        return [each["title"] for each in told["programmes"]]

    def test_a_day(self) -> None:
        """Without times, it is what comes within a day."""
        self.assertEqual(self.titles(self.first), [f"Hour {n}" for n in range(24)])

    def test_times(self) -> None:
        """Between two times it is all that is on at some moment in between, what is over too."""
        times = {"from": str(NOW - 2 * HOUR + 1), "to": str(NOW + 1)}
        self.assertEqual(self.titles(self.first, **times), ["Hour -2", "Hour -1", "Hour 0"])
        self.assertEqual(self.titles(self.first, to=str(NOW + 60)), ["Hour 0"])
        self.assertEqual(len(self.titles(self.first, **{"from": str(NOW - 10 * HOUR)})), 24)

    def test_refused(self) -> None:
        """Times that are in the wrong order, or too far apart, are refused."""
        path = f"/api/channels/{self.first}/programmes"
        for words in (f"to={NOW}", "to=0", f"from={NOW}&to={NOW + 16 * 24 * HOUR}", "from=x", "to=x"):
            self.assertEqual(self.tree.ask(f"{path}?{words}").status, 400, words)

    def test_what_the_provider_tells(self) -> None:
        """Where no guide has the channel its provider is asked, and only then."""
        self.tree.short = [
            Programme(NOW - HOUR, NOW + HOUR, "From the provider"),
            Programme(NOW + 30 * HOUR, NOW + 31 * HOUR, "Too late"),
        ]
        self.titles(self.first)
        self.assertEqual(self.tree.asked_short, [])
        self.assertEqual(self.titles(self.second), ["From the provider"])
        self.assertEqual(self.tree.asked_short, [self.second])
        self.tree.short = []
        self.assertEqual(self.titles(self.second), [])
