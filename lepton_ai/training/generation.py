"""Training of two networks against each other: one makes pictures, the other tells them from real ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lepton_ai.datasets.batch import Batch
from lepton_ai.tensors import Array
from lepton_ai.training.loop import Training
from lepton_ai.training.processes import sum_over
from lepton_ai.training.tasks import Outputs, Task

if TYPE_CHECKING:
    from lepton_ai.datasets import Dataset

_JUDGED_ROWS = 256
_JUDGE_SEED = 1


class Rivals(Protocol):
    """The pair of networks as training sees it. Pictures are float [N, channels, height, width] from −1 to 1."""

    generator: nn.Module
    discriminator: nn.Module
    noise_size: int

    def real(self, batch: Batch) -> Tensor:
        """The pictures of a batch, as the discriminator takes them."""

    def follow(self) -> None:
        """Move the averaged generator, which is the one that is used later, towards the one in training."""


class Generation(Task):
    """New examples that could be from the data set; the network answers pictures from 0 to 1."""

    name = "generation"
    outputs = ("picture",)
    main_metric = "fooled"
    higher_is_better = True
    has_falling_loss = False

    def targets(self, data: Dataset) -> dict[str, Array]:
        return {}

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Not what is trained on: `AdversarialTraining` has the losses of both networks."""
        return outputs["picture"].mean()


class AdversarialTraining(Training):
    """A run in which every step moves the discriminator, then the generator (Goodfellow et al. 2014, non-saturating).

    Both live in one optimiser, which leaves alone what has no gradient: so checkpoints, schedules and callbacks are
    those of every run. The figures of an epoch: "loss" is the generator's, "discriminator_loss" and "fooled" are taken
    when the epoch has ended.
    """

    def _step(self, step: int, order: Array) -> float:
        state = self.state
        self._set_rate()
        start, end = self._bounds[step]
        state.batches, state.rows, state.data_s = (), (), 0.0
        batch = self._batch(order[start:end], step, 0)
        rivals = cast(Rivals, self._network)
        real = rivals.real(batch)
        noise = torch.randn(len(real), rivals.noise_size, device=real.device)
        with self._fabric.autocast():
            self._train_discriminator(rivals, real, noise)
            with _frozen(rivals.discriminator):
                loss = functional.softplus(-rivals.discriminator(rivals.generator(noise))).mean()
                self._backward(loss)
        total = sum_over(self._fabric, float(loss.detach()) * len(batch))
        state.loss = total / (end - start)
        self._apply()
        rivals.follow()
        return total

    def _train_discriminator(self, rivals: Rivals, real: Tensor, noise: Tensor) -> None:
        with torch.no_grad():
            made = rivals.generator(noise)
        self._backward(_discriminator_loss(rivals, real, made))
        self._clip()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def _backward(self, loss: Tensor) -> None:
        """Gradients, averaged over all processes by hand: DDP cannot know which half of the weights takes part."""
        self._fabric.backward(loss)
        if self._fabric.world_size > 1:
            for parameter in self._network.parameters():
                if parameter.grad is not None:
                    parameter.grad = cast(Tensor, self._fabric.all_reduce(parameter.grad, reduce_op="mean"))

    def _evaluate(self) -> dict[str, float]:
        rows = self._material.train.batch(slice(0, _JUDGED_ROWS)).to(self._fabric.device)
        return judge_rivals(self._network, rows)


def judge_rivals(network: nn.Module, rows: Batch) -> dict[str, float]:
    """How well the discriminator tells real rows from made ones, and which share of those it takes for real."""
    rivals = cast(Rivals, network)
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        real = rivals.real(rows)
        dice = torch.Generator().manual_seed(_JUDGE_SEED)
        made = rivals.generator(torch.randn(len(real), rivals.noise_size, generator=dice).to(real.device))
        loss = float(_discriminator_loss(rivals, real, made))
        fooled = float((rivals.discriminator(made) > 0).float().mean())
    network.train(was_training)
    return {"discriminator_loss": loss, "fooled": fooled}


def _discriminator_loss(rivals: Rivals, real: Tensor, made: Tensor) -> Tensor:
    real_loss = functional.softplus(-rivals.discriminator(real)).mean()
    made_loss = functional.softplus(rivals.discriminator(made)).mean()
    return real_loss + made_loss


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Gradients pass through these weights and leave none behind."""
    trainable: list[Any] = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
