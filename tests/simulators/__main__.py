"""
The origin as a process of its own: ``python -m tests.simulators MEDIA_FOLDER [PORT]``.

It writes its port on a line to standard output, and ends when its standard input does, so that none is left behind by
tests that were killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from tests.simulators.media import Media
from tests.simulators.origin import Origin
from tests.simulators.serving import serve
from tests.simulators.wire import listen


def main(folder: str, port: str = "0") -> None:
    """Serve the media in ``folder`` until standard input ends."""
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    origin = Origin(Media(Path(folder)), reactor)
    listening = listen(reactor, origin.factory, int(port))
    serve(listening.socket.getsockname()[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
