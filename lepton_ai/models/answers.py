"""What a model answers in Python: to one example, and about a whole data set."""

from __future__ import annotations

from collections.abc import ItemsView, KeysView, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lepton_ai.datasets.batch import Batch
from lepton_ai.errors import FailedPrecondition, LeptonError
from lepton_ai.outputs import Outputs
from lepton_ai.pipeline import Processed
from lepton_ai.pipeline.frames import only_frame
from lepton_ai.postprocessing import Options, Postprocess, RowAnswer, without_meaning
from lepton_ai.tensors import Array
from lepton_ai.training.evaluation import run_network
from lepton_ai.training.tasks import Task

_BATCH_SIZE = 256


class Evaluation(tuple[float, float]):
    """Loss and main metric, to be taken apart like a pair; all metrics by name, also as of a mapping."""

    metrics: dict[str, float]

    def __new__(cls, metrics: Mapping[str, float], *, main_metric: str) -> Evaluation:
        pair = super().__new__(cls, (metrics["loss"], metrics[main_metric]))
        pair.metrics = dict(metrics)
        return pair

    def __getitem__(self, key: Any) -> Any:
        """One of the pair by its number, or any metric by its name."""
        return self.metrics[key] if isinstance(key, str) else super().__getitem__(key)

    def keys(self) -> KeysView[str]:
        """Names of the metrics: so `dict(evaluation)` has all of them."""
        return self.metrics.keys()

    def items(self) -> ItemsView[str, float]:
        """Metrics by name."""
        return self.metrics.items()

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
    class_scores: Array | None = None
    """What `scores` gives, where there are classes."""

    @property
    def scores(self) -> Array:
        """The probability of every class, or of every label, in their order: [classes].

        Raises FailedPrecondition for models without classes.
        """
        if self.class_scores is None:
            raise FailedPrecondition(
                "The model has no classes that could have scores.", reason="NO_CLASSES", fix="Take `value` or `values`."
            )
        return self.class_scores

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """As NumPy takes it: the scores, or the only output of a model without classes."""
        array = self.values if self.class_scores is None else self.class_scores
        return np.array(array, dtype=dtype)


class Predictions(list[Predicted]):
    """The answers to several examples: a list, and for NumPy an array with a row an example."""

    @property
    def scores(self) -> Array:
        """The probability of every class in their order, [examples, classes]. Raises as a single answer's does."""
        return np.stack([each.scores for each in self]) if self else np.empty((0, 0), dtype=np.float32)

    @property
    def values(self) -> Array:
        """The only output of every example, [examples, …]. Raises as a single answer's does."""
        return np.stack([each.values for each in self]) if self else np.empty((0, 0), dtype=np.float32)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The scores, or the only output of models without classes: `np.argmax(model.predict(X), axis=1)`."""
        return np.array([np.asarray(each) for each in self], dtype=dtype)


def answer_rows(network: nn.Module, task: Task, rows: Sequence[Processed], *, top_k: int = 0) -> Predictions:
    """Run prepared rows through the network and the task's postprocessing, as the platform does."""
    answers = Predictions()
    post = postprocess_of(task)
    for start in range(0, len(rows), _BATCH_SIZE):
        chunk = rows[start : start + _BATCH_SIZE]
        outputs, scores = _run(network, task, chunk)
        options = Options(top_k, [only_frame(row.frames) for row in chunk])
        meanings = without_meaning(outputs, len(chunk)) if post is None else post.run(outputs, options)
        for index, (row, given) in enumerate(zip(chunk, meanings, strict=True)):
            answer = {name: values[index] for name, values in outputs.items()}
            odd = [anomaly.message for anomaly in row.anomalies] + [given.anomaly] * bool(given.anomaly)
            of_classes = None if scores is None else scores[index]
            answers.append(Predicted(given.answer, answer, tuple(odd), given.error, of_classes))
    return answers


def postprocess_of(task: Task) -> Postprocess | None:
    """The task's postprocessing, loaded; None when it has none."""
    steps = task.postprocess()
    return None if steps is None else Postprocess.load(*steps)


def _run(network: nn.Module, task: Task, rows: Sequence[Processed]) -> tuple[dict[str, Any], Array | None]:
    names = rows[0].tensors
    inputs = {name: torch.from_numpy(np.stack([row.tensors[name] for row in rows])) for name in names}
    with torch.inference_mode():
        outputs = run_network(network, Batch(inputs, {}), task)
        scores = task.scores(outputs)
    return {name: tensor.numpy() for name, tensor in outputs.items()}, None if scores is None else scores.numpy()
