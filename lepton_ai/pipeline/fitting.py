"""Learns the state of pipeline steps from rows: what `fit` asks for becomes means, categories, vocabularies.

A step may carry `"fit": {...}` in place of its state. Steps are learned in as few passes over the rows as their order
allows: a step that reads what another one learns to make waits for the next pass. What is kept of the rows is bounded
(see `summaries`), and equal rows in equal order give equal pipelines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import PrivateAttr, ValidationError

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import document as documents
from lepton_ai.pipeline.columns import Column, ColumnsCall, Row, RowBatch, in_batches
from lepton_ai.pipeline.learning import LEARNERS, Learned, Learner, Settings
from lepton_ai.pipeline.operation import Call, Misfit, Operation, Spec
from lepton_ai.pipeline.pipeline import Pipeline
from lepton_ai.pipeline.values import Limits

Rows = Callable[[], Iterable[Row]]
"""Gives the rows from the start, the same ones each time it is called; columns that are no inputs are passed over."""

Batches = Callable[[], Iterable[RowBatch]]
"""Gives the same rows many at a time."""

_DEFAULT_LIMITS = Limits()
_BATCH_ROWS = 4096
_Step = dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """A pipeline that has learned: without any `fit`, ready for Pipeline.load(document, files)."""

    document: dict[str, Any]
    files: dict[str, bytes]
    notes: tuple[str, ...] = ()
    """What was odd about the data, for instance a column that never varies; one sentence each, with the step."""


def fit(
    document: Mapping[str, Any],
    rows: Rows,
    files: Mapping[str, bytes] | None = None,
    *,
    limits: Limits = _DEFAULT_LIMITS,
    batches: Batches | None = None,
) -> Fitted:
    """Learn every step of a pipeline document that has a `fit`, from all rows.

    `batches` gives the same rows from something that holds columns, which is faster for numbers and categories.
    Raises InvalidInput naming the step and column ("steps[1].on: column 'age' is missing") or the row that is at fault.
    """
    draft = _Draft(document, files or {})
    while draft.learners:
        draft.take_pass(rows, batches, limits)
    return draft.fitted()


class _Draft:
    """A document on its way: steps that have learned, and learners of those that have not."""

    def __init__(self, document: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        self._document: dict[str, Any] = json.loads(documents.canonical_json(document))
        self._files = dict(files)
        self._notes: dict[int, tuple[str, ...]] = {}
        self._row_count: int | None = None
        written = self._document.get("steps")
        steps = list(written) if isinstance(written, list) else []
        fits = {index: _settings(index, step) for index, step in enumerate(steps) if _asks_to_learn(step)}
        for index in fits:
            steps[index] = _with_placeholder(index, steps[index])
        self._document["steps"] = steps or written
        operations = self._operations()
        self.learners = {index: _learner(operations[index], settings) for index, settings in fits.items()}
        self._check_vocabularies(operations)

    def take_pass(self, rows: Rows, batches: Batches | None, limits: Limits) -> None:
        """Run every row through the steps up to the first that cannot run yet, then note what was learned."""
        steps = self._runnable()
        learning = [step for step in steps if isinstance(step, _Learning)]
        pipeline = self._pipeline(steps)
        if not pipeline.on_columns:
            count = _run(pipeline, in_batches(rows(), 1), limits)
        else:
            count = _run(pipeline, batches() if batches else in_batches(rows(), _BATCH_ROWS), limits)
        if count == 0:
            raise InvalidInput("There are no rows to learn from.", reason="NO_ROWS", fix="Give at least one row.")
        if self._row_count not in (None, count):
            raise InvalidInput(
                f"The rows were {self._row_count} the first time and {count} the next.",
                reason="ROWS_CHANGED",
                fix="`rows` must give all rows from the start each time it is called; an iterator gives them once.",
            )
        self._row_count = count
        for step in learning:
            self._note(step.index, step.learned())

    def fitted(self) -> Fitted:
        """The outcome, checked as a whole. Raises InvalidInput for steps that do not go together."""
        Pipeline.load(self._document, self._files)
        notes = (f"steps[{index}]: {note}" for index in sorted(self._notes) for note in self._notes[index])
        return Fitted(self._document, self._files, tuple(notes))

    def _operations(self) -> tuple[Operation, ...]:
        return documents.parse(self._document).operations

    def _check_vocabularies(self, operations: Sequence[Operation]) -> None:
        learned: dict[str, int] = {}
        for index in self.learners:
            for parameter, name in operations[index].files_used():
                if name in learned:
                    raise InvalidInput.of_field(
                        f"steps[{index}].{parameter}",
                        f"steps[{learned[name]}] learns this file too",
                        fix="Name another file, or let this step read it without `fit`.",
                        reason="INVALID_PARAMETER",
                    )
                learned[name] = index

    def _runnable(self) -> list[Operation]:
        """Steps from the first on, up to the last that can learn in this pass, with a last one that takes the rest."""
        names = _Names(self._document["inputs"])
        steps: list[Operation] = []
        end = 0
        rest: tuple[str, ...] = ()
        coming: set[str] = set()  # files that are learned in this pass
        for index, operation in enumerate(self._operations()):
            learner = self.learners.get(index)
            used = {name for _, name in operation.files_used()}
            if names.blocks(operation) or (learner is None and used & coming):
                break
            coming |= used if learner is not None else set()
            names.add(operation, index, learns=learner is not None)
            steps.append(operation if learner is None else _learning(index, operation, learner))
            if learner is not None:
                end, rest = len(steps), tuple(names.unused)
        return [*steps[:end], _Rest.of(rest)]

    def _pipeline(self, steps: list[Operation]) -> Pipeline:
        parsed = documents.parse(self._document)
        return Pipeline(documents.Document(parsed.inputs, tuple(steps), "", parsed.readings), self._files)

    def _note(self, index: int, learned: Learned) -> None:
        step: _Step = self._document["steps"][index]
        kept = {name: value for name, value in step.items() if name not in LEARNERS[step["op"]].learns}
        self._document["steps"][index] = kept | dict(learned.parameters)
        self._files |= learned.files
        self._notes[index] = learned.notes
        del self.learners[index]


def _run(pipeline: Pipeline, batches: Iterable[RowBatch], limits: Limits) -> int:
    """Run all rows; gives how many there were. Raises InvalidInput naming the first that is refused."""
    count = 0
    for batch in batches:
        if pipeline.run_batch(batch, limits=limits) is None:
            _run_rows(pipeline, batch.rows(), limits, first_row=count)
        count += len(batch)
    return count


def _run_rows(pipeline: Pipeline, rows: Iterable[Row], limits: Limits, *, first_row: int) -> None:
    for index, row in enumerate(rows, first_row):
        try:
            pipeline.run({name: row.get(name) for name in pipeline.inputs}, limits=limits)
        except InvalidInput as error:
            message = f"Row {index} (counted from 0): {error.message}"
            raise InvalidInput(message, reason=error.reason, fix=error.fix, fields=error.fields) from None


class _Names:
    """Which values there are before the next step, as the loader connects steps."""

    def __init__(self, inputs: Mapping[str, str]) -> None:
        self.unused = dict.fromkeys(inputs)
        self._unfitted: set[str] = set()
        self._previous = next(iter(inputs)) if len(inputs) == 1 else None

    def blocks(self, operation: Operation) -> bool:
        """Whether a step reads what another one is yet to learn to make."""
        return not self._unfitted.isdisjoint(self._reads(operation))

    def add(self, operation: Operation, index: int, *, learns: bool) -> None:
        """Take a step's values and put in what it makes."""
        reads, writes = self._reads(operation), operation.writes(f"#{index}")
        for name in reads:
            self.unused.pop(name, None)
        for name in writes:
            self.unused[name] = None
        self._unfitted = self._unfitted | set(writes) if learns else self._unfitted - set(writes)
        self._previous = writes[0] if len(writes) == 1 or len(reads) == 1 else None

    def _reads(self, operation: Operation) -> list[str]:
        return [name for name in operation.reads(self._previous) if name is not None]


