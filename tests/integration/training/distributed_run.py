"""A run for torchrun: `torchrun --nproc-per-node 2 -m … DIRECTORY`. Every process tries to save and shows progress."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lepton_ai.models import Model
from lepton_ai.models.wrap import wrap
from lepton_ai.training.history import History
from tests.unit.training.tables import table

ROWS = 199
"""The batches do not divide evenly."""
SETTINGS: dict[str, Any] = {"epochs": 4, "batch_size": 24, "learning_rate": 0.01, "accumulate": 2, "accelerator": "cpu"}


def make_model() -> Model:
    """Layer norm and no dropout: with these, two processes compute what one does."""
    torch.manual_seed(0)
    return wrap(nn.Sequential(nn.Linear(2, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 2)), task="classification")


def train(directory: Path) -> tuple[Model, History]:
    torch.set_num_threads(1)
    model = make_model()
    history = model.fit(table(ROWS), progress=True, checkpoint=directory / "checkpoint", checkpoint_steps=2, **SETTINGS)
    rank = os.environ.get("RANK", "one")
    model.save(directory / f"model-{rank}.pth")
    (directory / f"history-{rank}").write_text(repr([history["loss"], history["validation_loss"], history.best_epoch]))
    return model, history


if __name__ == "__main__":
    train(Path(sys.argv[1]))
