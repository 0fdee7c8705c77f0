"""CSV files as Arrow batches in bounded memory: finds encoding and separator, widens types where rows need it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from lepton_ai.datasets.spool import no_rows
from lepton_ai.errors import InvalidInput

_BLOCK_BYTES = 1024 * 1024
_MAX_BLOCK_BYTES = 256 * 1024 * 1024
_SCAN_BYTES = 1024 * 1024
_SEPARATORS = (",", "\t", ";", "|")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_MISSING = [
    "", "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null", "None",
]  # fmt: skip

# What a column becomes when a later value does not fit the type that the first rows suggested; otherwise text.
_WIDER: dict[str, pa.DataType] = {
    "null": pa.int64(),
    "int64": pa.float64(),
    "date32[day]": pa.timestamp("s"),
    "timestamp[s]": pa.timestamp("ns"),
}
_WRONG_VALUE = re.compile(r"In CSV column #(\d+): ")


@dataclass(frozen=True)
class CsvOptions:
    """What is known about a CSV file beforehand; None is found out."""

    encoding: str | None = None
    delimiter: str | None = None


def csv_batches(file: Path, options: CsvOptions) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file with a header line, all batches of the same types.

    A file of more than one block is parsed twice: first for types that hold the last row as well as the first.
    Raises InvalidInput naming the row that is wrong.
    """
    encoding = options.encoding or find_encoding(file)
    header = _first_line(file, encoding)
    if not header.strip():
        return
    reading = _Reading(file, encoding, options.delimiter or find_separator(header))
    for batch in reading.typed_batches():
        yield batch.rename_columns(column_names(batch.schema.names, file))


class _Reading:
    """One file being read: the types and the block size that turned out to be needed."""

    def __init__(self, file: Path, encoding: str, delimiter: str) -> None:
        self._file = file
        self._encoding = encoding
        self._delimiter = delimiter
        self._types: dict[str, pa.DataType] = {}
        self._names: list[str] = []
        self._block_bytes = _BLOCK_BYTES
        self._wrong_row: csv.InvalidRow | None = None

    def typed_batches(self) -> Iterator[pa.RecordBatch]:
        if self._file.stat().st_size > _BLOCK_BYTES or self._file.suffix.lower() in (".gz", ".bz2", ".zst"):
            while not self._types_hold():
                pass
        yield from self._batches()

    def _types_hold(self) -> bool:
        """Parses everything once; False when something had to be widened, which each column is a few times at most."""
        try:
            for batch in self._batches():
                self._types = dict(zip(batch.schema.names, batch.schema.types, strict=True))
        except _Widened:
            return False
        return True

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            with self._open() as reader:
                self._names = list(reader.schema.names)
                column_names(self._names, self._file)
                self._types = dict(zip(self._names, reader.schema.types, strict=True))
                batch = None
                for batch in reader:
                    yield batch
                if batch is None:
                    yield no_rows(reader.schema)
        except pa.ArrowInvalid as error:
            self._widen(error)
            raise _Widened from error
        except UnicodeDecodeError as error:
            raise self._error(f"is not {self._encoding} text", fix="Give its encoding: encoding=…") from error

    def _open(self) -> csv.CSVStreamingReader:
        return csv.open_csv(
            self._file,
            read_options=csv.ReadOptions(use_threads=False, block_size=self._block_bytes, encoding=self._encoding),
            parse_options=csv.ParseOptions(
                delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=self._keep_wrong_row
            ),
            convert_options=csv.ConvertOptions(
                column_types=self._types,
                null_values=_MISSING,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _widen(self, error: pa.ArrowInvalid) -> None:
        """Chooses a wider type or a larger block. Raises InvalidInput when that is not what is wrong."""
        if self._wrong_row is not None:
            row, place = self._wrong_row, self._wrong_row.number
            where = f"line {place}" if place is not None else "a row"
            raise self._error(
                f"{where} has {row.actual_columns} values, the header has {row.expected_columns}",
                fix="Put quotes around values that hold the separator.",
            ) from error
        if "block" in str(error) and self._block_bytes < _MAX_BLOCK_BYTES:
            self._block_bytes *= 4
            return
        wrong = _WRONG_VALUE.search(str(error))
        if wrong is None or not self._names:
            raise self._error("is not a CSV table", fix="Check its quotes and its first line.") from error
        name = self._names[int(wrong.group(1))]
        if self._types[name] == pa.string():
            raise self._error(f"is not {self._encoding} text", fix="Give its encoding: encoding=…") from error
        self._types = {**self._types, name: _WIDER.get(str(self._types[name]), pa.string())}

    def _keep_wrong_row(self, row: csv.InvalidRow) -> str:
        self._wrong_row = row
        return "error"

    def _error(self, message: str, *, fix: str = "") -> InvalidInput:
        return InvalidInput(f"{self._file.name}: {message}.", reason="BROKEN_FILE", fix=fix)


class _Widened(Exception):
    """Something was widened: read the file again."""


def find_encoding(file: Path) -> str:
    """UTF-8, UTF-16 or GB18030, from the byte order mark or from the whole content. Raises InvalidInput for others."""
    with pa.input_stream(str(file), compression="detect") as stream:
        start = stream.read(4)
    for mark, encoding in _BOMS:
        if start.startswith(mark):
            return encoding
    for encoding in ("utf-8", "gb18030"):
        if _decodes(file, encoding):
            return encoding
    raise InvalidInput(
        f"{file.name} is neither UTF-8 nor GB18030 text.", reason="UNKNOWN_ENCODING", fix="Give it: encoding=…"
    )


def find_separator(header: str) -> str:
    """Comma, tab, semicolon or bar: what the header line has most of, outside quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(_SEPARATORS, key=bare.count)


def column_names(names: list[str], file: Path) -> list[str]:
    """Names without spaces around them; an empty one by its place. Raises InvalidInput for a repeated one."""
    clean = [name.lstrip("\ufeff").strip() or f"column_{index}" for index, name in enumerate(names, start=1)]
    for index, name in enumerate(clean):
        if name in clean[:index]:
            raise InvalidInput.of_field(name, f"{file.name} has two columns of this name", fix="Rename one of them.")
    return clean


def _decodes(file: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with pa.input_stream(str(file), compression="detect") as stream:
            while block := stream.read(_SCAN_BYTES):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _first_line(file: Path, encoding: str) -> str:
    try:
        decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
        with pa.input_stream(str(file), compression="detect") as stream:
            return decoder.decode(stream.read(_SCAN_BYTES)).partition("\n")[0]
    except (UnicodeDecodeError, LookupError) as error:
        raise InvalidInput(f"{file.name} is not {encoding} text.", fix="Give its encoding: encoding=…") from error
