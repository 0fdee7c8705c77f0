"""What a model answers in Python: to one example, and about a whole data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import LeptonError
from lepton_ai.outputs import Outputs
from lepton_ai.pipeline import Processed
from lepton_ai.pipeline.frames import only_frame
from lepton_ai.postprocessing import Options, Postprocess, RowAnswer, without_meaning
from lepton_ai.tensors import Array
from lepton_ai.training.evaluation import run_network
from lepton_ai.training.tasks import Task

_BATCH_SIZE = 256


class Evaluation(tuple[float, float]):
    """Loss and main metric, to be taken apart like a pair; all metrics by name in `metrics`."""

    metrics: dict[str, float]

    def __new__(cls, metrics: Mapping[str, float], *, main_metric: str) -> Evaluation:
        pair = super().__new__(cls, (metrics["loss"], metrics[main_metric]))
        pair.metrics = dict(metrics)
        return pair

    def __repr__(self) -> str:
        return ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())


@dataclass(frozen=True)
class Predicted(Outputs):
    """The answer to one example."""

    answer: RowAnswer | None
    outputs: Mapping[str, Array]
    """What the network gave, by name, without the batch dimension."""
    anomalies: tuple[str, ...] = ()
    """What was odd about the input, one sentence each."""
    error: LeptonError | None = None
    """Why there is no answer, for one example among several: the model's outputs are no numbers."""


def answer_rows(network: nn.Module, task: Task, rows: Sequence[Processed], *, top_k: int = 0) -> list[Predicted]:
    """Run prepared rows through the network and the task's postprocessing, as the platform does."""
    answers: list[Predicted] = []
    post = postprocess_of(task)
    for start in range(0, len(rows), _BATCH_SIZE):
        chunk = rows[start : start + _BATCH_SIZE]
        outputs = _run(network, task, chunk)
        options = Options(top_k, [only_frame(row.frames) for row in chunk])
        meanings = without_meaning(outputs, len(chunk)) if post is None else post.run(outputs, options)
        for index, (row, given) in enumerate(zip(chunk, meanings, strict=True)):
            answer = {name: values[index] for name, values in outputs.items()}
            odd = [anomaly.message for anomaly in row.anomalies] + [given.anomaly] * bool(given.anomaly)
            answers.append(Predicted(given.answer, answer, tuple(odd), given.error))
    return answers


def postprocess_of(task: Task) -> Postprocess | None:
    """The task's postprocessing, loaded; None when it has none."""
    steps = task.postprocess()
    return None if steps is None else Postprocess.load(*steps)


def _run(network: nn.Module, task: Task, rows: Sequence[Processed]) -> dict[str, Any]:
    names = rows[0].tensors
    inputs = {name: torch.from_numpy(np.stack([row.tensors[name] for row in rows])) for name in names}
    with torch.inference_mode():
        outputs = run_network(network, Batch(inputs, {}), task)
    return {name: tensor.numpy() for name, tensor in outputs.items()}
