"""The FILES of `lepton predict`: what each is for a model decides what the model takes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.cli.examples.example import Example
from lepton_ai.cli.examples.rows import ROW_FILES, json_examples, json_line_examples, row_examples, row_format
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.prediction import takes_only_a_file

if TYPE_CHECKING:
    from lepton_ai.client import ModelDescription

STANDARD_INPUT = Path("-")
_STDIN_NAME = "stdin"
_TEXT_ENDINGS = frozenset({".txt", ".md"})


def file_examples(paths: Iterable[Path], described: ModelDescription) -> Iterator[Example]:
    """The examples in files and folders, and in standard input for "-".

    A file of rows holds examples; for a model that takes a single picture, sound or text any other file is one. Raises
    InvalidInput for a file that the model cannot take, and for a folder without any.
    """
    if not described.inputs:
        raise FailedPrecondition(
            f"{described.model} takes tensors, which no file here holds.",
            reason="NO_PIPELINE",
            fix="Send them from Python: lepton_ai.Client().infer(…).",
        )
    for path in paths:
        if path == STANDARD_INPUT:
            yield from _stdin_examples(described)
        elif path.is_dir():
            for file in _suiting(path, described):
                yield from _of_file(file, str(file.relative_to(path.parent)), described)
        else:
            yield from _of_file(path, str(path), described)


def _of_file(path: Path, name: str, described: ModelDescription) -> Iterator[Example]:
    if row_format(path) is not None:
        yield from row_examples(path, name, described)
    elif _is_one_example(described):
        yield Example(name, path.name, path)
    else:
        takes = ", ".join(f"{each} ({kind})" for each, kind in described.inputs.items())
        raise InvalidInput(
            f"{path.name} is no file of rows, and {described.model} takes {takes}.",
            reason="UNKNOWN_FORMAT",
            fix=f"Send {ROW_FILES}, or --input NAME=VALUE for each.",
        )


def _is_one_example(described: ModelDescription) -> bool:
    return takes_only_a_file(described.inputs) or list(described.inputs.values()) == ["text"]


def _suiting(folder: Path, described: ModelDescription) -> list[Path]:
    """The files below a folder that the model can take, by their endings, in order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    endings = _endings(described)
    found = [path for path in files if (path.suffix.lower() in endings if endings else row_format(path) is not None)]
    if not found:
        wanted = " ".join(sorted(endings)) or ROW_FILES
        raise InvalidInput(
            f"There is no file in {folder.name or folder} that {described.model} takes.",
            reason="EMPTY_SET",
            fix=f"It takes {wanted}.",
        )
    return found


def _endings(described: ModelDescription) -> frozenset[str]:
    """Endings of single examples; none for a model that takes rows."""
    from lepton_ai.datasets.media import IMAGE_ENDINGS, SOUND_ENDINGS

    if not _is_one_example(described):
        return frozenset()
    (kind,) = described.inputs.values()
    return {"image": IMAGE_ENDINGS, "sound": SOUND_ENDINGS, "text": _TEXT_ENDINGS}[kind]


def _stdin_examples(described: ModelDescription) -> Iterator[Example]:
    """A picture or sound; JSON, also line by line; a CSV table with its header; or a text a line."""
    stdin = sys.stdin.buffer
    if takes_only_a_file(described.inputs):
        yield Example(_STDIN_NAME, _STDIN_NAME, stdin.read())
        return
    first = next((line for line in stdin if line.strip()), b"")
    start = first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"{" and first.rstrip().endswith(b"}"):
        yield from json_line_examples(_with(first, stdin), _STDIN_NAME, described, Path())
    elif start in (b"{", b"["):
        yield from json_examples(first + stdin.read(), _STDIN_NAME, described, Path())
    elif list(described.inputs.values()) == ["text"]:
        yield from _text_lines(_with(first, stdin))
    else:
        with tempfile.TemporaryDirectory(prefix="lepton-") as folder:
            table = Path(folder) / f"{_STDIN_NAME}.csv"
            table.write_bytes(first + stdin.read())
            yield from row_examples(table, _STDIN_NAME, described)


def _with(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _text_lines(lines: Iterable[bytes]) -> Iterator[Example]:
    for number, line in enumerate(lines, start=1):
        if text := line.strip().decode("utf-8", "replace"):
            yield Example(f"{_STDIN_NAME} line {number}", text, {"": text})
