"""What goes into a pipeline and what comes out: raw values, limits, anomalies, tensors."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, Field

from lepton_ai import tensors
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.file import FILE_KINDS
from lepton_ai.pipeline.frames import Frame
from lepton_ai.pipeline.reading import NO_READINGS, Reading
from lepton_ai.tensors import Array
from lepton_ai.v1 import common_pb2 as pb

RawValue = bytes | str | float | int | bool | Array | None
"""One raw input: an encoded file, a text, a number, a category, an array, or None when it is missing."""

# Pillow refuses by itself what is larger, with a warning first; our own limit has to be the one that decides.
_PILLOW_MAX_PIXELS = 89_000_000

KINDS = ("image", "sound", "text", "number", "category", "tensor")
"""What a pipeline's input can be declared as."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one item may ask for. Checked before anything is allocated for it."""

    max_item_bytes: int = 20 * 1024 * 1024
    """All raw inputs of one item together."""
    max_pixels: int = 40_000_000
    """Of an image as its header declares it, and of every image that a step would make."""
    max_side_pixels: int = 16_384
    """Width and height of an image, each."""
    max_seconds: float = 600.0
    """Of a sound as its header declares it, and of every sound that a step would make."""
    max_samples: int = 40_000_000
    """Of a sound, likewise, in all its channels together."""
    max_output_bytes: int = 32 * 1024 * 1024
    """All tensors of one item together, and every tensor on the way there."""


class LimitSettings(BaseModel):
    """`Limits` as settings, under the same names in every service that runs pipelines."""

    max_item_bytes: int = Field(default=Limits.max_item_bytes, ge=1)
    """All raw inputs of one item together."""
    max_output_bytes: int = Field(default=Limits.max_output_bytes, ge=1)
    """All tensors of one item together. Results must fit into a message, see max_message_bytes."""
    max_pixels: int = Field(default=Limits.max_pixels, ge=1, le=_PILLOW_MAX_PIXELS)
    max_side_pixels: int = Field(default=Limits.max_side_pixels, ge=1, le=65_535)
    max_seconds: float = Field(default=Limits.max_seconds, gt=0)
    """How long a sound may be, as its header declares it and at every step."""
    max_samples: int = Field(default=Limits.max_samples, ge=1)
    """Samples of a sound, in all its channels together."""

    @property
    def limits(self) -> Limits:
        """What one item may ask for."""
        return Limits(
            max_item_bytes=self.max_item_bytes,
            max_output_bytes=self.max_output_bytes,
            max_pixels=self.max_pixels,
            max_side_pixels=self.max_side_pixels,
            max_seconds=self.max_seconds,
            max_samples=self.max_samples,
        )


@dataclass(frozen=True)
class Anomaly:
    """Something odd about an input that could be processed all the same; never told with the value itself."""

    input: str
    reason: str
    problem: str

    @property
    def message(self) -> str:
        """What was odd about which input, for people."""
        return f"{self.input}: {self.problem}"


@dataclass(frozen=True)
class Processed:
    """What a pipeline made of one item: one tensor for every output, and what was odd."""

    tensors: dict[str, Array]
    anomalies: list[Anomaly]
    frames: Mapping[str, Frame] = field(default_factory=dict)
    """Of the tensors that were made of one picture, how its pixels were moved."""


def raw_inputs(item: pb.Item) -> dict[str, RawValue]:
    """The inputs of an Item message. Raises InvalidInput for a tensor whose content does not fit its shape."""
    return {name: _raw_value(name, value) for name, value in item.inputs.items()}


def _raw_value(name: str, value: pb.Value) -> RawValue:
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    if kind != "tensor":
        raw: RawValue = getattr(value, kind)
        return raw
    field = f"inputs.{name}"
    if value.tensor.WhichOneof("content") == "shared_memory":
        raise FailedPrecondition(
            f"{field}: is in shared memory, which this server cannot map.",
            reason="SHARED_MEMORY_UNAVAILABLE",
            fix="Send `data`.",
        )
    if value.tensor.dtype not in pb.DataType.values() or value.tensor.dtype == pb.DATA_TYPE_UNSPECIFIED:
        raise InvalidInput.of_field(field, "dtype is not set", reason="WRONG_DTYPE", fix="Set the tensor's dtype.")
    return tensors.from_wire(tensors.proto_dtype(value.tensor), value.tensor.shape, value.tensor.data, field=field)


