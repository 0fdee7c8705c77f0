"""One example of a command line, with the names by which it is told from the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.errors import InvalidInput
from lepton_ai.file import FILE_KINDS, File

if TYPE_CHECKING:
    from lepton_ai.client.batches import Given


@dataclass(frozen=True)
class Example:
    """An example, or why it could not be read."""

    name: str
    """For programs: a path as it was given, or a file with the row."""
    shown: str
    """For people: without folders."""
    value: Given

    @property
    def columns(self) -> Mapping[str, Any]:
        """What a row of a table holds, as far as a cell can show it."""
        if not isinstance(self.value, Mapping):
            return {}
        cells = {name: cell for name, cell in self.value.items() if name and not isinstance(cell, bytes | np.ndarray)}
        return {name: str(cell.path) if isinstance(cell, File) else cell for name, cell in cells.items()}


def json_value(value: Any, kind: str, root: Path, name: str) -> Any:
    """A value of a JSON document as an input of this kind takes it: lists are arrays, paths start from `root`."""
    if isinstance(value, str) and kind in FILE_KINDS:
        return File(root / value)
    if not isinstance(value, list):
        return value
    try:
        return np.array(value)
    except ValueError:
        raise InvalidInput.of_field(name, "is a list of lists of different lengths") from None


def parse_json(text: str | bytes) -> Any:
    """A JSON document. Raises InvalidInput saying where it is none."""
    try:
        return json.loads(text)
    except UnicodeDecodeError:
        raise InvalidInput("It is not UTF-8 text.", reason="NOT_JSON") from None
    except RecursionError:
        raise InvalidInput("It is not JSON: nested too deeply.", reason="NOT_JSON") from None
    except ValueError as error:
        raise InvalidInput(f"It is not JSON: {error}.", reason="NOT_JSON") from None
