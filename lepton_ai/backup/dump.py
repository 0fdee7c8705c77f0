"""The form of a registry's backup: a folder with the database's rows as JSON lines, and every file under its hash.

BACKUP/registry.jsonl      a header, then one line for each row, then the hash of all lines before
BACKUP/files/ab/ab12…      the content of each file, by SHA-256: a further backup adds only what is new
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_ai.errors import DataLoss, FailedPrecondition

FORMAT = 1
DUMP_FILE = "registry.jsonl"
_MAX_LINE_BYTES = 64 << 20

Row = tuple[str, dict[str, Any]]
"""A table's name, and values by column."""


@dataclass(frozen=True)
class Header:
    """What a dump begins with."""

    revision: str
    """Of the database's schema."""
    created_at: str
    """ISO 8601."""


class DumpWriter:
    """Makes the lines of a dump, one after the other."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._rows = 0

    def begin(self, header: Header) -> bytes:
        """The first line."""
        return self._line({"format": FORMAT, "revision": header.revision, "created_at": header.created_at})

    def row(self, table: str, row: Mapping[str, Any]) -> bytes:
        """A line of the middle."""
        self._rows += 1
        return self._line({"table": table, "row": row})

    def end(self) -> bytes:
        """The last line."""
        return self._line({"rows": self._rows, "sha256": self._digest.hexdigest()})

    def _line(self, document: Mapping[str, Any]) -> bytes:
        line = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._digest.update(line)
        return line


@dataclass(frozen=True)
class Dump:
    """A dump in a file. Reading it takes the memory of one row."""

    path: Path

    def check(self) -> Header:
        """Read it to its end. Raises DataLoss for a damaged one, FailedPrecondition for one of another form."""
        header, digest, rows, last = None, hashlib.sha256(), 0, None
        for line in self._lines():
            document = _parse(line)
            if header is None:
                header = _header(document)
            elif last is not None:
                raise _damaged()
            elif "sha256" in document:
                last = document
                if (document.get("rows"), document["sha256"]) != (rows, digest.hexdigest()):
                    raise _damaged()
            elif document.keys() != {"table", "row"}:
                raise _damaged()
            else:
                rows += 1
            digest.update(line)
        if header is None or last is None:
            raise _damaged()
        return header

    def rows(self) -> Iterator[Row]:
        """The rows of a dump that was checked. Raises DataLoss."""
        for line in self._lines():
            document = _parse(line)
            if "table" in document:
                yield document["table"], document["row"]

    def files(self) -> dict[str, int]:
        """SHA-256 → size in bytes of every file that a version or a variant of one holds."""
        return {row["sha256"]: row["size_bytes"] for table, row in self.rows() if table in ("files", "variant_files")}

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                while line := file.readline(_MAX_LINE_BYTES):
                    yield line
        except FileNotFoundError:
            fix = "Name the folder that `lepton registry backup` has written."
            raise DataLoss(f"The backup has no {DUMP_FILE}.", reason="BACKUP_DAMAGED", fix=fix) from None


def file_path(root: Path, sha256: str) -> Path:
    """Where a backup has a file's content."""
    return root / "files" / sha256[:2] / sha256


def _header(document: Mapping[str, Any]) -> Header:
    if document.get("format") != FORMAT:
        raise FailedPrecondition(
            f"The backup has format {str(document.get('format'))[:20]}, and this release knows {FORMAT}.",
            reason="BACKUP_FORMAT",
            fix="Restore it with the release that made it.",
        )
    try:
        return Header(str(document["revision"]), str(document["created_at"]))
    except KeyError as error:
        raise _damaged() from error


def _parse(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _damaged() from error
    if not isinstance(document, dict):
        raise _damaged()
    return document


def _damaged() -> DataLoss:
    return DataLoss(
        "The backup is damaged or not whole; nothing was restored.", reason="BACKUP_DAMAGED", fix="Take another one."
    )
