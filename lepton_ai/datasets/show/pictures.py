"""Sheets of pictures: files and arrays of pixels, as they are or varied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.datasets.batch import Augment
from lepton_ai.datasets.show.mosaic import Cell, columns_for, draw_sheet, fitted, in_lines
from lepton_ai.datasets.show.sampling import choose_rows, labels_of, mixed_label, varied
from lepton_ai.datasets.show.shown import Sheet
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset
    from lepton_ai.datasets.schema import Column

_SIDE = 128
_CELL = (_SIDE, _SIDE)
_BROKEN = np.full((_SIDE, _SIDE, 3), (253, 236, 236), np.uint8)
_SMALLEST_SIDE = 8


def picture_sheet(data: Dataset, column: Column, n: int, augment: Augment | None, random: np.random.Generator) -> Sheet:
    """Some pictures with their labels; with an augmentation, a line for each."""
    columns = columns_for(n)
    rows = choose_rows(data, n if augment is None else -(-n // columns), random)
    labels = labels_of(data, rows)
    if augment is None:
        pixels = [_pixels(cell, side=_SIDE) for cell in _cells(data, column, rows)]
        cells = [
            Cell(_BROKEN, "cannot be decoded") if each is None else Cell(fitted(each, _CELL), label)
            for each, label in zip(pixels, labels, strict=True)
        ]
        lines = in_lines(cells, columns)
    else:
        lines = _varied_lines(_alike(_cells(data, column, rows)), labels, columns, augment, random)
    title = f"{data.name}: {len(rows)} of {len(data):,} rows" + (", first as they are" if augment is not None else "")
    return Sheet(title, draw_sheet(title, lines))


def is_picture_tensor(value: Any) -> bool:
    """Whether an array looks like pixels: two sides of some length, and one or three channels behind if any."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "uif" or min(value.shape[:2], default=0) == 0:
        return False
    has_channels = value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3))
    return has_channels and min(value.shape[:2]) >= _SMALLEST_SIDE


def _cells(data: Dataset, column: Column, rows: list[int]) -> list[Any]:
    return [row[column.name] for row in data.select([column.name]).take(rows).rows()]


def _varied_lines(
    pictures: Array, labels: list[str], columns: int, augment: Augment, random: np.random.Generator
) -> list[list[Cell]]:
    lines = [[Cell(fitted(each, _CELL), label)] for each, label in zip(pictures, labels, strict=True)]
    for inputs, mixes in varied(augment, {"image": pictures}, columns - 1, random):
        for row, (line, each, mix) in enumerate(zip(lines, inputs["image"], mixes, strict=True)):
            line.append(Cell(fitted(each, _CELL), mixed_label(labels, row, mix) if mix[1] < 1 else ""))
    return lines


def _alike(cells: list[Any]) -> Array:
    """Pictures of one size: their own if they share it and it is not large, else that of a cell."""
    pixels = [_pixels(cell) for cell in cells]
    kept = [each for each in pixels if each is not None]
    if len(kept) < len(pixels):
        raise InvalidInput(
            f"{len(pixels) - len(kept)} of {len(pixels)} pictures cannot be decoded.",
            reason="BROKEN_ROWS",
            fix="Look at them with data.profile(), drop them with data.clean().",
        )
    if len({each.shape for each in kept}) > 1 or max(kept[0].shape[:2]) > _SIDE:
        squares = [_pixels(cell, square=True) for cell in cells]
        return np.stack([each for each in squares if each is not None])
    return np.stack(kept)


def _pixels(cell: Any, *, side: int | None = None, square: bool = False) -> Array | None:
    """uint8 [height, width, 3 or 1], no longer than `side`; None for what cannot be decoded."""
    if isinstance(cell, np.ndarray):
        return _reduced(_as_bytes(cell), _SIDE if square else side)
    if not isinstance(cell, bytes):
        return None
    steps: list[dict[str, Any]] = [{"op": "decode_image", "input": "picture", "mode": "RGB"}]
    if square or side is not None:
        steps.append(
            {"op": "resize", "size": [_SIDE, _SIDE]} if square else {"op": "resize", "size": side, "side": "longer"}
        )
    steps.append({"op": "to_tensor", "output": "pixels", "dtype": "UINT8", "layout": "HWC"})
    try:
        pixels = Pipeline.load({"inputs": {"picture": "image"}, "steps": steps[:1] + steps[-1:]}).run({"picture": cell})
        if side is not None and not square and max(pixels.tensors["pixels"].shape[:2]) <= side:
            return pixels.tensors["pixels"]  # small ones are enlarged pixel by pixel later
        return Pipeline.load({"inputs": {"picture": "image"}, "steps": steps}).run({"picture": cell}).tensors["pixels"]
    except InvalidInput:
        return None


def _as_bytes(values: Array) -> Array:
    """Any numbers as grey levels or colours: bytes as they are, others from their least to their greatest."""
    values = values if values.ndim == 3 else values[:, :, np.newaxis]
    if values.dtype == np.uint8:
        return values
    numbers = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = float(numbers.min()), float(numbers.max())
    levels: Array = ((numbers - low) * (255 / (high - low or 1))).round().astype(np.uint8)
    return levels


def _reduced(pixels: Array, side: int | None) -> Array:
    step = 1 if side is None else -(-max(pixels.shape[:2]) // side)
    return pixels[::step, ::step]
