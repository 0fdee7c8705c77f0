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
_LARGE = 1e30


@dataclass
class LossTrend:
    """Where the loss comes from and where it goes, by four numbers. Losses that are not finite are left out."""

    steps: int = 0
    start: float = 0.0
    """The very first."""
    first: float = 0.0
    """Mean of the first steps."""
    recent: float = 0.0
    """Moving mean of about the last twenty."""
    best: float = math.inf
    """The least that `recent` ever was."""

    def add(self, loss: float) -> None:
        """Take a step into account."""
        if not math.isfinite(loss):
            return
        loss = min(loss, _LARGE)
        self.start = self.start if self.steps else loss
        self.steps += 1
        if self.steps <= _FIRST_STEPS:
            self.first += (loss - self.first) / self.steps
            self.recent = self.first
        else:
            self.recent += _SMOOTHING * (loss - self.recent)
            self.best = min(self.best, self.recent)

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
    """One weight of the network in a measured step. Biases and norms, which have one dimension, are left out."""

    name: str
    size: int
    gradient: float
    """Norm of its gradient; may be infinite or not a number."""
    weight: float
    """Norm before the step."""
    change: float
    """Norm of what the step changed."""
    is_embedding: bool = False

    @property
    def gradient_rms(self) -> float:
        """The gradient of a typical element."""
        return self.gradient / math.sqrt(self.size)


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
    """Measures the weights of a step: gradients and norms before it, what it changed after it."""

    def __init__(self, network: nn.Module) -> None:
        embeddings = {id(each.weight) for each in network.modules() if isinstance(each, nn.Embedding)}
        self._weights = [
            (name, weight, id(weight) in embeddings)
            for name, weight in network.named_parameters()
            if weight.requires_grad and weight.ndim > 1
        ]
        self._measured: list[tuple[str, Tensor, bool]] = []
        self._before: list[Tensor] = []
        self._norms: list[float] = []

    def weigh(self) -> None:
        """Before the optimiser's step."""
        self._measured = [each for each in self._weights if each[1].grad is not None]
        weights = [weight.detach() for _, weight, _ in self._measured]
        gradients = [weight.grad for _, weight, _ in self._measured if weight.grad is not None]
        self._before = [weight.clone() for weight in weights]
        self._norms = norms([*gradients, *weights])

    def weigh_again(self) -> tuple[Layer, ...]:
        """After the step."""
        count = len(self._measured)
        for before, (_, weight, _) in zip(self._before, self._measured, strict=True):
            before.sub_(weight.detach())
        changes = norms(self._before)
        self._before = []
        return tuple(
            Layer(name, weight.numel(), self._norms[i], self._norms[count + i], changes[i], is_embedding)
            for i, (name, weight, is_embedding) in enumerate(self._measured)
        )


def norms(tensors: list[Tensor]) -> list[float]:
    """Euclidean norm of each, computed together."""
    if not tensors:
        return []
    return torch.stack([norm.float() for norm in torch._foreach_norm(tensors)]).tolist()


def gradient_norm(network: nn.Module) -> float:
    """Norm of all gradients together; not finite when one of them is not."""
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    return math.hypot(*norms(gradients)) if gradients else 0.0
