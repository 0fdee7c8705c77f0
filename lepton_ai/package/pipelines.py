"""Checks that a package's pipelines load, and that what they make of the golden samples is what the model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from lepton_ai.errors import FieldViolation, InvalidInput
from lepton_ai.package.description import TensorSpec
from lepton_ai.package.golden import GoldenItem
from lepton_ai.pipeline import Pipeline, raw_inputs
from lepton_ai.postprocessing import Postprocess

if TYPE_CHECKING:
    from lepton_ai.package.directory import Package

T = TypeVar("T")


def check_pipelines(package: Package) -> None:
    """Load pre- and postprocessing, compare tensors, preprocess every golden sample. Raises InvalidInput."""
    document = package.pipeline_document()
    if document is not None:
        pipeline = _within("preprocess.", lambda: Pipeline.load(document, package.pipeline_files()))
        _check_outputs(pipeline, package.description.inputs)
        for index, golden in enumerate(package.golden_items()):
            _check_golden(pipeline, index, golden)
    steps = package.postprocess_document()
    if steps is not None:
        _check_expected(_within("postprocess", lambda: _check_answers(steps, package)), package)


def _check_answers(steps: Sequence[Mapping[str, Any]], package: Package) -> str:
    """Load the steps and check that they read the outputs; gives the kind of answer."""
    postprocess = Postprocess.load(steps, package.postprocess_files())
    postprocess.check(package.description.outputs)
    return postprocess.kind


_EXPECTED = {"label": ("labels", "boxes", "mask"), "text": ("text",)}
"""What a golden sample may expect, and the kinds of answers that hold it."""


def _check_expected(kind: str, package: Package) -> None:
    """Check that the golden samples expect answers of this kind. Raises InvalidInput."""
    for index, sample in enumerate(package.description.golden):
        expected = {"label": sample.expect.label, "text": sample.expect.text}
        for wrong in (each for each, value in expected.items() if value is not None and kind not in _EXPECTED[each]):
            field = f"golden[{index}].expect.{wrong}"
            raise InvalidInput.of_field(field, f"is for {', '.join(_EXPECTED[wrong])}; postprocess gives {kind}")


def _check_outputs(pipeline: Pipeline, inputs: tuple[TensorSpec, ...]) -> None:
    made = {output.name: output for output in pipeline.outputs}
    for index, spec in enumerate(inputs):
        output = made.get(spec.name)
        if output is None:
            raise InvalidInput.of_field("preprocess.steps", f"make no tensor for the model's input {spec.name}")
        if output.dtype != spec.dtype:
            raise InvalidInput.of_field(f"inputs[{index}].dtype", f"is {spec.dtype}, the pipeline makes {output.dtype}")
        if not _fits(output.shape, spec.shape[1:]):
            wanted = list(spec.shape[1:])
            raise InvalidInput.of_field(
                f"inputs[{index}].shape", f"wants items of {wanted}, the pipeline makes {list(output.shape)}"
            )


def _check_golden(pipeline: Pipeline, index: int, golden: GoldenItem) -> None:
    _within(f"golden[{index}].", lambda: pipeline.run(raw_inputs(golden.item)))


def _fits(made: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(made) == len(wanted) and all(-1 in pair or pair[0] == pair[1] for pair in zip(made, wanted, strict=True))


def _within(prefix: str, load: Callable[[], T]) -> T:
    """Calls `load`; its errors get the fields that they have in lepton.yaml, where postprocess is itself the steps."""
    try:
        return load()
    except InvalidInput as error:
        fields = tuple(FieldViolation(_rename(prefix, v.field), v.description) for v in error.fields)
        message = _rename(prefix, error.message)
        raise InvalidInput(message, reason=error.reason, fix=error.fix, fields=fields) from error


def _rename(prefix: str, text: str) -> str:
    return prefix + text if prefix.endswith(".") else prefix + text.removeprefix("steps")
