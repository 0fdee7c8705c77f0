"""The state of a run on disk, so that one that was killed goes on exactly where it was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from lepton_ai.archive import Archive
from lepton_ai.errors import FailedPrecondition
from lepton_ai.training.callbacks import Callback
from lepton_ai.training.history import History
from lepton_ai.training.optimizer_state import give_state, take_state
from lepton_ai.training.selection import Selection

_FILE = "training.lepton"
_NETWORK, _BEST, _OPTIMIZER, _CALLBACK = "network/", "best/", "optimizer/", "callback/"


@dataclass
class Position:
    """How far a run has come: whole epochs, steps in the epoch after them, and what that epoch has summed up."""

    epoch: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0

    def document(self) -> dict[str, Any]:
        """As JSON data, which has no number for what is not finite."""
        return {**vars(self), "loss_sum": self.loss_sum if math.isfinite(self.loss_sum) else None}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Position:
        """The position that `document` described."""
        loss_sum = document["loss_sum"]
        return cls(document["epoch"], document["step_in_epoch"], math.nan if loss_sum is None else loss_sum)


class Checkpoint:
    """The state of one run in a directory. `fingerprint` says which run: another one's state is refused."""

    def __init__(self, directory: Path | str, fingerprint: Mapping[str, Any]) -> None:
        self._path = Path(directory) / _FILE
        self._fingerprint = dict(fingerprint)

    def clear_remains(self) -> None:
        """Remove what a process that was killed while saving has left half written."""
        for remains in self._path.parent.glob(f".{_FILE}.*.part"):
            remains.unlink(missing_ok=True)

    def save(
        self, network: nn.Module, optimizer: Optimizer, parts: RunParts, position: Position, *, rate_factor: float
    ) -> None:
        """Write everything that the rest of the run depends on. Raises ResourceExhausted when the disk is full."""
        moments, numbers = take_state(optimizer)
        weights = {_NETWORK + name: tensor for name, tensor in network.state_dict().items()}
        weights |= {_BEST + name: tensor for name, tensor in parts.selection.weights.items()}
        weights |= {_OPTIMIZER + name: tensor for name, tensor in moments.items()}
        for index, callback in enumerate(parts.callbacks):
            weights |= {f"{_CALLBACK}{index}/{name}": tensor for name, tensor in callback.tensors().items()}
        document = {
            "fingerprint": self._fingerprint,
            "position": position.document(),
            "rate_factor": rate_factor,
            "optimizer": numbers,
            "history": parts.history.document(),
            "selection": parts.selection.document(),
            "callbacks": [[type(callback).__name__, callback.document()] for callback in parts.callbacks],
        }
        Archive("training state", document, weights, {}).write(self._path)

    def restore(self, network: nn.Module, optimizer: Optimizer, parts: RunParts) -> tuple[Position, float] | None:
        """Put everything back as it was saved; gives position and rate factor. None when there is nothing saved.

        Raises FailedPrecondition when what is saved belongs to another run, DataLoss when it is damaged.
        """
        if not self._path.is_file():
            return None
        saved = Archive.read(self._path, kind="training state")
        if saved.document["fingerprint"] != self._fingerprint:
            raise FailedPrecondition(
                f"The checkpoint directory holds another run: {_difference(saved.document, self._fingerprint)}.",
                reason="OTHER_RUN",
                fix="Choose another directory, or remove this one to begin again.",
            )
        network.load_state_dict(_below(_NETWORK, saved.weights))
        give_state(optimizer, _below(_OPTIMIZER, saved.weights), saved.document["optimizer"])
        history = History.from_document(saved.document["history"])
        parts.history.epochs[:], parts.history.notes[:] = history.epochs, history.notes
        parts.history.best_epoch = history.best_epoch
        parts.selection.restore(saved.document["selection"], _below(_BEST, saved.weights))
        _restore_callbacks(parts.callbacks, saved)
        return Position.of(saved.document["position"]), saved.document["rate_factor"]


@dataclass(frozen=True)
class RunParts:
    """What a run carries along beside its weights."""

    history: History
    selection: Selection
    callbacks: Sequence[Callback]


def _restore_callbacks(callbacks: Sequence[Callback], saved: Archive) -> None:
    """To each what the next one of its class has left: others may have come or gone."""
    left = list(enumerate(saved.document["callbacks"]))
    for callback in callbacks:
        found = next((each for each in left if each[1][0] == type(callback).__name__), None)
        if found is not None:
            left.remove(found)
            index, (_, document) = found
            callback.restore(document, _below(f"{_CALLBACK}{index}/", saved.weights))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _difference(document: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    saved = document["fingerprint"]
    names = [name for name in {*saved, *wanted} if saved.get(name) != wanted.get(name)]
    return ", ".join(f"{name} was {saved.get(name)!r} and is {wanted.get(name)!r}" for name in sorted(names))
