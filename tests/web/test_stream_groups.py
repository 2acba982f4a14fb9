"""Playing, for users who may see some groups."""

from __future__ import annotations

from iptvd.accounts import User
from tests.doubles import join
from tests.web.test_stream import StreamTestCase


class GroupTests(StreamTestCase):
    def test_of_another_group(self) -> None:
        """A channel that a user may not see is refused before anything is asked for, in all forms and to HEAD too."""
        join(self.stage.admission, User("bob", "bobs-token", groups=("None",)))
        for name, extension in (("Live", "ts"), ("Live", "m3u8"), ("Live", ""), ("Film", "mp4"), ("Locked", "ts")):
            path = "/~bobs-token" + self.stage.path(name, extension)
            self.refused(self.stage.ask(path), 403, "This channel is not one of this account's.")
            self.assertEqual(self.stage.ask(path, method="HEAD").answer("HEAD").status, 403)
            self.assertEqual(self.stage.ask(f"{path}?utc=1").answer().status, 403)
        self.assertEqual((self.stage.ends, self.stage.origins.asked, self.stage.openings.asked), ([], [], []))
