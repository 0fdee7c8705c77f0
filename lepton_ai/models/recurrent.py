"""RNN, GRU and LSTM: a class or a number for a sequence of numbers, of vectors, or of a text's tokens."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lepton_ai.datasets import Column, Dataset
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models.fitting.purpose import Purpose, TaskName, choose_task
from lepton_ai.models.mlp import Standardized
from lepton_ai.models.model import Model
from lepton_ai.models.padded import mean_step, without_common_padding
from lepton_ai.models.preparation import Step, fit_pipeline, only_column
from lepton_ai.models.recurrent_layers import Cell, RecurrentLayers, final_states
from lepton_ai.models.tokens import Level, TokenVectors, text_steps, vocabulary_size
from lepton_ai.pipeline import Pipeline
from lepton_ai.tensors import Array
from lepton_ai.training.tasks import Regression, Task

_LARGE = 2.0**14
"""FP32 holds numbers to one part in 2²⁴: beyond this, what is a deviation from the mean is held to less than 2⁻¹⁰."""
_Floats = npt.NDArray[np.float64]


class Recurrent(Model):
    """What RNN, GRU and LSTM have in common; they differ in their cell only.

    The data set has one input column: a tensor [steps] or [steps, features] for every row, of any number of steps, or
    a text. Without `task`, a target column of numbers means regression and any other classification. Sequences are cut
    at `max_length` steps; `level`, `max_tokens` and `embedding` are for texts. Numbers are standardised inside the
    network, by what the training data was like.
    """

    cell: ClassVar[Cell]

    def __init__(  # noqa: PLR0913 - every one is a choice of its own
        self,
        hidden: int = 64,
        *,
        layers: int = 1,
        bidirectional: bool = True,
        task: TaskName | None = None,
        max_length: int = 256,
        level: Level = "char",
        embedding: int = 64,
        dropout: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(
            hidden=hidden, layers=layers, bidirectional=bidirectional, task=task, max_length=max_length, level=level,
            embedding=embedding, dropout=dropout, seed=seed,
        )  # fmt: skip
        self._moments: tuple[Array, Array] | None = None

    def prepare(self, data: Dataset) -> Pipeline:
        column, length = only_column(data, "tensor", "text"), self.config["max_length"]
        if column.kind == "text":
            steps = text_steps(
                column.name, level=self.config["level"], max_length=length, max_tokens=20_000, min_count=2
            )
            return fit_pipeline([column], steps, data)
        mean, std = moments_of(data, column)
        features = len(mean)
        offset = mean if loses_digits(mean, std) else np.zeros(features)
        self._moments = mean - offset, std
        # In a package, an input and a tensor of the same name would be taken for the same thing.
        steps_name, mask_name = (name if name != column.name else f"{name}_" for name in ("steps", "mask"))
        step: Step = {"op": "sequence", "length": length, "features": features, "output": steps_name, "mask": mask_name}
        if offset.any():
            step["offset"] = offset.tolist()
        return fit_pipeline([column], [step], data)

    def define_task(self, data: Dataset) -> Task:
        return choose_task(data, self.config["task"])

    def build_network(self) -> nn.Module:
        if self.pipeline is None or not isinstance(self.task, Purpose):
            raise FailedPrecondition(
                "The network's size depends on the data.", reason="NOT_TRAINED", fix="Call fit first."
            )
        steps = self._steps(self.pipeline)
        network = SequenceNetwork(steps, self._layers(steps.width), self.task.width, dropout=self.config["dropout"])
        return Standardized(network, self.task) if isinstance(self.task, Regression) else network

    def _steps(self, pipeline: Pipeline) -> TokenSteps | NumberSteps:
        if pipeline.outputs[0].dtype == "INT64":
            return TokenSteps(vocabulary_size(pipeline), self.config["embedding"], dropout=self.config["dropout"])
        features = pipeline.outputs[0].shape[1]
        mean, std = self._moments or (np.zeros(features), np.ones(features))  # weights of a file bring theirs
        return NumberSteps(mean, std)

    def _layers(self, features: int) -> RecurrentLayers:
        config = self.config
        return RecurrentLayers(
            self.cell,
            features,
            config["hidden"],
            layers=config["layers"],
            bidirectional=config["bidirectional"],
            dropout=config["dropout"],
        )


class RNN(Recurrent):
    """Simple recurrent cells (Elman 1990): short sequences. See `Recurrent` for the data that it takes."""

    cell = "rnn"


class GRU(Recurrent):
    """Gated recurrent units (Cho et al. 2014): as good as LSTM as a rule, and faster. See `Recurrent`."""

    cell = "gru"


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997): for long sequences. See `Recurrent`."""

    cell = "lstm"


