"""Tensor operations: image to tensor, normalisation, and tensors that callers send ready-made."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from lepton_ai.dtypes import DTYPES
from lepton_ai.pipeline.operation import UNKNOWN, Call, Misfit, Spec, ValueOperation, expect
from lepton_ai.tensors import dtype_name, numpy_dtype

Channels = Annotated[tuple[float, ...], Field(min_length=1, max_length=4096)]

_BECOMES = {"f": "f", "i": "iuf", "u": "iuf"}
"""By NumPy's letters: what floats and whole numbers may become."""
_TENSOR_DTYPES = tuple(dtype for dtype in DTYPES if dtype != "BF16")  # which numpy lacks


class ToTensor(ValueOperation):
    """Makes a tensor of an image, or changes dtype and layout of one that was made of an image."""

    name: ClassVar[str] = "to_tensor"
    dtype: Literal["UINT8", "FP32", "FP16"] = Field(default="FP32", description="Element type; values are not scaled.")
    layout: Literal["HWC", "CHW"] = Field(default="CHW", description="Order of height, width and channels.")
    channels: Literal["RGB", "BGR"] = Field(
        default="RGB", description="Order of an image's colours; BGR for models that were trained with OpenCV."
    )

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        spec = _pixels(given[0])
        if self.dtype == "UINT8" and spec.dtype != "UINT8":
            raise Misfit("dtype", f"UINT8 cannot hold {spec.dtype} values", fix="Use FP32 or FP16.")
        height, width, channels = _as_hwc(spec)
        if self.channels == "BGR" and (spec.kind != "image" or channels != 3):
            raise Misfit("channels", f"BGR is the order of a colour image's channels, the input is {given[0]}")
        shape = (height, width, channels) if self.layout == "HWC" else (channels, height, width)
        return (Spec("tensor", self.dtype, shape, channel_axis=2 if self.layout == "HWC" else 0),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        array = _hwc_array(values[0])
        call.check_tensor(array.size, numpy_dtype(self.dtype).itemsize)
        if self.channels == "BGR":
            array = array[:, :, ::-1]
        if self.layout == "CHW":
            array = array.transpose(2, 0, 1)
        return (np.ascontiguousarray(array, dtype=numpy_dtype(self.dtype)),)


class Normalize(ValueOperation):
    """Computes (x × scale − mean) / std as FP32, per channel or for all alike; FP64 and large whole numbers in FP64."""

    name: ClassVar[str] = "normalize"
    mean: float | Channels = Field(default=0.0, description="Subtracted: one number, or one a channel.")
    std: float | Channels = Field(default=1.0, description="Divided by: one number, or one a channel; never 0.")
    scale: float = Field(default=1.0, description="Multiplied first, for instance 1/255.")

    @model_validator(mode="after")
    def _no_zero(self) -> Normalize:
        if 0.0 in (self.std if isinstance(self.std, tuple) else (self.std,)):
            raise ValueError("std must not be 0")
        return self

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        spec = _pixels(given[0])
        shape, axis = (_as_hwc(spec), 2) if spec.kind == "image" else (spec.shape, spec.channel_axis)
        for parameter, value in (("mean", self.mean), ("std", self.std)):
            if isinstance(value, tuple) and (axis is None or len(value) != shape[axis]):
                raise Misfit(parameter, f"has {len(value)} numbers, the value has {shape[axis or 0]} channels")
        return (Spec("tensor", "FP32", shape, channel_axis=axis),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        spec = call.given[0]
        axis = 2 if spec.kind == "image" else spec.channel_axis
        array = _hwc_array(values[0])
        # Numbers that differ in their last digits only, such as Unix times, are equal once they are FP32.
        kept = np.result_type(array.dtype, np.float32)
        call.check_tensor(array.size, kept.itemsize)
        result = array.astype(kept)
        if self.scale != 1.0:
            result *= kept.type(self.scale)
        result -= _along(axis, self.mean, result)
        result /= _along(axis, self.std, result)
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            return (result.astype(np.float32, copy=False),)


class TensorInput(ValueOperation):
    """Takes a tensor that the caller sends ready-made, after checking its dtype and shape.

    Floats of another width become those that are wanted: what NumPy makes by itself is FP64, what models take FP32.
    Whole numbers, which JSON and Python write for floats too, become what is wanted where that is the same number.
    A number and an array of one number are alike.
    """

    name: ClassVar[str] = "tensor"
    dtype: str = Field(description="Element type, for instance FP32 or BYTES.")
    shape: tuple[Annotated[int, Field(ge=-1)], ...] = Field(
        max_length=16, description="Shape of one item, without the batch; -1 for a dimension of any size."
    )

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, dtype: str) -> str:
        if dtype not in _TENSOR_DTYPES:
            raise ValueError(f"must be one of {', '.join(_TENSOR_DTYPES)}")
        return dtype

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        expect(given[0], "tensor")
        last = len(self.shape) - 1
        return (Spec("tensor", self.dtype, self.shape, channel_axis=last if last >= 0 else None),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        array = self._typed(values[0], call)
        if {array.shape, self.shape} == {(), (1,)}:
            array = array.reshape(self.shape)
        fits = len(array.shape) == len(self.shape) and all(
            want in (UNKNOWN, have) for want, have in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            raise call.refusal(
                f"has shape {list(array.shape)}, expected {list(self.shape)}",
                reason="WRONG_SHAPE",
                fix="Send one item, without a batch dimension.",
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            call.flag("NOT_FINITE", "The tensor holds NaN or infinity.")
        return (array,)

    def _typed(self, array: Any, call: Call) -> Any:
        sent, wanted = dtype_name(array.dtype), numpy_dtype(self.dtype)
        if sent == self.dtype:
            return array
        if wanted.kind not in _BECOMES.get(array.dtype.kind, ""):
            raise call.refusal(f"is {sent}, expected {self.dtype}", reason="WRONG_DTYPE", fix=f"Send {self.dtype}.")
        call.check_tensor(array.size, wanted.itemsize)
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, which is flagged
            typed = array.astype(wanted)
            changed = [] if array.dtype.kind == "f" else np.argwhere(~_is_same(array, typed))[:1].tolist()
        if changed:
            raise call.refusal(
                f"is {sent}, and its element {changed[0]} is a number that {self.dtype} does not have",
                reason="WRONG_DTYPE",
                fix=f"{self.dtype} has {_whole_numbers(wanted)}. Send {self.dtype} to say which number is meant.",
            )
        return typed


def _is_same(whole: npt.NDArray[Any], typed: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """For each whole number whether it is still the same in its new type."""
    same: npt.NDArray[np.bool_] = (typed.astype(whole.dtype) == whole) & ((typed < 0) == (whole < 0))
    if typed.dtype.kind == "f":  # beyond its range a float does not come back alike on all machines
        same = same & (np.abs(typed) < 2.0 ** (8 * whole.itemsize - (whole.dtype.kind == "i")))
    return same


def _whole_numbers(dtype: np.dtype[Any]) -> str:
    """Which whole numbers a type has, the first that it lacks left out."""
    if dtype.kind == "f":
        return f"all whole numbers up to {2 << np.finfo(dtype).nmant}, and few beyond"
    limits = np.iinfo(dtype)
    return f"the whole numbers from {limits.min} to {limits.max}"


def _pixels(spec: Spec) -> Spec:
    expect(spec, "image", "tensor")
    if not spec.shape:
        raise Misfit(
            "input", "is still raw", fix="Put decode_image, or for a tensor the tensor operation, before this."
        )
    if spec.dtype == "BYTES":
        raise Misfit("input", "holds strings, not numbers")
    return spec


def _as_hwc(spec: Spec) -> tuple[int, int, int]:
    if len(spec.shape) != 3:
        raise Misfit("input", f"has {len(spec.shape)} dimensions, an image has 3")
    if spec.kind == "tensor" and spec.channel_axis == 0:
        raise Misfit("input", "is in layout CHW already")
    height, width, channels = spec.shape
    return height, width, channels


def _hwc_array(value: Any) -> Any:
    """Pixels of an image with a channel dimension also for grey; a tensor as it is."""
    array = np.asarray(value)
    return array if isinstance(value, np.ndarray) or array.ndim == 3 else array[:, :, np.newaxis]


def _along(axis: int | None, value: float | tuple[float, ...], result: Any) -> Any:
    """The numbers shaped so that they spread along the channel axis."""
    if not isinstance(value, tuple):
        return result.dtype.type(value)
    shape = [-1 if dimension == axis else 1 for dimension in range(result.ndim)]
    return np.asarray(value, dtype=result.dtype).reshape(shape)
