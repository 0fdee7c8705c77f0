"""Finds a learning rate: trains a copy for a moment with a rate that grows until it no longer helps (Smith 2017)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.loop import Material, Training
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Task

if TYPE_CHECKING:
    from lepton_ai.datasets.show import Sheet

_LOWEST, _HIGHEST = 1e-7, 10.0
_SMOOTHING = 0.1
_GIVE_UP = 4.0
_FEWEST_STEPS = 10


@dataclass(frozen=True)
class LearningRateCurve:
    """The loss that each learning rate led to, and the rate that it suggests."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    """Smoothed over about ten steps."""
    suggestion: float
    """Where the loss falls fastest: a rate to train with."""

    def plot(self, path: Path | str | None = None) -> Sheet:
        """Loss over learning rate as a picture: saved at `path`, shown in a notebook, else saved in a new file."""
        from lepton_ai.training.curves import plot_rates

        return plot_rates(self, path)

    def __repr__(self) -> str:
        return f"LearningRateCurve(suggestion={self.suggestion:.2g}, {len(self.rates)} rates)"


def find_learning_rate(
    network: nn.Module, task: Task, material: Material, settings: FitSettings, *, steps: int = 100
) -> LearningRateCurve:
    """Raise the rate from 1e-7 to 10 over so many steps, on a copy of the network; ends when the loss explodes."""
    per_epoch = -(-len(material.train) // (settings.batch_size * settings.accumulate))
    sweep = _Sweep(steps)
    probe = replace(
        settings,
        epochs=-(-steps // per_epoch),
        learning_rate=_LOWEST,
        schedule=lambda step, _: (_HIGHEST / _LOWEST) ** (step / max(1, steps - 1)),
        warmup_steps=0,
        patience=None,
        monitor=None,
        checkpoint=None,
        callbacks=(sweep,),
    )
    Training(copy.deepcopy(network), task, replace(material, validation=None), probe).fit()
    return LearningRateCurve(tuple(sweep.rates), tuple(sweep.losses), _suggest(sweep.rates, sweep.losses))


class _Sweep(Callback):
    """Notes rates and losses, and stops when the loss is several times its best."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._mean = 0.0
        self.rates: list[float] = []
        self.losses: list[float] = []

    def on_batch_end(self, state: TrainingState) -> None:
        if not math.isfinite(state.loss):
            state.stop("the loss is not finite any more")
            return
        self._mean += _SMOOTHING * (state.loss - self._mean)
        count = len(self.losses) + 1
        self.rates.append(state.learning_rate)
        self.losses.append(self._mean / (1 - (1 - _SMOOTHING) ** count))  # a mean that begins at 0 is too small
        if count >= self._steps or (count > _FEWEST_STEPS and self.losses[-1] > _GIVE_UP * min(self.losses)):
            state.stop("rates beyond this do not help")


def _suggest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate of the steepest descent before the lowest loss; a tenth of that of the lowest when none is clear."""
    lowest = int(np.argmin(losses)) if losses else 0
    if lowest < 3:
        return rates[lowest] / 10 if rates else _LOWEST
    slopes = np.gradient(np.array(losses[: lowest + 1]), np.log(np.array(rates[: lowest + 1])))
    return float(rates[int(np.argmin(slopes))])
