"""Rows of files: JSON, JSON lines, and what `lepton_ai.datasets` reads as tables. Each row is an example."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.cli.examples.example import Example, json_value, parse_json
from lepton_ai.client.model_inputs import tables_need
from lepton_ai.errors import InvalidInput, LeptonError

if TYPE_CHECKING:
    from lepton_ai.client import ModelDescription

_FORMATS = {
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".csv": "table", ".tsv": "table", ".parquet": "table", ".pq": "table", ".arrow": "table", ".feather": "table",
}  # fmt: skip
_COMPRESSED = (".gz", ".bz2", ".zst")
ROW_FILES = "a table: .json .jsonl .csv .tsv .parquet .arrow"


def row_format(path: Path) -> str | None:
    """What rows a file holds by its name: "json", "jsonl" or "table"; None when it is no file of rows."""
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in _COMPRESSED:
        endings.pop()
    return _FORMATS.get(endings[-1]) if endings else None


def row_examples(path: Path, name: str, described: ModelDescription) -> Iterator[Example]:
    """The rows of a file, each called after `name` and its place; a JSON row that cannot be read has its own error.

    Raises InvalidInput for a file that is none of its kind, and a table that lacks a column.
    """
    match row_format(path):
        case "json":
            yield from json_examples(_content(path, name), name, described, path.parent)
        case "jsonl":
            yield from json_line_examples(_lines(path, name), name, described, path.parent)
        case _:
            yield from _table_examples(path, name, described)


def json_examples(content: bytes, name: str, described: ModelDescription, root: Path) -> Iterator[Example]:
    """A JSON object is a row; a list holds several."""
    try:
        document = parse_json(content)
    except InvalidInput as error:
        raise _of_file(error, name) from None
    several = isinstance(document, list) and not _is_one_array(document, described)
    for number, row in enumerate(document if several else [document], start=1):
        place = f" row {number}" if several else ""
        yield _example(row, f"{name}{place}", described, root)


def json_line_examples(lines: Iterable[bytes], name: str, described: ModelDescription, root: Path) -> Iterator[Example]:
    """A JSON document a line."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{name} line {number}"
        try:
            row = parse_json(line.removeprefix(b"\xef\xbb\xbf"))
        except InvalidInput as error:
            yield _named(place, error)
        else:
            yield _example(row, place, described, root)


def _is_one_array(document: list[Any], described: ModelDescription) -> bool:
    """Whether a JSON list of numbers is the only input of the model, which is an array."""
    return list(described.inputs.values()) == ["tensor"] and not any(isinstance(each, dict) for each in document)


def _example(row: Any, name: str, described: ModelDescription, root: Path) -> Example:
    try:
        return _named(name, _json_row(row, described, root))
    except InvalidInput as error:
        return _named(name, error)


def _json_row(row: Any, described: ModelDescription, root: Path) -> Mapping[str, Any]:
    kinds = described.inputs
    if not isinstance(row, dict):
        if len(kinds) == 1 and row is not None:
            (kind,) = kinds.values()
            return {"": json_value(row, kind, root, "inputs")}
        raise InvalidInput("It is not a JSON object.", fix=f"Write one with {', '.join(kinds)}.")
    for name in kinds:
        if name not in row:
            from lepton_ai.datasets.schema import unknown_column

            error = unknown_column(name, tuple(row))
            error.fix += " Write null where there is no value."
            raise error
    return {name: json_value(row[name], kind, root, name) for name, kind in kinds.items()}


def _table_examples(path: Path, name: str, described: ModelDescription) -> Iterator[Example]:
    try:
        from lepton_ai.datasets.model_rows import file_rows
    except ModuleNotFoundError as error:
        raise tables_need(error.name or "pyarrow") from error
    try:
        for number, row in enumerate(file_rows(path, described.inputs, described.read_inputs), start=1):
            yield _named(f"{name} row {number}", row)
    except InvalidInput as error:
        raise _of_file(error, name) from error


def _content(path: Path, name: str) -> bytes:
    return b"".join(_lines(path, name))


def _lines(path: Path, name: str) -> Iterator[bytes]:
    """Raises InvalidInput for a file that cannot be read."""
    try:
        match path.suffix.lower():
            case ".gz":
                with gzip.open(path) as file:
                    yield from file
            case ".bz2":
                with bz2.open(path) as file:
                    yield from file
            case ".zst":
                raise InvalidInput(f"{name}: JSON is read as it is, or from .gz and .bz2.", reason="UNKNOWN_FORMAT")
            case _:
                with path.open("rb") as file:
                    yield from file
    except (OSError, EOFError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a whole file"
        raise InvalidInput(f"{name} cannot be read: {reason}.", reason="BROKEN_FILE") from error


def _named(name: str, value: Any) -> Example:
    return Example(name, name.rpartition("/")[2], value)


def _of_file(error: LeptonError, name: str) -> InvalidInput:
    """The error with the file's name in front, unless it has it."""
    file = name.rpartition("/")[2]
    message = error.message if file in error.message else f"{file}: {error.message}"
    return InvalidInput(message, reason=error.reason, fix=error.fix, fields=error.fields)
