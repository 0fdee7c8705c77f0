"""What the doctor measures: losses after every step; gradients, weights and changes of weights now and then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lepton_ai.training.callbacks import TrainingState

_FIRST_STEPS = 10
_SMOOTHING = 0.1
_SLOW_SMOOTHING = 0.02
_LARGE = 1e30
_ELEMENTS = 10_000


@dataclass
class LossTrend:
    """Where the loss comes from and where it goes, in a few numbers. Losses that are not finite are left out."""

    steps: int = 0
    start: float = 0.0
    """The very first."""
    first: float = 0.0
    """Mean of the first steps."""
    recent: float = 0.0
    """Moving mean of about the last twenty."""
    best: float = math.inf
    """The least that `recent` ever was."""
    variance: float = 0.0
    """Mean square of the distance between a step's loss and `recent`."""

    def add(self, loss: float) -> None:
        """Take a step into account."""
        if not math.isfinite(loss):
            return
        loss = min(loss, _LARGE)
        self.start = self.start if self.steps else loss
        self.steps += 1
        distance = loss - self.recent if self.steps > 1 else 0.0
        self.variance += max(1 / self.steps, _SLOW_SMOOTHING) * (distance**2 - self.variance)
        if self.steps <= _FIRST_STEPS:
            self.first += (loss - self.first) / self.steps
            self.recent = self.first
        else:
            self.recent += _SMOOTHING * (loss - self.recent)
            self.best = min(self.best, self.recent)

    @property
    def noise(self) -> float:
        """By how much `recent` goes up and down only because batches differ: its standard deviation."""
        return math.sqrt(self.variance * _SMOOTHING / (2 - _SMOOTHING))

    @property
    def is_settled(self) -> bool:
        """Whether there were enough steps to say anything."""
        return self.steps >= 2 * _FIRST_STEPS

    def forget_recent(self) -> None:
        """Begin anew from what was good, after something was done about what was not."""
        self.first = min(self.first, self.start)
        self.recent = self.good
        self.steps = max(self.steps, _FIRST_STEPS)

    @property
    def good(self) -> float:
        """What the loss should be at most."""
        return min(self.start, self.best)

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        return {**vars(self), "best": self.best if math.isfinite(self.best) else None}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> LossTrend:
        """The trend that `document` described."""
        best = document["best"]
        return cls(**{**document, "best": math.inf if best is None else best})


@dataclass(frozen=True)
class Layer:
    """One weight of the network in a measured step, by the root mean squares of some of its elements.

    Biases and norms, which have one dimension, are left out.
    """

    name: str
    gradient: float
    weight: float
    """Before the step."""
    change: float
    """What the step changed."""
    is_embedding: bool = False


@dataclass
class Signs:
    """All that the checks look at."""

    state: TrainingState
    losses: LossTrend = field(default_factory=LossTrend)
    layers: tuple[Layer, ...] = ()
    """From the first to the last, of the last measured step."""
    gradient: float = 0.0
    """Norm of all gradients together, after clipping, in the last measured step."""
    silent: dict[str, list[bool]] = field(default_factory=dict)
    """By activation layer: which units gave nothing but 0 in the last measured step."""
    waited_s: float = 0.0
    stepped_s: float = 0.0
    """Time that steps took, waiting for data included, since the run began or went on."""
    steps: int = 0

    @property
    def is_at_full_rate(self) -> bool:
        """Whether neither warm-up nor the schedule's end keep the learning rate down just now."""
        settings = self.state.settings
        return self.state.step > settings.warmup_steps and self.state.learning_rate >= settings.learning_rate / 2


class WeightScale:
    """Measures the weights of a step: gradients and sizes before it, what it changed after it.

    Of large weights some rows are enough, which keeps the cost the same however large they are.
    """

    def __init__(self, network: nn.Module) -> None:
        embeddings = {id(each.weight) for each in network.modules() if isinstance(each, nn.Embedding)}
        self._weights = [
            (name, weight, id(weight) in embeddings)
            for name, weight in network.named_parameters()
            if weight.requires_grad and weight.ndim > 1
        ]
        self._trainable = [weight for weight in network.parameters() if weight.requires_grad]
        self._measured: list[tuple[str, Tensor, bool]] = []
        self._before: list[Tensor] = []
        self._gradients: list[float] = []
        self._sizes: list[float] = []

    def gradient(self) -> float:
        """Norm of all gradients together; not finite when one of them is not."""
        gradients = [weight.grad for weight in self._trainable if weight.grad is not None]
        return float(torch.linalg.vector_norm(_stacked(gradients))) if gradients else 0.0

    def weigh(self) -> None:
        """Before the optimiser's step."""
        self._measured = [each for each in self._weights if each[1].grad is not None]
        self._gradients = rms([_some(weight.grad) for _, weight, _ in self._measured if weight.grad is not None])
        self._before = [_some(weight.detach()).clone() for _, weight, _ in self._measured]
        self._sizes = rms(self._before)

    def weigh_again(self) -> tuple[Layer, ...]:
        """After the step."""
        for before, (_, weight, _) in zip(self._before, self._measured, strict=True):
            before.sub_(_some(weight.detach()))
        changes, self._before = rms(self._before), []
        return tuple(
            Layer(name, self._gradients[i], self._sizes[i], changes[i], is_embedding)
            for i, (name, _, is_embedding) in enumerate(self._measured)
        )


def rms(tensors: list[Tensor]) -> list[float]:
    """Root mean square of each, computed together."""
    return [norm / math.sqrt(max(1, each.numel())) for norm, each in zip(norms(tensors), tensors, strict=True)]


def norms(tensors: list[Tensor]) -> list[float]:
    """Euclidean norm of each, computed together."""
    if not tensors:
        return []
    found: list[float] = _stacked(tensors).tolist()
    return found


def _stacked(tensors: list[Tensor]) -> Tensor:
    found = list(torch._foreach_norm(tensors))
    if len({norm.dtype for norm in found}) > 1:
        found = [norm.float() for norm in found]
    return torch.stack(found)


def _some(tensor: Tensor) -> Tensor:
    """Rows from all over a weight, of some ten thousand elements together."""
    step = tensor.numel() // _ELEMENTS
    return tensor[:: min(step, len(tensor))] if step > 1 else tensor
