"""Behind a proxy that speaks the PROXY protocol, with HAProxy as the proxy; and certificates that are renewed."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.certificates import Pair, pair
from tests.daemon.client import TIMEOUT, wait_for
from tests.daemon.harness import Daemon, free_port
from tests.daemon.playing import Own, Playing, playing, watch
from tests.daemon.process import ChildProcess, clean_environment
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Clients have the addresses of loopback: one that may watch, and one that may not.
FRIEND, STRANGER = "127.0.0.2", "127.0.0.3"
FORMS = {"first": "send-proxy", "second": "send-proxy-v2", "tls": "send-proxy-v2-ssl"}

SETTINGS = """
defaults
  mode tcp
  timeout connect 5s
  timeout check 5s
  timeout client 60s
  timeout server 60s
"""


class Behind:
    """
    A daemon, and HAProxy in front of it.

    :ivar ports: of HAProxy, by what it says.
    """

    def __init__(self, daemon: Playing, port: int, ports: dict[str, int]) -> None:
        self.daemon = daemon
        self.port = port
        self.ports = ports

    def ask(self, form: str, client: str, path: str) -> tuple[int, str]:
        """Status and text of an answer to a client by way of HAProxy."""
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        port, source = self.ports[form], (client, 0)
        connection = (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT, source_address=source, context=tls)
            if form == "tls"
            else http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT, source_address=source)
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def behind(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """Both, running."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    assert program is not None, "haproxy is missing: sh tests/programs.sh"
    folder = tmp_path_factory.mktemp("proxied")
    (folder / "tv.pem").write_bytes(pair("localhost").pem)
    port, ports = free_port(), {}
    text = SETTINGS
    for form, says in FORMS.items():
        ports[form] = free_port()
        tls = f" ssl crt {folder}/tv.pem" if form == "tls" else ""
        text += f"listen {form}\n  bind 127.0.0.1:{ports[form]}{tls}\n  server s 127.0.0.1:{port} {says}\n"
    text += (
        f"listen checked\n  bind 127.0.0.1:{free_port()}\n  server s 127.0.0.1:{port} check inter 100 send-proxy-v2\n"
    )
    (folder / "haproxy.cfg").write_text(text)
    toml = f'listen_proxy = ["tcp:{port}:interface=127.0.0.1"]\ntrusted_proxies = ["127.0.0.1"]\n'
    toml += f'trusted_networks = ["127.0.0.1", "{FRIEND}"]\nconnections_per_address = 100\n'
    command = [program, "-db", "-f", str(folder / "haproxy.cfg")]
    channel = Own("Live", shared_origin.at("/live/proxied.ts", start=0, rate=1))
    with playing(folder / "daemon", [channel], toml=toml) as daemon:
        proxy = ChildProcess(command, folder / "haproxy", clean_environment(folder))
        with proxy.start():
            found = Behind(daemon, port, ports)
            wait_for(lambda: listens(ports["tls"]), what="HAProxy")
            yield found


