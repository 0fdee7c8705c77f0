"""The figures of a run over its epochs: one panel for each, training and validation in it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.datasets.show.shown import Sheet, present
from lepton_ai.errors import FailedPrecondition
from lepton_ai.tensors import Array
from lepton_ai.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lepton_ai.training.lr_finder import LearningRateCurve

_VALIDATION = "validation_"
_NOT_A_CURVE = ("duration_s",)
_TRAINING_COLOUR, _VALIDATION_COLOUR, _INK = "#3565d8", "#e07a1f", "#7b8796"
"""Inks that can be read on light and on dark."""
_PANEL_INCHES = (4.2, 2.6)
_COLUMNS = 3
_LARGEST_SPAN = 1000


def plot_history(history: History, path: Path | str | None = None) -> Sheet:
    """The curves as a picture that a notebook displays; saved at `path`, or else, without a notebook, in a new file.

    Raises FailedPrecondition when no epoch is over.
    """
    return _present(draw_curves(history), f"{len(history)} epochs", path)


def plot_rates(curve: LearningRateCurve, path: Path | str | None = None) -> Sheet:
    """The loss over the learning rates that were tried, with the suggested one marked; as `plot_history` otherwise."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_PANEL_INCHES, layout="constrained")
    panel = figure.subplots()
    panel.plot(curve.rates, curve.losses, color=_TRAINING_COLOUR, linewidth=1.6)
    panel.axvline(curve.suggestion, color=_VALIDATION_COLOUR, linewidth=1.2, linestyle=":")
    panel.set_xscale("log")
    title = f"loss by learning rate · suggested {curve.suggestion:.2g}"
    panel.set_title(title, fontsize=10, loc="left", color=_INK, fontweight="bold")
    _dress(panel)
    return _present(figure, f"{len(curve.rates)} learning rates", path)


def curves_svg(history: History) -> str:
    """The curves as inline SVG for a page, without a background of its own."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "lepton"}):
        draw_curves(history).savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    head, _, rest = text[text.index("<svg") :].partition("<metadata>")
    return head + rest.partition("</metadata>")[2]


def draw_curves(history: History) -> Figure:
    """The curves as a matplotlib figure. Raises FailedPrecondition when no epoch is over."""
    from matplotlib.figure import Figure

    names = _panels(history)
    if not names:
        raise FailedPrecondition("There is no finished epoch to draw.", reason="NOT_TRAINED", fix="Call fit first.")
    columns = min(_COLUMNS, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(columns * _PANEL_INCHES[0], lines * _PANEL_INCHES[1]), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for panel, name in zip(axes, names, strict=False):
        _draw_panel(panel, history, name)
    for panel in axes[len(names) :]:
        panel.set_visible(False)
    return figure


def _panels(history: History) -> list[str]:
    """Names of figures, those of validation with the same ones of training; the learning rate last."""
    names = list(dict.fromkeys(name.removeprefix(_VALIDATION) for name in history.names if name not in _NOT_A_CURVE))
    names.sort(key=lambda name: (name != "loss", name == "learning_rate"))
    return names


def _draw_panel(panel: Axes, history: History, name: str) -> None:
    drawn: list[Any] = []
    for label, full_name, colour in (
        ("training", name, _TRAINING_COLOUR),
        ("validation", _VALIDATION + name, _VALIDATION_COLOUR),
    ):
        if any(full_name in epoch for epoch in history):
            values = [_finite(epoch.get(full_name)) for epoch in history]
            epochs = np.arange(1, len(values) + 1)
            marker = "o" if len(values) < 30 else ""
            drawn += panel.plot(epochs, values, color=colour, marker=marker, markersize=3, linewidth=1.6, label=label)
    panel.set_title(name.replace("_", " "), fontsize=10, loc="left", color=_INK, fontweight="bold")
    if history.best_epoch and name != "learning_rate":
        panel.axvline(history.best_epoch, color=_INK, linewidth=0.8, linestyle=":")
    if name != "learning_rate" and _spans_magnitudes(np.concatenate([line.get_ydata() for line in drawn])):
        panel.set_yscale("log")
    if len(drawn) > 1:
        panel.legend(fontsize=8, frameon=False, labelcolor="linecolor")
    panel.locator_params(axis="x", integer=True)
    _dress(panel)


def _dress(panel: Axes) -> None:
    panel.grid(visible=True, color=_INK, alpha=0.2, linewidth=0.6)
    panel.tick_params(labelsize=8, colors=_INK, length=0)
    panel.spines[:].set_visible(False)


def _present(figure: Figure, title: str, path: Path | str | None) -> Sheet:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, facecolor="white", metadata={"Software": "Lepton"})
    sheet = Sheet(title, file.getvalue())
    if path is None:
        return present(sheet)
    sheet.save(path)
    return sheet


def _spans_magnitudes(values: Array) -> bool:
    """Whether a straight scale would show nothing but the greatest of them, as after a loss that exploded."""
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and finite.min() > 0 and finite.max() > _LARGEST_SPAN * finite.min()


def _finite(value: float | None) -> float:
    return float("nan") if value is None or not np.isfinite(value) else float(value)
