"""One open source of a live channel: its upstream, the slot it holds, and how it is doing."""

from __future__ import annotations

from typing import Protocol

from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.hlspull import HlsUpstream
from iptvd.delivery.opening import SourceGone
from iptvd.delivery.slots import Slot
from iptvd.errors import ProtocolError, UpstreamError
from iptvd.protocols.joins import Follower
from iptvd.protocols.mpegts import Packets
from iptvd.protocols.translation import Translator, read_ending
from iptvd.protocols.upstream import Upstream


class Listener(Protocol):
    """Is told what becomes of a line."""

    def packets_came(self, line: Line, packets: bytes) -> None:
        """Whole packets."""

    def source_gone(self) -> None:
        """The source refuses what it gave before."""

    def line_ended(self, line: Line, reason: str) -> None:
        """It has ended, and is closed."""


class Line:
    """
    The receiver of its upstream.

    :ivar index: its source's place among the channel's.
    :ivar heard: when it last brought something; ``began`` when it began to, or to again after a break.
    :ivar leads: whether its packets go to the viewers.
    :ivar proven: whether it has led for long enough to be no failed attempt.
    :ivar follower: looks for a join point while it does not.
    :ivar translator: of its packets into the viewers' programme, where they need it.
    """

    def __init__(self, listener: Listener, index: int, upstream: Upstream, slot: Slot, now: float) -> None:
        self.index = index
        self.upstream = upstream
        self.heard = self.began = now
        self.follower = Follower()
        self.translator: Translator | None = None
        self.leads = self.proven = False
        self._listener = listener
        self._slot = slot
        self._packets = Packets()
        self._closed = False
        if isinstance(upstream, HlsUpstream):
            upstream.on_discontinuity = self.broke

    def data_received(self, data: bytes | memoryview) -> None:
        """See `iptvd.protocols.upstream.Receiver`."""
        if self._closed:
            return
        packets = self._packets.feed(bytes(data))
        if packets:
            try:
                self._listener.packets_came(self, packets)
            except ProtocolError as error:
                # Its programme cannot be put together with the viewers'.
                self.end(error.sentence)

    def body_ended(self, error: UpstreamError | None) -> None:
        """See `iptvd.protocols.upstream.Receiver`."""
        if not self._closed and isinstance(error, SourceGone):
            self._listener.source_gone()
        self.end(error.sentence if error is not None else "the origin ended the stream")

    def broke(self) -> None:
        """What comes from now on does not carry on what came: its clock and its programme may be others."""
        self._packets = Packets()
        self.follower = Follower()
        self.began = self.heard
        self.leads = False

    def entering(self, packets: bytes, broadcast: Broadcast, since: float) -> bytes:
        """
        Its packets from a join point on, as they are to follow what viewers have had so far; later ones go by way of
        its `translator`, if it has one then.

        :param packets: the first at the join point.
        :param since: from when on what is in the ring tells how that ended, by the ring's clock.
        """
        ring, tables = broadcast.ring, broadcast.follower.tables
        blocks = [block.data for block in ring.after(ring.first, ring.next - ring.first) if block.time >= since]
        # The tables may have been sent before that.
        ending = read_ending([tables, *blocks]) if blocks else None
        program = self.follower.program
        if ending is None or program is None:
            return self.follower.tables + packets
        self.translator = Translator(ending, program, self.follower.pmt_pid)
        return self.translator.translate(packets)

    def end(self, reason: str) -> None:
        """Close it and tell so, unless it is closed."""
        if not self._closed:
            self.close()
            self._listener.line_ended(self, reason)

    def close(self) -> None:
        """Close its connection and give its slot back."""
        if not self._closed:
            self._closed = True
            self.upstream.stopProducing()
            self._slot.release()
