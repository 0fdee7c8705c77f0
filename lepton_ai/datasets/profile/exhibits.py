"""Shows rows on the page: pictures as thumbnails, sounds as waves, texts and values as text."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
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
_CARD_KINDS = ("image", "sound", "text")
_BROKEN = "<div class='broken'>cannot be decoded</div>"


class Exhibits:
    """Reads rows when they are shown; a row that is shown twice is read once."""

    def __init__(self, data: Dataset | None) -> None:
        self._data = data
        self._bodies: dict[tuple[int, str], str] = {}

    @property
    def pictorial(self) -> bool:
        """Whether rows have pictures, sounds or texts and are shown as cards; plain values go into a table."""
        return self._data is not None and any(column.kind in _CARD_KINDS for column in self._data.schema.inputs)

    def show(self, rows: Sequence[int], captions: Sequence[str], *, column: str = "", heading: str = "") -> str:
        """Rows with their numbers, their targets and what the finding says of them; empty without data.

        In a table captions have a column of their own when it has a `heading`.
        """
        if self._data is None or not rows:
            return ""
        if not self.pictorial:
            return _value_table(self._data, rows, captions, column, heading)
        return "".join(self._card(row, caption, column) for row, caption in zip(rows, captions, strict=False))

    def _card(self, row: int, caption: str, column: str) -> str:
        key = (row, column)
        if key not in self._bodies and self._data is not None:
            self._bodies[key] = _body(self._data, row, column)
        said = f"<b>{escape(caption)}</b>" if caption else ""
        return f"<figure class='row'>{self._bodies[key]}<figcaption><span>row {row}</span>{said}</figcaption></figure>"


def _value_table(data: Dataset, rows: Sequence[int], captions: Sequence[str], named: str, heading: str) -> str:
    columns = [column for column in data.schema if column.role in ("input", "time", "target")]
    columns.sort(key=lambda column: (column.role != "target", column.name != named))
    columns = columns[:_SHOWN_VALUES]
    heads = "".join(
        f"<th>{escape(name)}</th>" for name in (*([heading] if heading else []), *(x.name for x in columns))
    )
    lines = []
    for row, caption in zip(rows, captions, strict=False):
        number = f"{row}<small>{escape(caption)}</small>" if caption in ("here", data.name) else str(row)
        cells = f"<td>{escape(caption)}</td>" if heading else ""
        cells += "".join(f"<td>{_text(_cell(data, row, column))}</td>" for column in columns)
        lines.append(f"<tr><th>{number}</th>{cells}</tr>")
    body = f"<thead><tr><th>row</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f"<div class='sheet'><table>{body}</table></div>"


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
