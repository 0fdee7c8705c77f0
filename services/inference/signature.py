"""What a model declares of its tensors, and the check that a caller's tensors are exactly that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lepton_ai.dtypes import ELEMENT_BYTES
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.tensors import check_content, element_count
from services.inference.rows import NamedTensor, Rows
from services.inference.version import TensorDescription


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared tensor. Dimensions of -1 are free; the first one is the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    fixed_row_bytes: int | None
    """Content of one row where dtype and shape fix it: the fast check."""

    @classmethod
    def of(cls, tensor: TensorDescription) -> Declared:
        """The declaration of a package's tensor."""
        shape = tuple(tensor.shape)
        fixed = tensor.dtype in ELEMENT_BYTES and all(dimension >= 0 for dimension in shape[1:])
        row_bytes = math.prod(shape[1:]) * ELEMENT_BYTES[tensor.dtype] if fixed else None
        return cls(tensor.name, tensor.dtype, shape, row_bytes)


class Tensors(Protocol):
    """Whatever declares a model's tensors."""

    @property
    def inputs(self) -> Sequence[TensorDescription]: ...
    @property
    def outputs(self) -> Sequence[TensorDescription]: ...


class Signature:
    """The declared inputs and outputs of one model version."""

    def __init__(self, description: Tensors) -> None:
        self.inputs = tuple(Declared.of(tensor) for tensor in description.inputs)
        self.outputs = tuple(Declared.of(tensor) for tensor in description.outputs)
        self.input_dtypes = {tensor.name: tensor.dtype for tensor in self.inputs}
        self._output_names = frozenset(tensor.name for tensor in self.outputs)

    def check(self, tensors: Sequence[NamedTensor], *, field: str = "tensors") -> Rows:
        """The caller's tensors in declared order. Raises InvalidInput naming the tensor that is wrong, and how."""
        given = {tensor.name: tensor for tensor in tensors}
        if len(given) != len(tensors) or given.keys() != self.input_dtypes.keys():
            raise self._wrong_names(tensors, field)
        ordered = tuple(given[declared.name] for declared in self.inputs)
        for declared, tensor in zip(self.inputs, ordered, strict=True):
            _check(declared, tensor, f"{field}[{tensor.name}]")
        count = ordered[0].shape[0]
        for tensor in ordered:
            if tensor.shape[0] != count:
                description = f"has {tensor.shape[0]} rows where {ordered[0].name!r} has {count}"
                raise InvalidInput.of_field(f"{field}[{tensor.name}]", description, reason="SHAPE_MISMATCH")
        return Rows(count, ordered)

    def check_made(self, tensors: Sequence[NamedTensor]) -> Rows:
        """The same for one row that the model's own pipeline has made. Raises FailedPrecondition."""
        try:
            return self.check(tensors, field="preprocess.outputs")
        except InvalidInput as error:  # Not the caller's fault: only a wrong package can cause this, not its items.
            raise FailedPrecondition(
                f"The model's pipeline does not make what the model takes. {error.message}",
                reason="PIPELINE_MISMATCH",
                fix="Correct the package and push a new version.",
            ) from error

    def fits(self, layout: Mapping[str, tuple[str, tuple[int, ...]]]) -> bool:
        """Whether tensors with these dtypes and shapes, by name, are what is declared."""
        return layout.keys() == self.input_dtypes.keys() and all(
            declared.dtype == layout[declared.name][0] and _shape_fits(declared.shape, layout[declared.name][1])
            for declared in self.inputs
        )

    def check_outputs(self, names: Sequence[str], *, also: Sequence[str] = (), field: str = "options.outputs") -> None:
        """Raises InvalidInput when a requested output is neither declared nor in `also`."""
        for name in names:
            if name not in self._output_names and name not in also:
                known = ", ".join([*(tensor.name for tensor in self.outputs), *also])
                raise InvalidInput.of_field(
                    field, f"the model has no output {name[:64]!r}", reason="UNKNOWN_OUTPUT", fix=f"Outputs: {known}."
                )

    def _wrong_names(self, tensors: Sequence[NamedTensor], field: str) -> InvalidInput:
        declared = [tensor.name for tensor in self.inputs]
        given = [tensor.name for tensor in tensors]
        missing = [name for name in declared if name not in given]
        unknown = [name[:64] for name in given if name not in declared]
        if missing:
            problem = f"input {missing[0]!r} is missing"
        elif unknown:
            problem = f"the model has no input {unknown[0]!r}"
        else:
            problem = "an input is given twice"
        fix = f"Send exactly: {', '.join(declared)}."
        return InvalidInput.of_field(field, problem, reason="WRONG_INPUTS", fix=fix)


def _check(declared: Declared, tensor: NamedTensor, field: str) -> None:
    if tensor.dtype != declared.dtype:
        description = f"dtype is {tensor.dtype[:32]}, the model takes {declared.dtype}"
        raise InvalidInput.of_field(field, description, reason="DTYPE_MISMATCH")
    if not _shape_fits(declared.shape, tensor.shape):
        description = f"shape {list(tensor.shape)[:17]} does not fit {list(declared.shape)}"
        fix = "The first dimension is the batch; -1 stands for any size."
        raise InvalidInput.of_field(field, description, reason="SHAPE_MISMATCH", fix=fix)
    if tensor.shape[0] < 1:
        raise InvalidInput.of_field(field, "the batch is empty", reason="EMPTY_BATCH", fix="Send at least one row.")
    if declared.fixed_row_bytes is not None and len(tensor.data) == tensor.shape[0] * declared.fixed_row_bytes:
        return
    element_count(tensor.shape, field=field)
    check_content(tensor.dtype, tensor.shape, tensor.data, field=field)


def _shape_fits(declared: tuple[int, ...], given: tuple[int, ...]) -> bool:
    if len(declared) != len(given) or min(given, default=-1) < 0:
        return False
    return declared[1:] == given[1:] or all(
        want in (-1, got) for want, got in zip(declared[1:], given[1:], strict=True)
    )
