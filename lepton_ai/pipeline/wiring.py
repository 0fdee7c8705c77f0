"""Connects the steps of a document: which value each one reads, what type it has, what comes out at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.catalogue import suggestion
from lepton_ai.pipeline.document import Document
from lepton_ai.pipeline.operation import Misfit, Operation, Spec


@dataclass(frozen=True)
class Step:
    """An operation with its files, and the slots that it reads and writes."""

    operation: Operation
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    origins: tuple[str, ...]
    given: tuple[Spec, ...]


@dataclass(frozen=True)
class Output:
    """One tensor that a pipeline makes of an item; -1 stands for a dimension that depends on the item."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Wired:
    """A document ready to run."""

    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]


@dataclass
class _Slot:
    spec: Spec
    origin: str
    made_by: int | None
    used: bool = False


@dataclass
class _Wiring:
    slots: dict[str, _Slot]
    previous: str | None
    steps: list[Step] = field(default_factory=list)


def wire(document: Document, files: Mapping[str, bytes]) -> Wired:
    """Connect and type all steps. Raises InvalidInput with the path of the parameter that does not fit."""
    slots = {name: _Slot(Spec(kind), name, made_by=None) for name, kind in document.inputs.items()}
    wiring = _Wiring(slots, previous=next(iter(slots)) if len(slots) == 1 else None)
    for index, operation in enumerate(document.operations):
        try:
            _add(wiring, index, operation, files)
        except Misfit as misfit:
            raise InvalidInput.of_field(
                f"steps[{index}].{misfit.parameter}", misfit.description, fix=misfit.fix, reason="INVALID_PARAMETER"
            ) from None
    return Wired(tuple(wiring.steps), _outputs(wiring, document))


def _add(wiring: _Wiring, index: int, operation: Operation, files: Mapping[str, bytes]) -> None:
    reads = tuple(_resolve(wiring, name, operation) for name in operation.reads(wiring.previous))
    sources = [wiring.slots[name] for name in reads]
    given = tuple(source.spec for source in sources)
    prepared = operation.with_files(operation.files_from(files))
    results = prepared.infer(given)
    writes = prepared.writes(f"#{index}")
    for source in sources:
        source.used = True
    for position, (name, spec) in enumerate(zip(writes, results, strict=True)):
        origin = sources[position if len(writes) == len(sources) else 0].origin
        _check_free(wiring, name)
        wiring.slots[name] = _Slot(spec, origin, made_by=index)
    wiring.previous = writes[0] if len(writes) == 1 or len(reads) == 1 else None
    wiring.steps.append(Step(prepared, reads, writes, tuple(source.origin for source in sources), given))


def _resolve(wiring: _Wiring, name: str | None, operation: Operation) -> str:
    parameter = "on" if "on" in type(operation).model_fields else "input"
    known = [slot for slot in wiring.slots if not slot.startswith("#")]
    if name is None:
        raise Misfit(parameter, "must say which value to take", fix=f"Name one of {', '.join(known)}.")
    if name not in wiring.slots:
        raise Misfit(parameter, f"there is no value {name[:64]!r} at this step", fix=suggestion(name, known))
    return name


def _check_free(wiring: _Wiring, name: str) -> None:
    """A name may be used again, but only when what it stood for has been taken."""
    slot = wiring.slots.get(name)
    if slot is not None and not slot.used:
        raise Misfit(
            "output", f"{name!r} is the name of a value that no step has taken yet", fix="Choose another name."
        )


def _outputs(wiring: _Wiring, document: Document) -> tuple[Output, ...]:
    """Every named tensor that no later step takes, in the order of the steps that make them.

    A result that nobody takes and nobody named is a mistake. The order is that of the steps, since the one of the
    inputs is lost in canonical JSON.
    """
    for name, slot in wiring.slots.items():
        if slot.used:
            continue
        if slot.made_by is None:
            raise InvalidInput.of_field(f"inputs.{name}", "no step takes it", fix="Remove it, or name it in a step.")
        if name.startswith("#"):
            raise InvalidInput.of_field(
                f"steps[{slot.made_by}].output", "the result has no name and no later step takes it", fix="Name it."
            )
        if slot.spec.kind != "tensor":
            raise InvalidInput.of_field(
                f"steps[{slot.made_by}]", f"{name!r} ends as {slot.spec}, not as a tensor", fix="Add the missing steps."
            )
    made = [(index, name, wiring.slots[name]) for index, step in enumerate(wiring.steps) for name in step.writes]
    outputs = tuple(
        Output(name, slot.spec.dtype, slot.spec.shape)
        for index, name, slot in made
        if not slot.used and slot.made_by == index
    )
    if not outputs:
        raise InvalidInput.of_field("steps", "no tensor comes out", fix="Name the last step's result with `output`.")
    return outputs
