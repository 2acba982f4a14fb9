"""What is shown of providers' channels instead of what they say, by way of the API."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.model import ChannelKind, Entry
from iptvd.overrides import KIND
from tests.doubles import result
from tests.web.managing import Managing

ONE = Entry("1", "One", group="News", number=1, logo="http://upstream.example.com/1.png")
TWO = Entry("2", "Two", group="Sport", number=2)
FILM = Entry("f", "Film", ChannelKind.VOD, extension="mp4")


class OverridingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self, ONE, TWO, FILM)
        self.ours = self.stage.channel("One").id
        self.path = f"/api/channels/{self.ours}"

    def kept(self) -> Any:
        return self.stage.admission.records.all(KIND).get(str(self.ours))

    def put(self, **fields: Any) -> dict[str, Any]:
        told: dict[str, Any] = self.stage.call("PUT", self.path, fields)
        return told

    def names(self, query: str = "") -> list[str]:
        return [each["name"] for each in self.stage.call("GET", f"/api/channels{query}")["channels"]]

    def test_changing_what_is_shown(self) -> None:
        """What is named is shown at once, and what was said is told to who manages."""
        told = self.put(name="First", group="Best", number=9, guide_id="first.example", logo="https://x.example/1.png")
        self.assertEqual((told["name"], told["group"], told["number"]), ("First", "Best", 9))
        self.assertEqual(told["override"]["guide_id"], "first.example")
        self.assertEqual(told["logo"], f"http://127.0.0.1/logo/{self.ours}")
        channel = self.stage.channel("First")
        self.assertEqual(
            (channel.id, channel.guide, channel.logo), (self.ours, "first.example", "https://x.example/1.png")
        )
        self.assertEqual(self.stage.call("GET", self.path), told)

    def test_some_more_and_some_back(self) -> None:
        """What is not named stays as it was said, null takes a field back, and with the last one nothing is kept."""
        self.put(name="First", group="Best", theirs=1)
        told = self.put(name=None, number=5)
        self.assertEqual((told["name"], told["override"]), ("One", {"group": "Best", "theirs": 1, "number": 5}))
        self.assertNotIn("override", self.put(group=None, number=None, theirs=None))
        self.assertIsNone(self.kept())

    def test_taking_it_back(self) -> None:
        """DELETE shows the channel as its provider has it; where nothing was said, nothing happens."""
        self.put(name="First")
        for _ in range(2):
            self.stage.call("DELETE", self.path, None, 204)
            self.assertEqual(self.names(), ["One", "Two", "Film"])

    def test_panels_names(self) -> None:
        """A panel's words for the same are understood; where both are said, ours count."""
        self.assertEqual(self.put(category="Best", is_active=True, tvg_id="x")["group"], "Best")
        self.assertEqual(self.kept(), {"group": "Best", "hidden": False, "guide_id": "x"})
        self.assertEqual(self.put(category="A", group="B")["group"], "B")
        self.assertTrue(self.put(is_active=False)["hidden"])

    def test_hidden(self) -> None:
        """A hidden channel is told to who manages and asks for it, and can be shown again."""
        self.assertTrue(self.put(hidden=True)["hidden"])
        self.assertEqual(self.names(), ["Two", "Film"])
        self.assertEqual(self.names("?hidden=true"), ["Two", "Film", "One"])
        self.assertEqual(self.stage.call("GET", self.path)["id"], self.ours)
        self.stage.trust(api_token="t")
        self.assertEqual(self.stage.send("GET", self.path).status, 404)
        self.stage.trust()
        self.put(hidden=None)
        self.assertEqual(self.names(), ["One", "Two", "Film"])

    def test_sent_back(self) -> None:
        """Who sends back all that they were told, with something changed in it, changes that alone."""
        told = self.stage.call("GET", self.path)
        self.put(**told)
        self.assertIsNone(self.kept())
        self.put(**{**told, "name": "First"})
        self.assertEqual(self.kept(), {"name": "First"})
        self.put(**{**self.stage.call("GET", self.path), "group": "Best"})
        self.assertEqual(self.kept(), {"name": "First", "group": "Best"})
        self.put(logo=told["logo"], name="One")
        self.assertEqual(self.kept(), {"name": "One", "group": "Best"})

    def test_numbers(self) -> None:
        """A number is given once; who had it before gets the one that has become free."""
        self.put(number=2)
        self.assertEqual((self.stage.channel("One").number, self.stage.channel("Two").number), (2, 1))
        other = f"/api/channels/{self.stage.channel('Two').id}"
        self.assertEqual(self.stage.refused("PUT", other, {"number": 2})[0], 409)
        self.put(number=2)
        film = f"/api/channels/{self.stage.channel('Film').id}"
        self.assertEqual(self.stage.refused("PUT", film, {"number": 3})[0], 422)

    def test_gone_for_a_while(self) -> None:
        """What was said of a channel that is gone stays, can be changed and taken back."""
        self.put(name="First")
        self.stage.entries = (TWO,)
        result(self.stage.admission.records.put(KIND, "1", {}))
        self.assertEqual(self.names(), ["Two"])
        told = self.stage.call("PUT", self.path, {"group": "Best"})
        self.assertEqual((told["id"], told["override"]), (self.ours, {"name": "First", "group": "Best"}))
        self.stage.entries = (evolve(ONE, name="Renamed"), TWO)
        result(self.stage.admission.records.put(KIND, "1", {}))
        self.assertEqual(self.names(), ["First", "Two"])
        self.stage.entries = (TWO,)
        self.stage.call("DELETE", self.path, None, 204)
        self.assertEqual(self.stage.refused("DELETE", self.path)[0], 404)

    def test_mistakes(self) -> None:
        """What cannot be said of a provider's channel is refused with the field, and nothing is kept."""
        for field, value in (
            ("number", 0),
            ("number", 1_000_000),
            ("name", ""),
            ("group", 1),
            ("logo", "ftp://canary"),
            ("hidden", "yes"),
            ("sources", "home"),
            ("sources", ["x" * 65]),
            ("source_url", "http://canary.example.com/"),
            ("headers", {"a": "canary"}),
        ):
            answer = self.stage.send("PUT", self.path, {field: value})
            self.assertEqual(answer.status, 422, field)
            self.assertTrue(json.loads(answer.plain)["errors"][0]["field"].startswith(field), answer.plain)
            self.assertNotIn("canary", answer.plain)
        self.assertIsNone(self.kept())

    def test_no_such_channel(self) -> None:
        """There is nothing to say of a channel that never was."""
        for name in ("1", "0", "99999999999", "x", "%00"):
            for method in ("PUT", "DELETE"):
                self.assertEqual(self.stage.refused(method, f"/api/channels/{name}", {"name": "x"})[0], 404, name)
