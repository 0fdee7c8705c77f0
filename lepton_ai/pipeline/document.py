"""The pipeline document: plain data in, checked operations out; its canonical JSON and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from lepton_ai.errors import FieldViolation, InvalidInput
from lepton_ai.pipeline.catalogue import OPERATIONS, suggestion
from lepton_ai.pipeline.operation import Operation, Parameters
from lepton_ai.pipeline.reading import Reading
from lepton_ai.pipeline.values import KINDS

_ParametersT = TypeVar("_ParametersT", bound=Parameters)

_MAX_STEPS = 256
_MAX_INPUTS = 4096


@dataclass(frozen=True)
class Document:
    """A pipeline as it was written, every step an operation with valid parameters; not yet wired."""

    inputs: dict[str, str]
    operations: tuple[Operation, ...]
    canonical_json: str
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """How texts for these inputs are read, by name."""

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of the files that the steps read, sorted, each once."""
        return tuple(sorted({name for operation in self.operations for _, name in operation.files_used()}))


def parse(document: Mapping[str, Any]) -> Document:
    """Check a document. Raises InvalidInput whose fields are paths such as "steps[2].size"."""
    canonical = canonical_json(document)
    unknown = sorted(set(document) - {"inputs", "readings", "steps"})
    if unknown:
        raise InvalidInput.of_field(
            str(unknown[0])[:64],
            "is not part of a pipeline",
            fix="A pipeline has `inputs`, `steps` and perhaps `readings`.",
        )
    inputs = _inputs(document.get("inputs"))
    readings = _readings(document.get("readings", {}), inputs)
    return Document(inputs, parse_steps(document.get("steps"), OPERATIONS), canonical, readings)


def parse_steps(steps: object, operations: Mapping[str, type[_ParametersT]]) -> tuple[_ParametersT, ...]:
    """Each step as an operation. Raises InvalidInput."""
    if not isinstance(steps, Sequence) or isinstance(steps, str | bytes) or not steps:
        raise InvalidInput.of_field("steps", "must be a list with at least one step")
    if len(steps) > _MAX_STEPS:
        raise InvalidInput.of_field("steps", f"{len(steps)} steps, at most {_MAX_STEPS} are allowed")
    return tuple(_operation(index, step, operations) for index, step in enumerate(steps))


def canonical_json(document: object) -> str:
    """The document as JSON with sorted keys and no spaces, so that equal documents have equal digests."""
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()  # half a surrogate pair is no text
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput(
            "The pipeline is not plain JSON data.",
            reason="NOT_JSON",
            fix="Use only objects with text keys, lists, texts, finite numbers, booleans and null.",
        ) from None
    return text


def digest(canonical: str, files: Mapping[str, bytes]) -> str:
    """Lower-case hex SHA-256 over the canonical document and, sorted by name, each file's name and own SHA-256."""
    hasher = hashlib.sha256(canonical.encode())
    for name in sorted(files):
        # JSON holds no NUL, so document and names cannot run into one another
        hasher.update(b"\0" + name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return hasher.hexdigest()


def _inputs(inputs: object) -> dict[str, str]:
    if not isinstance(inputs, Mapping) or not inputs:
        raise InvalidInput.of_field("inputs", "must name at least one input", fix="For instance {photo: image}.")
    if len(inputs) > _MAX_INPUTS:
        raise InvalidInput.of_field("inputs", f"{len(inputs)} inputs, at most {_MAX_INPUTS} are allowed")
    for name, kind in inputs.items():
        if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isprintable() or name.startswith("#"):
            raise InvalidInput.of_field(
                "inputs", "a name is empty, longer than 128 characters, not printable, or starts with '#'"
            )
        if kind not in KINDS:
            raise InvalidInput.of_field(
                f"inputs.{name}", "is of an unknown kind", fix=suggestion(str(kind), list(KINDS)), reason="UNKNOWN_KIND"
            )
    return dict(inputs)


def _readings(readings: object, inputs: Mapping[str, str]) -> dict[str, Reading]:
    if not isinstance(readings, Mapping):
        raise InvalidInput.of_field(
            "readings", "must be by name of an input", fix='For instance {price: {decimal: ","}}.'
        )
    for name in readings:
        if inputs.get(name) not in ("number", "category"):
            raise InvalidInput.of_field(
                f"readings.{str(name)[:64]}", "is no input of numbers or categories", fix="Name one, or leave it out."
            )
    return {name: Reading.from_document(each, field=f"readings.{name}") for name, each in readings.items()}


def _operation(index: int, step: object, operations: Mapping[str, type[_ParametersT]]) -> _ParametersT:
    path = f"steps[{index}]"
    if not isinstance(step, Mapping):
        raise InvalidInput.of_field(path, "must be an object with `op` and parameters")
    name = step.get("op")
    if not isinstance(name, str) or name not in operations:
        raise InvalidInput.of_field(
            f"{path}.op",
            f"there is no operation {name[:64]!r}" if isinstance(name, str) else "names no operation",
            fix=suggestion(str(name), list(operations)),
            reason="UNKNOWN_OPERATION",
        )
    parameters = {key: value for key, value in step.items() if key != "op"}
    try:
        # as JSON: strict about "5" and 5, and yet a list is what a tuple looks like there
        return operations[name].model_validate_json(json.dumps(parameters), strict=True)
    except ValidationError as error:
        raise _invalid_parameters(path, error, operations[name]) from None


def _invalid_parameters(path: str, error: ValidationError, operation: type[Parameters]) -> InvalidInput:
    violations: list[FieldViolation] = []
    fix = f"Parameters of {operation.name}: {', '.join(operation.model_fields)}."
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        field = path + _location(detail["loc"], operation)
        if detail["type"] == "extra_forbidden":
            fix = suggestion(str(detail["loc"][-1]), list(operation.model_fields))
            violations.append(FieldViolation(field, f"is not a parameter of {operation.name}"))
        else:
            violations.append(FieldViolation(field, detail["msg"].removeprefix("Value error, ")))
    first = violations[0]
    return InvalidInput(
        f"{first.field}: {first.description}", reason="INVALID_PARAMETER", fix=fix, fields=tuple(violations)
    )


def _location(location: tuple[int | str, ...], operation: type[Parameters]) -> str:
    """Pydantic's location as a path. Behind the parameter's name only list positions are the user's own."""
    head, *rest = location or ("",)
    name = str(head)[:64]
    if not name:
        return ""
    return f".{name}" + "".join(f"[{part}]" for part in rest if isinstance(part, int))
