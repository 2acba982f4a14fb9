"""Where the daemon can be reached: both families, TLS, Unix sockets, inherited sockets, several ports at once."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.daemon.client import PATIENCE, TIMEOUT, wait_for
from tests.daemon.harness import Daemon, free_port
from tests.daemon.launch import begin, without

pytestmark = pytest.mark.daemon

PING = b"GET /ping HTTP/1.0\r\n\r\n"


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons without an endpoint, which are ended after the test."""
    made: list[Daemon] = []

    def prepare(*arguments: str, **environment: str) -> Daemon:
        folder = tmp_path / f"daemon-{len(made)}"
        options = ("--provider", "m3u:nothing.m3u", *arguments)
        made.append(without(Daemon(folder, *options, environment=environment), "--listen"))
        return made[-1]

    yield prepare
    for each in made:
        each.close()
        assert "Traceback" not in each.log_text()


def said(connection: socket.socket) -> str:
    """The answer to a ping on a connection, which is closed."""
    with connection:
        connection.settimeout(TIMEOUT)
        connection.sendall(PING)
        got = b""
        while piece := connection.recv(4096):
            got += piece
    return got.decode()


def answers(connect: Callable[[], socket.socket]) -> bool:
    """Whether the daemon answers on a new connection."""
    try:
        return said(connect()).endswith("pong\n")
    except (ConnectionError, FileNotFoundError):
        return False


def is_reached(daemon: Daemon, connect: Callable[[], socket.socket]) -> None:
    """Wait until the daemon answers."""

    def look() -> bool:
        assert daemon.status() is None, daemon.log_text()
        return answers(connect)

    wait_for(look, PATIENCE, "an answer")


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback address."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def test_both_families(prepared: Callable[..., Daemon]) -> None:
    """Without an endpoint the daemon is reached by IPv4, and by IPv6 where the machine has it, on the port of PORT."""
    port = free_port()
    daemon = begin(prepared(PORT=str(port)))
    is_reached(daemon, lambda: socket.create_connection(("127.0.0.1", port)))
    assert answers(lambda: socket.create_connection(("::1", port))) == has_ipv6()


def test_one_address(prepared: Callable[..., Daemon]) -> None:
    """With HOST and PORT set as other proxies have them, that address alone is listened on."""
    port = free_port()
    daemon = begin(prepared(HOST="127.0.0.1", PORT=str(port)))
    is_reached(daemon, lambda: socket.create_connection(("127.0.0.1", port)))
    assert not answers(lambda: socket.create_connection(("127.0.0.2", port)))


def test_several(prepared: Callable[..., Daemon], tmp_path: Path) -> None:
    """Two ports and a Unix socket are listened on at once; each is in the log, and the socket goes at the end."""
    first, second, path = free_port(), free_port(), tmp_path / "tv.sock"
    endpoints = [f"tcp:{first}:interface=127.0.0.1", f"tcp:{second}:interface=127.0.0.1", f"unix:{path}"]
    daemon = begin(prepared(*(word for endpoint in endpoints for word in ("--listen", endpoint))))

    def by_path() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        return connection

    is_reached(daemon, lambda: socket.create_connection(("127.0.0.1", first)))
    assert answers(lambda: socket.create_connection(("127.0.0.1", second)))
    assert answers(by_path)
    assert stat.S_ISSOCK(path.stat().st_mode)
    for place in (str(first), str(second), str(path)):
        assert re.search(f"listening on .*{re.escape(place)}", daemon.log_text())
    # Killed, it leaves the socket's name behind, and can be started again all the same.
    daemon.kill()
    assert path.exists()
    begin(daemon)
    is_reached(daemon, by_path)
    daemon.terminate()
    assert not path.exists()


def certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that it signs itself, in one PEM file of a folder of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tv.test")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    folder.mkdir()
    file = folder / "localhost.pem"
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return file


def test_tls(prepared: Callable[..., Daemon], tmp_path: Path) -> None:
    """TLS is spoken where a certificate is given, in either way to give it, and its links are https links."""
    pem, ports = certificate(tmp_path / "pem"), (free_port(), free_port())
    one = f"ssl:{ports[0]}:interface=127.0.0.1:privateKey={pem}:certKey={pem}"
    other = f"tls:{pem.parent}:{ports[1]}:interface=127.0.0.1"
    daemon = begin(prepared("--listen", one, "--listen", other))
    trusting = ssl.create_default_context(cafile=str(pem))
    for port in ports:

        def connect(port: int = port) -> socket.socket:
            plain = socket.create_connection(("127.0.0.1", port))
            return trusting.wrap_socket(plain, server_hostname="localhost")

        is_reached(daemon, connect)
        with connect() as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
            page = b""
            while piece := connection.recv(1 << 16):
                page += piece
        assert f"https://127.0.0.1:{port}/playlist.m3u8".encode() in page


def test_inherited(prepared: Callable[..., Daemon]) -> None:
    """A socket that the service manager opened is taken over by its name; whoever came before the start is served."""
    port = free_port()
    daemon = prepared("--listen", "systemd:domain=INET:name=web")
    activate = shutil.which("systemd-socket-activate")
    assert activate is not None, "systemd-socket-activate is missing: install systemd"
    listen = [activate, f"--listen=127.0.0.1:{port}", "--fdname=web", "-E", "HOME", "-E", "PATH", "-E", "LANG"]
    daemon.arguments = [*listen, sys.executable, *daemon.arguments]
    begin(daemon)
    wait_for(lambda: "Listening on" in daemon.log_text(), what="the socket")
    # The first connection is what starts the daemon.
    assert said(socket.create_connection(("127.0.0.1", port), TIMEOUT)).endswith("pong\n")
    assert answers(lambda: socket.create_connection(("127.0.0.1", port)))
    assert os.getpgid(daemon.pid) == daemon.pid
