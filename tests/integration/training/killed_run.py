"""A run in a process of its own, for tests to kill: `python -m … CHECKPOINT_DIRECTORY LOSSES_FILE`.

Every step adds a line "STEP LOSS" to the file, the loss in hexadecimal so that no bit is lost.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from lepton_ai.models import MLP
from lepton_ai.training.callbacks import Callback, TrainingState
from tests.unit.training.tables import table


class Diary(Callback):
    def __init__(self, path: Path) -> None:
        self._path = path

    def on_batch_end(self, state: TrainingState) -> None:
        with self._path.open("a") as file:
            file.write(f"{state.step} {state.loss.hex()}\n")


def main(checkpoint: str, losses: str) -> None:
    torch.set_num_threads(1)
    diary = Diary(Path(losses))
    options: dict[str, Any] = {"schedule": "cosine", "auto": True, "patience": 50, "progress": False}
    MLP([16], dropout=0.3).fit(
        table(400), epochs=8, batch_size=16, checkpoint=checkpoint, checkpoint_steps=20, callbacks=[diary], **options
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