class _Learning(Operation):
    """A step that still learns: reads what the step will read and makes values that no other step may take."""

    name = "fit"
    _index: int = PrivateAttr()
    _operation: Operation = PrivateAttr()
    _learner: Learner = PrivateAttr()

    @property
    def index(self) -> int:
        """Place of the step in the document."""
        return self._index

    def reads(self, previous: str | None) -> tuple[str | None, ...]:
        return self._operation.reads(previous)

    def writes(self, anonymous: str) -> tuple[str, ...]:
        return self._operation.writes(anonymous)

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        self._learner.check(given)
        return (Spec("unfitted value"),) * len(self.writes(""))

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        with _located(self._index):
            self._learner.observe(values, call)
        return (None,) * len(self.writes(""))

    def learned(self) -> Learned:
        """What the step has learned. Raises InvalidInput."""
        with _located(self._index):
            return self._learner.learned()


class _LearningColumns(_Learning):
    """The same for a step on columns, which is what the loader tells by this parameter."""

    on: tuple[str, ...] = ()

    def apply_columns(self, columns: tuple[Column, ...], call: ColumnsCall) -> tuple[Column, ...]:
        self._learner.observe_columns(columns, call)
        return columns


class _Rest(Operation):
    """Takes every value that no step takes, so that the pipeline of a pass is complete."""

    name = "rest"
    _names: tuple[str, ...] = PrivateAttr()

    @classmethod
    def of(cls, names: tuple[str, ...]) -> _Rest:
        """Takes these values."""
        rest = cls()
        rest._names = names
        return rest

    def reads(self, previous: str | None) -> tuple[str | None, ...]:
        return self._names

    def writes(self, anonymous: str) -> tuple[str, ...]:
        return ("nothing",)

    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        return (Spec("tensor", "UINT8", (0,)),)

    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        return (np.empty(0, dtype=np.uint8),)

    def apply_columns(self, columns: tuple[Column, ...], call: ColumnsCall) -> tuple[Column, ...]:
        return (np.empty((call.count, 0), dtype=np.uint8),)