def listens(port: int) -> bool:
    """Whether somebody does."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("form", FORMS)
def test_clients(behind: Behind, form: str) -> None:
    """A client behind HAProxy is judged by its own address; links are those of TLS where it speaks TLS."""
    status, text = behind.ask(form, FRIEND, "/playlist.m3u8")
    assert status == 200
    scheme = "https" if form == "tls" else "http"
    assert f"{scheme}://127.0.0.1:{behind.ports[form]}/stream/" in text
    status, text = behind.ask(form, STRANGER, "/playlist.m3u8")
    assert (status, "trusted_networks" in text) == (403, True)


def test_who_manages(behind: Behind) -> None:
    """Who may manage on the machine itself may not by way of a proxy on it."""
    assert behind.daemon.get("/api/users").status == 200
    assert behind.ask("second", "127.0.0.1", "/api/users")[0] in (401, 403)


def test_plays(behind: Behind) -> None:
    """A player behind HAProxy plays."""
    path = behind.daemon.path_of("Live")
    behind.daemon.get("/ping")
    watch(f"http://127.0.0.1:{behind.ports['second']}{path}").assert_plays()


def test_straight(behind: Behind) -> None:
    """Whoever is no trusted proxy gets nothing at that port, and a proxy nothing without its header."""
    header = b"PROXY TCP4 127.0.0.2 127.0.0.1 5 80\r\n"
    request = b"GET /playlist.m3u8 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for source, said, expected in (
        (FRIEND, header + request, b""),
        ("127.0.0.1", request, b""),
        ("127.0.0.1", b"PROXY TCP4 nobody" + request, b""),
        ("127.0.0.1", b"PROXY UNKNOWN\r\n" + request, b"HTTP/1.1 403 "),
        ("127.0.0.1", header + request, b"HTTP/1.1 200 "),
    ):
        with socket.create_connection(("127.0.0.1", behind.port), TIMEOUT, (source, 0)) as connection:
            got = b""
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(said)
                while piece := connection.recv(65536):
                    got += piece
        assert got[: len(expected)] == expected, (source, said, got)
        assert expected or not got, (source, said, got)


def test_checks(behind: Behind) -> None:
    """HAProxy finds the daemon there when it looks, and the log is not filled by that."""
    assert not re.search("is DOWN", (behind.daemon.folder.parent / "haproxy" / "log.txt").read_text())
    assert behind.daemon.log_text().count("listen_proxy has closed") <= 1


def shown(port: int) -> tuple[ssl.SSLSocket, bytes]:
    """A connection that speaks TLS, and the certificate that it was shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port), TIMEOUT))
    got = connection.getpeercert(True)
    assert got is not None
    return connection, got


def says(connection: ssl.SSLSocket) -> bytes:
    """An answer on it, which stays open."""
    connection.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
    got = b""
    while not got.endswith(b"pong\n"):
        piece = connection.recv(4096)
        assert piece, got
        got += piece
    return got


def test_renewed_certificate(tmp_path: Path) -> None:
    """A renewed certificate is shown to new connections without a restart; those that are there go on."""
    folder, port = tmp_path / "pem", free_port()
    folder.mkdir()
    former, renewed = pair("localhost"), pair("localhost")

    def written(by: Pair) -> None:
        for name, data in (("privkey.pem", by.key), ("fullchain.pem", by.certificate)):
            (folder / "new").write_bytes(data)
            (folder / "new").replace(folder / name)

    written(former)
    options = ("--provider", "m3u:nothing.m3u", "--listen", f"tls:{folder}:{port}:interface=127.0.0.1")
    with Daemon(tmp_path / "daemon", *options, toml="connections_per_address = 3\n") as daemon:
        there, certificate = shown(port)
        with there:
            assert certificate == ssl.PEM_cert_to_DER_cert(former.certificate.decode())
            assert says(there).startswith(b"HTTP/1.1 200 ")
            written(renewed)
            expected = ssl.PEM_cert_to_DER_cert(renewed.certificate.decode())

            def look() -> bool:
                connection, found = shown(port)
                connection.close()
                return found == expected

            wait_for(look, what="the renewed certificate")
            assert says(there).startswith(b"HTTP/1.1 200 ")
            assert_old_is_refused(port)
            # One that is too many gets no TLS either, and leaves no traceback.
            wait_for(lambda: too_many(port), what="a connection that is one too many")
        assert "Traceback" not in daemon.log_text()


def assert_old_is_refused(port: int) -> None:
    """TLS before 1.2 is not spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", port), TIMEOUT) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(plain)


def too_many(port: int) -> bool:
    """Whether of several connections one is closed without a word."""
    opened: list[ssl.SSLSocket] = []
    try:
        for _ in range(5):
            opened.append(shown(port)[0])
    except (ConnectionError, ssl.SSLError):
        return True
    finally:
        for connection in opened:
            connection.close()
    return False
