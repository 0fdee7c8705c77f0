"""The training loop: epochs over prepared data, evaluation, selection of the best epoch, checkpoints.

Randomness is a function of seed, epoch and step (order of rows, dropout, augmentation), never of what went before. That
is why a run that was killed and goes on gives the same losses as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lepton_ai.tensors import Array
from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.checkpoint import Checkpoint, Position, RunParts
from lepton_ai.training.evaluation import evaluate, run_network
from lepton_ai.training.history import History
from lepton_ai.training.losses import make_loss
from lepton_ai.training.optimizers import make_optimizer
from lepton_ai.training.prepared import Batch, Prepared
from lepton_ai.training.processes import launch
from lepton_ai.training.schedules import make_schedule
from lepton_ai.training.selection import Selection
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Task

Augment = Callable[[Batch, np.random.Generator], Batch]
"""Changes the rows of a batch at random, in training only."""


@dataclass(frozen=True)
class Material:
    """What a run is fed: rows to learn from, rows to judge by, and how to vary the former."""

    train: Prepared
    validation: Prepared | None = None
    augment: Augment | None = None


class Training:
    """One run of a network towards a task."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        material: Material,
        settings: FitSettings,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self._network, self._task, self._settings = network, task, settings
        self._material = material
        self._callbacks = (*callbacks, *settings.callbacks)
        self._loss = make_loss(settings.loss, task)
        self._schedule = make_schedule(settings.schedule, warmup_steps=settings.warmup_steps)
        self._fabric = launch(settings)
        optimizer = make_optimizer(
            settings.optimizer, network, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._module, self._optimizer = self._fabric.setup(network, optimizer)
        self._bounds = _batch_bounds(len(material.train), settings.batch_size)
        history = History()
        steps = -(-len(self._bounds) // settings.accumulate)
        self.state = TrainingState(network, optimizer, settings, history, steps)
        self._parts = RunParts(history, self._selection(), self._callbacks)
        self._checkpoint = self._open_checkpoint()

    def fit(self) -> History:
        """Train until the last epoch, or until a callback or patience ends it. Leaves the network on the CPU."""
        state, settings = self.state, self._settings
        position = self._resume()
        try:
            self._tell("on_fit_begin")
            while position.epoch < settings.epochs and not state.stop_reason:
                position = self._epoch(position)
            self._take_best()
        finally:
            state.history.ended = state.stop_reason
            self._tell("on_fit_end")
            self._network.to("cpu").eval()
        return state.history

    def _epoch(self, position: Position) -> Position:
        state, begin_s = self.state, time.monotonic()
        state.epoch = position.epoch + 1
        self._tell("on_epoch_begin")
        self._module.train()
        order = np.random.Generator(np.random.Philox(key=(self._settings.seed, position.epoch))).permutation(
            len(self._material.train)
        )
        loss_sum = torch.tensor(position.loss_sum)
        for step in range(position.step_in_epoch, state.steps_per_epoch):
            loss_sum += self._step(step, order)
            if state.stop_reason:
                break
            self._save(Position(position.epoch, step + 1, float(loss_sum)), every=self._settings.checkpoint_steps)
        figures = {"loss": float(loss_sum) / len(order), **self._evaluate()}
        figures |= {"learning_rate": state.learning_rate, "duration_s": time.monotonic() - begin_s}
        return self._end_epoch(figures)

    def _end_epoch(self, figures: dict[str, float]) -> Position:
        state, selection = self.state, self._parts.selection
        state.history.epochs.append(figures)
        state.figures = figures
        selection.saw(state.epoch, figures, self._network)
        state.history.best_epoch = selection.best_epoch
        if selection.is_over:
            state.stop(f"no better {selection.monitor} for {self._settings.patience} epochs")
        self._tell("on_epoch_end")
        position = Position(epoch=state.epoch)
        self._save(position, every=1)
        return position

    def _step(self, step: int, order: Array) -> Tensor:
        """One step of the optimiser; gives the sum of the losses of its rows."""
        state, settings = self.state, self._settings
        self._set_rate()
        first = step * settings.accumulate
        bounds = self._bounds[first : first + settings.accumulate]
        rows = bounds[-1][1] - bounds[0][0]
        total = torch.zeros(())
        for index, (start, end) in enumerate(bounds):
            batch = self._batch(order[start:end], step, index)
            with self._without_sync(is_last=index == len(bounds) - 1):
                loss = self._loss(run_network(self._module, batch, self._task), batch)
                self._fabric.backward((loss + self._penalty()) * ((end - start) / rows))
            total += loss.detach().to(total) * (end - start)
        state.batch, state.loss = batch, float(total) / rows
        self._apply()
        return total

    def _apply(self) -> None:
        state, settings = self.state, self._settings
        if settings.clip_norm is not None:
            self._fabric.clip_gradients(
                self._module, self._optimizer, max_norm=settings.clip_norm, error_if_nonfinite=False
            )
        state.skip_step = False
        self._tell("on_backward_end")
        if not state.skip_step:
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        state.step += 1
        self._tell("on_batch_end")

    def _batch(self, rows: Array, step: int, index: int) -> Batch:
        fabric, state = self._fabric, self.state
        if fabric.world_size > 1:  # everybody needs as many rows: some come twice when there are not enough
            rows = np.resize(rows, -(-len(rows) // fabric.world_size) * fabric.world_size)[
                fabric.global_rank :: fabric.world_size
            ]
        key = (self._settings.seed << 20) + fabric.global_rank, (state.epoch << 40) + (step << 8) + index
        torch.manual_seed(key[0] * 1_000_003 + key[1])
        batch = self._material.train.batch(rows)
        if self._material.augment is not None:
            batch = self._material.augment(batch, np.random.Generator(np.random.Philox(key=key)))
        return batch.to(fabric.device)

    def _set_rate(self) -> None:
        state = self.state
        share = self._schedule(state.step, state.total_steps) * state.rate_factor
        state.learning_rate = self._settings.learning_rate * share
        for group in self._optimizer.param_groups:
            group["lr"] = state.learning_rate

    def _penalty(self) -> Tensor | float:
        settings, penalty = self._settings, torch.zeros(())
        if not (settings.l1 or settings.l2):
            return 0.0
        for weight in (each for each in self._module.parameters() if each.requires_grad and each.ndim > 1):
            penalty = penalty.to(weight.device) + settings.l1 * weight.abs().sum() + settings.l2 * weight.square().sum()
        return penalty

    def _evaluate(self) -> dict[str, float]:
        if self._material.validation is None:
            return {}
        figures = evaluate(self._module, self._task, self._material.validation, loss=self._loss)
        return {f"validation_{name}": value for name, value in figures.items()}

    def _take_best(self) -> None:
        selection = self._parts.selection
        if selection.weights:
            self._network.load_state_dict(selection.weights)

    def _selection(self) -> Selection:
        settings, task = self._settings, self._task
        is_validated = self._material.validation is not None
        monitor = settings.monitor or (f"validation_{task.main_metric}" if is_validated else "loss")
        return Selection(
            monitor,
            higher_is_better=task.higher_is_better and monitor.endswith(task.main_metric),
            patience=settings.patience,
            keeps_weights=settings.keep_best and is_validated,
        )

    def _open_checkpoint(self) -> Checkpoint | None:
        settings = self._settings
        if settings.checkpoint is None:
            return None
        weights = sum(parameter.numel() for parameter in self._network.parameters())
        fingerprint = {
            "rows": len(self._material.train),
            "batch_size": settings.batch_size,
            "accumulate": settings.accumulate,
            "seed": settings.seed,
            "optimizer": settings.optimizer if isinstance(settings.optimizer, str) else "custom",
            "learning_rate": settings.learning_rate,
            "weights": weights,
        }
        return Checkpoint(settings.checkpoint, fingerprint)

    def _resume(self) -> Position:
        state = self.state
        saved = self._checkpoint.restore(self._network, state.optimizer, self._parts) if self._checkpoint else None
        if saved is None:
            return Position()
        position, state.rate_factor = saved
        state.epoch = position.epoch
        state.step = position.epoch * state.steps_per_epoch + position.step_in_epoch
        return position

    def _save(self, position: Position, *, every: int) -> None:
        if self._checkpoint is None or not every or self.state.step % every or not self._fabric.is_global_zero:
            return
        self._checkpoint.save(
            self._network, self.state.optimizer, self._parts, position, rate_factor=self.state.rate_factor
        )

    def _without_sync(self, *, is_last: bool) -> AbstractContextManager[Any]:
        return self._fabric.no_backward_sync(self._module, enabled=not is_last)

    def _tell(self, moment: str) -> None:
        for callback in self._callbacks:
            getattr(callback, moment)(self.state)


def _batch_bounds(rows: int, size: int) -> list[tuple[int, int]]:
    """Where batches begin and end. A last batch of a single row, which batch norm cannot take, joins the one before."""
    bounds = [(start, min(start + size, rows)) for start in range(0, rows, size)]
    if len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], rows)]
    return bounds
