"""Sequences of numbers: one length for all of them, and which part of it is real."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from lepton_ai.pipeline.operation import Call, Misfit, Name, Spec, ValueOperation, expect
from lepton_ai.tensors import Array

_NUMBER_KINDS = "iufb"  # of numpy: signed, unsigned, floating point, boolean


class Sequence(ValueOperation):
    """Brings numbers, or vectors, that follow one another to one length: FP32 [length, features], zeros behind."""

    name: ClassVar[str] = "sequence"
    length: Annotated[int, Field(ge=1, le=65_536)] = Field(description="Most steps that are kept.")
    features: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=1, description="Numbers at every step; with 1, a tensor of one dimension is taken as well."
    )
    offset: Annotated[tuple[float, ...], Field(max_length=65_536)] = Field(
        default=(), description="Subtracted in FP64, one number a feature: what differs in its last digits keeps them."
    )
    least: Annotated[int, Field(ge=1, le=65_536)] = Field(default=1, description="Shorter sequences are refused.")
    keep: Literal["first", "last"] = Field(default="first", description="Which steps of a longer one are kept.")
    mask: Name | None = Field(default=None, description="Name for a second tensor: 1 for steps, 0 for padding.")

    @model_validator(mode="after")
    def _least_fits(self) -> Sequence:
        if self.least > self.length:
            raise ValueError("least must not be greater than length")
        if self.offset and len(self.offset) != self.features:
            raise ValueError("offset must have one number for each of the features")
        return self

    def writes(self, anonymous: str) -> tuple[str, ...]:
        steps = self.output or anonymous
        return (steps,) if self.mask is None else (steps, self.mask)

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        expect(given[0], "tensor")
        if given[0].dtype == "BYTES":
            raise Misfit("input", "holds strings, not numbers")
        if self.mask is not None and self.mask == self.output:
            raise Misfit("mask", "must not be the name of the sequence")
        steps = Spec("tensor", "FP32", (self.length, self.features), channel_axis=1)
        return (steps,) if self.mask is None else (steps, Spec("tensor", "INT64", (self.length,)))

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        given = self._steps(values[0], call)
        call.check_tensor(self.length * self.features, 4)
        if len(given) > self.length:
            call.flag(
                "TRUNCATED_SEQUENCE", f"The sequence has {len(given)} steps; the {self.keep} {self.length} are used."
            )
            given = given[: self.length] if self.keep == "first" else given[-self.length :]
        steps = np.zeros((self.length, self.features), dtype=np.float32)
        steps[: len(given)] = given
        if self.mask is None:
            return (steps,)
        mask = np.zeros(self.length, dtype=np.int64)
        mask[: len(given)] = 1
        return (steps, mask)

    def _steps(self, array: Array, call: Call) -> Array:
        """The sequence as [steps, features]. Raises InvalidInput."""
        if array.dtype.kind not in _NUMBER_KINDS:
            raise call.refusal("does not hold numbers", reason="WRONG_DTYPE", fix="Send a tensor of numbers.")
        given = array[:, np.newaxis] if array.ndim == 1 and self.features == 1 else array
        if given.ndim != 2 or given.shape[1] != self.features:
            raise call.refusal(
                f"has shape {list(array.shape)}, expected [steps, {self.features}]",
                reason="WRONG_SHAPE",
                fix="Send one sequence, without a batch dimension.",
            )
        if len(given) < self.least:
            raise call.refusal(
                f"has {len(given)} steps, at least {self.least} are needed",
                reason="SEQUENCE_TOO_SHORT",
                fix="Send more steps.",
            )
        with np.errstate(over="ignore"):  # beyond FP32: refused below
            numbers = (given - np.asarray(self.offset) if self.offset else given).astype(np.float32)
        if not np.isfinite(numbers).all():
            raise call.refusal(
                "holds NaN, infinity or a number beyond FP32", reason="NOT_FINITE", fix="Send finite numbers."
            )
        return numbers
