"""Ogg files with Vorbis or Opus, cut at the last whole page when they end too early.

Sources: RFC 3533, RFC 7845 and the Vorbis I specification.
"""

from __future__ import annotations

from typing import NamedTuple

from lepton_ai.pipeline.sound_files.part import BrokenHeader, Ending, SoundPart, UnknownFormat, little

MAGIC = b"OggS"
_FIRST_PAGE, _LAST_PAGE = 0x02, 0x04
_OPUS_GRANULES_HZ = 48_000


class _Page(NamedTuple):
    kind: int
    granule: int
    serial: bytes
    end: int
    """Behind the end of the data when the page is cut."""


def read(data: bytes, start: int) -> SoundPart:
    """The Ogg stream that begins there, up to its last whole page.

    Raises BrokenHeader, also for several streams at once and where no page of sound is whole, or UnknownFormat.
    """
    first = page = _page(data, start)
    end, granules, is_ended = start, 0, False
    while page.end <= len(data):
        end, granules, is_ended = page.end, max(granules, page.granule), bool(page.kind & _LAST_PAGE)
        if is_ended or end == len(data):
            break
        page = _page(data, end)
        if page.end <= len(data) and (page.serial != first.serial or page.kind & _FIRST_PAGE):
            raise BrokenHeader  # damaged, or more than one stream
    if is_ended:
        return _part(data[start:end], granules, end, "whole")
    if granules <= 0:
        raise BrokenHeader  # cut before the first page of sound is whole
    return _part(data[start:end], granules, len(data), "cut")


def _page(data: bytes, offset: int) -> _Page:
    """The page that begins there. Raises BrokenHeader for anything else."""
    if not data.startswith(MAGIC[: len(data) - offset], offset):
        raise BrokenHeader
    table = data[offset + 27 : offset + 27 + little(data, offset + 26, 1)]
    granule = int.from_bytes(data[offset + 6 : offset + 14], "little", signed=True)
    is_header_whole = offset + 27 <= len(data) and offset + 27 + data[offset + 26] <= len(data)
    end = offset + 27 + len(table) + sum(table) if is_header_whole else len(data) + 1
    return _Page(little(data, offset + 5, 1), granule, data[offset + 14 : offset + 18], end)


def _part(content: bytes, granules: int, end: int, ending: Ending) -> SoundPart:
    packet = content[27 + content[26] :]
    if packet.startswith(b"\x01vorbis") and len(packet) >= 16:
        return SoundPart("OGG", little(packet, 12, 4), packet[11], granules, content, end, ending)
    if packet.startswith(b"OpusHead") and len(packet) >= 16:
        return SoundPart("OGG", _OPUS_GRANULES_HZ, packet[9], granules, content, end, ending)
    raise UnknownFormat
