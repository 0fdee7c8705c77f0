"""The rows of JSON files, one after the other: an object a line, or one list of objects, of any length."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import chain, islice
from typing import IO, Any

from lepton_ai.errors import InvalidInput

Row = dict[str, Any]

_BLOCK_CHARS = 1 << 20
_MAX_ROW_CHARS = 64 * 1024 * 1024
_SPACE = re.compile(r"\s*")
_A_LINE = "Write one JSON object a line."
_A_LIST = (
    "Write a list of objects, as pandas does with frame.to_json(PATH, orient='records'), or one object a line into a "
    "file that ends with .jsonl."
)


def rows_of_lines(file: IO[bytes], name: str, *, may_be_list: bool = False) -> Iterator[Row]:
    """The objects of JSON lines; empty lines are passed over. Raises InvalidInput naming the line.

    `may_be_list`: the file might as well hold a list, which the errors then say.
    """
    fix = _A_LIST if may_be_list else _A_LINE
    for number, line in enumerate(_lines(file, name), start=1):
        if line.strip():
            place = f"{name}, line {number}"
            try:
                value = json.loads(line)
            except ValueError as error:
                raise InvalidInput(f"{place}: not JSON.", fix=fix) from error
            yield _object(value, place, fix)


def begins_list(file: IO[bytes]) -> bool:
    """Whether a JSON file holds a list."""
    return file.read(_BLOCK_CHARS).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def rows_of_list(file: IO[bytes], name: str) -> Iterator[Row]:
    """The objects of one list; no more than the one under way and a block is held. Raises InvalidInput naming one."""
    text = TextIOWrapper(file, encoding="utf-8-sig")
    try:
        for number, value in enumerate(_values(text, name)):
            yield _object(value, f"{name}, record {number}", _A_LIST)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is not UTF-8.", reason="BROKEN_FILE", fix="Write it as UTF-8.") from error


def several(rows: Iterator[Row], name: str) -> Iterator[Row]:
    """The rows, at least two. Raises InvalidInput for one object in all, such as pandas writes of a frame's columns."""
    first = list(islice(rows, 2))
    if len(first) < 2:
        raise InvalidInput(f"{name} holds no list of objects.", reason="NO_ROWS", fix=_A_LIST)
    yield from chain(first, rows)


def _values(file: TextIOWrapper, name: str) -> Iterator[Any]:
    decode = json.JSONDecoder().raw_decode
    text = file.read(_BLOCK_CHARS).lstrip()
    at, number = _after_space(text, 1), 0
    is_over = text[at : at + 1] == "]"
    end = at
    while not is_over:
        try:
            value, end = decode(text, at)
            end = _after_space(text, end)
            sign = text[end]
        except (ValueError, IndexError) as error:  # the value, or what comes after it, may be in the next block
            text, at = text[at:], 0
            more = file.read(max(_BLOCK_CHARS, len(text)))
            if not more or len(text) > _MAX_ROW_CHARS:
                raise _broken(name, number) from error
            text += more
            at = _after_space(text, 0)
            continue
        yield value
        is_over = sign == "]"
        if not is_over and sign != ",":
            raise _broken(name, number + 1)
        at, number = _after_space(text, end + 1), number + 1
    if text[end + 1 :].strip() or file.read(_BLOCK_CHARS).strip():
        raise InvalidInput(f"{name} goes on after its list.", reason="BROKEN_FILE", fix=_A_LIST)


def _broken(name: str, number: int) -> InvalidInput:
    return InvalidInput(f"{name}, record {number}: not JSON.", reason="BROKEN_FILE", fix=_A_LIST)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _object(value: Any, place: str, fix: str) -> Row:
    if not isinstance(value, dict):
        raise InvalidInput(f"{place}: not a JSON object.", fix=fix)
    return value


def _lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    rest = b""
    first = True
    while block := file.read(_BLOCK_CHARS):
        if first:
            block, first = block.removeprefix(b"\xef\xbb\xbf"), False
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > _MAX_ROW_CHARS:
            raise InvalidInput(f"{name} has a line of more than {_MAX_ROW_CHARS} bytes.")
        yield from lines
    if rest:
        yield rest
