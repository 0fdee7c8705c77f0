"""Checks that a package's pipelines load and that what they make is what the model takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lepton_ai.errors import FieldViolation, InvalidInput
from lepton_ai.package.description import TensorSpec
from lepton_ai.pipeline import Pipeline
from lepton_ai.pipeline.postprocess import Postprocess

if TYPE_CHECKING:
    from lepton_ai.package.directory import Package

T = TypeVar("T")


def check_pipelines(package: Package) -> None:
    """Load pre- and postprocessing and compare tensors. Raises InvalidInput with whole field paths."""
    document = package.pipeline_document()
    if document is not None:
        pipeline = _within("preprocess", lambda: Pipeline.load(document, package.pipeline_files()))
        _check_outputs(pipeline, package.description.inputs)
    steps = package.postprocess_document()
    if steps is not None:
        _within("postprocess", lambda: Postprocess.load(steps, package.postprocess_files()))


def _check_outputs(pipeline: Pipeline, inputs: tuple[TensorSpec, ...]) -> None:
    made = {name: (dtype, tuple(shape)) for name, dtype, shape in pipeline.outputs}
    for index, spec in enumerate(inputs):
        if spec.name not in made:
            raise InvalidInput.of_field("preprocess.steps", f"make no tensor for the model's input {spec.name}")
        dtype, shape = made[spec.name]
        if dtype != spec.dtype:
            raise InvalidInput.of_field(f"inputs[{index}].dtype", f"is {spec.dtype}, the pipeline makes {dtype}")
        if not _fits(shape, spec.shape[1:]):
            raise InvalidInput.of_field(
                f"inputs[{index}].shape", f"wants items of {list(spec.shape[1:])}, the pipeline makes {list(shape)}"
            )


def _fits(made: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(made) == len(wanted) and all(-1 in pair or pair[0] == pair[1] for pair in zip(made, wanted, strict=True))


def _within(section: str, load: Callable[[], T]) -> T:
    """Calls `load`; the fields of its errors get the section's name in front."""
    try:
        return load()
    except InvalidInput as error:
        prefix = "." if not error.fields or not error.fields[0].field.startswith("[") else ""
        fields = tuple(FieldViolation(f"{section}{prefix}{v.field}", v.description) for v in error.fields)
        raise InvalidInput(
            f"{section}{prefix}{error.message}", reason=error.reason, fix=error.fix, fields=fields
        ) from error
