"""What happened in a run, epoch by epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lepton_ai.datasets.show import Sheet


_OF_THE_CLOCK = ("duration_s",)
_FINDINGS_OF_THE_CLOCK = ("data starvation",)
_OF_THE_RUN = ("learning_rate", *_OF_THE_CLOCK)
_VALIDATION, _OF_KERAS = "validation_", "val_"


@dataclass(repr=False)
class History:
    """Figures of every epoch, notes of what was done about trouble, and how the run ended."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    """Per epoch: "loss", "learning_rate", "duration_s" (not in packages); of validation data "validation_loss" and each
    of the task's metrics as "validation_…"."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    """What callbacks found and did: "epoch", "step", "finding", "advice", "action"."""
    best_epoch: int | None = None
    ended: str = ""
    """Why the run ended before its last epoch; empty when it did not."""

    def __getitem__(self, name: str) -> list[float]:
        """One figure over the epochs that have it; Keras's "val_…" is our "validation_…"."""
        name = _VALIDATION + name.removeprefix(_OF_KERAS) if name.startswith(_OF_KERAS) else name
        return [epoch[name] for epoch in self.epochs if name in epoch]

    @property
    def history(self) -> dict[str, list[float]]:
        """Every figure over the epochs, by the names that Keras has for them."""
        return {name: self[name] for name in keras_names(dict.fromkeys(self.names, 0.0))}

    def __len__(self) -> int:
        return len(self.epochs)

    def __repr__(self) -> str:
        """One line: what `fit` gives is often the last word of a notebook's cell."""
        number = self.best_epoch if self.best_epoch is not None else len(self)
        figures = self.epochs[number - 1] if 0 < number <= len(self) else {}
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if name not in _OF_THE_RUN)
        which = "best" if self.best_epoch is not None else "last"
        return (
            f"History({len(self)} epoch{'s' * (len(self) != 1)}; {which} {number}: {told})"
            if figures
            else "History(0 epochs)"
        )

    def __iter__(self) -> Iterator[Mapping[str, float]]:
        return iter(self.epochs)

    @property
    def names(self) -> tuple[str, ...]:
        """Every figure there is, in the order in which they came."""
        return tuple(dict.fromkeys(name for epoch in self.epochs for name in epoch))

    def plot(self, path: Path | str | None = None) -> Sheet:
        """The curves as a picture: saved at `path`, shown in a notebook, else saved in a new file that is named."""
        from lepton_ai.training.curves import plot_history

        return plot_history(self, path)

    def without_clock(self) -> History:
        """What the same data, settings and seed give again on any day: no durations, no finding about the time."""
        epochs = [{name: value for name, value in epoch.items() if name not in _OF_THE_CLOCK} for epoch in self.epochs]
        notes = [note for note in self.notes if note["finding"] not in _FINDINGS_OF_THE_CLOCK]
        return History(epochs, notes, self.best_epoch, self.ended)

    def document(self) -> dict[str, Any]:
        """As JSON data; what is not finite becomes null."""
        values = {"epochs": self.epochs, "notes": self.notes, "best_epoch": self.best_epoch, "ended": self.ended}
        plain: dict[str, Any] = json.loads(json.dumps(values), parse_constant=lambda _: None)
        return plain

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> History:
        """The history that `document` described."""
        return cls(
            [dict(epoch) for epoch in document.get("epochs", ())],
            [dict(note) for note in document.get("notes", ())],
            document.get("best_epoch"),
            str(document.get("ended", "")),
        )


def keras_names(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures of an epoch as Keras calls them."""
    return {name.replace(_VALIDATION, _OF_KERAS): value for name, value in figures.items()}
