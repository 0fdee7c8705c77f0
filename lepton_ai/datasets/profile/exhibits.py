"""Shows rows on the page: pictures as thumbnails, sounds as waves, texts and values as text."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.datasets.profile.charts import wave
from lepton_ai.datasets.profile.media import thumbnail, waveform
from lepton_ai.datasets.schema import Column
from lepton_ai.errors import LeptonError

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

_SIDE_PIXELS = 112
_WAVE_POINTS = 96
_TEXT_CHARS = 160
_SHOWN_VALUES = 8
_BROKEN = "<div class='broken'>cannot be decoded</div>"


class Exhibits:
    """Reads rows when they are shown; a row that is shown twice is read once."""

    def __init__(self, data: Dataset | None) -> None:
        self._data = data
        self._bodies: dict[tuple[int, str], str] = {}

    def show(self, row: int, *, caption: str, column: str = "") -> str:
        """A row with its number, its target and what the finding says of it; empty without data."""
        if self._data is None:
            return ""
        key = (row, column)
        if key not in self._bodies:
            self._bodies[key] = _body(self._data, row, column)
        said = f"<b>{escape(caption)}</b>" if caption else ""
        return f"<figure class='row'>{self._bodies[key]}<figcaption><span>row {row}</span>{said}</figcaption></figure>"


def _body(data: Dataset, row: int, named: str) -> str:
    schema = data.schema
    wanted = [column for column in schema if column.role in ("input", "time")]
    wanted.sort(key=lambda column: column.name != named)  # the column in question comes first
    files = [column for column in wanted if column.kind in ("image", "sound")]
    plain = [column for column in wanted if column not in files][:_SHOWN_VALUES]
    if schema.target is not None:
        plain.append(schema.target)
    shown = "".join(_file(data, row, column) for column in files[:2])
    lines = "".join(_line(data, row, column) for column in plain)
    return shown + (f"<dl>{lines}</dl>" if lines else "")


def _file(data: Dataset, row: int, column: Column) -> str:
    content = _cell(data, row, column)
    if not isinstance(content, bytes):
        return _BROKEN
    if column.kind == "sound":
        peaks = waveform(content, _WAVE_POINTS)
        return _BROKEN if peaks is None else wave(peaks)
    small = thumbnail(content, _SIDE_PIXELS)
    if small is None:
        return _BROKEN
    return f"<img alt='row {row}' src='data:image/jpeg;base64,{b64encode(small).decode()}'>"


def _line(data: Dataset, row: int, column: Column) -> str:
    value = _cell(data, row, column)
    name = "" if column.kind == "text" else f"<dt>{escape(column.name)}</dt>"
    return f"<div class='{column.kind} {column.role}'>{name}<dd>{_text(value)}</dd></div>"


def _cell(data: Dataset, row: int, column: Column) -> Any:
    try:
        return data.select([column.name]).row(row)[column.name]
    except LeptonError:  # a missing file is a finding of its own; here its place stays empty
        return None


def _text(value: Any) -> str:
    if value is None:
        return "<i>missing</i>"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return escape(text[:_TEXT_CHARS]) + ("…" if len(text) > _TEXT_CHARS else "")
