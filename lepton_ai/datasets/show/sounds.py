"""Sheets of sounds: the waveform over the log-mel spectrogram, or spectrograms as they are and varied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.datasets.batch import Augment
from lepton_ai.datasets.show.mosaic import Cell, columns_for, draw_sheet, in_lines
from lepton_ai.datasets.show.sampling import choose_rows, labels_of, mixed_label, varied
from lepton_ai.datasets.show.shown import Sheet
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline
from lepton_ai.tensors import Array

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset
    from lepton_ai.datasets.schema import Column

_RATE_HZ = 16_000
_MOST_S = 10.0
_BANDS = 64
_WIDTH, _WAVE, _MEL = 176, 44, 2 * _BANDS
_RANGE_NEPERS = 60 / 10 * float(np.log(10))
"""60 dB: what is quieter than that below the loudest is drawn as silence."""
_WAVE_COLOUR, _SILENCE = (53, 101, 216), (238, 241, 245)


def sound_sheet(data: Dataset, column: Column, n: int, augment: Augment | None, random: np.random.Generator) -> Sheet:
    """Some sounds with their labels and lengths; with an augmentation, a line for each."""
    columns = columns_for(n)
    rows = choose_rows(data, n if augment is None else -(-n // columns), random)
    labels = labels_of(data, rows)
    cells = [row[column.name] for row in data.select([column.name]).take(rows).rows()]
    if augment is None:
        lines = in_lines([_cell(cell, label) for cell, label in zip(cells, labels, strict=True)], columns)
    else:
        lines = _varied_lines(cells, labels, columns, augment, random)
    title = f"{data.name}: {len(rows)} of {len(data):,} rows" + (", first as they are" if augment is not None else "")
    return Sheet(title, draw_sheet(title, lines))


def _cell(cell: Any, label: str) -> Cell:
    samples = _samples(cell)
    if samples is None:
        return Cell(np.full((_MEL, _WIDTH, 3), (253, 236, 236), np.uint8), "cannot be decoded")
    mel = _run(cell, [_log_mel()])
    pixels = np.concatenate([_draw_wave(samples), _draw_mel(mel)])
    return Cell(pixels, " · ".join(filter(None, [label, f"{len(samples) / _RATE_HZ:.2f} s"])))


def _varied_lines(
    cells: list[Any], labels: list[str], columns: int, augment: Augment, random: np.random.Generator
) -> list[list[Cell]]:
    lengths = [len(each) for each in map(_samples, cells) if each is not None]
    if len(lengths) < len(cells):
        raise InvalidInput("Some of these sounds cannot be decoded.", reason="BROKEN_ROWS", fix="See data.profile().")
    seconds = min(_MOST_S, max(lengths) / _RATE_HZ)
    fit = {"op": "fit_length", "seconds": max(seconds, 0.1), "align": "center"}
    mels = np.stack([_run(cell, [fit, _log_mel()]) for cell in cells])
    lines = [[Cell(_draw_mel(mel), label)] for mel, label in zip(mels, labels, strict=True)]
    for inputs, mixes in varied(augment, {"sound": mels}, columns - 1, random):
        for row, (line, mel, mix) in enumerate(zip(lines, inputs["sound"], mixes, strict=True)):
            line.append(Cell(_draw_mel(mel), mixed_label(labels, row, mix) if mix[1] < 1 else ""))
    return lines


def _log_mel() -> dict[str, Any]:
    return {"op": "log_mel", "mels": _BANDS, "window_ms": 32.0, "hop_ms": 10.0, "output": "sound"}


def _samples(cell: Any) -> Array | None:
    """A sound file's samples; None for what cannot be decoded."""
    try:
        return _run(cell, [{"op": "sound_tensor", "output": "sound"}]) if isinstance(cell, bytes) else None
    except InvalidInput:
        return None


def _run(cell: bytes, steps: list[dict[str, Any]]) -> Array:
    decode = [{"op": "decode_sound", "input": "file"}, {"op": "resample", "rate": _RATE_HZ}]
    pipeline = Pipeline.load({"inputs": {"file": "sound"}, "steps": decode + steps})
    return pipeline.run({"file": cell}).tensors["sound"]


def _draw_wave(samples: Array) -> Array:
    """uint8 [height, width, 3]: for each column of pixels a bar from the least to the greatest sample."""
    pixels = np.full((_WAVE, _WIDTH, 3), 255, np.uint8)
    edges = np.linspace(0, len(samples), _WIDTH + 1).astype(np.int64)
    starts = np.minimum(edges[:-1], len(samples) - 1)
    loudest = float(np.abs(samples).max()) or 1.0
    high, low = (function.reduceat(samples, starts) / loudest for function in (np.maximum, np.minimum))
    middle = (_WAVE - 5) / 2
    heights = np.arange(_WAVE - 4)[:, np.newaxis]
    drawn = (heights >= np.floor(middle * (1 - high))) & (heights <= np.ceil(middle * (1 - low)))
    pixels[: _WAVE - 4][drawn] = _WAVE_COLOUR
    return pixels


def _draw_mel(mel: Array) -> Array:
    """uint8 [height, width, 3]: time to the right, pitch upwards, loud parts bright."""
    from matplotlib import colormaps

    places = np.linspace(0, mel.shape[1] - 1, _WIDTH).round().astype(np.int64)
    shown = np.clip(1 + (mel[::-1][:, places] - mel.max()) / _RANGE_NEPERS, 0, 1)
    coloured: Array = (colormaps["magma"](shown.repeat(_MEL // _BANDS, axis=0))[:, :, :3] * 255).astype(np.uint8)
    return coloured
