"""The training loop: epochs over prepared data, evaluation, selection of the best epoch, checkpoints.

Randomness is a function of seed, epoch and step (order of rows, dropout, augmentation), never of what went before. That
is why a run that was killed and goes on gives the same losses as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lepton_ai.datasets.batch import Augment, Batch
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.tensors import Array
from lepton_ai.training.callbacks import Callback, SingleRows, TrainingState
from lepton_ai.training.checkpoint import Checkpoint, Position, RunParts
from lepton_ai.training.evaluation import evaluate, run_network
from lepton_ai.training.history import History
from lepton_ai.training.losses import make_loss
from lepton_ai.training.optimizers import make_optimizer
from lepton_ai.training.plateau import PlateauSchedule
from lepton_ai.training.prepared import Prepared
from lepton_ai.training.processes import launch, of_first, share_buffers, sum_over
from lepton_ai.training.randomness import generator_of, row_order, seed_of, seed_torch
from lepton_ai.training.schedules import PLATEAU, make_schedule
from lepton_ai.training.selection import make_selection
from lepton_ai.training.settings import FitSettings
from lepton_ai.training.tasks import Task


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
        plateau = [PlateauSchedule()] if settings.schedule == PLATEAU else []
        self._callbacks = (*callbacks, *plateau, *settings.callbacks, SingleRows())
        self._loss = make_loss(settings.loss, task, label_smoothing=settings.label_smoothing)
        self._plain_loss = make_loss(settings.loss, task)
        self._schedule = make_schedule(settings.schedule, warmup_steps=settings.warmup_steps)
        selection = make_selection(settings, task, is_validated=material.validation is not None)
        optimizer = make_optimizer(
            settings.optimizer, network, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._rates = [group["lr"] for group in optimizer.param_groups]
        self._fabric = launch(settings)
        self._module, self._optimizer = self._fabric.setup(network, optimizer)
        self._differentiate: Callable[[Tensor], None] = self._fabric.backward
        if self._fabric.world_size == 1 and settings.precision == "32-true":
            # Fabric has moved the network where it belongs; its wrappers around every call would only cost time.
            self._module, self._optimizer, self._differentiate = network, optimizer, Tensor.backward
        self._bounds = _batch_bounds(len(material.train), settings.batch_size, self._fabric.world_size)
        steps = -(-len(self._bounds) // settings.accumulate)
        self.state = TrainingState(
            network, optimizer, settings, History(), steps, is_first=self._fabric.is_global_zero, run=self._run
        )
        self._parts = RunParts(self.state.history, selection, self._callbacks)
        self._checkpoint = self._open_checkpoint()
        self._step_begin_s = 0.0

    def fit(self) -> History:
        """Train until the last epoch, or until a callback or patience ends it. Leaves the network on the CPU."""
        state = self.state
        with torch.random.fork_rng(devices=[]):  # what the caller draws does not depend on our seeds
            position = self._resume()
            try:
                self._tell("on_fit_begin")
                while position.epoch < self._settings.epochs and not state.stop_reason:
                    position = self._epoch(position)
                self._take_best()
            finally:
                state.history.ended = state.stop_reason
                self._tell("on_fit_end")
                self._leave()
        return state.history

    def _epoch(self, position: Position) -> Position:
        state, begin_s = self.state, time.monotonic()
        state.epoch = position.epoch + 1
        self._tell("on_epoch_begin")
        self._module.train()
        rows = len(self._material.train)
        order = row_order(rows, seed=self._settings.seed, epoch=state.epoch)
        for step in range(position.step_in_epoch, state.steps_per_epoch):
            self._begin_step()
            position = Position(position.epoch, step + 1, position.loss_sum + self._step(step, order))
            if self._is_stopped():
                rows = self._bounds[min((step + 1) * self._settings.accumulate, len(self._bounds)) - 1][1]
                break
            self._save(position, every=self._settings.checkpoint_steps)
        if position.step_in_epoch < state.steps_per_epoch:
            self._save(position, every=1)  # before the figures of half an epoch: a run that goes on completes it
        share_buffers(self._fabric, self._network)
        figures = {"loss": position.loss_sum / rows, **self._evaluate()}
        figures |= {"learning_rate": state.learning_rate, "duration_s": time.monotonic() - begin_s}
        return self._end_epoch(figures, position)

    def _end_epoch(self, figures: dict[str, float], position: Position) -> Position:
        state, selection = self.state, self._parts.selection
        state.history.epochs.append(figures)
        state.figures = figures
        selection.saw(state.epoch, figures, self._network)
        state.history.best_epoch = selection.best_epoch
        self._stop_when_over()
        self._tell("on_epoch_end")
        self._is_stopped()
        if position.step_in_epoch < state.steps_per_epoch:
            return position
        position = Position(epoch=state.epoch)
        self._save(position, every=1)
        return position

    def _stop_when_over(self) -> None:
        selection = self._parts.selection
        if selection.is_over:
            self.state.stop(f"no better {selection.monitor} for {self._settings.patience} epochs")

    def _begin_step(self) -> None:
        state = self.state
        state.batches, state.rows, state.data_s = (), (), 0.0
        self._step_begin_s = time.perf_counter()

    def _step(self, step: int, order: Array) -> float:
        """One step of the optimiser; gives the sum of the losses of its rows."""
        state = self.state
        self._set_rate()
        first = step * self._settings.accumulate
        bounds = self._bounds[first : first + self._settings.accumulate]
        rows = bounds[-1][1] - bounds[0][0]
        losses: list[tuple[Tensor, int]] = []
        for index, (start, end) in enumerate(bounds):
            batch = self._batch(order[start:end], step, index)
            with self._without_sync(is_last=index == len(bounds) - 1):
                loss = self._add_gradients(batch, (end - start) / rows, end - start)
            losses.append((loss, len(batch)))
        total_loss = sum_over(self._fabric, sum(float(loss) * count for loss, count in losses))
        state.loss = total_loss / rows
        self._apply()
        return total_loss

    def _add_gradients(self, batch: Batch, share: float, rows: int) -> Tensor:
        """Add the gradients of our part of `rows`, which are this `share` of the step's; gives our mean loss."""
        loss = self._loss(run_network(self._module, batch, self._task), batch)
        # Processes average their gradients, whoever has more rows: what they have is weighted beforehand.
        weight = share * len(batch) * self._fabric.world_size / rows
        objective = loss if weight == 1 else loss * weight
        if self._settings.l1 or self._settings.l2:
            objective = objective + self._penalty() * share
        self._differentiate(objective)
        return loss.detach()

    def _apply(self) -> None:
        state = self.state
        self._clip()
        state.skip_step = False
        self._tell("on_backward_end")
        if not state.skip_step:
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.step_s = time.perf_counter() - self._step_begin_s
        self._tell("on_batch_end")

    def _clip(self) -> None:
        max_norm = self._settings.clip_norm
        if max_norm is not None:
            norm = self._fabric.clip_gradients(
                self._module, self._optimizer, max_norm=max_norm, error_if_nonfinite=False
            )
            self.state.gradient_norm = None if norm is None else float(norm)

    def _batch(self, rows: Array, step: int, index: int) -> Batch:
        fabric, state, begin_s = self._fabric, self.state, time.perf_counter()
        rows = rows[fabric.global_rank :: fabric.world_size]
        place = (self._settings.seed, state.epoch, step, index, fabric.global_rank)
        seed_torch(seed_of(*place), fabric.device)
        batch = self._material.train.batch(rows)
        if self._material.augment is not None:
            batch = self._material.augment(batch, generator_of(*place))
        batch = batch.to(fabric.device)
        state.batches, state.rows = (*state.batches, batch), (*state.rows, rows)
        state.data_s += time.perf_counter() - begin_s
        return batch

    def _set_rate(self) -> None:
        state = self.state
        share = self._schedule(state.step, state.total_steps) * state.rate_factor
        state.learning_rate = self._settings.learning_rate * share
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share

    def _penalty(self) -> Tensor:
        settings, penalty = self._settings, torch.zeros((), device=self._fabric.device)
        for weight in (each for each in self._module.parameters() if each.requires_grad and each.ndim > 1):
            if settings.l1:
                penalty = penalty + settings.l1 * weight.abs().sum()
            if settings.l2:
                penalty = penalty + settings.l2 * weight.square().sum()
        return penalty

    def _evaluate(self) -> dict[str, float]:
        if self._material.validation is None:
            return {}
        figures: dict[str, float] = {}
        if self._fabric.is_global_zero:
            network = self._module if self._fabric.world_size == 1 else self._network
            figures = evaluate(network, self._task, self._material.validation, loss=self._plain_loss)
        figures = of_first(self._fabric, figures)
        return {f"validation_{name}": value for name, value in figures.items()}

    def _take_best(self) -> None:
        selection = self._parts.selection
        if selection.weights:
            self._network.load_state_dict(selection.weights)

    def _leave(self) -> None:
        self._network.to("cpu").eval()
        if self._settings.precision == "bf16-true" or self._settings.precision == "64-true":
            self._network.float()

    def _is_stopped(self) -> bool:
        """Whether anybody wants to stop: processes stop together or wait for each other for ever."""
        state = self.state
        if self._fabric.world_size > 1 and sum_over(self._fabric, float(bool(state.stop_reason))):
            state.stop("another process ended the run")
        return bool(state.stop_reason)

    def _open_checkpoint(self) -> Checkpoint | None:
        settings = self._settings
        if settings.checkpoint is None:
            return None
        names = ("batch_size", "accumulate", "seed", "learning_rate", "weight_decay", "precision", "l1", "l2")
        fingerprint = {name: getattr(settings, name) for name in names}
        fingerprint |= {
            "rows": len(self._material.train),
            "optimizer": settings.optimizer if isinstance(settings.optimizer, str) else "custom",
            "weights": sum(parameter.numel() for parameter in self._network.parameters()),
            "processes": self._fabric.world_size,
        }
        return Checkpoint(settings.checkpoint, fingerprint)

    def _resume(self) -> Position:
        state = self.state
        if self._checkpoint is None:
            return Position()
        if state.is_first:
            self._checkpoint.clear_remains()
        saved = self._checkpoint.restore(self._network, state.optimizer, self._parts)
        position, state.rate_factor = saved or (Position(), 1.0)
        if of_first(self._fabric, position) != position:
            raise FailedPrecondition(
                "The processes do not see the same checkpoint directory.",
                reason="NO_SHARED_DIRECTORY",
                fix="Put it where all machines can read it.",
            )
        state.epoch = position.epoch
        state.step = position.epoch * state.steps_per_epoch + position.step_in_epoch
        self._stop_when_over()
        return position

    def _save(self, position: Position, *, every: int) -> None:
        if self._checkpoint is None or not every or self.state.step % every or not self.state.is_first:
            return
        self._checkpoint.save(
            self._network, self.state.optimizer, self._parts, position, rate_factor=self.state.rate_factor
        )

    def _run(self, batch: Batch) -> dict[str, Tensor]:
        """The network's answers without the other processes, who may not be asking."""
        with self._fabric.autocast():
            return run_network(self._network, batch, self._task)

    def _without_sync(self, *, is_last: bool) -> AbstractContextManager[Any]:
        if is_last or self._fabric.world_size == 1:
            return nullcontext()
        return self._fabric.no_backward_sync(self._module)

    def _tell(self, moment: str) -> None:
        for callback in self._callbacks:
            getattr(callback, moment)(self.state)


def _batch_bounds(rows: int, size: int, processes: int) -> list[tuple[int, int]]:
    """Where batches begin and end. Every process needs two rows, for batch norm: a shorter last batch joins the others.

    Raises InvalidInput when batches are too small for so many processes.
    """
    if processes > 1 and min(rows, size) < 2 * processes:
        raise InvalidInput.of_field(
            "batch_size",
            f"is {min(rows, size)} for {processes} processes",
            fix=f"Give at least {2 * processes} rows a batch.",
        )
    bounds = [(start, min(start + size, rows)) for start in range(0, rows, size)]
    if len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] < 2 * processes and size > 1:
        bounds[-2:] = [(bounds[-2][0], rows)]
    return bounds