def accept(
    inputs: Mapping[str, RawValue],
    *,
    kinds: Mapping[str, str],
    limits: Limits,
    readings: Mapping[str, Reading] = NO_READINGS,
) -> dict[str, RawValue]:
    """The inputs a pipeline declared, each checked to be of its kind. Raises InvalidInput naming `inputs.NAME`.

    A missing number or category becomes None, for a later step to impute; anything else that is missing is an error.
    NaN, which data frames put where a text or a category is missing, is missing there, too. An array without dimensions
    is the value that it holds.
    Texts of columns with a reading are read as the column was.
    """
    if set(inputs) == {""} and len(kinds) == 1:  # the only input may go without its name
        inputs = {next(iter(kinds)): inputs[""]}
    if "" in inputs:
        raise InvalidInput.of_field(
            "inputs",
            "a single value without a name, and the model takes several",
            reason="UNKNOWN_INPUT",
            fix=f"Send them by name: {', '.join(kinds)}.",
        )
    for name in inputs:
        if name not in kinds:
            raise InvalidInput.of_field(
                f"inputs.{name[:64]}",
                "is not an input of this pipeline",
                reason="UNKNOWN_INPUT",
                fix=f"Send {', '.join(kinds)}.",
            )
    total_bytes = sum(size_bytes(value) for value in inputs.values())
    if total_bytes > limits.max_item_bytes:
        raise InvalidInput.of_field(
            "inputs",
            f"{total_bytes} bytes in one item, at most {limits.max_item_bytes} are allowed",
            reason="ITEM_TOO_LARGE",
            fix="Send a smaller file.",
        )
    given = {name: as_read(inputs.get(name), kind, readings.get(name)) for name, kind in kinds.items()}
    return {name: _accept_one(name, given[name], kind) for name, kind in kinds.items()}


def as_read(value: RawValue, kind: str, reading: Reading | None) -> RawValue:
    """What a text stood for in the table that was learned from; other values, and texts that are none, as they are."""
    if reading is not None and isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if reading is None or kind not in ("number", "category") or not isinstance(value, str | bytes):
        return value
    text = _text(value)
    return value if text is None else reading.value(text)


def size_bytes(value: RawValue) -> int:
    """Roughly what a raw value occupies. A text counts 4 bytes a character at most, never less than it holds."""
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, np.ndarray):
        return int(value.nbytes) if value.dtype != np.object_ else sum(len(element) for element in value.ravel())
    return 8


def _accept_one(name: str, value: RawValue, kind: str) -> RawValue:
    if kind != "tensor" and isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if kind not in ("number", "tensor") and isinstance(value, float) and math.isnan(value):
        value = None
    if value is None:
        if kind in ("number", "category"):
            return None
        raise InvalidInput.of_field(
            f"inputs.{name}", "is missing", reason="MISSING_INPUT", fix=f"Send the {kind} as {name!r}."
        )
    accepted = _ACCEPTORS[kind](value)
    if accepted is None:
        raise InvalidInput.of_field(
            f"inputs.{name}",
            f"is {_describe(value)}, expected {_EXPECTED[kind]}",
            reason="WRONG_KIND",
            fix=f"Send {_EXPECTED[kind]}.{_hint(kind, value)}",
        )
    return accepted


def _file(value: RawValue) -> RawValue:
    return value if isinstance(value, bytes) else None


def _text(value: RawValue) -> str | None:
    """A text, also as UTF-8 bytes: that is how a BYTES tensor carries one."""
    try:
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if isinstance(value, str):
            value.encode("utf-8")  # lone surrogates cannot be sent on
            return value
    except UnicodeError:
        return None
    return None


def _number(value: RawValue) -> RawValue:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 1 << 1000:
        return math.inf  # beyond what a float can hold
    return float(value) if isinstance(value, int | float | np.number) else None


def category_name(value: RawValue) -> str | None:
    """The category's name: true and false for booleans, 3 for 3.0, so that JSON callers need not care. Or None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, int | float):
        return str(value)
    text = _text(value)
    return None if text is None else one_form(text)


def one_form(name: str) -> str:
    """The name in Unicode's composed form (NFC): "é" may be one character or two, and looks the same."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _tensor(value: RawValue) -> RawValue:
    """An array; a single number is one without dimensions."""
    if isinstance(value, float):
        return np.asarray(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63:
        return np.asarray(value, dtype=np.int64)
    return value if isinstance(value, np.ndarray) else None


_ACCEPTORS = {
    "image": _file,
    "sound": _file,
    "text": _text,
    "number": _number,
    "category": category_name,
    "tensor": _tensor,
}
_EXPECTED = {
    "image": "the bytes of an encoded image",
    "sound": "the bytes of an encoded sound",
    "text": "a text (valid UTF-8)",
    "number": "a number",
    "category": "a text, an integer or a boolean",
    "tensor": "a tensor or a number",
}
_PATH_HINT = " A text is not read as a path: in Python, name a file as lepton_ai.File(PATH)."
_PIXELS_HINT = " Pixels in an array become a picture, which is taken, by PIL.Image.fromarray(ARRAY)."


def _hint(kind: str, value: RawValue) -> str:
    """What else to do about a value that is no file, for what is often meant."""
    if kind in FILE_KINDS and isinstance(value, str):
        return _PATH_HINT
    return _PIXELS_HINT if kind == "image" and isinstance(value, np.ndarray) else ""


def _describe(value: RawValue) -> str:
    if isinstance(value, bytes | str):
        return "bytes" if isinstance(value, bytes) else "a text"
    if isinstance(value, np.ndarray):
        return "a tensor"
    return "a boolean" if isinstance(value, bool) else "a number"