def _asks_to_learn(step: object) -> bool:
    return isinstance(step, dict) and "fit" in step


def _settings(index: int, step: _Step) -> Settings:
    path = f"steps[{index}].fit"
    learner = LEARNERS.get(str(step.get("op")))
    if learner is None:
        fix = f"These learn: {', '.join(LEARNERS)}."
        raise InvalidInput.of_field(path, "this step learns nothing", fix=fix, reason="INVALID_PARAMETER")
    try:
        return learner.settings.model_validate_json(json.dumps(step["fit"]), strict=True)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join([path, *(str(part)[:64] for part in detail["loc"])])
        fix = f"It may have {', '.join(learner.settings.model_fields)}."
        raise InvalidInput.of_field(field, detail["msg"], fix=fix, reason="INVALID_PARAMETER") from None


def _with_placeholder(index: int, step: _Step) -> _Step:
    learner = LEARNERS[step["op"]]
    for name in learner.learns:
        if name in step:
            fix = "Leave out either."
            raise InvalidInput.of_field(f"steps[{index}].{name}", "is what `fit` learns", fix=fix)
    return {name: value for name, value in step.items() if name != "fit"} | dict(learner.placeholder)


def _learner(operation: Operation, settings: Settings) -> Learner:
    return LEARNERS[operation.name](operation, settings)


def _learning(index: int, operation: Operation, learner: Learner) -> _Learning:
    step = _LearningColumns() if "on" in type(operation).model_fields else _Learning()
    step._index, step._operation, step._learner = index, operation, learner
    return step


@contextmanager
def _located(index: int) -> Iterator[None]:
    """A Misfit within becomes an InvalidInput with the step's path."""
    try:
        yield
    except Misfit as misfit:
        field = f"steps[{index}].{misfit.parameter}"
        raise InvalidInput.of_field(field, misfit.description, fix=misfit.fix, reason="CANNOT_LEARN") from None
