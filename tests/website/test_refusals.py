"""How it is seen that a site does not want us."""

from __future__ import annotations

from iptvd.errors import ProviderError
from iptvd.model import Fetched, ProviderState
from iptvd.website.refusals import check_page, check_status
from tests.website.pages import WebsiteTestCase, vector


def fetched(status: int, body: bytes = b"", **headers: str) -> Fetched:
    return Fetched(status, "http://a.test/", {name.replace("_", "-"): value for name, value in headers.items()}, body)


class RefusalTests(WebsiteTestCase):
    def test_statuses(self) -> None:
        """A refusal is blocked, with the status that was seen; trouble of the server and what is missing are not."""
        check_status(fetched(200), "the site")
        for answer, state in (
            (fetched(401), ProviderState.BLOCKED),
            (fetched(403), ProviderState.BLOCKED),
            (fetched(451), ProviderState.BLOCKED),
            (fetched(503, vector("challenge.html")), ProviderState.BLOCKED),
            (fetched(429, vector("challenge.html")), ProviderState.BLOCKED),
            (fetched(503, cf_mitigated="challenge"), ProviderState.BLOCKED),
            (fetched(503), ProviderState.UNREACHABLE),
            (fetched(500), ProviderState.UNREACHABLE),
            (fetched(429), ProviderState.UNREACHABLE),
            (fetched(404), ProviderState.NOT_UNDERSTOOD),
            (fetched(302), ProviderState.NOT_UNDERSTOOD),
        ):
            with self.assertRaises(ProviderError) as raised:
                check_status(answer, "the site")
            self.assert_state(raised.exception, state, f"status {answer.status}", "the site")

    def test_pages(self) -> None:
        """A challenge and a wish for a key are blocked where a page was expected, with the status seen."""
        for body, words in (
            (vector("challenge.html"), "challenge solved (status 200)"),
            (b"<div class='g-recaptcha'></div>", "challenge solved (status 200)"),
            (b' {"error": "API key required"}', "wants a key (status 200)"),
            (b'{"code": 1, "message" : "Unauthorized"}', "wants a key (status 200)"),
        ):
            with self.assertRaises(ProviderError) as raised:
                check_page(fetched(200, body), "the site")
            self.assert_state(raised.exception, ProviderState.BLOCKED, words)

    def test_innocent(self) -> None:
        """Any other page is not a refusal."""
        for name in ("l1.html", "l3.json", "s1.json", "p1.html", "p2.html", "stream.html"):
            check_page(fetched(200, vector(name)), "the site")
        check_page(fetched(200, b'{"error": "no such channel"}'), "the site")
        check_page(fetched(200, b'<p>"message": "token"</p>'), "the site")
