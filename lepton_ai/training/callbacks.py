"""Hooks into a run: what they are told, what they may change, and the one that every run has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import InvalidInput
from lepton_ai.tensors import Array
from lepton_ai.training.history import History
from lepton_ai.training.settings import FitSettings


@dataclass(repr=False)
class TrainingState:
    """A run as its callbacks see it. They may change weights, gradients and `rate_factor`, and may stop it."""

    network: nn.Module
    optimizer: Optimizer
    settings: FitSettings
    history: History
    steps_per_epoch: int
    epoch: int = 0
    """Counted from 1 while an epoch runs."""
    step: int = 0
    """Steps done since the beginning of the run."""
    learning_rate: float = 0.0
    rate_factor: float = 1.0
    """What the scheduled learning rate is multiplied by; a callback lowers it when training is not stable."""
    loss: float = 0.0
    """Of the batch that was last trained on."""
    gradient_norm: float | None = None
    """Of all gradients together before clipping; None without `clip_norm`."""
    batches: tuple[Batch, ...] = ()
    """What the last step was made on: one batch, or as many as are accumulated."""
    rows: tuple[Array, ...] = ()
    """For each of these, which rows of the training data it holds."""
    data_s: float = 0.0
    """How long the last step waited for its data, of `step_s` in all."""
    step_s: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    """Of the epoch that has just ended."""
    skip_step: bool = False
    """Set in `on_backward_end`: do not apply these gradients."""
    stop_reason: str = ""
    is_first: bool = True
    """Whether this is the process that prints and saves."""
    run: Callable[[Batch], dict[str, Tensor]] | None = None
    """The network's answers to a batch, as in training."""

    def __repr__(self) -> str:
        """One line: what a callback prints first."""
        figures = self.figures or {"loss": self.loss}
        told = ", ".join(f"{name}={value:.4g}" for name, value in figures.items())
        return f"TrainingState(epoch={self.epoch}, step={self.step}, {told})"

    @property
    def batch(self) -> Batch | None:
        """The last of `batches`."""
        return self.batches[-1] if self.batches else None

    @batch.setter
    def batch(self, batch: Batch) -> None:
        self.batches = (batch,)

    @property
    def total_steps(self) -> int:
        """How many steps the run will have."""
        return self.steps_per_epoch * self.settings.epochs

    def stop(self, reason: str) -> None:
        """End the run after this step."""
        self.stop_reason = self.stop_reason or reason

    def note(self, finding: str, *, advice: str = "", action: str = "", **evidence: Any) -> None:
        """Put something into the history for people to read."""
        entry = {"epoch": self.epoch, "step": self.step, "finding": finding, "advice": advice, "action": action}
        self.history.notes.append({**entry, **evidence})


class Callback:
    """Does nothing; subclasses override the moments that they care about."""

    def on_fit_begin(self, state: TrainingState) -> None:
        """Before the first step, or the first after a resume."""

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Before the first step of an epoch."""

    def on_backward_end(self, state: TrainingState) -> None:
        """Gradients are there, clipped, and not applied yet."""

    def on_batch_end(self, state: TrainingState) -> None:
        """A step was done."""

    def on_epoch_end(self, state: TrainingState) -> None:
        """An epoch was trained and, with validation data, evaluated: see `state.figures`."""

    def on_fit_end(self, state: TrainingState) -> None:
        """The run is over, however it ended."""

    def document(self) -> dict[str, Any]:
        """What a run that goes on after a kill must know, as JSON data."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """Of this, what JSON has no form for."""
        return {}

    def restore(self, document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take up what `document` and `tensors` gave."""


class SingleRows(Callback):
    """Has batch norm use its running statistics where it is given one value a channel, as it does when it is served.

    PyTorch refuses such batches. So a batch size of 1 trains, as with frozen batch norm; a note in the history says it.
    """

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []
        self._is_told = False

    def on_fit_begin(self, state: TrainingState) -> None:
        """Watch every batch norm of the network."""

        def before(module: nn.Module, given: tuple[Any, ...]) -> None:
            if module.training and given[0].numel() == given[0].shape[1]:
                self._freeze(module, state)

        for module in state.network.modules():
            if isinstance(module, _BatchNorm):
                self._handles.append(module.register_forward_pre_hook(before))

    def on_fit_end(self, state: TrainingState) -> None:
        """Leave the network as it was found."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def document(self) -> dict[str, Any]:
        return {"is_told": self._is_told}

    def restore(self, document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self._is_told = bool(document["is_told"])

    def _freeze(self, module: nn.Module, state: TrainingState) -> None:
        if module.running_mean is None:
            raise InvalidInput.of_field(
                "batch_size",
                "leaves a batch of a single row, which batch norm without running statistics cannot take",
                fix="Give at least 2, or track_running_stats=True.",
            )
        module.training = False

        def after(module: nn.Module, *_: Any) -> None:
            module.training = True
            handle.remove()

        handle = module.register_forward_hook(after, always_call=True)
        if not self._is_told:
            self._is_told = True
            state.note(
                "a batch holds a single row, which batch norm cannot normalise",
                advice="A batch_size of 8 or more learns better with this network.",
                action="Batch norm used its running statistics for it.",
            )
