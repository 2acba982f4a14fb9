"""
SOCKS5, the client's side: asks a proxy to connect to a host by its name, and to nothing else (RFC 1928, RFC 1929).

`Socks5Client` takes what the proxy sends and gives what to send to it, until it is `done`; what came after its last
answer is the stream's own. The name goes to the proxy as it is: we look nothing up.
"""

from __future__ import annotations

from ipaddress import ip_address

from attrs import frozen

from iptvd.errors import ProtocolError

_VERSION = 5
_NO_AUTH, _PASSWORD, _NONE_ACCEPTABLE = 0, 2, 0xFF
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
#: Bytes of an address by its type (RFC 1928 section 5); a name tells its own length.
_ADDRESS = {_IPV4: 4, _IPV6: 16}

#: What the proxy says of a connection it could not make (RFC 1928 section 6).
REPLIES = {
    1: "the SOCKS proxy failed",
    2: "the SOCKS proxy's rules forbid this connection",
    3: "the SOCKS proxy cannot reach the network",
    4: "the SOCKS proxy cannot reach the host",
    5: "the host refuses the SOCKS proxy's connection",
    6: "the SOCKS proxy's connection took too long",
    7: "the SOCKS proxy does not know how to connect",
    8: "the SOCKS proxy does not know this kind of address",
}


@frozen
class Proxy:
    """
    A proxy of the operator's.

    :ivar username: empty for none.
    """

    host: str
    port: int
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        """Without the address: who is asked by whom is the operator's business."""
        return "Proxy()"


def read_proxy(text: str) -> Proxy:
    """
    A proxy as an operator writes it: ``host:port`` or ``user:password@host:port``, an IPv6 address in brackets.

    :raises ValueError: with what would be right.
    """
    right = "give host:port or user:password@host:port"
    personal, at, place = text.rpartition("@")
    host, colon, port = place.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or (":" in host) != bracketed or not (port.isascii() and port.isdigit()):
        raise ValueError(right)
    if not 0 < int(port[:6]) < 65536 or not text.isprintable() or any(letter in host for letter in " /\\?#"):
        raise ValueError(right)
    username, _, password = personal.partition(":")
    if at and not (0 < len(username.encode()) < 256 and len(password.encode()) < 256):
        raise ValueError(f"{right}, each of user and password 1 to 255 bytes long")
    return Proxy(host, int(port), username, password)


class Socks5Client:
    """
    One connection through the proxy.

    :ivar done: whether the connection is made; nothing is to be fed any more.
    :ivar rest: what came after the proxy's last answer.
    :raises ProtocolError: when the host's name cannot be told to a proxy.
    """

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self.done = False
        self.rest = b""
        self._proxy = proxy
        self._connect = bytes((_VERSION, _CONNECT, 0)) + _address_of(host) + port.to_bytes(2, "big")
        self._buffer = b""
        self._step = self._method

    def begin(self) -> bytes:
        """What is sent first: the ways that we can say who we are (RFC 1928 section 3)."""
        methods = (_NO_AUTH, _PASSWORD) if self._proxy.username else (_NO_AUTH,)
        return bytes((_VERSION, len(methods), *methods))

    def feed(self, data: bytes) -> bytes:
        """
        Take what the proxy sent.

        :return: what to send to it, possibly nothing.
        :raises ProtocolError: when it refuses, or is no SOCKS5 proxy.
        """
        self._buffer += data
        answers = b""
        while not self.done:
            answer = self._step()
            if answer is None:
                break
            answers += answer
        if self.done:
            self.rest, self._buffer = self._buffer, b""
        return answers

    def _take(self, count: int) -> bytes | None:
        if len(self._buffer) < count:
            return None
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _method(self) -> bytes | None:
        if self._buffer[:1] not in (b"", b"\x05"):
            raise ProtocolError("what is at the proxy's address does not speak SOCKS5")
        chosen = self._take(2)
        if chosen is None:
            return None
        if chosen[1] == _NO_AUTH:
            self._step = self._connected
            return self._connect
        proxy = self._proxy
        if chosen[1] == _PASSWORD and proxy.username:
            self._step = self._authenticated
            username, password = proxy.username.encode(), proxy.password.encode()
            return bytes((1, len(username))) + username + bytes((len(password),)) + password
        if chosen[1] in (_PASSWORD, _NONE_ACCEPTABLE):
            raise ProtocolError("the SOCKS proxy wants another user name and password than it is given")
        raise ProtocolError("the SOCKS proxy chose a way to log in that it was not offered")

    def _authenticated(self) -> bytes | None:
        answer = self._take(2)
        if answer is None:
            return None
        # The version of this exchange is 1 (RFC 1929 section 2), which some proxies answer with 5.
        if answer[1] != 0:
            raise ProtocolError("the SOCKS proxy does not accept the user name and password")
        self._step = self._connected
        return self._connect

    def _connected(self) -> bytes | None:
        head = self._buffer[:5]
        if len(head) >= 2 and (head[0] != _VERSION or head[1] != 0):
            raise ProtocolError(REPLIES.get(head[1], "the SOCKS proxy failed in a way of its own"))
        if len(head) < 5:
            return None
        length = 1 + head[4] if head[3] == _NAME else _ADDRESS.get(head[3])
        if length is None:
            raise ProtocolError("the SOCKS proxy answers with an address of no known kind")
        if self._take(4 + length + 2) is None:
            return None
        self.done = True
        return b""


def _address_of(host: str) -> bytes:
    """A host as a proxy is told it: by its address where that is all that is known, else by its name."""
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        return bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed
    try:
        name = host.encode("ascii")
    except UnicodeEncodeError:
        raise ProtocolError("a host name that is not in ASCII cannot be told to a SOCKS proxy") from None
    if not 0 < len(name) < 256:
        raise ProtocolError("a host name of this length cannot be told to a SOCKS proxy")
    return bytes((_NAME, len(name))) + name
