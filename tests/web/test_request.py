"""Requests: what errors, leaving viewers, pages of other origins and compression do to any answer."""

from __future__ import annotations

from gzip import decompress

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.errors import (
    ConfigError,
    LimitError,
    ProtocolError,
    ProviderError,
    StoreError,
    TokenError,
    UpstreamError,
)
from iptvd.log import Fault
from iptvd.model import ProviderState
from iptvd.web.answering import AnswerResource
from iptvd.web.request import FAULT, Refusal, send, viewer_of
from tests.web.building import HOME, PROXY, STRANGER, Answer, Tree

LONG = b"All work and no play. " * 100


class Scripted(AnswerResource):
    """Answers with what the test says, or raises it."""

    def __init__(self, told: bytes | BaseException = LONG, etag: str = "", open_to_pages: bool = False) -> None:
        super().__init__()
        self.told = told
        self.etag = etag
        self.open_to_pages = open_to_pages
        self.agents: list[str] = []

    async def answer(self, request: Request) -> bytes:
        self.agents.append(viewer_of(request).agent)
        if isinstance(self.told, BaseException):
            raise self.told
        return send(request, self.told, "text/plain", etag=self.etag)


class RequestTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()

    def answer(self, resource: Resource, *headers: tuple[str, str], method: str = "GET", peer: str = HOME) -> Answer:
        self.tree.add("x", resource)
        return self.tree.ask("/x", *headers, method=method, peer=peer)


class ErrorTests(RequestTestCase):
    def assert_sentence(self, answer: Answer, status: int, sentence: str) -> None:
        self.assertEqual((answer.status, answer.text), (status, sentence + "\n"))
        self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")

    def test_each_error_has_its_status_and_its_sentence(self) -> None:
        """An error that was foreseen is one sentence under the status that players understand."""
        for error, status in (
            (Refusal(410, "it is gone"), 410),
            (UpstreamError(404, "it is gone"), 404),
            (UpstreamError(502, "it is gone."), 502),
            (UpstreamError(504, "It is gone"), 504),
            (LimitError("it is gone"), 503),
            (TokenError("it is gone"), 403),
            (ProviderError(ProviderState.UNREACHABLE, "it is gone"), 502),
            (ProtocolError("it is gone"), 502),
        ):
            self.assert_sentence(self.answer(Scripted(error)), status, "It is gone.")
            head = self.answer(Scripted(error), method="HEAD")
            self.assertEqual((head.status, head.headers["Content-Length"]), (status, "12"))

    def test_when_to_come_back(self) -> None:
        """Who is refused for now is told after how many seconds to ask again."""
        for error, seconds in ((LimitError("full", retry_after=7), "7"), (UpstreamError(503, "busy"), "5")):
            self.assertEqual(self.answer(Scripted(error)).headers["Retry-After"], seconds)
        self.assertIsNone(self.answer(Scripted(UpstreamError(502, "no"))).headers["Retry-After"])

    def test_headers_of_a_refusal(self) -> None:
        """A refusal brings the headers that belong to it."""
        answer = self.answer(Scripted(Refusal(416, "no", (("Content-Range", "bytes */7"),))))
        self.assertEqual(answer.headers["Content-Range"], "bytes */7")

    def test_any_letters(self) -> None:
        """A sentence in any script arrives as it is, and one that cannot be written does not break the answer."""
        self.assert_sentence(
            self.answer(Scripted(Refusal(400, "éé kein Sender „日本“"))), 400, "Éé kein Sender „日本“."
        )
        self.assert_sentence(self.answer(Scripted(Refusal(400, "bad \ud800"))), 400, "Bad ?.")

    def test_no_address_of_a_provider(self) -> None:
        """A careless plugin that puts an address into its sentence gives nothing away."""
        error = ProviderError(ProviderState.UNREACHABLE, "GET http://u:pw@up.example.com/x?y=z failed")
        self.assert_sentence(self.answer(Scripted(error)), 502, "GET (its address) failed.")

    def test_a_fault_of_ours(self) -> None:
        """A fault shows neither its message nor a traceback: the log has its kind and its place."""
        for error in (ValueError("secret"), ConfigError("secret"), StoreError("/secret cannot be written")):
            self.assert_sentence(self.answer(Scripted(error)), 500, FAULT)
            (failure,) = self.flushLoggedErrors(Fault)
            self.assertIn(type(error).__name__, str(failure.value))
            self.assertIn("test_request.py", str(failure.value))
            self.assertNotIn("secret", failure.getTraceback())