class SequenceNetwork(nn.Module):
    """What a pipeline made of a sequence → float32 [N, answers], from the last states and the mean of all of them."""

    def __init__(
        self, steps: TokenSteps | NumberSteps, layers: RecurrentLayers, answers: int, *, dropout: float
    ) -> None:
        super().__init__()
        self.steps, self.layers = steps, layers
        self.hidden = layers.hidden
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * layers.width, answers))

    def forward(self, *inputs: Tensor) -> Tensor:
        values, mask = self.steps(*inputs)
        states = self.layers(values, mask)
        answers: Tensor = self.head(
            torch.cat([final_states(states, mask, self.hidden), mean_step(states, mask)], dim=1)
        )
        return answers


class TokenSteps(nn.Module):
    """int64 tokens [N, steps] → vectors and their mask."""

    def __init__(self, vocabulary: int, width: int, *, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.vectors = TokenVectors(vocabulary, width, dropout=dropout)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        tokens, _ = without_common_padding(tokens, tokens != 0)
        vectors: tuple[Tensor, Tensor] = self.vectors(tokens)
        return vectors


class NumberSteps(nn.Module):
    """float32 [N, steps, features] and int64 [N, steps], 1 for real steps → standardised steps and their mask."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Array, std: Array) -> None:
        super().__init__()
        self.width = len(mean)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, steps: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        steps, real = without_common_padding(steps, mask > 0)
        return (steps - self.mean) / self.std * real.unsqueeze(2).to(steps.dtype), real


def moments_of(data: Dataset, column: Column) -> tuple[_Floats, _Floats]:
    """Mean and deviation of every feature over all steps of all rows, in one pass.

    Raises InvalidInput when the rows are no sequences of the same number of features.
    """
    sums = squares = np.zeros(0)
    count, offset = 0, np.zeros(0)
    for number, row in enumerate(data.rows([column.name])):
        steps = _checked_steps(row[column.name], number, features=len(offset) if count else None)
        if not count:
            offset = steps[0]  # so that large numbers that hardly vary keep their digits
            sums = squares = np.zeros_like(offset)
        count += len(steps)
        sums = sums + (steps - offset).sum(axis=0)
        squares = squares + np.square(steps - offset).sum(axis=0)
    mean = sums / max(1, count)
    std = np.sqrt(np.maximum(squares / max(1, count) - np.square(mean), 0))
    return offset + mean, np.where(std > 0, std, 1.0)


def loses_digits(mean: _Floats, std: _Floats) -> bool:
    """Whether numbers are so large beside what they differ by that FP32 would hold less than 3 digits of that."""
    return bool((np.abs(mean) > _LARGE * std).any())


def _checked_steps(value: object, row: int, *, features: int | None) -> _Floats:
    array = np.asarray(value)
    if array.dtype.kind in "iufb" and array.ndim in (1, 2) and array.size:
        steps = array.astype(np.float64).reshape(len(array), -1)
        if features in (None, steps.shape[1]) and np.isfinite(steps).all():
            return steps
    expected = "numbers [steps] or [steps, features]" if features is None else f"finite numbers [steps, {features}]"
    raise InvalidInput(
        f"Row {row} is a tensor of shape {list(array.shape)} that is not {expected}.",
        reason="WRONG_SHAPE",
        fix="Give every row a sequence of finite numbers, with the same features at every step.",
    )
