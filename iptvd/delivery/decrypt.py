"""AES-128 of HLS (RFC 8216 section 4.3.2.4): CBC over a whole segment, PKCS7 at its end, undone as the bytes come."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from iptvd.errors import ProtocolError

#: Bytes of a key, of an initialization vector and of a block.
BLOCK = 16


def implicit_iv(sequence: int) -> bytes:
    """The initialization vector where none is told: the media sequence number (RFC 8216 section 5.2)."""
    return sequence.to_bytes(BLOCK, "big")


class Decryption:
    """
    One segment being decrypted.

    :param key: 16 bytes, and so is ``iv``.
    """

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        self._padding = PKCS7(BLOCK * 8).unpadder()

    def update(self, data: bytes | memoryview) -> bytes:
        """What these bytes give; the last block is kept back, as it may be padding."""
        return self._padding.update(self._cipher.update(data))

    def finish(self) -> bytes:
        """
        The rest.

        :raises ProtocolError: when the segment was cut short, or is not encrypted with this key.
        """
        try:
            return self._padding.update(self._cipher.finalize()) + self._padding.finalize()
        except ValueError:
            raise ProtocolError("the segment is cut short, or not encrypted with the key it names") from None
