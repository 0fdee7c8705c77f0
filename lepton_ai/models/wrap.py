"""Any PyTorch module as a model: the data pipeline, training, saving and packaging of Lepton around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from torch import nn

from lepton_ai.datasets import Column, Dataset
from lepton_ai.errors import DataLoss, FailedPrecondition, InvalidInput
from lepton_ai.models.fitting.purpose import Purpose, TaskName, choose_task
from lepton_ai.models.foreign import Adapted, look_at
from lepton_ai.models.mlp import Standardized
from lepton_ai.models.model import Model
from lepton_ai.models.packaging import example_batch
from lepton_ai.models.preparation import Step, fit_pipeline, picture_steps, tabular_steps, tensor_step
from lepton_ai.pipeline import Pipeline
from lepton_ai.training.tasks import Regression, Task


class Wrapped(Model):
    """A module of your own. Made by `wrap`, read again with `Wrapped.load(path, module=…)`: files hold no code."""

    def __init__(
        self,
        module: nn.Module | None = None,
        *,
        input_shape: Sequence[int] | None = None,
        steps: Sequence[Step] | None = None,
        task: TaskName | None = None,
        standardize: bool | None = None,
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
        return choose_task(data, self.config["task"])

    def build_network(self) -> nn.Module:
        if self._module is None:
            raise FailedPrecondition(
                f"The file holds the weights of a module of yours, {self.config['module_name']}, but not its code.",
                reason="MODULE_NEEDED",
                fix="Pass one: la.load(path, module=…), or Wrapped.load(path, module=…).",
            )
        if self.pipeline is None or self.task is None:
            raise FailedPrecondition(
                "What the module takes and answers depends on the data.", reason="NOT_TRAINED", fix="Call fit first."
            )
        assert isinstance(self.task, Purpose)  # noqa: S101 - define_task makes no other
        is_shaped = self.config["input_shape"] is not None or "image" in self.pipeline.inputs.values()
        network = Adapted(self._module, self.task, pictures=self.config["steps"] is None and is_shaped)
        made = self.pipeline.outputs
        network.answer = look_at(network, example_batch(made), made, self.task)
        wanted = self.config["standardize"]
        standardize = not network.answer.is_bounded if wanted is None else wanted
        return Standardized(network, self.task) if isinstance(self.task, Regression) and standardize else network

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
    standardize: bool | None = None,
) -> Wrapped:
    """A module with `fit`, `evaluate`, `predict`, `save`, `package`. It is trained in place.

    What it takes: for a picture, which `input_shape` (height, width, channels) scales, float32 [N, channels, height,
    width] from −1 to 1; for columns of tensors, each as it is, with floats in the module's type; for numbers and
    categories, a vector [N, features]. For everything else, write the pipeline's `steps`: their outputs are the
    module's arguments, in order.

    What it answers: logits [N, classes] or [N, labels], or probabilities where it ends in a softmax or sigmoid, for
    two classes also one number a row; or numbers [N, targets]. Which of them, `task` says or the target. Of several
    tensors, in a tuple or by name, the first is learned, or "logits" or "values"; the others are answered by their
    names. With `standardize` a regression's module works in standard units of the target, which suits all but those
    that were trained before and those whose last step bounds their answers, a sigmoid for instance: None leaves these
    alone.
    """
    _check_module(module)
    return Wrapped(module, input_shape=input_shape, steps=steps, task=task, standardize=standardize)


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
