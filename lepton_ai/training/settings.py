"""How to train: every knob of `fit` in one checked value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import InvalidInput

if TYPE_CHECKING:
    from lepton_ai.training.callbacks import Callback
    from lepton_ai.training.optimizers import OptimizerFactory
    from lepton_ai.training.schedules import Schedule
    from lepton_ai.training.tasks import Loss

ACCELERATORS = ("auto", "cpu", "cuda", "gpu", "mps")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true")
_MOST = 1e3
_USUAL = {"optimizer": "adamw", "schedule": "constant", "loss": "huber"}


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What `Model.fit` takes, with the same defaults everywhere. Raises InvalidInput for values that make no sense."""

    epochs: int = 10
    batch_size: int = 32
    """Rows a step over all processes together."""
    optimizer: str | OptimizerFactory = "adamw"
    """A name (see `lepton_ai.training.optimizers`) or a function of (parameter groups, learning rate)."""
    learning_rate: float = 1e-3
    loss: str | Loss | None = None
    """In place of the task's own: a name (see `lepton_ai.training.losses`) or a function of (output, target)."""
    schedule: str | Schedule = "constant"
    warmup_steps: int = 0
    weight_decay: float = 0.01
    l1: float = 0.0
    l2: float = 0.0
    """Penalties on the sum of absolute and of squared weights, added to the loss; weight_decay is the usual choice."""
    label_smoothing: float = 0.0
    """Share of certainty that a classifier's targets give to all classes alike; in training only."""
    clip_norm: float | None = None
    """Greatest norm of all gradients together; larger ones are scaled down."""
    accumulate: int = 1
    """Batches whose gradients are added up before a step."""
    precision: str = "32-true"
    """As in Lightning Fabric; "bf16-mixed" and "16-mixed" keep weights and optimiser in 32 bits."""
    accelerator: str = "auto"
    """"cpu", "cuda", "mps"; "auto" takes the best there is, "gpu" insists on one."""
    seed: int = 0
    patience: int | None = None
    """Epochs without improvement after which training ends; None: never."""
    monitor: str | None = None
    """What improvement means, for instance "validation_accuracy"; by default the task's main metric or the loss."""
    keep_best: bool = True
    """End with the weights of the best epoch rather than of the last; needs validation data."""
    checkpoint: Path | str | None = None
    """Directory in which the state is kept, so that a run that was killed goes on where it was."""
    checkpoint_steps: int = 0
    """Save every so many steps as well as after every epoch."""
    auto: bool = False
    """Let the doctor act (lower the rate, clip, go back to the last good step) rather than only warn."""
    doctor: bool = True
    """Watch the run and say what goes wrong; see `lepton_ai.training.doctor`."""
    progress: bool = True
    """Print a line for every epoch, with a bar in between where there is a terminal; False prints nothing."""
    callbacks: Sequence[Callback] = field(default=())

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _check("learning_rate", self.learning_rate, 0 < self.learning_rate < _MOST, "greater than 0")
        for name in ("weight_decay", "l1", "l2", "warmup_steps", "checkpoint_steps", "seed"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < math.inf, "at least 0, and finite")
        _check("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "at least 0 and less than 1")
        for name in ("clip_norm", "patience"):
            value = getattr(self, name)
            _check(name, value, value is None or value > 0, "greater than 0, or None")
        self._check_choices()

    def _check_choices(self) -> None:
        for name, allowed in (("precision", PRECISIONS), ("accelerator", ACCELERATORS)):
            _check(name, getattr(self, name), getattr(self, name) in allowed, f"one of {', '.join(allowed)}")
        for name in ("keep_best", "auto", "doctor"):
            _check(name, getattr(self, name), isinstance(getattr(self, name), bool), "True or False")
        for name in ("optimizer", "schedule", "loss"):
            value = getattr(self, name)
            is_known = isinstance(value, str) or callable(value) or (value is None and name == "loss")
            _check(name, value, is_known, f"a name such as {_USUAL[name]!r}, or a function")
        path = self.checkpoint
        _check("checkpoint", path, path is None or (isinstance(path, str | Path) and str(path) != ""), "a directory")


def _check(name: str, value: Any, holds: bool, allowed: str) -> None:
    if not holds:
        raise InvalidInput.of_field(name, f"is {value!r}, must be {allowed}")
