"""Draws a sheet: pictures in lines and columns, pixel for pixel, with a label below each."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_ai.fonts import font_properties, legible, shortened
from lepton_ai.tensors import Array

_DPI = 100
_GAP, _LABEL, _TITLE = 10, 20, 40
"""Pixels between cells, below each for its label, and above all for the title."""
_NARROWEST = 80
_CHARACTER = 7.4
"""Pixels that a narrow character of a label takes."""
_INK, _SOFT = "#1b2330", "#5d6878"


@dataclass(frozen=True)
class Cell:
    """One picture on a sheet."""

    pixels: Array
    """uint8 [height, width, 3]."""
    label: str = ""


def draw_sheet(title: str, lines: Sequence[Sequence[Cell]]) -> bytes:
    """Lines of cells as a PNG file; the largest picture decides how much room each has."""
    from matplotlib.figure import Figure

    shapes = [cell.pixels.shape for line in lines for cell in line]
    wide, high = max(_NARROWEST, *(shape[1] for shape in shapes)), max(shape[0] for shape in shapes)
    columns = max(len(line) for line in lines)
    width = max(columns * (wide + _GAP) + _GAP, 320)
    height = _TITLE + len(lines) * (high + _LABEL + _GAP)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    heading = shortened(legible(title), int((width - 2 * _GAP) / 8))
    figure.text(_GAP / width, 1 - _TITLE / 2 / height, heading, fontsize=11, color=_INK, **_place(heading))
    sheet = np.full((height, width, 3), 255, np.uint8)
    for row, line in enumerate(lines):
        top = _TITLE + row * (high + _LABEL + _GAP)
        for column, cell in enumerate(line):
            left = _GAP + column * (wide + _GAP)
            _put(sheet, cell.pixels, top, left, (wide, high))
            label = shortened(legible(cell.label), int((wide + _GAP) / _CHARACTER))
            x, y = (left + wide / 2) / width, 1 - (top + high + _LABEL / 2) / height
            figure.text(x, y, label, fontsize=8.5, color=_SOFT, ha="center", **_place(label))
    figure.figimage(sheet)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": "Lepton"})
    return file.getvalue()


def fitted(pixels: Array, size: tuple[int, int]) -> Array:
    """Small pictures enlarged by a whole factor, so that their pixels stay visible; grey ones in three channels."""
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]
    factor = max(1, min(size[0] // pixels.shape[1], size[1] // pixels.shape[0]))
    enlarged = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    return np.broadcast_to(enlarged, (*enlarged.shape[:2], 3)) if enlarged.shape[2] == 1 else enlarged


def in_lines(cells: Sequence[Cell], columns: int) -> list[list[Cell]]:
    """Cells one after the other, so many a line."""
    return [list(cells[start : start + columns]) for start in range(0, len(cells), columns)]


def columns_for(count: int) -> int:
    """How many cells a line has, so that the sheet is about square."""
    return min(12, max(1, round(math.sqrt(count) + 0.3)))


def _place(text: str) -> dict[str, Any]:
    return {"fontproperties": font_properties(text), "va": "center", "parse_math": False}


def _put(sheet: Array, pixels: Array, top: int, left: int, size: tuple[int, int]) -> None:
    high, wide = pixels.shape[:2]
    top, left = top + (size[1] - high) // 2, left + (size[0] - wide) // 2
    sheet[top : top + high, left : left + wide] = pixels
