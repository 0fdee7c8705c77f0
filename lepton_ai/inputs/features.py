"""Raw inputs → features: what can be counted of a row before it is turned into tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from lepton_ai.inputs.counts import MAX_NAME_CHARS, Feature
from lepton_ai.inputs.media import measure_picture, measure_sound, script_of
from lepton_ai.pipeline.reading import NO_READINGS, Reading
from lepton_ai.pipeline.values import Limits, RawValue, accept

_MOST_ELEMENTS = 64
"""Arrays of one dimension up to this length have a feature for every element."""
_LIMITS = Limits()


class FeatureReader:
    """Reads the inputs of one model. Numbers and categories are features themselves; others have several:

    text.length (characters), text.letters (share), text.script; picture.width, .height, .brightness, .contrast (0…1);
    sound.seconds, .rate, .loudness (0…1); short arrays one for every element ("x[3]"), others x.mean and x.std.
    """

    def __init__(
        self, kinds: Mapping[str, str], readings: Mapping[str, Reading] = NO_READINGS, *, limits: Limits = _LIMITS
    ) -> None:
        """`kinds` and `readings` by the name of an input, as pipelines have them."""
        self._kinds = dict(kinds)
        self._readings = readings
        self._limits = limits

    @property
    def has_files(self) -> bool:
        """Whether a row takes milliseconds to read, as it holds pictures or sounds."""
        return not {"image", "sound"}.isdisjoint(self._kinds.values())

    def read(self, row: Mapping[str, RawValue]) -> Iterator[Feature]:
        """The features of one row. Raises InvalidInput for a row that the pipeline would refuse."""
        accepted = accept(row, kinds=self._kinds, limits=self._limits, readings=self._readings)
        for name, value in accepted.items():
            yield from _READERS[self._kinds[name]](name[:MAX_NAME_CHARS], value)


def _number(name: str, value: RawValue) -> Iterator[Feature]:
    yield name, "number", float(value) if isinstance(value, int | float) else None


def _category(name: str, value: RawValue) -> Iterator[Feature]:
    yield name, "category", value if isinstance(value, str) else None


def _text(name: str, value: RawValue) -> Iterator[Feature]:
    text = value if isinstance(value, str) else ""
    beginning = text[:200]
    letters = sum(character.isalpha() for character in beginning)
    yield f"{name}.length", "number", float(len(text))
    yield f"{name}.letters", "number", round(letters / len(beginning), 2) if beginning else None
    yield f"{name}.script", "category", script_of(beginning)


def _image(name: str, value: RawValue) -> Iterator[Feature]:
    seen = measure_picture(value if isinstance(value, bytes) else b"")
    yield f"{name}.width", "number", float(seen.width)
    yield f"{name}.height", "number", float(seen.height)
    yield f"{name}.brightness", "number", seen.brightness
    yield f"{name}.contrast", "number", seen.contrast


def _sound(name: str, value: RawValue) -> Iterator[Feature]:
    heard = measure_sound(value if isinstance(value, bytes) else b"")
    yield f"{name}.seconds", "number", heard.seconds
    yield f"{name}.rate", "number", float(heard.rate_hz)
    yield f"{name}.loudness", "number", heard.loudness


def _tensor(name: str, value: RawValue) -> Iterator[Feature]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return
    if value.size == 1 or (value.ndim == 1 and value.size <= _MOST_ELEMENTS):
        elements = np.ravel(value).tolist()
        names = [name] if len(elements) == 1 else [f"{name}[{place}]" for place in range(len(elements))]
        yield from ((each, "number", float(element)) for each, element in zip(names, elements, strict=True))
        return
    numbers = value.astype(np.float64, copy=False)
    finite = numbers[np.isfinite(numbers)]
    yield f"{name}.mean", "number", float(finite.mean()) if finite.size else math.nan
    yield f"{name}.std", "number", float(finite.std()) if finite.size else math.nan


_READERS: Mapping[str, Callable[[str, Any], Iterator[Feature]]] = {
    "number": _number,
    "category": _category,
    "text": _text,
    "image": _image,
    "sound": _sound,
    "tensor": _tensor,
}
