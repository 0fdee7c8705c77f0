"""Reads a data frame out of a pickle without running anything in it and without pandas.

Unpickling calls whatever the file names. Here it can name only what is listed below: numpy's arrays and dtypes, and
stand-ins that keep what pandas' classes would have been given.
"""

from __future__ import annotations

import io
import lzma
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.errors import DataLoss

_MAX_BYTES = 64 * 1024 * 1024
_NOT_A_FRAME = (pickle.UnpicklingError, lzma.LZMAError, EOFError, LookupError, ValueError, TypeError, AttributeError)


class _Kept:
    """Stands for an object of pandas: keeps its constructor's arguments and its state, and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _keep_block(values: npt.NDArray[Any], placement: Any, dimensions: int) -> _Kept:
    return _Kept(values, placement, dimensions)


def _keep_index(kind: type[_Kept], data: dict[str, Any]) -> _Kept:
    return _Kept(data)


def _from_buffer(buffer: Any, dtype: Any, shape: tuple[int, ...], order: str) -> npt.NDArray[Any]:
    """What numpy.core.numeric._frombuffer does; frombuffer itself refuses dtypes that hold objects."""
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


def _empty_array(kind: type, shape: tuple[int, ...], dtype: bytes) -> npt.NDArray[Any]:
    """What numpy's _reconstruct does: an array to be filled by its state, of no other class."""
    return np.ndarray.__new__(np.ndarray, (0,), np.dtype("b"))


_ALLOWED: dict[tuple[str, str], Any] = {
    ("pandas.core.frame", "DataFrame"): _Kept,
    ("pandas.core.internals.managers", "BlockManager"): _Kept,
    ("pandas._libs.internals", "_unpickle_block"): _keep_block,
    ("pandas.core.indexes.base", "_new_Index"): _keep_index,
    ("pandas.core.indexes.base", "Index"): _Kept,
    ("pandas.core.indexes.range", "RangeIndex"): _Kept,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("builtins", "slice"): slice,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"names {module}.{name}") from None


def read_frame(path: Path) -> dict[str, list[Any]]:
    """The columns of a data frame that pandas pickled and xz compressed. Raises DataLoss for anything else."""
    try:
        with lzma.open(path) as file:
            content = file.read(_MAX_BYTES)
        frame = _Unpickler(io.BytesIO(content)).load()
        return _columns(frame)
    except _NOT_A_FRAME as error:
        raise DataLoss(
            f"{path.name} is not a plain table as pandas writes it.", fix="Install the package that has it again."
        ) from error


def _columns(frame: _Kept) -> dict[str, list[Any]]:
    """A frame is blocks of rows, each with the places of its columns, and an index that names the columns."""
    manager = frame.state["_mgr"]
    blocks, (names, _) = manager.arguments
    found: dict[str, list[Any]] = {}
    order = list(names.arguments[0]["data"])
    for block in blocks:
        values, placement, _ = block.arguments
        places = range(len(order))[placement] if isinstance(placement, slice) else placement.tolist()
        found.update((order[place], row.tolist()) for place, row in zip(places, values, strict=True))
    return {name: found[name] for name in order}
