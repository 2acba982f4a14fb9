"""Resources: what errors, leaving viewers, methods and a stop do to an answer that is given by a coroutine."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from iptvd.errors import UpstreamError
from iptvd.log import Fault
from iptvd.web.answering import AnswerResource
from iptvd.web.request import send
from tests.web.building import understood
from tests.web.test_request import RequestTestCase, Scripted


class Patient(AnswerResource):
    """Waits, and notes whether it was told to stop waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.work: Deferred[bytes] = Deferred()
        self.cancelled = False
        self.error: BaseException | None = None

    async def answer(self, request: Request) -> bytes:
        try:
            return send(request, await self.work, "text/plain")
        except CancelledError:
            self.cancelled = True
            if self.error is not None:
                raise self.error from None
            raise


class Interrupted(AnswerResource):
    """Fails when a part of the answer is out."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    async def answer(self, request: Request) -> bytes:
        request.setHeader("Content-Length", "1000")
        request.write(b"a part")
        raise self.error


class Stopped(AnswerResource):
    """Has said what its answer will be, and waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.work: Deferred[bytes] = Deferred()

    async def answer(self, request: Request) -> bytes:
        request.setHeader("ETag", '"1"')
        request.setHeader("Content-Encoding", "gzip")
        return await self.work


class AnswerTests(RequestTestCase):
    def test_methods(self) -> None:
        """What is neither GET nor HEAD gets 405 and is told what there is, whatever it is called."""
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "BREW", "render_GET"):
            answer = self.answer(Scripted(), method=method)
            self.assertEqual((answer.status, answer.text), (405, "Only GET and HEAD work here.\n"))
            self.assertEqual(answer.headers["Allow"], "GET, HEAD, OPTIONS")

    def test_an_error_in_the_middle(self) -> None:
        """When something fails after a part was sent, the viewer sees the answer cut short and no sentence in it."""
        for error in (ValueError("x"), UpstreamError(502, "x")):
            self.tree.add("x", Interrupted(error))
            connection = self.tree.begin("/x")
            self.assertTrue(connection.received().endswith(b"\r\n\r\na part"))
            self.assertTrue(connection.transport.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(Fault)), 1)

    def test_stopping(self) -> None:
        """When the daemon gives up what somebody waits for, they are told so, and it is no fault."""
        stopped = Stopped()
        self.tree.add("x", stopped)
        connection = self.tree.begin("/x")
        stopped.work.cancel()
        answer = understood(connection.received())
        self.assertEqual((answer.status, answer.text), (503, "Iptvd is stopping.\n"))
        self.assertEqual(answer.headers["Retry-After"], "5")
        for name in ("ETag", "Content-Encoding"):
            self.assertIsNone(answer.headers[name])
        self.assertEqual(self.flushLoggedErrors(), [])


class LeavingTests(RequestTestCase):
    def test_a_viewer_that_leaves(self) -> None:
        """When the viewer leaves, work on its answer is given up, and nothing is said about it."""
        patient = Patient()
        self.tree.add("x", patient)
        connection = self.tree.begin("/x")
        self.assertFalse(patient.cancelled)
        connection.leave()
        self.assertTrue(patient.cancelled)
        self.assertEqual(connection.received(), b"")

    def test_a_viewer_that_stays(self) -> None:
        """An answer that takes its time arrives whole."""
        patient = Patient()
        self.tree.add("x", patient)
        connection = self.tree.begin("/x")
        self.assertEqual(connection.received(), b"")
        patient.work.callback(b"at last")
        self.assertEqual(understood(connection.received()).body, b"at last")

    def test_errors_of_work_that_is_given_up(self) -> None:
        """An error that nobody is there to read is no fault when it was foreseen, and is logged when it was not."""
        for error, logged in ((UpstreamError(502, "gone"), 0), (ValueError("gone"), 1)):
            patient = Patient()
            patient.error = error
            self.tree.add("x", patient)
            self.tree.begin("/x").leave()
            self.assertEqual(len(self.flushLoggedErrors(Fault)), logged)

    def test_work_that_does_not_stop(self) -> None:
        """An answer that comes although its viewer has left is dropped."""

        class Stubborn(AnswerResource):
            async def answer(self, request: Request) -> bytes:
                try:
                    await Deferred()
                except CancelledError:
                    return b"late"
                return b"early"

        self.tree.add("x", Stubborn())
        connection = self.tree.begin("/x")
        connection.leave()
        self.assertEqual(connection.received(), b"")


class AbstractTests(SynchronousTestCase):
    def test_without_an_answer(self) -> None:
        """What says nothing of how it is answered cannot be put in the tree at all."""

        class Silent(AnswerResource):
            pass

        with self.assertRaises(TypeError):
            Silent()  # type: ignore[abstract]


class PreflightTests(RequestTestCase):
    def test_preflight(self) -> None:
        """A page that asks first whether it may send Range is told so, in an answer without a body or a length."""
        asked = (
            ("Origin", "http://page.test"),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", "range"),
        )
        answer = self.answer(Scripted(open_to_pages=True), *asked, method="OPTIONS")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertIsNone(answer.headers["Content-Length"])
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
        self.assertIn("Range", answer.headers["Access-Control-Allow-Headers"])
        self.assertEqual(answer.headers["Access-Control-Allow-Methods"], "GET, HEAD, OPTIONS")
