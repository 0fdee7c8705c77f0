"""The same network trained by others: a plain PyTorch loop, Lightning's Trainer, Keras on torch."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LEARNING_RATE = 1e-3
BATCH_SIZE = 32


@dataclass(frozen=True)
class Rows:
    """Prepared rows: what the network takes, and the class of each."""

    inputs: Tensor
    classes: Tensor

    @property
    def steps(self) -> int:
        """Batches in one epoch."""
        return -(-len(self.inputs) // BATCH_SIZE)


Run = Callable[[nn.Module, Rows, int], float]
"""Trains a network for so many epochs; gives steps a second."""


def train_plainly(network: nn.Module, rows: Rows, epochs: int, *, fused: bool = False) -> float:
    """The loop of the PyTorch tutorials, with the rows in memory and the mean loss kept for printing."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, fused=fused)
    network.train()
    begin_s = time.perf_counter()
    for _ in range(epochs):
        loss_sum = 0.0
        for indices in torch.split(torch.randperm(len(rows.inputs)), BATCH_SIZE):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(rows.inputs[indices]), rows.classes[indices])
            torch.autograd.backward(loss)
            optimizer.step()
            loss_sum += loss.item() * len(indices)
    return epochs * rows.steps / (time.perf_counter() - begin_s)


def train_plainly_fused(network: nn.Module, rows: Rows, epochs: int) -> float:
    """The same with the optimiser's fused kernel, which one has to know about."""
    return train_plainly(network, rows, epochs, fused=True)


def lightning_trainer() -> Run | None:
    """Lightning's Trainer without bar, logger and checkpoints; None when it is not installed."""
    if find_spec("lightning") is None:
        return None
    pytorch: Any = import_module("lightning.pytorch")
    for name in ("lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Module(pytorch.LightningModule):  # type: ignore[misc] # it may not be there
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
            return functional.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=LEARNING_RATE)

        def on_train_start(self) -> None:
            self.begin_s = time.perf_counter()

        def on_train_end(self) -> None:
            self.duration_s = time.perf_counter() - self.begin_s

    def run(network: nn.Module, rows: Rows, epochs: int) -> float:
        data = torch.utils.data.TensorDataset(rows.inputs, rows.classes)
        batches = torch.utils.data.DataLoader(data, batch_size=BATCH_SIZE, shuffle=True)
        off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on workers
            trainer = pytorch.Trainer(max_epochs=epochs, accelerator="cpu", enable_model_summary=False, **off)
            module = Module(network)
            trainer.fit(module, batches)
        return epochs * rows.steps / float(module.duration_s)

    return run


def keras_on_torch() -> Run | None:
    """Keras' fit with its torch backend around the same module; None when it is not installed."""
    if find_spec("keras") is None:
        return None
    os.environ["KERAS_BACKEND"] = "torch"  # the only way to choose it
    keras: Any = import_module("keras")

    def run(network: nn.Module, rows: Rows, epochs: int) -> float:
        model = keras.Sequential([keras.layers.TorchModuleWrapper(network)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.AdamW(LEARNING_RATE, weight_decay=0.01)
        model.compile(optimizer=optimizer, loss=loss, jit_compile=False)
        inputs, classes = rows.inputs.numpy(), rows.classes.numpy()
        model.fit(inputs[:BATCH_SIZE], classes[:BATCH_SIZE], batch_size=BATCH_SIZE, verbose=0)  # builds it
        begin_s = time.perf_counter()
        model.fit(inputs, classes, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
        return epochs * rows.steps / (time.perf_counter() - begin_s)

    return run
