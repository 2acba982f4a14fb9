"""What is kept of channels, and the channels in the lineup that it is of."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd import overrides, own_channels
from iptvd.identity import Identities
from iptvd.kept_provider import NAME, key_of
from iptvd.lineup import Assembly, Lineup
from iptvd.lineup_service import LineupService
from iptvd.model import Channel, Entry
from iptvd.rules import Rules
from iptvd.web.kept_channels import KeptChannels, as_channel, name_of
from tests.doubles import Kept, admission, result

ONE, TWO = Entry("1", "One", tvg_id="one.test"), Entry("2", "Two", tvg_id="two.test")
SOURCE = "http://origin.test/a.ts"


class Merging:
    """A lineup of which channels are put together that have one tvg-id."""

    def __init__(self) -> None:
        self._identities = Identities()
        self.lineup = Lineup((), {}, "")

    def take(self, *own: Entry) -> None:
        """Have these beside what a provider lists."""
        assembly = Assembly([("home", (ONE, TWO)), (NAME, own)], Rules(()), self._identities, True)
        for _ in assembly.steps():
            pass
        self.lineup = assembly.lineup

    def channel_of(self, provider: str, key: str) -> Channel | None:
        return LineupService.channel_of(cast(Any, self), provider, key)


class KeptChannelsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.records = admission(Clock(), Kept()).records
        self.lineup = Merging()
        self.kept = KeptChannels(self.records, cast(LineupService, self.lineup))
        self.lineup.take()

    def own(self, name: str, **more: Any) -> Entry:
        """Keep a channel of one's own."""
        record = {"channel_id": name, "name": name.title(), "source_url": SOURCE, **more}
        result(self.records.put(own_channels.KIND, name, record))
        entry = own_channels.entry_of_channel(name, record)
        return Entry(key_of(own_channels.KIND, name), entry.name, tvg_id=entry.tvg_id)

    def found(self, name: str, hidden: bool = False) -> str | None:
        channel = self.kept.find(name, hidden)
        return channel.name if channel is not None else None

    def test_by_name_and_by_id(self) -> None:
        """An own channel is found by what its panel calls it and by our id, others by our id alone."""
        self.lineup.take(self.own("news"))
        channel = self.kept.find("news")
        assert channel is not None
        self.assertEqual((self.found(str(channel.id)), name_of(channel)), ("News", "news"))
        self.assertEqual(self.kept.own(str(channel.id)), self.kept.own("news"))
        one = self.lineup.lineup.channels[0]
        self.assertEqual((self.found(str(one.id)), name_of(one), self.kept.own(str(one.id))), ("One", "", None))
        for name in ("One", "0", "-1", str(2**31 - 1), ""):
            self.assertIsNone(self.found(name, hidden=True), name)

    def test_merged(self) -> None:
        """An own channel that is one with a provider's, by its tvg-id, is found as that."""
        self.lineup.take(self.own("mine", tvg_id="two.test"))
        self.assertEqual(len(self.lineup.lineup.channels), 2)
        self.assertEqual((self.found("mine"), self.found("mine", hidden=True)), ("Two", "Two"))

    def test_switched_off(self) -> None:
        """One that is switched off is there for who manages alone, and so is a damaged one for nobody."""
        self.own("off", tvg_id="one.test", is_active=False)
        self.own("on")
        self.assertEqual((self.found("off"), self.found("off", hidden=True)), (None, "Off"))
        self.assertEqual([one and one.name for one in self.kept.inactive()], ["Off", None])
        self.assertIsNone(as_channel("x", {"name": 5}))

    def test_what_is_told(self) -> None:
        """Of an own channel all is told that was kept, of another what is shown instead."""
        self.lineup.take(self.own("news", quality="high", logo="http://origin.test/l.png"))
        channel = self.kept.find("news")
        assert channel is not None
        facts = {"id": channel.id, "name": "News", "logo": "/logo/1", "stream": "/stream/1.ts"}
        told = self.kept.told(channel, facts)
        self.assertEqual((told["quality"], told["logo"], told["id"]), ("high", "http://origin.test/l.png", channel.id))
        one = self.lineup.lineup.channels[0]
        self.assertEqual(self.kept.told(one, facts), facts)
        result(self.records.put(overrides.KIND, str(one.id), {"hidden": True, "name": "First"}))
        told = self.kept.told(one, facts)
        self.assertEqual((told["hidden"], told["override"]), (True, {"hidden": True, "name": "First"}))
