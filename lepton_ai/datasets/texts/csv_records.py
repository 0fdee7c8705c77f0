"""The content of a CSV file in blocks that end where a record ends, so that no quoted text is ever cut in two."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lepton_ai.errors import InvalidInput

_QUOTE = ord('"')
SEPARATORS = (",", "\t", ";", "|")
_SNIFFED_LINES = 20
_MAX_RECORD_BYTES = 256 * 1024 * 1024


def blocks_of_records(file: Path, encoding: str, separator: str, *, block_bytes: int) -> Iterator[bytes]:
    """The file as UTF-8 in blocks of whole records, each of `block_bytes` or as long as its one record is.

    Raises UnicodeDecodeError, LookupError for an encoding that there is not, InvalidInput for a quote without an end.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)()
    quoted = quoted_field(separator)
    rest = b""
    with pa.input_stream(str(file), compression="detect") as stream:
        while read := stream.read(max(block_bytes, len(rest))):  # twice as much when no record ended
            rest += decoder.decode(read).encode()
            if end := _end_of_records(rest, quoted, separator):
                yield rest[:end]
                rest = rest[end:]
            elif len(rest) > _MAX_RECORD_BYTES:
                raise _open_quote(file, f"a row has more than {_MAX_RECORD_BYTES} bytes")
    rest += decoder.decode(b"", final=True).encode()
    if any(not field.group(1) for field in quoted.finditer(rest)):
        raise _open_quote(file, "its last row does not end")
    if rest:
        yield rest


def first_record(block: bytes, separator: str) -> tuple[bytes, bytes]:
    """The first record that is not blank, and what follows it."""
    block = block.lstrip(b"\r\n")
    begin = 0
    for field in quoted_field(separator).finditer(block):
        if newline := re.search(rb"\r\n|\n|\r", block[begin : field.start()]):
            return block[: begin + newline.start()], block[begin + newline.end() :]
        begin = field.end()
    newline = re.compile(rb"\r\n|\n|\r").search(block, begin)
    return (block[: newline.start()], block[newline.end() :]) if newline else (block, b"")


def find_separator(start: str) -> str:
    """Comma, tab, semicolon or bar: what the header has, outside quotes, as often as the next lines have."""
    lines = re.sub(r'"[^"]*"', "", start).splitlines()[:_SNIFFED_LINES]
    if not lines:
        return SEPARATORS[0]

    def suits(separator: str) -> tuple[bool, int]:
        count = lines[0].count(separator)
        return count > 0 and all(line.count(separator) == count for line in lines if line), count

    return max(SEPARATORS, key=suits)


def quoted_field(separator: str) -> re.Pattern[bytes]:
    """A field in quotes, which may lack its end at the end of what there is. A quote within a field is only a sign."""
    before = re.escape(separator.encode())
    return re.compile(rb"(?:\A|(?<=[\r\n" + before + rb']))"[^"]*(?:""[^"]*)*("|\Z)')


def _open_quote(file: Path, what: str) -> InvalidInput:
    return InvalidInput(f"{file.name}: {what}: a quote has no end.", reason="BROKEN_FILE", fix="Check its quotes.")


def _end_of_records(block: bytes, quoted: re.Pattern[bytes], separator: str) -> int:
    """Where the last whole record ends; 0 when none does."""
    end = len(block)
    if b'"' in block:
        if (signs := _paired_quotes(block, separator)) is not None:
            return _last_newline_outside(block, signs)
        for begin, stop in reversed([field.span() for field in quoted.finditer(block)]):
            if found := _last_newline(block, stop, end):
                return found
            end = begin
    return _last_newline(block, 0, end)


def _paired_quotes(block: bytes, separator: str) -> npt.NDArray[np.int64] | None:
    """The places of all quotes, when every other one begins a field or follows a quote: then those within are even."""
    content = np.frombuffer(block, dtype=np.uint8)
    signs = np.flatnonzero(content == _QUOTE)
    before = content[signs[::2][int(signs[0] == 0) :] - 1]
    return signs if np.isin(before, [_QUOTE, ord(separator), *b"\r\n"]).all() else None


def _last_newline_outside(block: bytes, signs: npt.NDArray[np.int64]) -> int:
    end = len(block)
    while found := _last_newline(block, 0, end):
        count = int(np.searchsorted(signs, found - 1))
        if count % 2 == 0:
            return found
        end = int(signs[count - 1])
    return 0


def _last_newline(block: bytes, begin: int, end: int) -> int:
    """The place behind the last end of a line; a carriage return at the end of all may be half of one."""
    line_feed = block.rfind(b"\n", begin, end)
    return_ = block.rfind(b"\r", begin, min(end, len(block) - 1))
    if return_ > line_feed and block[return_ + 1 : return_ + 2] != b"\n":
        return return_ + 1
    return line_feed + 1
