"""CSV, Parquet and JSON files of any size as data sets: above a memory budget they become memory-mapped files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from lepton_ai.datasets.arrow.foreign import plain_batch
from lepton_ai.datasets.csv_file import CsvOptions, CsvTexts, csv_batches, survey_files
from lepton_ai.datasets.dataset import Dataset
from lepton_ai.datasets.lineage import Lineage
from lepton_ai.datasets.memory import row_batches
from lepton_ai.datasets.parallel import Engine, in_order
from lepton_ai.datasets.schema import Schema
from lepton_ai.datasets.spool import MEMORY_BUDGET_BYTES, Spool, collect, default_cache_directory, no_rows, open_table
from lepton_ai.datasets.texts.column_survey import Found
from lepton_ai.datasets.texts.json_records import Row, begins_list, rows_of_lines, rows_of_list, several
from lepton_ai.errors import InvalidInput, NotFound

_ENDINGS = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet",
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".arrow": "arrow", ".feather": "arrow",
}  # fmt: skip
_COMPRESSED = (".gz", ".bz2", ".zst")
_WILDCARD = re.compile(r"[*?\[]")
_CACHE_FORMAT = 2
_BATCH_BYTES = 4 * 1024 * 1024


def read_table(  # noqa: PLR0913 - every one is a choice of its own
    path: str | Path | Sequence[str | Path],
    target: str | None = None,
    *,
    encoding: str | None = None,
    decimal: Literal[".", ","] | None = None,
    day_first: bool | None = None,
    missing: Sequence[str] = (),
    memory_budget_bytes: int = MEMORY_BUDGET_BYTES,
    cache_directory: str | Path | None = None,
    engine: Engine | None = None,
    workers: int | None = None,
) -> Dataset:
    """A data set of a CSV, TSV, Parquet, JSON or Arrow file, also compressed; or of several: a list, a folder of them,
    or a pattern such as "2024-*.csv".

    `target` names the column to learn; otherwise one named label, target, y, 标签 … is taken. CSV may be UTF-8 (with
    or without a mark), UTF-16 or GB18030, separated by comma, semicolon, tab or bar; any other `encoding` must be
    named. How the numbers and dates of a CSV column are written is decided from the whole column, which the column's
    note tells; `decimal` (the sign before decimals) and `day_first` decide what it leaves open. `missing` are texts
    that count as missing in every column; words such as "NA" do so only among numbers and times.

    A table above the budget is written to `cache_directory` once, as an Arrow file, memory-mapped now and when the
    same file is read again. With engine="ray" several files, and the row groups of a Parquet file, are read by several
    processes. Raises NotFound, InvalidInput.
    """
    files = _files(path)
    cache = Path(cache_directory) if cache_directory is not None else default_cache_directory()
    options = CsvOptions(encoding, None, decimal, day_first, _words(missing))
    kept = cache / f"{_fingerprint(files, options)}.arrow"
    root = files[0].parent.absolute()
    if kept.exists() and _large(files, memory_budget_bytes):
        table = open_table(kept)
    else:
        parts = _surveyed([part for file in files for part in _parts(file, options, split=engine is not None)])
        spool = Spool(memory_budget_bytes=memory_budget_bytes, destination=kept)
        table = collect(_read(parts, engine, workers), spool)
    if not table.column_names:
        raise InvalidInput(f"{files[0].name} is empty.", reason="EMPTY_SET", fix="Check the file.")
    name = files[0].name if len(files) == 1 else root.name
    schema = Schema.infer(table, target, root=str(root))
    return Dataset(table, schema, name=Path(name).stem, lineage=Lineage(source=f"table {name}"))


def table_batches(file: Path) -> Iterator[pa.RecordBatch]:
    """The rows of one table file as they stand in it, of CSV files every value as a text; at least one batch.

    Raises NotFound, InvalidInput.
    """
    (part,) = _parts(_files(file)[0], CsvOptions(), split=False)
    if part.format == "csv":
        return CsvTexts.open(file, part.options).batches()
    return _batches(part)


@dataclass(frozen=True)
class _Part:
    """What one worker reads: a file, or one row group of a Parquet file."""

    file: Path
    format: str
    options: CsvOptions
    row_group: int | None = None
    found: Mapping[str, Found] = field(default_factory=dict)
    """What the columns are, of CSV files."""


def _words(missing: Sequence[str]) -> tuple[str, ...]:
    if isinstance(missing, str) or not all(isinstance(each, str) for each in missing):
        raise InvalidInput.of_field("missing", "is no list of texts", fix='For instance missing=["NA", "-"].')
    return tuple(each.strip() for each in missing)


def _surveyed(parts: list[_Part]) -> list[_Part]:
    """The parts with what is decided from the columns of all CSV files together."""
    tables = [(part.file, part.options) for part in parts if part.format == "csv"]
    found = survey_files(tables) if tables else {}
    return [replace(part, found=found) if part.format == "csv" else part for part in parts]


def _read(parts: list[_Part], engine: Engine | None, workers: int | None) -> Iterator[pa.RecordBatch]:
    if engine is None and workers is None:
        for part in parts:
            yield from _batches(part)
        return
    for batches in in_order(_read_part, parts, engine=engine, workers=workers):
        yield from batches


def _read_part(part: _Part) -> list[pa.RecordBatch]:
    return list(_batches(part))


def _batches(part: _Part) -> Iterator[pa.RecordBatch]:
    return map(plain_batch, _batches_of_file(part))


def _batches_of_file(part: _Part) -> Iterator[pa.RecordBatch]:
    if part.format == "csv":
        return csv_batches(part.file, part.options, part.found)
    if part.format in ("json", "jsonl"):
        return row_batches(_json_rows(part))
    if part.format == "arrow":
        return iter(open_table(part.file).to_batches(max_chunksize=65_536))
    return _parquet_batches(part)


def _parquet_batches(part: _Part) -> Iterator[pa.RecordBatch]:
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(part.file, pre_buffer=False) as file:
            groups = None if part.row_group is None else [part.row_group]
            yield from file.iter_batches(batch_size=_batch_rows(file.metadata), row_groups=groups, use_threads=False)
            if not file.metadata.num_rows:
                yield no_rows(file.schema_arrow)
    except (pa.ArrowException, OSError) as error:
        raise _not_whole(part.file, "Parquet") from error


def _batch_rows(metadata: Any) -> int:
    """As many rows as are some megabytes, by what the file says about itself."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    bytes_per_row: int = sum(group.total_byte_size for group in groups) // max(1, metadata.num_rows)
    return max(1, min(16_384, _BATCH_BYTES // max(1, bytes_per_row)))


def _json_rows(part: _Part) -> Iterator[Row]:
    file, is_document = part.file, part.format == "json"
    read = partial(pa.input_stream, str(file), compression=_compression(file))
    try:
        with read() as beginning:
            is_list = is_document and begins_list(beginning)
        with read() as stream:
            if is_list:
                yield from rows_of_list(stream, file.name)
            else:
                rows = rows_of_lines(stream, file.name, may_be_list=is_document)
                yield from several(rows, file.name) if is_document else rows
    except (pa.ArrowException, OSError) as error:
        raise _not_whole(file, "JSON") from error


def _parts(file: Path, options: CsvOptions, *, split: bool) -> list[_Part]:
    kind = table_format(file)
    if ".tsv" in file.suffixes:
        options = replace(options, delimiter="\t")
    if kind != "parquet" or not split:
        return [_Part(file, kind, options)]
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as opened:
            groups = opened.num_row_groups
    except (pa.ArrowException, OSError) as error:
        raise _not_whole(file, "Parquet") from error
    return [_Part(file, kind, options, group) for group in range(groups)] or [_Part(file, kind, options)]


def _files(path: str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(path, str | Path):
        single = Path(path)
        if str(path).startswith(("http://", "https://")):
            fix = "Fetch it first; pages that list images, sounds or JSON rows are read by read_listing."
            raise InvalidInput("This is an address; tables are read from files.", fix=fix)
        if _WILDCARD.search(single.name) and not single.exists():
            return _matching(single)
        if single.is_dir():
            files = sorted(each for each in single.iterdir() if each.is_file() and _ending(each) in _ENDINGS)
            if not files:
                raise InvalidInput(f"There are no tables in {single.name}.", fix=_ENDINGS_FIX)
            return [each for each in files if _ending(each) != ".json"] or files  # JSON often tells about the others
        paths = [single]
    else:
        paths = [Path(each) for each in path]
    if not paths:
        raise InvalidInput("No file was named.", fix="Give a path.")
    for each in paths:
        if not each.is_file():
            raise NotFound(f"There is no file {each}.", fix="Check the path.")
        table_format(each)
    return paths


def _matching(pattern: Path) -> list[Path]:
    files = sorted(each for each in pattern.parent.glob(pattern.name) if each.is_file())
    if not files:
        raise NotFound(f"There is no file like {pattern}.", fix="Check the folder and the pattern.")
    for each in files:
        table_format(each)
    return files


_ENDINGS_FIX = f"Use one of {' '.join(_ENDINGS)}, also compressed: {' '.join(_COMPRESSED)}."


_SHEETS_FIX = (
    "Save the sheet as CSV (UTF-8), or read it with pandas.read_excel(PATH) and give the data frame to "
    "lepton_ai.datasets.from_arrays or to fit."
)
_SHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")


def table_format(file: Path) -> str:
    """ "csv", "parquet", "json", "jsonl" or "arrow", by ending. Raises InvalidInput for others."""
    ending = _ending(file)
    if ending not in _ENDINGS:
        fix = _SHEETS_FIX if ending in _SHEETS else _ENDINGS_FIX
        raise InvalidInput(f"{file.name} has an ending that is not known.", reason="UNKNOWN_FORMAT", fix=fix)
    return _ENDINGS[ending]


def _ending(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _compression(file: Path) -> str | None:
    names = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
    return names.get(file.suffix.lower())


def _fingerprint(files: list[Path], options: CsvOptions) -> str:
    """Changes when a file does or is read otherwise, so that a kept copy is never out of date."""
    facts = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps([_CACHE_FORMAT, asdict(options), facts]).encode()).hexdigest()[:32]


def _large(files: list[Path], budget_bytes: int) -> bool:
    """Whether the files may be above the budget; a smaller one is read anew, from where it lies."""
    return sum(file.stat().st_size for file in files) * 20 > budget_bytes


def _not_whole(file: Path, what: str) -> InvalidInput:
    return InvalidInput(
        f"{file.name} is not a whole {what} file.", reason="BROKEN_FILE", fix="Fetch or write it again."
    )
