"""CSV files as Arrow batches in bounded memory: read as texts, looked over as a whole, then made what they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from lepton_ai.datasets.spool import no_rows
from lepton_ai.datasets.texts.column_survey import ColumnSurvey, Found, found_in_all
from lepton_ai.datasets.texts.csv_records import blocks_of_records, find_separator, first_record
from lepton_ai.datasets.texts.encodings import find_encoding
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.reading import Reading

_BLOCK_BYTES = 1024 * 1024
_FOUND = b"lepton.found"
_GUESSED = "decoded as GB18030, which encoding=… decides otherwise"


@dataclass(frozen=True)
class CsvOptions:
    """What is known about CSV files beforehand; None is found out."""

    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    day_first: bool | None = None
    missing: tuple[str, ...] = ()


def survey_files(files: Iterable[tuple[Path, CsvOptions]]) -> dict[str, Found]:
    """What the columns of all these files together are. Raises InvalidInput naming the row that is wrong."""
    surveys: dict[str, ColumnSurvey] = {}
    options = CsvOptions()
    guessed = False
    for file, options in files:
        opened = CsvTexts.open(file, options)
        guessed |= options.encoding is None and opened.encoding == "gb18030"
        for batch in opened.batches():
            for name, texts in zip(batch.schema.names, batch.columns, strict=True):
                surveys.setdefault(name, ColumnSurvey(options.missing)).add(texts)
    found = found_in_all(surveys, options.decimal, options.day_first)
    return {name: each.told(_GUESSED) if guessed and each.what == "text" else each for name, each in found.items()}


def csv_batches(file: Path, options: CsvOptions, found: Mapping[str, Found]) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file with a header line, as `survey_files` found them to be; its fields say so, see `found_of`.

    Raises InvalidInput naming the row that is wrong.
    """
    for batch in CsvTexts.open(file, options).batches():
        names = batch.schema.names
        columns = [converted(batch.column(name), found[name]) for name in names]
        fields = [_field(name, column, found[name]) for name, column in zip(names, columns, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def found_of(field: pa.Field) -> Found | None:
    """What the texts of a column were found to be when they were read from a CSV file; None for other columns."""
    kept = (field.metadata or {}).get(_FOUND)
    if kept is None:
        return None
    document = json.loads(kept)
    reading = Reading.from_document(document["reading"], field="reading")
    return Found(document["what"], reading, field.type, document["note"])


def converted(texts: pa.Array, found: Found) -> pa.Array:
    """Texts as what they were found to be; texts that count as missing as none."""
    reading, kind = found.reading, found.type
    if found.what == "empty":
        return pa.nulls(len(texts))
    if kind is None and not reading.missing:
        return texts
    gone = pc.is_in(pc.utf8_trim_whitespace(texts), value_set=pa.array(["", *reading.missing], pa.string()))
    if kind is None:  # blank texts are texts
        gone = pc.and_(gone, pc.not_equal(pc.utf8_trim_whitespace(texts), "").fill_null(True))
        return pc.if_else(gone, None, texts)
    texts = pc.if_else(gone, None, texts)
    if found.what == "boolean":
        return pc.equal(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), "true")
    if found.what != "number":
        return pc.utf8_trim_whitespace(texts).cast(kind)
    return _numbers(texts, reading, kind)


def _numbers(texts: pa.Array, reading: Reading, kind: pa.DataType) -> pa.Array:
    plain = pc.replace_substring(texts, reading.thousands, "") if reading.thousands else texts
    try:
        return pc.replace_substring(plain, ",", ".").cast(kind) if reading.decimal == "," else plain.cast(kind)
    except pa.ArrowInvalid:  # percentages, currencies, signs that Arrow does not know
        pass
    distinct = texts.dictionary_encode()
    numbers = [None if text is None else reading.number(text) for text in distinct.dictionary.to_pylist()]
    return pa.array(numbers, kind).take(distinct.indices)


def _field(name: str, column: pa.Array, found: Found) -> pa.Field:
    document = {"what": found.what, "reading": found.reading.document(), "note": found.note}
    return pa.field(name, column.type, metadata={_FOUND: json.dumps(document, ensure_ascii=False).encode()})


@dataclass
class CsvTexts:
    """One file that is read as texts: what is not quoted and empty is missing, all else is kept letter by letter."""

    file: Path
    encoding: str
    separator: str
    names: list[str]
    _rows: int = 0
    _wrong_row: csv.InvalidRow | None = None

    @classmethod
    def open(cls, file: Path, options: CsvOptions) -> CsvTexts:
        """Finds encoding, separator and the names of the columns. A file without a header has no names."""
        encoding = options.encoding or find_encoding(file)
        opened = cls(file, encoding, options.delimiter or ",", [])
        start = next(opened._blocks(), b"")
        if options.delimiter is None:
            opened.separator = find_separator(start.decode())
        header, _ = first_record(start, opened.separator)
        if header.strip():
            opened.names = column_names(opened._parsed(header + b"\n", None).schema.names, file)
        return opened

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, every value a text; at least one batch, unless the file is empty."""
        if not self.names:
            return
        self._rows = 0
        blocks = self._blocks()
        _, rest = first_record(next(blocks), self.separator)
        yield no_rows(pa.schema([(name, pa.string()) for name in self.names]))
        for block in chain((rest,), blocks):
            if block.strip(b"\r\n"):
                table = self._parsed(block, self.names)
                self._rows += len(table)
                yield from table.to_batches()

    def _blocks(self) -> Iterator[bytes]:
        try:
            yield from blocks_of_records(self.file, self.encoding, self.separator, block_bytes=_BLOCK_BYTES)
        except (UnicodeError, LookupError) as error:
            raise self._error(f"is not {self.encoding} text", fix="Give its encoding: encoding=…") from error

    def _parsed(self, block: bytes, names: list[str] | None) -> pa.Table:
        try:
            return csv.read_csv(
                pa.BufferReader(block),
                read_options=csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
                parse_options=csv.ParseOptions(
                    delimiter=self.separator, newlines_in_values=True, invalid_row_handler=self._keep_wrong_row
                ),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(names or (), pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._wrong(error) from error

    def _wrong(self, error: pa.ArrowInvalid) -> InvalidInput:
        row = self._wrong_row
        if row is None:
            return self._error("is not a CSV table", fix="Check its quotes and its first line.")
        where = f"line {self._rows + row.number + 1}" if row.number is not None else "a row"
        return self._error(
            f"{where} has {row.actual_columns} values, the header has {row.expected_columns}",
            fix="Put quotes around values that hold the separator.",
        )

    def _keep_wrong_row(self, row: csv.InvalidRow) -> str:
        self._wrong_row = row
        return "error"

    def _error(self, message: str, *, fix: str = "") -> InvalidInput:
        return InvalidInput(f"{self.file.name}: {message}.", reason="BROKEN_FILE", fix=fix)


def column_names(names: list[str], file: Path) -> list[str]:
    """Names without spaces around them; an empty one by its place. Raises InvalidInput for a repeated one."""
    clean = [name.lstrip("\ufeff").strip() or f"column_{index}" for index, name in enumerate(names, start=1)]
    for index, name in enumerate(clean):
        if name in clean[:index]:
            raise InvalidInput.of_field(name, f"{file.name} has two columns of this name", fix="Rename one of them.")
    return clean
