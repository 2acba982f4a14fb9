"""All guides together, and what channels show linked to them."""

from __future__ import annotations

from pathlib import Path

from iptvd.epg.child import DAMAGED
from iptvd.epg.guides import FIRST_RETRY, GuideSource, Terms, sources_of
from iptvd.lineup import Lineup
from iptvd.model import Event, GuideFile, ProviderState
from tests.epg.epg_case import ADDRESS, TERMS, EpgCase


class EpgServiceTests(EpgCase):
    def test_fetched_imported_and_linked(self) -> None:
        """A guide is fetched, taken in, and what channels show is linked to it; the download is gone afterwards."""
        self.start(ADDRESS)
        ((database, name, path, *terms),) = self.children.of("importing")
        self.assertEqual((database, name, terms), (str(self.service.database), "epg 1", ["--days", "3"]))
        self.assertFalse(Path(path).exists())
        (status,) = self.service.statuses
        self.assertEqual(
            (status.state, status.sentence, status.channels, status.programmes, status.skipped),
            (ProviderState.OK, "", 1, 2, {"no title": 3}),
        )
        self.assertEqual(self.children.rows[0], {"guides": {"epg 1": []}})

    def test_before_the_first_lineup(self) -> None:
        """Until there is a lineup, what was linked last stays."""
        self.lineup = Lineup()
        self.start(ADDRESS)
        self.assertEqual(self.children.of("linking"), [])
        self.lineup = Lineup(revision="one")
        self.events = [("site", Event("k", "Ann vs Bob", 60.0, None, "Tennis", ("1",)))]
        self.service.relink()
        self.assertEqual(
            self.children.rows,
            [
                {"guides": {"epg 1": []}},
                {
                    "event": {
                        "provider": "site",
                        "key": "k",
                        "title": "Ann vs Bob",
                        "start": 60.0,
                        "stop": None,
                        "category": "Tennis",
                        "channels": ["1"],
                    }
                },
            ],
        )

    def test_linking_is_tried_again(self) -> None:
        """When it fails it is tried again after some minutes."""
        self.children.says["linking"] = (1, {})
        self.start()
        self.assertEqual(len(self.children.of("linking")), 1)
        self.children.says["linking"] = (0, {})
        self.advance(400.0)
        self.assertEqual(len(self.children.of("linking")), 2)

    def test_other_settings(self) -> None:
        """A guide that stays goes on; one that is gone is not asked for any more, and the lineup is linked anew."""
        self.start(ADDRESS, ADDRESS + "2")
        asked, linked = len(self.web.asked), len(self.children.of("linking"))
        self.service.configure(sources_of([ADDRESS], {}), TERMS)
        self.assertEqual((len(self.web.asked), len(self.children.of("linking"))), (asked, linked + 1))
        self.assertEqual([status.name for status in self.service.statuses], ["epg 1"])
        self.service.configure([GuideSource("epg 1", GuideFile(ADDRESS))], Terms(60.0, (), 1))
        self.assertEqual(len(self.web.asked), asked + 1)

    def test_a_guide_that_comes_back(self) -> None:
        """A guide that was taken out of the settings is fetched whole when it is there again, also after a restart."""
        self.start(ADDRESS)
        self.service.database.write_bytes(b"")
        for restart in (False, True):
            self.service.configure([], TERMS)
            if restart:
                self.service.stopService()
                self.service = self.make()
                self.start(ADDRESS)
            else:
                self.service.configure(sources_of([ADDRESS], {}), TERMS)
            self.assertEqual(self.web.asked[-1], (ADDRESS, ()))

    def test_a_damaged_database(self) -> None:
        """It is set aside and made anew from the guides, without anybody's help."""
        self.start(ADDRESS)
        self.service.database.write_bytes(b"damaged")
        self.children.says["linking"] = (DAMAGED, {})
        self.service.relink()
        self.assertFalse(self.service.database.exists())
        self.assertEqual(self.service.database.with_name("guide.db.damaged").read_bytes(), b"damaged")
        self.assertEqual(self.web.asked[-1], (ADDRESS, ()))
        self.assertEqual(len(self.children.of("importing")), 2)
        self.children.says["linking"] = (0, {})
        self.advance(400.0)
        self.children.says["importing"] = (DAMAGED, {})
        self.service.refresh()
        self.advance(FIRST_RETRY)
        self.assertEqual(self.web.asked[-1], (ADDRESS, ()))

    def test_a_damaged_file_of_what_is_known(self) -> None:
        """Then the guides are taken in anew."""
        self.start(ADDRESS)
        self.service.stopService()
        self.service.database.write_bytes(b"")
        (self.folder / "guides.rows").write_text("damaged")
        self.service = self.make()
        self.start(ADDRESS)
        self.assertEqual(self.web.asked[-1], (ADDRESS, ()))