class TrustTests(RequestTestCase):
    def test_strangers(self) -> None:
        """Who is not in a trusted network is refused and told which setting decides."""
        answer = self.answer(Scripted(), peer=STRANGER)
        self.assertEqual(answer.status, 403)
        self.assertIn("trusted_networks", answer.text)

    def test_strangers_behind_an_unknown_proxy(self) -> None:
        """Who comes through a proxy that nobody vouched for is a stranger, wherever the proxy is."""
        answer = self.answer(Scripted(), ("X-Forwarded-For", HOME))
        self.assertEqual(answer.status, 403)
        answer = self.answer(Scripted(), ("X-Forwarded-For", f"{HOME}, {STRANGER}"), peer=PROXY)
        self.assertEqual(answer.status, 403)

    def test_behind_a_trusted_proxy(self) -> None:
        """A trusted proxy's word for who is asking counts."""
        self.assertEqual(self.answer(Scripted(), ("X-Forwarded-For", HOME), peer=PROXY).status, 200)
        self.assertEqual(self.answer(Scripted(), ("X-Forwarded-For", STRANGER), peer=PROXY).status, 403)

    def test_the_viewer(self) -> None:
        """A viewer is known by its address and its player, the name of which may be long."""
        scripted = Scripted()
        self.answer(scripted, ("User-Agent", "P" * 500))
        self.answer(scripted)
        self.assertEqual(scripted.agents, ["P" * 200, ""])


class PagesTests(RequestTestCase):
    def test_pages_of_other_origins(self) -> None:
        """A player in a web page of another origin may read what is open to pages, refusals too."""
        for told, peer in ((LONG, HOME), (Refusal(404, "gone"), HOME), (LONG, STRANGER)):
            answer = self.answer(Scripted(told, open_to_pages=True), ("Origin", "http://page.test"), peer=peer)
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
            self.assertIn("Content-Range", answer.headers["Access-Control-Expose-Headers"])

    def test_the_rest_is_not_for_pages(self) -> None:
        """What is not open to pages of other origins says nothing to them."""
        for method in ("GET", "OPTIONS"):
            answer = self.answer(Scripted(), ("Origin", "http://page.test"), method=method)
            self.assertIsNone(answer.headers["Access-Control-Allow-Origin"])


class SendTests(RequestTestCase):
    def test_head(self) -> None:
        """HEAD tells what GET would, without the body."""
        get, head = (self.answer(Scripted(etag='"1"'), method=method) for method in ("GET", "HEAD"))
        self.assertEqual(head.body, b"")
        for name in ("Content-Length", "Content-Type", "ETag", "Vary"):
            self.assertEqual(get.headers[name], head.headers[name])
        self.assertEqual(get.headers["Content-Length"], str(len(LONG)))

    def test_gzip(self) -> None:
        """Whoever takes gzip gets it, and whoever does not or says no to it gets the text."""
        for accepted, packed in (
            ("gzip", True),
            ("deflate, gzip;q=1.0, *;q=0.5", True),
            ("GZIP ; Q=0.001", True),
            ("x-gzip", True),
            ("*", True),
            ("gzip;q=0.5", True),
            ("", False),
            ("identity", False),
            ("gzip;q=0", False),
            ("gzip; q=0.000, deflate", False),
            ("*;q=0", False),
            ("gzip;q=0, *", False),
            ("gzip;q=banana", False),
            ("notgzip, br", False),
        ):
            answer = self.answer(Scripted(), ("Accept-Encoding", accepted))
            self.assertEqual(answer.headers["Content-Encoding"], "gzip" if packed else None, accepted)
            self.assertEqual(decompress(answer.body) if packed else answer.body, LONG)
            self.assertEqual(answer.headers["Vary"], "Accept-Encoding")

    def test_short_answers_are_not_compressed(self) -> None:
        """A few bytes go as they are."""
        answer = self.answer(Scripted(b"short"), ("Accept-Encoding", "gzip"))
        self.assertEqual(answer.body, b"short")
        self.assertIsNone(answer.headers["Vary"])

    def test_not_modified(self) -> None:
        """Who has it already gets 304 and no body, whether it was compressed or not."""
        for told in (LONG, b"short"):
            tag = self.answer(Scripted(told, '"1"')).headers["ETag"]
            for accepted in ("gzip", "identity"):
                asked = (("If-None-Match", tag), ("Accept-Encoding", accepted))
                answer = self.answer(Scripted(told, '"1"'), *asked)
                self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", tag))
            self.assertEqual(self.answer(Scripted(told, '"2"'), ("If-None-Match", tag)).status, 200)

    def test_a_tag_of_two_forms_is_weak(self) -> None:
        """What exists with and without compression has a weak tag, for the bytes differ."""
        self.assertEqual(self.answer(Scripted(LONG, '"1"')).headers["ETag"], 'W/"1"')
        self.assertEqual(self.answer(Scripted(b"short", '"1"')).headers["ETag"], '"1"')
