"""Any PyTorch module as a model: the data pipeline, training, saving and packaging of Lepton around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from lepton_ai.datasets import Column, Dataset
from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput
from lepton_ai.models.cnn import classification, normalize_pixels
from lepton_ai.models.mlp import Standardized
from lepton_ai.models.model import Model
from lepton_ai.models.preparation import Step, fit_pipeline, picture_steps, tabular_steps, tensor_step
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.tasks import Classification, Regression, Task

TaskName = Literal["classification", "regression"]


class Wrapped(Model):
    """A module of your own. Made by `wrap`, read again with `Wrapped.load(path, module=…)`: files hold no code."""

    def __init__(
        self,
        module: nn.Module | None = None,
        *,
        input_shape: Sequence[int] | None = None,
        steps: Sequence[Step] | None = None,
        task: TaskName | None = None,
        standardize: bool = True,
        module_name: str = "",
    ) -> None:
        super().__init__(
            input_shape=None if input_shape is None else list(input_shape),
            steps=None if steps is None else [dict(step) for step in steps],
            task=task,
            standardize=standardize,
            module_name=module_name if module is None else type(module).__qualname__,
        )
        self._module = module

    @classmethod
    def load(cls, path: Path | str, *, module: nn.Module | None = None) -> Self:
        """Read a saved model into a module of the same structure.

        Raises FailedPrecondition without one, InvalidInput when the weights do not fit it.
        """
        from lepton_ai.models.saving import load_model

        try:
            model = load_model(path, module=module)
        except DataLoss as error:
            if isinstance(error.__cause__, RuntimeError):  # of load_state_dict
                raise InvalidInput(
                    f"The weights in {Path(path).name} do not fit the module: {_first_misfit(error.__cause__)}",
                    reason="OTHER_MODULE",
                    fix="Pass a module of the structure that was trained.",
                ) from error
            raise
        if not isinstance(model, cls):
            raise InvalidInput(f"{Path(path).name} was saved by {type(model).__name__}, not by {cls.__name__}.")
        return model

    def prepare(self, data: Dataset) -> Pipeline:
        columns = data.schema.inputs
        if not columns:
            raise InvalidInput("The data set has no input columns.", reason="WRONG_COLUMNS", fix="Give it some.")
        return fit_pipeline(columns, self._steps(columns, data), data)

    def define_task(self, data: Dataset) -> Task:
        target = data.schema.target
        if target is None:
            raise InvalidInput(
                "The data set has no target column.",
                reason="NO_TARGET",
                fix='Name it: data.with_schema(data.schema.with_roles(NAME="target")).',
            )
        wanted = self.config["task"] or ("regression" if target.kind == "number" else "classification")
        return Regression.of(data) if wanted == "regression" else classification(data, None)

    def build_network(self) -> nn.Module:
        if self._module is None:
            raise FailedPrecondition(
                f"The file holds the weights of a module of yours, {self.config['module_name']}, but not its code.",
                reason="MODULE_NEEDED",
                fix="Pass one: lepton_ai.models.Wrapped.load(path, module=…).",
            )
        if self.pipeline is None or self.task is None:
            raise FailedPrecondition(
                "What the module takes and answers depends on the data.", reason="NOT_TRAINED", fix="Call fit first."
            )
        is_shaped = self.config["input_shape"] is not None or "image" in self.pipeline.inputs.values()
        takes_pictures = self.config["steps"] is None and is_shaped
        network: nn.Module = Adapted(self._module, pictures=takes_pictures, rows=isinstance(self.task, Regression))
        _check_answer(network, self.pipeline, self.task)
        if isinstance(self.task, Regression) and self.config["standardize"]:
            return Standardized(network, self.task)
        return network

    def _steps(self, columns: Sequence[Column], data: Dataset) -> list[Step]:
        if self.config["steps"] is not None:
            return list(self.config["steps"])
        kinds = {column.kind for column in columns}
        if kinds == {"image"} or (kinds == {"tensor"} and self.config["input_shape"] is not None):
            return picture_steps(data, self._picture_shape())[1]
        if kinds == {"tensor"}:
            return [tensor_step(column, data, output=column.name) for column in columns]
        if kinds <= {"number", "category", "time"}:
            return tabular_steps(columns)
        raise InvalidInput(
            f"How the columns become what the module takes is not clear: they are of kinds {', '.join(sorted(kinds))}.",
            reason="STEPS_NEEDED",
            fix="Write the steps of the pipeline: lepton_ai.wrap(module, steps=[{…}, …]).",
        )

    def _picture_shape(self) -> tuple[int, int, int]:
        shape = self.config["input_shape"]
        if shape is None or len(shape) != 3 or shape[2] not in (1, 3) or min(shape) < 1:
            given = "is missing" if shape is None else f"is {tuple(shape)}"
            raise InvalidInput.of_field(
                "input_shape",
                f"{given}, must be (height, width, channels) with 1 or 3 channels",
                fix="Pass it to wrap.",
            )
        height, width, channels = shape
        return int(height), int(width), int(channels)


def wrap(
    module: nn.Module,
    *,
    input_shape: Sequence[int] | None = None,
    steps: Sequence[Step] | None = None,
    task: TaskName | None = None,
    standardize: bool = True,
) -> Wrapped:
    """A module with `fit`, `evaluate`, `predict`, `save`, `package`. It is trained in place.

    What it takes: for a picture, which `input_shape` (height, width, channels) scales, float32 [N, channels, height,
    width] from −1 to 1; for columns of tensors, each as it is, with floats in the module's type; for numbers and
    categories, a vector [N, features]. For everything else, write the pipeline's `steps`: their outputs are the
    module's arguments, in order.

    What it answers: logits [N, classes], or one number a row [N, 1] or [N]; which of them, `task` says or the target
    column's kind. With `standardize` a regression's module works in standard units of the target; turn it off for one
    that was trained before.
    """
    _check_module(module)
    return Wrapped(module, input_shape=input_shape, steps=steps, task=task, standardize=standardize)


class Adapted(nn.Module):
    """A foreign module between what pipelines make and what tasks take."""

    def __init__(self, module: nn.Module, *, pictures: bool, rows: bool) -> None:
        super().__init__()
        self.module = module
        self._pictures, self._rows = pictures, rows
        weights = (each.dtype for each in module.parameters() if each.is_floating_point())
        self._type = next(weights, torch.float32)

    def forward(self, *inputs: Tensor) -> Tensor:
        if self._pictures:
            inputs = (normalize_pixels(inputs[0]), *inputs[1:])
        inputs = tuple(each.to(self._type) if each.is_floating_point() else each for each in inputs)
        answer: Tensor = self.module(*inputs)
        return answer[:, None] if self._rows and answer.ndim == 1 else answer


def _check_module(module: object) -> None:
    if isinstance(module, nn.Module):
        return
    is_class = isinstance(module, type) and issubclass(module, nn.Module)
    fix = f"Make one: {module.__name__}(…)." if is_class else "Give it a torch.nn.Module."  # type: ignore[attr-defined]
    raise InvalidInput.of_field("module", f"is a {type(module).__name__}, not a torch.nn.Module", fix=fix)


def _first_misfit(error: BaseException) -> str:
    """What load_state_dict complains about first, after the line that says that it does."""
    lines = [line.strip() for line in str(error).splitlines()]
    return lines[1] if len(lines) > 1 else lines[0]


def _check_answer(network: nn.Module, pipeline: Pipeline, task: Task) -> None:
    """Run two rows of zeros: better told now than from the depth of the first step. Raises InvalidInput."""
    from lepton_ai.models.packaging import example_batch

    wanted = len(task.classes) if isinstance(task, Classification) else 1
    inputs = example_batch(pipeline.outputs)
    was_training = network.training
    try:
        with torch.inference_mode():
            answer: Any = network.eval()(*inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        pairs = zip(pipeline.outputs, inputs, strict=True)
        shapes = ", ".join(f"{each.name} {list(tensor.shape)}" for each, tensor in pairs)
        raise InvalidInput(
            f"The module does not take what the pipeline makes ({shapes}): {str(error).splitlines()[0]}",
            reason="MODULE_MISFIT",
            fix="Change input_shape or steps, or the module's first layer.",
        ) from error
    finally:
        network.train(was_training)
    shape = tuple(answer.shape) if isinstance(answer, Tensor) else None
    if shape != (len(inputs[0]), wanted):
        found = "no tensor" if shape is None else f"[N, {', '.join(map(str, shape[1:]))}]"
        raise InvalidInput(
            f"The module answers {found}, {task.name} takes [N, {wanted}].",
            reason="MODULE_MISFIT",
            fix="Change the module's last layer." if wanted > 1 else "Answer one number a row.",
        )
