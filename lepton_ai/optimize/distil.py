"""Distillation: a small model learns from the answers of a large one beside the right ones (Hinton et al. 2015)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import FailedPrecondition, InvalidInput, Unsupported
from lepton_ai.models.data import Data, as_dataset
from lepton_ai.models.model import Model
from lepton_ai.package import Package, opened_package
from lepton_ai.tensors import Array
from lepton_ai.training.history import History
from lepton_ai.training.targets.multilabel import MultiLabel
from lepton_ai.training.tasks import Classification, Outputs, Regression, Task

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

_TEACHER = "teacher"
_KINDS = (Classification, MultiLabel, Regression)


def distil(
    teacher: Model | Package | Path | str,
    student: Model,
    data: Data,
    targets: Any = None,
    *,
    temperature: float = 3.0,
    weight: float = 0.7,
    **settings: Any,
) -> History:
    """Train `student` on what `teacher` answers to the rows as well as on what is right; `settings` are those of `fit`.

    `weight`: how much the teacher counts beside the right answers, 0 to 1. `temperature`: above 1, likenesses between
    classes that the teacher sees count more. The teacher is a trained model or a package; of a classifier it must know
    the same classes in the same order. Raises InvalidInput, Unsupported for what is not classes, labels or numbers.
    """
    if not 0 <= weight <= 1:
        raise InvalidInput.of_field("weight", f"is {weight:g}, must be from 0 to 1")
    if temperature <= 0:
        raise InvalidInput.of_field("temperature", f"is {temperature:g}, must be greater than 0")
    rows = as_dataset(data, targets)
    own = prepare_student(student, rows)
    if not isinstance(own, _KINDS):
        raise Unsupported(f"Nothing can be distilled for {own.name}.", fix="Classes, labels and numbers can be.")
    student.task = make_task(own, Teacher(teacher, own), temperature=temperature, weight=weight)
    try:
        return student.fit(rows, **settings)
    finally:
        student.task = own


def prepare_student(student: Model, rows: Dataset) -> Task:
    """Give a fresh model its pipeline, task and network, as `fit` would; its task. Raises as `fit` does."""
    student.pipeline = student.pipeline or student.prepare(rows)
    student.task = student.task or student.define_task(rows)
    student.network  # noqa: B018 - built for this task
    return student.task


class Teacher:
    """What a trained model or package answers to rows, as one array."""

    def __init__(self, teacher: Model | Package | Path | str, task: Task) -> None:
        """Raises InvalidInput for a teacher of other classes, FailedPrecondition for an untrained one."""
        self._teacher = teacher
        if isinstance(teacher, Model):
            if teacher.task is None:
                raise FailedPrecondition("The teacher has not been trained.", reason="NOT_TRAINED")
            theirs, ours = getattr(teacher.task, "classes", None), getattr(task, "classes", None)
            if theirs != ours:
                raise InvalidInput.of_field("teacher", "knows other classes, or in another order, than the student")

    def answers(self, data: Dataset) -> Array:
        """Its first output for every row, [rows, …]."""
        if isinstance(self._teacher, Model):
            return _model_answers(self._teacher, data)
        if isinstance(self._teacher, Package):
            return _package_answers(self._teacher, data)
        with opened_package(self._teacher) as package:
            return _package_answers(package, data)


def make_task(task: Task, teacher: Teacher, *, temperature: float, weight: float) -> Task:
    """The student's task with the teacher's answers among its targets. It stays an instance of the task's class."""

    class Distilling(type(task)):  # type: ignore[misc] # the class is known when it runs
        """The same task, with a second opinion."""

        def targets(self, data: Dataset) -> dict[str, Array]:
            return {**task.targets(data), _TEACHER: teacher.answers(data)}

        def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
            own = task.loss(outputs, batch)
            answered, taught = outputs[task.outputs[0]], batch.targets[_TEACHER]
            return (1 - weight) * own + weight * _distance(task, answered, taught, temperature)

    made: Task = Distilling.__new__(Distilling)
    made.__dict__.update(task.__dict__)
    return made


def _distance(task: Task, answered: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """How far answers are from the teacher's. Squared temperature keeps the gradients' size."""
    if answered.shape != taught.shape:
        wanted, got = list(answered.shape[1:]), list(taught.shape[1:])
        raise InvalidInput.of_field("teacher", f"answers {got} numbers a row, the student {wanted}")
    if isinstance(task, Regression):
        std = torch.tensor(task.std, dtype=answered.dtype, device=answered.device)
        return functional.mse_loss(answered / std, taught / std)
    if isinstance(task, MultiLabel):
        wanted_scores = torch.sigmoid(taught / temperature)
        return functional.binary_cross_entropy_with_logits(answered / temperature, wanted_scores) * temperature**2
    logs, wanted_logs = ((each / temperature).log_softmax(dim=1) for each in (answered, taught))
    return functional.kl_div(logs, wanted_logs, log_target=True, reduction="batchmean") * temperature**2


def _model_answers(teacher: Model, data: Dataset) -> Array:
    from lepton_ai.training.evaluation import outputs_of
    from lepton_ai.training.prepared import Prepared, prepare_inputs

    assert teacher.pipeline is not None and teacher.task is not None  # noqa: S101 - it was checked
    rows = Prepared(prepare_inputs(data, teacher.pipeline), {})
    answers: Array = torch.cat(list(outputs_of(teacher.network, teacher.task, rows))).numpy()
    return answers


def _package_answers(package: Package, data: Dataset) -> Array:
    import numpy as np

    from lepton_ai.optimize.measure.engines import open_onnx
    from lepton_ai.optimize.rows import dataset_rows

    inputs, size = dataset_rows(package, data).inputs, package.description.max_batch_size
    run = open_onnx(package.path(package.description.model.file), threads=1)
    count = len(next(iter(inputs.values())))
    parts = [run({name: each[at : at + size] for name, each in inputs.items()})[0] for at in range(0, count, size)]
    return np.concatenate(parts)
