"""Which stream of one programme takes the place of which stream of another, so that decoders can go on."""

from __future__ import annotations

from collections.abc import Container, Mapping

from attrs import evolve

from iptvd.protocols.mpegts import NULL_PID
from iptvd.protocols.psi import ProgramMap, Stream
from iptvd.protocols.stream_types import Kind

#: The PIDs of streams that have no place, eight for each stream type.
_FIRST_FREE = 0x1400
_FOR_A_TYPE = 8


def match_streams(ours: ProgramMap, theirs: ProgramMap) -> dict[int, int]:
    """
    The PID in our programme for each PID in theirs that has a place there.

    Streams go together that are coded the same; among those the ones in the same language, and then in their order.
    Our first picture and our first sound, which players choose by themselves, are not left empty for a language.
    """
    places = list(ours.streams)
    matched: dict[int, int] = {}
    for with_language in (True, False):
        for stream in theirs.streams:
            if stream.pid in matched:
                continue
            for place in places:
                if _goes_with(stream, place) and (not with_language or stream.language == place.language != ""):
                    matched[stream.pid] = place.pid
                    places.remove(place)
                    break
    for first in _firsts(ours):
        if first in places:
            able = next((stream.pid for stream in theirs.streams if _goes_with(stream, first)), None)
            if able is not None:
                matched[able] = first.pid
    return matched


def _goes_with(one: Stream, other: Stream) -> bool:
    if one.codec or other.codec:
        return one.codec == other.codec
    return one.stream_type == other.stream_type


def _firsts(program: ProgramMap) -> list[Stream]:
    """The first picture and the first sound, as far as there are any."""
    firsts: dict[Kind, Stream] = {}
    for stream in program.streams:
        firsts.setdefault(stream.kind, stream)
    return [firsts[kind] for kind in (Kind.VIDEO, Kind.AUDIO) if kind in firsts]


def fits(ours: ProgramMap, theirs: ProgramMap, matched: Mapping[int, int]) -> bool:
    """Whether their picture and their sound, as far as they have them, go on in our first ones."""
    filled = {first.kind for first in _firsts(ours) if first.pid in matched.values()}
    return all(first.kind in filled for first in _firsts(theirs))


def make_room(
    ours: ProgramMap, theirs: ProgramMap, matched: Mapping[int, int], taken: Container[int]
) -> tuple[ProgramMap, dict[int, int]]:
    """
    Our programme as it is to be announced so that all of theirs has a place, and the PIDs in it for theirs.

    What has a place keeps it. The PID of what has none follows from its stream type: a decoder that has seen it before
    then finds the same there again.

    :param taken: PIDs that are not to be used besides.
    """
    pids = dict(matched)
    places = {stream.pid: stream for stream in ours.streams}
    streams = []
    for stream in theirs.streams:
        if stream.pid in pids:
            streams.append(places[pids[stream.pid]])
            continue
        pid = _FIRST_FREE + stream.stream_type * _FOR_A_TYPE
        while pid in places or pid in taken or pid in pids.values():
            pid += 1
        pids[stream.pid] = pid
        streams.append(evolve(stream, pid=pid))
    if theirs.pcr_pid == NULL_PID:
        pcr_pid = NULL_PID
    else:
        pcr_pid = pids.get(theirs.pcr_pid, ours.pcr_pid if ours.pcr_pid != NULL_PID else streams[0].pid)
    return ProgramMap(ours.program_number, pcr_pid, tuple(streams), theirs.descriptors), pids
