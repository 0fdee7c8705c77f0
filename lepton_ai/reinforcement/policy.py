"""What an agent has learned: the value of every action in a state, from a table or from a network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from lepton_ai.errors import DataLoss, InvalidInput

if TYPE_CHECKING:
    from torch import Tensor, nn

Values = npt.NDArray[np.floating[Any]]


class Policy(Protocol):
    """Gives values of actions; the best one is what an agent does. Knows how to be saved and how to be served."""

    @property
    def dtype(self) -> str:
        """Of an observation, in the words of the Open Inference Protocol."""

    @property
    def value_dtype(self) -> str:
        """Of the action values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one observation."""

    @abstractmethod
    def action_values(self, observations: npt.ArrayLike) -> Values:
        """[N, actions] for N observations. Raises InvalidInput for what is no observation."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """What was learned, by name."""

    @abstractmethod
    def module(self) -> nn.Module:
        """The same as a network from a batch of observations to their action values."""


@dataclass(frozen=True)
class TablePolicy:
    """A row of action values for every state. Float64 here and when served, so that both choose alike."""

    table: npt.NDArray[np.float64]
    first_state: int = 0
    dtype: str = "INT64"
    value_dtype: str = "FP64"
    shape: tuple[int, ...] = ()

    def action_values(self, observations: npt.ArrayLike) -> Values:
        states = np.asarray(observations)
        if states.ndim != 1:
            found = (
                f"has shape {list(states.shape[1:])}, a state is one number" if states.ndim else "is no list of states"
            )
            raise InvalidInput.of_field(
                "observation",
                found,
                fix="predict takes one state, action_values a list of them.",
            )
        if states.dtype.kind not in "iu":
            raise InvalidInput.of_field("observation", f"is {states.dtype}, a state is a whole number")
        rows = states.astype(np.int64) - self.first_state
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self.table)):
            last = self.first_state + len(self.table) - 1
            raise InvalidInput.of_field("observation", f"is not a state from {self.first_state} to {last}")
        values: Values = self.table[rows]
        return values

    def weights(self) -> dict[str, Tensor]:
        import torch

        return {"table": torch.from_numpy(self.table)}

    def module(self) -> nn.Module:
        from lepton_ai.reinforcement.networks import TableLookup

        return TableLookup(self.table, self.first_state)


@dataclass(frozen=True)
class NetworkPolicy:
    """A network from an observation, a vector, to the values of the actions."""

    network: nn.Sequential
    shape: tuple[int, ...]
    dtype: str = "FP32"
    value_dtype: str = "FP32"

    def action_values(self, observations: npt.ArrayLike) -> Values:
        import torch

        vectors = np.asarray(observations, dtype=np.float32)
        if vectors.shape[1:] != self.shape:
            wanted, given = list(self.shape), list(vectors.shape[1:])
            raise InvalidInput.of_field("observation", f"has shape {given}, the environment's have {wanted}")
        with torch.inference_mode():
            values: Values = self.network(torch.from_numpy(vectors)).numpy()
        return values

    def weights(self) -> dict[str, Tensor]:
        return {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}

    def module(self) -> nn.Module:
        return self.network


def read_table(weights: Mapping[str, Tensor], shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The saved table. Raises DataLoss when it is not one for so many states and actions."""
    table = weights.get("table")
    if table is None or tuple(table.shape) != shape or str(table.dtype) != "torch.float64":
        raise _other_weights()
    return table.numpy().copy()


def read_network(weights: Mapping[str, Tensor], widths: Sequence[int]) -> nn.Sequential:
    """The saved network of layers of these widths. Raises DataLoss when its weights do not fit."""
    from lepton_ai.reinforcement.networks import make_network

    network = make_network(widths)
    prefix = "network."
    state = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:  # names and shapes, all in one text
        raise _other_weights() from error
    return network


def _other_weights() -> DataLoss:
    return DataLoss(
        "The saved weights are not those of an agent for this environment.",
        fix="Load the file for the environment that it was trained on.",
    )
