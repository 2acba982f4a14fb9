"""The daemon put together, without a network: started, asked, reloaded and stopped."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from iptvd.config import load
from iptvd.errors import ConfigError, ProviderError, StoreError
from iptvd.interfaces import IProvider, ProviderContext
from iptvd.log import Log
from iptvd.model import Entry, Listing, Outcome, ProviderState
from iptvd.notify import Notifier
from iptvd.protocols.socks5 import Proxy
from iptvd.service import Daemon, Surroundings, threads_of
from iptvd.settings import Loaded
from tests.doubles import folder_for
from tests.makers import Maker, finder
from tests.test_refresh import Scripted

T = TypeVar("T")

ONE, TWO = Entry("1", "One"), Entry("2", "Two")


class Threads:
    """A pool whose work is done at once."""

    def callInThreadWithCallback(
        self, done: Callable[[bool, object], None], work: Callable[..., T], *args: object
    ) -> None:
        try:
            result: object = work(*args)
        except Exception as error:
            done(False, error)
        else:
            done(True, result)


class Machine(MemoryReactorClock):
    """A reactor that is a list of what was asked of it; ``writing`` is what has something to write."""

    def __init__(self) -> None:
        super().__init__()
        self.writing: list[object] = []

    def getThreadPool(self) -> Threads:
        return Threads()

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        call(*args)

    def spawnProcess(self, *arguments: object, **more: object) -> None:
        raise OSError(errno.ENOMEM, "no room for another process")

    def getWriters(self) -> list[object]:
        return self.writing


class Told(Notifier):
    """Keeps what the service manager is told."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def _send(self, *assignments: str) -> None:
        self.messages.append(" ".join(assignments).partition(" MONOTONIC")[0])


@frozen
class Making(Maker):
    """A plugin that works: each of its providers lists what its ``url`` stands for."""

    made: Callable[[object], IProvider] = lambda settings: Scripted(Listing([ONE]))

    def make(self, settings: object, context: ProviderContext) -> IProvider:
        return self.made(settings)


class Socket(Server):
    """A viewer's connection, as far as it is needed to have something to write."""

    def __init__(self) -> None:
        pass


class ServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_for(self)
        self.machine = Machine()
        self.told = Told()
        self.patch(Log, "least", Log.least)
        self.providers: dict[str, IProvider] = {}

    def loaded(self, *providers: str, maker: Maker | None = None, **options: object) -> Loaded:
        """Settings with the providers of these names, of the kind ``panel``."""
        file = self.folder / "iptvd.toml"
        file.write_text(
            "".join(f'[[provider]]\nkind = "panel"\nname = "{name}"\nurl = "http:{name}"\n' for name in providers)
        )
        find = finder(maker or Making(made=self.make))
        given = {"state_dir": str(self.folder / "state"), "config": str(file), **options}
        return load(given, {}, default_file=self.folder / "none", find=find)

    def make(self, settings: Any) -> IProvider:
        return self.providers.setdefault(settings.url.removeprefix("http:"), Scripted(Listing([ONE])))

    def daemon(self, loaded: Loaded | None = None) -> Daemon:
        around = Surroundings(self.machine, "", self.told, lambda: self.machine.seconds() + 1000, Random(1))
        return Daemon(loaded or self.loaded("home"), around)

    def started(self, loaded: Loaded | None = None) -> Daemon:
        daemon = self.daemon(loaded)
        daemon.privilegedStartService()
        daemon.startService()
        self.settle()
        self.addCleanup(self.stop, daemon)
        return daemon

    def settle(self) -> None:
        """Let the sliced work be done."""
        for _ in range(20):
            self.machine.advance(0)

    def stop(self, daemon: Daemon) -> Deferred[Any]:
        stopped: Deferred[Any] = daemon.stopService() if daemon.running else Deferred()
        self.machine.pump([0.1] * 100)
        return stopped

    def get(self, daemon: Daemon, path: str) -> tuple[int, str]:
        """What a viewer on this machine gets."""
        channel = daemon.site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        self.settle()
        head, _, body = transport.value().decode().partition("\r\n\r\n")
        return int(head.split()[1]), body

    def names(self, daemon: Daemon) -> list[str]:
        return [channel.name for channel in daemon.lineup.lineup.channels]

    def test_start(self) -> None:
        """It listens before it is reported to be there, then has its channels, and answers."""
        daemon = self.daemon()
        daemon.privilegedStartService()
        self.assertEqual(len(self.machine.tcpServers), 1)
        self.assertEqual(self.told.messages, [])
        daemon.startService()
        self.assertEqual(self.told.messages, ["READY=1 STATUS=0 channels, 0 viewers"])
        self.settle()
        self.addCleanup(self.stop, daemon)
        self.assertEqual(self.told.messages[1:], ["STATUS=1 channels, 0 viewers"])
        self.assertEqual(self.names(daemon), ["One"])
        self.assertEqual(self.get(daemon, "/ping"), (200, "pong\n"))
        self.assertIn(",One\n", self.get(daemon, "/playlist.m3u8")[1])
        self.assertEqual(self.get(daemon, "/nothing")[0], 404)

    def test_state(self) -> None:
        """What it keeps is in the state folder, for its own eyes."""
        self.started()
        state = self.folder / "state"
        self.assertEqual(stat.S_IMODE(state.stat().st_mode), 0o700)
        kept = {path.relative_to(state).as_posix() for path in state.rglob("*") if path.is_file()}
        guide = {"epg/guides.rows", "epg/lineup.rows"}
        self.assertEqual(
            kept, {"tokens.key", "hdhomerun.key", "api.db", "identities.rows", "providers/home/lineup.rows"} | guide
        )
        for path in kept:
            self.assertEqual(stat.S_IMODE((state / path).stat().st_mode), 0o600)

    def test_a_folder_that_cannot_be_made(self) -> None:
        """A provider whose folder cannot be made keeps the daemon from starting, with one sentence."""
        (self.folder / "state").mkdir()
        (self.folder / "state" / "providers").touch()
        with self.assertRaisesRegex(StoreError, "providers/home cannot be written .Not a directory"):
            self.daemon()

    def test_a_plugin_that_cannot_make(self) -> None:
        """A plugin that fails is named with the kind of error, and not with what it says, which may be a password."""

        def fail(settings: object) -> IProvider:
            raise ValueError("s3cret")

        with self.assertRaises(ConfigError) as raised:
            self.daemon(self.loaded("home", maker=Making(made=fail)))
        expected = 'The provider "home" cannot be set up: its plugin panel raised ValueError.'
        self.assertEqual(str(raised.exception), expected)

        def refuse(settings: object) -> IProvider:
            raise ProviderError(ProviderState.UNCONFIGURED, "say more")

        with self.assertRaisesRegex(ProviderError, "say more"):
            self.daemon(self.loaded("home", maker=Making(made=refuse)))

    def test_what_happens(self) -> None:
        """What happens is told from the start on: a provider's state, and at the end that it is the end."""
        daemon = self.daemon()
        activity = daemon.playing.activity
        before = activity.newest
        daemon.privilegedStartService()
        daemon.startService()
        self.settle()
        told = [(each.kind.value, dict(each.facts)) for each in activity.since(before) or ()]
        states = [("provider_state", {"provider": name, "state": "ok", "reason": ""}) for name in ("api", "home")]
        self.assertEqual(told, states)
        self.stop(daemon)
        self.assertTrue(activity.closed)

    def test_webhooks(self) -> None:
        """Webhooks are as the settings have them, also after a reload, and the metrics tell of them."""
        daemon = self.started()
        self.assertNotIn("iptvd_webhook", self.get(daemon, "/metrics")[1])
        file = self.folder / "iptvd.toml"
        file.write_text(file.read_text() + '[[webhook]]\nname = "tv"\nurl = "http://hooks.test/"\n')
        given = {"config": str(file), "state_dir": str(self.folder / "state")}
        daemon.reload(load(given, {}, default_file=file, find=finder(Making(made=self.make))))
        self.settle()
        metrics = self.get(daemon, "/metrics")[1]
        self.assertIn('iptvd_webhook_events_total{result="delivered",webhook="tv"} 0.0', metrics)

    def test_reload(self) -> None:
        """Providers come and go; one that stays is the same one, asked anew; and the service manager is told."""
        self.providers = {"a": Scripted(Listing([ONE])), "b": Scripted(Listing([TWO]))}
        daemon = self.started(self.loaded("a"))
        runner = daemon.lineup.runners["a"]
        del self.told.messages[:]
        daemon.reload(self.loaded("b", "a", max_streams="3"))
        self.settle()
        self.assertEqual(self.names(daemon), ["Two", "One"])
        self.assertIs(daemon.lineup.runners["a"], runner)
        self.assertEqual([provider.fetches for provider in self.providers.values()], [2, 1])  # type: ignore[attr-defined]
        self.assertEqual(daemon.hub.max_streams, 3)
        expected = ["RELOADING=1", "READY=1 STATUS=1 channels, 0 viewers", "STATUS=2 channels, 0 viewers"]
        self.assertEqual(self.told.messages, expected)
        daemon.reload(self.loaded("b"))
        self.settle()
        self.assertEqual(self.names(daemon), ["Two"])
        self.assertFalse(runner.running)

    def test_another_proxy(self) -> None:
        """When the proxy changes, providers that it is for are asked anew by the new way, and others are left."""
        self.providers = {name: Scripted(Listing([ONE])) for name in "ab"}
        file = self.folder / "iptvd.toml"

        def behind(proxy: str) -> Loaded:
            self.loaded("a", "b")
            file.write_text(f'socks5 = "{proxy}"\n{file.read_text()}socks5 = "none"\n')
            given = {"config": str(file), "state_dir": str(self.folder / "state")}
            return load(given, {}, default_file=self.folder / "none", find=finder(Making(made=self.make)))

        daemon = self.started(behind("none"))
        before = dict(daemon.lineup.runners)
        daemon.reload(behind("proxy.test:1080"))
        self.settle()
        after = daemon.lineup.runners
        self.assertEqual([after[name] is before[name] for name in "ab"], [False, True])
        self.assertEqual([after[name].proxy for name in "ab"], [Proxy("proxy.test", 1080), None])

    def test_a_reload_that_fails(self) -> None:
        """Settings that cannot be used change nothing at all."""
        daemon = self.started(self.loaded("a", max_streams="2"))
        runners = dict(daemon.lineup.runners)
        del self.told.messages[:]
        with self.assertRaisesRegex(ConfigError, '"b" cannot be set up'):
            daemon.reload(self.loaded("a", "b", maker=Maker(), max_streams="3"))
        self.settle()
        self.assertEqual((dict(daemon.lineup.runners), daemon.hub.max_streams), (runners, 2))
        self.assertEqual(self.told.messages, [])
        daemon.reload(self.loaded("a"))
        self.assertEqual(dict(daemon.lineup.runners), runners)

    def test_the_state_folder_stays(self) -> None:
        """The state folder is that of the start, however often others are set."""
        daemon = self.started(self.loaded("a"))
        for _ in range(2):
            daemon.reload(self.loaded("a", "b", state_dir=str(self.folder / "other")))
            self.settle()
        self.assertFalse((self.folder / "other").exists())
        self.assertTrue((self.folder / "state/providers/b/lineup.rows").exists())

    def test_reload_before_the_ids_are_there(self) -> None:
        """A reload in the first moment of all, when no provider has been started yet, does no harm."""
        daemon = self.daemon(self.loaded("a"))
        daemon.reload(self.loaded("b"))
        daemon.privilegedStartService()
        daemon.startService()
        self.addCleanup(self.stop, daemon)
        self.settle()
        self.assertEqual(list(daemon.lineup.runners), ["b", "api"])
        self.assertEqual(self.names(daemon), ["One"])

    def test_stop(self) -> None:
        """At the end nothing is listened on, the service manager is told, and a reload comes too late."""
        daemon = self.started()
        self.successResultOf(self.stop(daemon))
        self.assertEqual(self.told.messages[-1], "STOPPING=1 STATUS=ending the viewers' sessions")
        self.assertEqual(daemon.listening.ports, [])
        daemon.reload(self.loaded("other"))
        self.assertEqual(list(daemon.lineup.runners), ["home", "api"])
        self.assertIn("STOPPING=1", self.told.messages[-1])
        self.assertEqual([call for call in self.machine.getDelayedCalls() if call.active()], [])

    def test_last_bytes(self) -> None:
        """Viewers get what is on its way to them before the daemon ends, within the drain time."""
        daemon = self.started(self.loaded("home"))
        self.machine.writing = [object(), Socket()]
        stopped = daemon.stopService()
        self.machine.pump([0.1] * 30)
        self.assertNoResult(stopped)
        del self.machine.writing[1]
        self.machine.advance(0.1)
        self.successResultOf(stopped)

    def test_last_bytes_that_nobody_takes(self) -> None:
        """A viewer that takes nothing does not keep the daemon from ending when the drain time is over."""
        daemon = self.started(self.loaded("home"))
        self.machine.writing = [Socket()]
        stopped = daemon.stopService()
        self.machine.pump([0.1] * 45)
        self.assertNoResult(stopped)
        self.machine.pump([0.1] * 10)
        self.successResultOf(stopped)

    def test_disabled(self) -> None:
        """A provider that is not enabled is not there."""
        loaded = self.loaded("a", "b")
        (self.folder / "iptvd.toml").write_text((self.folder / "iptvd.toml").read_text() + "enabled = false\n")
        given = {"config": str(self.folder / "iptvd.toml"), "state_dir": str(self.folder / "state")}
        loaded = load(given, {}, default_file=self.folder / "none", find=finder(Making(made=self.make)))
        self.assertEqual(list(self.started(loaded).lineup.runners), ["a", "api"])

    def test_threads(self) -> None:
        """Work in a thread gives what it gives, and raises what it raises."""
        offload = threads_of(self.machine)
        self.assertEqual(self.successResultOf(offload(divmod, 7, 2)), (3, 1))  # type: ignore[arg-type]

    def test_outcomes_have_words(self) -> None:
        """Every way in which a session can end is counted from the start."""
        text = self.started().metrics.text().decode()
        for outcome in Outcome:
            self.assertIn(f'outcome="{outcome.value}"', text)
