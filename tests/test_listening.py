"""The ports, and the sentence when one cannot be had."""

from __future__ import annotations

import errno
import select
import socket

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Port
from twisted.internet.testing import MemoryReactor, MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError
from iptvd.listening import BACKLOG, ListenService, default_endpoints
from tests.certificates import pair
from tests.doubles import folder_for


class Machine(MemoryReactorClock):
    """A reactor on which some interfaces cannot be listened on."""

    def __init__(self, **refused: int) -> None:
        super().__init__()
        self.refused = refused
        self.listening: list[tuple[str, int, int]] = []

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> IListeningPort:
        number = self.refused.get(interface or "any")
        if number is not None:
            raise CannotListenError(interface, port, OSError(number, "no"))
        self.listening.append((interface, port, backlog))
        made: IListeningPort = super().listenTCP(port, factory, backlog, interface)
        return made


class OwnMachine(MemoryReactor):
    """A reactor that listens, but takes nobody."""

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> IListeningPort:
        made = Port(port, IProtocolFactory(factory), backlog, interface, reactor=self)
        made.startListening()
        return made


class ListeningTests(SynchronousTestCase):
    def bind(self, machine: MemoryReactor, *alternatives: list[str]) -> ListenService:
        service = ListenService(machine, alternatives, Factory())
        service.bind()
        return service

    def refusal(self, machine: Machine, *alternatives: list[str]) -> str:
        with self.assertRaises(ConfigError) as raised:
            self.bind(machine, *alternatives)
        error = raised.exception
        assert isinstance(error, ConfigError)
        return error.sentence

    def test_a_crowd(self) -> None:
        """A crowd that comes at once is let in at once, also where the endpoint was set without a thought of it."""
        service = self.bind(OwnMachine(), ["tcp:0:interface=127.0.0.1"])
        port = service.ports[0]
        assert isinstance(port, Port)
        self.addCleanup(port.socket.close)
        address = port.getHost()
        crowd = [socket.socket() for _ in range(200)]
        for one in crowd:
            self.addCleanup(one.close)
            one.setblocking(False)
            one.connect_ex((address.host, address.port))
        # The kernel needs a moment for that where it is busy, and nobody else.
        waiting = set(crowd)
        while waiting:
            _, connected, _ = select.select([], waiting, [], 10)
            self.assertTrue(connected, f"{len(waiting)} are not let in")
            waiting.difference_update(connected)

    def test_default(self) -> None:
        """Without an endpoint all addresses of both families are listened on by one socket."""
        machine = Machine()
        self.bind(machine, *map(list, default_endpoints("", 8085)))
        self.assertEqual(machine.listening, [("::", 8085, BACKLOG)])

    def test_a_machine_without_ipv6(self) -> None:
        """Where there is no IPv6, IPv4 alone is listened on."""
        machine = Machine(**{"::": errno.EAFNOSUPPORT})
        self.bind(machine, *map(list, default_endpoints("", 8085)))
        self.assertEqual(machine.listening, [("", 8085, BACKLOG)])

    def test_localhost(self) -> None:
        """Localhost is both loopback addresses, or the one there is."""
        machine = Machine()
        self.bind(machine, *map(list, default_endpoints("localhost", 80)))
        self.assertEqual([each[0] for each in machine.listening], ["127.0.0.1", "::1"])
        machine = Machine(**{"::1": errno.EADDRNOTAVAIL})
        service = self.bind(machine, *map(list, default_endpoints("localhost", 80)))
        self.assertEqual([each[0] for each in machine.listening], ["127.0.0.1"])
        self.assertEqual(len(service.ports), 1)

    def test_one_address(self) -> None:
        """One address, of either family, is listened on alone."""
        machine = Machine()
        self.bind(machine, *map(list, default_endpoints("fd00::7", 80)), *map(list, default_endpoints("10.1.2.3", 81)))
        self.assertEqual([each[:2] for each in machine.listening], [("fd00::7", 80), ("10.1.2.3", 81)])

    def test_in_use(self) -> None:
        """When a port is taken, what was asked for is named, not what was tried instead of it."""
        machine = Machine(**{"::": errno.EADDRINUSE, "any": errno.EACCES})
        sentence = self.refusal(machine, *map(list, default_endpoints("", 8085)))
        expected = "cannot listen on tcp:8085:interface=\\:\\:: Address already in use; choose another with --listen"
        self.assertEqual(sentence, expected)

    def test_privileged(self) -> None:
        """A port that only root may have is named with that reason."""
        sentence = self.refusal(Machine(any=errno.EACCES), ["tcp:80"])
        self.assertEqual(sentence, "cannot listen on tcp:80: Permission denied; choose another with --listen")

    def test_a_reason_without_a_number(self) -> None:
        """A name that cannot be resolved has a reason, if not a number."""

        class Nameless(Machine):
            def listenTCP(self, *_: object, **__: object) -> IListeningPort:
                raise CannotListenError("tv.test", 80, socket.gaierror("no such name"))

        self.assertIn("no such name", self.refusal(Nameless(), ["tcp:80:interface=tv.test"]))

    def test_no_endpoint(self) -> None:
        """What is no endpoint here is said so, without a look inside."""
        for description in ("nosuch:80", "tcp:port", "ssl:443:privateKey=/nowhere.pem", "tcp:"):
            sentence = self.refusal(Machine(), [description])
            self.assertRegex(
                sentence, r"^cannot listen on .*: it is not an endpoint that works here \(\w+\); see --listen"
            )
            self.assertIn(description, sentence)

    def test_tls_without_certificates(self) -> None:
        """A TLS endpoint without a certificate is refused: it would be there, and nobody could use it."""
        folder = folder_for(self)
        sentence = self.refusal(Machine(), [f"tls:{folder}:443"])
        self.assertIn("there is no certificate with its key in its files *.pem; see --listen", sentence)
        sentence = self.refusal(Machine(), [f"tls:{folder}/missing:443"])
        self.assertIn("missing cannot be read (No such file or directory); see --listen", sentence)
        (folder / "tv.pem").touch()
        sentence = self.refusal(Machine(), [f"tls:{folder}:443"])
        self.assertIn("there is no certificate with its key in its files *.pem; see --listen", sentence)

    def test_tls(self) -> None:
        """A TLS endpoint is written as Twisted's are: a folder, a port, and what else there is by its name."""
        folder = folder_for(self) / "a:b"
        folder.mkdir()
        (folder / "tv.pem").write_bytes(pair("tv.test").pem)
        quoted = str(folder).replace(":", "\\:")
        machine = Machine()
        self.bind(machine, [f"tls:{quoted}:443"], [f"tls:path={quoted}:port=444"], [f"tls:{quoted}:445:9"])
        self.bind(machine, [f"tls:{quoted}/tv.pem:446:interface=\\:\\:1:backlog=7"])
        expected = [("::", 443, BACKLOG), ("::", 444, BACKLOG), ("::", 445, 9), ("::1", 446, 7)]
        self.assertEqual(machine.listening, expected)
        for wrong in ("tls:", f"tls:{quoted}:https", f"tls:{quoted}:1:2:3", f"tls:{quoted}:key=x", "tls::443"):
            self.assertIn("it is not tls:FOLDER:PORT", self.refusal(Machine(), [wrong]))

    def test_some_are_bound(self) -> None:
        """When one of several endpoints cannot be had, that one is named."""
        machine = Machine(**{"10.0.0.1": errno.EADDRNOTAVAIL})
        sentence = self.refusal(machine, ["tcp:80"], ["tcp:81:interface=10.0.0.1"])
        self.assertIn("tcp:81:interface=10.0.0.1: Cannot assign requested address", sentence)

    def test_addresses_and_end(self) -> None:
        """Where it listens is told for the log, and nothing is listened on after the end."""
        service = self.bind(Machine(), ["tcp:80"], ["tcp:81:interface=\\:\\:1"])
        kinds = [type(port.getHost()) for port in service.ports]
        self.assertEqual(kinds, [IPv4Address, IPv6Address])
        self.assertEqual([str(port.getHost()) for port in service.ports], service.addresses)
        self.assertIn("port=81", service.addresses[1])
        self.successResultOf(service.stopService())
        self.assertEqual(service.addresses, [])
