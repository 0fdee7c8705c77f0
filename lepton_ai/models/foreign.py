"""A module of one's own between what pipelines make and what tasks take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lepton_ai.errors import InvalidInput
from lepton_ai.models.cnn import normalize_pixels
from lepton_ai.models.fitting.purpose import Purpose
from lepton_ai.pipeline import Output
from lepton_ai.training.targets.multilabel import MultiLabel
from lepton_ai.training.tasks import Classification

_SAME_VALUES = (
    "Alias", "Permute", "ReshapeAlias", "Select", "Slice", "Squeeze", "T", "ToCopy", "Transpose", "UnsafeView",
    "Unsqueeze", "View",
)  # fmt: skip
"""Operations of autograd that only move values."""
_BOUNDED = ("Sigmoid", "Softmax", "Tanh", "Relu", "Softplus", "Hardtanh", "Hardsigmoid", "Exp")
_PROBABILITIES = ("Sigmoid", "Softmax")
_LEAST = 1e-7
"""Of a probability, so that its logarithm is finite."""


@dataclass(frozen=True)
class Answer:
    """What a module answers: the name of the tensor that is learned among its own names, and what made its values."""

    learned: str
    ends_in: str
    """The operation of autograd that made them, such as "Sigmoid"."""

    @property
    def is_bounded(self) -> bool:
        """Whether the module itself keeps its numbers within bounds."""
        return self.ends_in in _BOUNDED


class Adapted(nn.Module):
    """The module with pictures normalised, floats in its type, and what it answers as the task takes it.

    For a task of classes or labels that is logits, made of probabilities where the module answers those; a single
    number a row is that of the second of two classes. Further tensors are answered by their names.
    """

    def __init__(self, module: nn.Module, task: Purpose, *, pictures: bool) -> None:
        super().__init__()
        self.module = module
        self.answer: Answer | None = None
        self._pictures, self._output = pictures, task.outputs[0]
        self._has_classes, self._width = isinstance(task, Classification | MultiLabel), task.width
        self._excludes = isinstance(task, Classification)
        weights = (each.dtype for each in module.parameters() if each.is_floating_point())
        self._type = next(weights, torch.float32)

    def forward(self, *inputs: Tensor) -> Any:
        assert self.answer is not None  # noqa: S101 - build_network has looked at it
        answers = self.own(*inputs)
        learned = self._taken(answers.pop(self.answer.learned))
        return {self._output: learned, **answers} if answers else learned

    def own(self, *inputs: Tensor) -> dict[str, Any]:
        """What the module itself answers, by its own names."""
        if self._pictures:
            inputs = (normalize_pixels(inputs[0]), *inputs[1:])
        return by_name(self.module(*(each.to(self._type) if each.is_floating_point() else each for each in inputs)))

    def _taken(self, values: Tensor) -> Tensor:
        assert self.answer is not None  # noqa: S101 - as in forward
        values = values[:, None] if values.ndim == 1 else values
        if not self._has_classes:
            return values
        is_single = self._excludes and self._width == 2 and values.shape[1] == 1
        if self.answer.ends_in not in _PROBABILITIES:
            return torch.cat((torch.zeros_like(values), values), dim=1) if is_single else values
        values = torch.cat((1 - values, values), dim=1) if is_single else values
        sure = values.clamp(min=_LEAST).log()
        return sure if self._excludes else sure - (1 - values).clamp(min=_LEAST).log()


def by_name(answer: Any) -> dict[str, Any]:
    """The parts of a module's answer: those of a mapping or a named tuple by their names, of others by their places."""
    if hasattr(answer, "_asdict"):
        answer = answer._asdict()
    if isinstance(answer, Mapping):
        return {str(name): value for name, value in answer.items() if value is not None}
    if isinstance(answer, tuple | list):
        return {f"output_{place}": value for place, value in enumerate(answer) if value is not None}
    return {"output": answer}


def look_at(network: Adapted, inputs: Sequence[Tensor], made: Sequence[Output], task: Purpose) -> Answer:
    """What the module answers to some rows of zeros: better told now than from the depth of the first step.

    Learned is what is named as the task's output or as logits, else the first. Raises InvalidInput for a misfit.
    """
    was_training = network.training
    try:
        floats = [each.requires_grad_() if each.is_floating_point() else each for each in inputs]
        with torch.enable_grad():
            answers = network.eval().own(*floats)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = ", ".join(f"{each.name} {list(tensor.shape)}" for each, tensor in zip(made, inputs, strict=True))
        raise InvalidInput(
            f"The module does not take what the pipeline makes ({shapes}): {str(error).splitlines()[0]}",
            reason="MODULE_MISFIT",
            fix="Change input_shape or steps, or the module's first layer.",
        ) from error
    finally:
        network.train(was_training)
    preferred = [name for name in (task.outputs[0], "logits", "output") if name in answers]
    learned = preferred[0] if preferred else next(iter(answers), "")
    _check(answers, learned, rows=len(inputs[0]), task=task)
    return Answer(learned, _last_operation(answers[learned]))


def _check(answers: Mapping[str, Any], learned: str, *, rows: int, task: Purpose) -> None:
    for name, value in answers.items():
        if name != learned and not (isinstance(value, Tensor) and value.ndim and len(value) == rows):
            raise InvalidInput(
                f"The module answers {name!r}, which is no tensor with a row for every row of its inputs.",
                reason="MODULE_MISFIT",
                fix="Leave it out of what forward returns, or put the rows first.",
            )
        if name != learned and name == task.outputs[0]:
            raise InvalidInput(f"The module answers two tensors for {name!r}.", reason="MODULE_MISFIT")
    values = answers.get(learned)
    shape = tuple(values.shape) if isinstance(values, Tensor) else None
    fitting: list[tuple[int, ...]] = [(rows, task.width)]
    if task.width == 1 or (isinstance(task, Classification) and task.width == 2):
        fitting += [(rows,), (rows, 1)]
    if shape not in fitting:
        found = "no tensor" if shape is None else f"[N, {', '.join(map(str, shape[1:]))}]"
        others = ", ".join(repr(name) for name in answers if name != learned)
        which = f", or call the one of {others} that is learned {task.outputs[0]!r}" if others else ""
        last = "Change the module's last layer" if task.width > 1 else "Answer one number a row"
        raise InvalidInput(
            f"The module answers {found}{f' as {learned!r}' if others else ''}, {task.name} takes [N, {task.width}].",
            reason="MODULE_MISFIT",
            fix=f"{last}{which}.",
        )


def _last_operation(values: Tensor) -> str:
    """The operation of autograd that made these values, without what only moved them: "Sigmoid", "Addmm" …"""
    node = values.grad_fn
    while node is not None:
        name = type(node).__name__.partition("Backward")[0]
        if name not in _SAME_VALUES or not node.next_functions:
            return name
        node = node.next_functions[0][0]
    return ""
