"""Our logger."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.log import Fault, Log

URL = "http://bob:s3cret@panel.test/"


@implementer(ILogObserver)
class Kept(list[LogEvent]):
    def __call__(self, event: LogEvent) -> None:
        self.append(event)


class Speaker:
    log = Log()


class LogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events = Kept()
        globalLogPublisher.addObserver(self.events)
        self.addCleanup(globalLogPublisher.removeObserver, self.events)
        self.patch(Log, "least", LogLevel.info)

    def said(self) -> list[tuple[str, LogLevel]]:
        return [(str(formatEvent(event)), event["log_level"]) for event in self.events]

    def test_least_level(self) -> None:
        """What is less important than the level that is set is not logged, also when that changes."""
        speaker = Speaker()
        speaker.log.debug("one")
        speaker.log.info("two {n}", n=2)
        Log.least = LogLevel.error
        speaker.log.warn("three")
        speaker.log.error("four")
        Log.least = LogLevel.debug
        Speaker.log.debug("five")
        self.assertEqual(self.said(), [("two 2", LogLevel.info), ("four", LogLevel.error), ("five", LogLevel.debug)])

    def test_where_from(self) -> None:
        """What is logged says which part it comes from, and holds its fields."""
        speaker = Speaker()
        speaker.log.info("{channel} is on", channel=7)
        self.assertEqual(self.events[0]["log_source"], speaker)
        self.assertEqual(self.events[0]["log_namespace"], f"{Speaker.__module__}.Speaker")
        self.assertEqual(self.events[0]["channel"], 7)

    def _fail(self) -> Failure:
        try:
            raise ValueError(URL)
        except ValueError:
            return Failure()

    def test_faults(self) -> None:
        """A fault of ours is logged with its kind and its place, and without what was worked on."""
        Speaker().log.fault("{provider}: went wrong", self._fail(), provider="home")
        (failure,) = self.flushLoggedErrors(Fault)
        self.assertRegex(str(failure.value), r"^ValueError at test_log\.py:\d+ _fail$")
        self.assertNotIn("s3cret", failure.getTraceback() + repr(self.events))
        self.assertEqual(self.said(), [("home: went wrong", LogLevel.critical)])

    def test_a_fault_without_a_place(self) -> None:
        """A fault that was never raised has no place, which is said."""
        Speaker().log.fault("went wrong", Failure(KeyError(URL)))
        (failure,) = self.flushLoggedErrors(Fault)
        self.assertEqual(str(failure.value), "KeyError at nowhere")
