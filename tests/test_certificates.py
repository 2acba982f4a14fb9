"""The certificates of TLS endpoints: found, chosen by name, and taken anew when they are renewed."""

from __future__ import annotations

import contextlib
import errno
import os
import ssl
from pathlib import Path
from typing import Any, NoReturn, cast

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.certificates import LOOK_AGAIN, Certificates
from iptvd.errors import ConfigError
from tests.certificates import Pair, pair
from tests.doubles import folder_for


class Client:
    """A TLS client of the standard library, whose connection is in memory."""

    def __init__(self, certificates: Certificates, name: str | None, **versions: ssl.TLSVersion) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for which, version in versions.items():
            setattr(context, which, version)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.near = context.wrap_bio(self._in, self._out, server_hostname=name)
        self.far: SSL.Connection = certificates.serverConnectionForTLS(cast(Any, None))
        self.far.set_accept_state()
        for _ in range(4):
            self._step(self.near.do_handshake)
            self._step(self.far.do_handshake)

    def _step(self, act: Any) -> None:
        with contextlib.suppress(ssl.SSLWantReadError, SSL.WantReadError):
            act()
        if data := self._out.read():
            self.far.bio_write(data)
        with contextlib.suppress(SSL.WantReadError):
            while True:
                self._in.write(self.far.bio_read(65536))

    @property
    def shown(self) -> x509.Certificate:
        """The certificate that it is shown."""
        binary = self.near.getpeercert(True)
        assert binary is not None
        return x509.load_der_x509_certificate(binary)

    def says(self, text: bytes) -> bytes:
        """What arrives of it."""
        self.near.write(text)
        self.far.bio_write(self._out.read())
        return self.far.recv(100)


class CertificatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = folder_for(self)

    def write(self, name: str, *data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(data))
        return path

    def certificates(self, path: Path | None = None) -> Certificates:
        return Certificates(path or self.folder, self.clock.seconds)

    def assert_shown(self, certificates: Certificates, name: str | None, expected: Pair) -> None:
        self.assertEqual(Client(certificates, name).shown, expected.own, name)

    def test_by_name(self) -> None:
        """Each client is shown the certificate for the host that it names; one that names none gets one too."""
        first, second, third = pair("one.test"), pair("two.test", "*.many.test"), pair("b.many.test")
        self.write("1.pem", first.pem)
        self.write("2/cert.pem", second.certificate)
        self.write("2/key.pem", second.key)
        self.write("3.pem", third.pem)
        certificates = self.certificates()
        for name, expected in (
            ("one.test", first),
            ("two.test", second),
            ("a.many.test", second),
            ("b.many.test", third),
            ("other.test", first),
            ("a.b.many.test", first),
            (None, first),
        ):
            self.assert_shown(certificates, name, expected)

    def test_one_file(self) -> None:
        """A file that has both will do."""
        own = pair("one.test")
        certificates = self.certificates(self.write("tv.crt", own.pem))
        for _ in range(3):
            self.assert_shown(certificates, "one.test", own)
            self.clock.advance(LOOK_AGAIN)

    def test_modern(self) -> None:
        """TLS 1.2 and 1.3 are spoken, and nothing older."""
        self.write("1.pem", pair("one.test").pem)
        certificates = self.certificates()
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            client = Client(certificates, None, minimum_version=version, maximum_version=version)
            self.assertEqual(client.near.version(), name)
            cipher = client.near.cipher()
            assert cipher is not None
            self.assertRegex(cipher[0], "GCM|CHACHA20")
        with self.assertRaises((ssl.SSLError, SSL.Error)):
            Client(certificates, None, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)

    def test_renewed(self) -> None:
        """A renewed certificate is shown to who comes then; who is there goes on with the one before."""
        former, renewed = pair("one.test"), pair("one.test")
        self.write("1.pem", former.pem)
        certificates = self.certificates()
        there = Client(certificates, "one.test")
        self.write("new", renewed.pem).replace(self.folder / "1.pem")
        self.clock.advance(LOOK_AGAIN)
        self.assert_shown(certificates, "one.test", renewed)
        self.assertEqual((there.shown, there.says(b"hello")), (former.own, b"hello"))

    def test_a_link(self) -> None:
        """A link that leads to another file by then is noticed as well."""
        former, renewed = pair("one.test"), pair("one.test")
        live = self.folder / "live"
        live.mkdir()
        (live / "1.pem").symlink_to(self.write("a.key", former.pem))
        certificates = self.certificates(live)
        (live / "1.pem").unlink()
        (live / "1.pem").symlink_to(self.write("b.key", renewed.pem))
        self.clock.advance(LOOK_AGAIN)
        self.assert_shown(certificates, "one.test", renewed)

    def test_in_place(self) -> None:
        """A file that was written over is noticed, also when it is as long as it was."""
        former, renewed = pair("one.test"), pair("one.test")
        path = self.write("1.pem", former.pem)
        os.utime(path, (1, 1))
        certificates = self.certificates()
        path.write_bytes(renewed.pem)
        self.clock.advance(LOOK_AGAIN)
        self.assert_shown(certificates, "one.test", renewed)

    def test_half_written(self) -> None:
        """Files that cannot be used change nothing, until they can."""
        former, renewed = pair("one.test"), pair("one.test")
        cert, key = self.write("cert.pem", former.certificate), self.write("key.pem", former.key)
        certificates = self.certificates()
        for break_it in (
            lambda: key.write_bytes(renewed.key),
            lambda: cert.write_bytes(renewed.certificate[:200]),
            lambda: cert.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            lambda: cert.unlink(),
        ):
            break_it()
            self.clock.advance(LOOK_AGAIN)
            self.assert_shown(certificates, "one.test", former)
        cert.write_bytes(renewed.certificate)
        self.clock.advance(LOOK_AGAIN)
        self.assert_shown(certificates, "one.test", renewed)

    def test_not_at_every_connection(self) -> None:
        """The files are looked at once a second at most."""
        former = pair("one.test")
        path = self.write("1.pem", former.pem)
        certificates = self.certificates()
        path.write_bytes(pair("one.test").pem)
        self.clock.advance(LOOK_AGAIN / 2)
        self.assert_shown(certificates, "one.test", former)

    def test_those_between(self) -> None:
        """A client gets all certificates up to the root, wherever in the files they are."""
        root = pair(subject="root.test")
        middle = pair(subject="middle.test", by=root)
        own = pair("one.test", by=middle)
        self.write("1.pem", own.pem)
        self.write("chain.pem", root.certificate, middle.certificate)
        client = Client(self.certificates(), "one.test")
        verified = client.far.get_certificate()
        assert verified is not None
        chain = [each.public_bytes() for each in cast(Any, client.near)._sslobj.get_unverified_chain()]
        self.assertEqual(
            [x509.load_pem_x509_certificate(each.encode()) for each in chain], [own.own, middle.own, root.own]
        )

    def test_kept_ones(self) -> None:
        """Of several certificates for a key the newest counts, and those that sign each other in a ring do no harm."""
        former = pair("one.test", age=100)
        renewed = pair("one.test", key=former.private, age=2)
        self.write("1.pem", former.pem)
        self.write("2.pem", renewed.certificate)
        one = pair(subject="one.test")
        other = pair(subject="other.test", by=one)
        self.write("3.pem", pair(subject="one.test", by=other).certificate, other.certificate)
        self.assert_shown(self.certificates(), "one.test", renewed)
        ring = pair(subject="three.test", by=pair(subject="one.test", by=other))
        self.write("0.pem", ring.pem)
        self.assert_shown(self.certificates(), "x.test", ring)

    def test_what_cannot_be_used(self) -> None:
        """What is no certificate with a key is refused in a sentence that names the file, and nothing in it."""
        own = pair("one.test")
        for data, sentence in (
            (b"", "there is no certificate with its key"),
            (own.certificate, "there is no certificate with its key"),
            (own.key, "there is no certificate with its key"),
            (own.key + pair("one.test").certificate, "there is no certificate with its key"),
            (own.certificate + own.locked(b"x"), "1.pem holds a key or a certificate that cannot be used"),
            (own.key.replace(b"\nM", b"\nX"), "1.pem holds a key or a certificate that cannot be used"),
        ):
            self.write("1.pem", data)
            with self.assertRaisesRegex(ConfigError, sentence):
                self.certificates()
        with self.assertRaisesRegex(ConfigError, r"nowhere.pem cannot be read \(No such file"):
            self.certificates(self.folder / "nowhere.pem")
        with self.assertRaisesRegex(ConfigError, "there is no certificate"):
            (self.folder / "1.pem").unlink()
            self.certificates()

    def test_what_cannot_be_looked_at(self) -> None:
        """Where it may not even be looked whether there are files, that is a sentence, and no fault later on."""

        def refused(path: Path, *_: object, **__: object) -> NoReturn:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        own = pair("one.test")
        self.write("1.pem", own.pem)
        certificates = self.certificates()
        self.patch(Path, "stat", refused)
        with self.assertRaisesRegex(ConfigError, r"cannot be read \(Permission denied"):
            self.certificates()
        self.clock.advance(LOOK_AGAIN)
        self.assert_shown(certificates, "one.test", own)
