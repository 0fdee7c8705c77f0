"""The progress bar, in a terminal and in a log file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from lepton_ai.models import MLP
from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.progress import ProgressBar
from tests.unit.training.runs import points, train


def shown(*callbacks: Callback, terminal: bool, width: int = 80, **settings: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, force_jupyter=False, width=width, color_system=None)
    bar = ProgressBar(console=console)
    train(None, points(), points(seed=1), callbacks=[bar, *callbacks], **settings)
    return file.getvalue()


def lines(text: str) -> list[str]:
    """What stays on the screen: without what the bar drew and removed."""
    return [line.split("\x1b[2K")[-1] for line in text.splitlines() if "validation" in line or "Ended" in line]


def test_a_terminal_gets_a_bar_with_steps_rate_and_loss() -> None:
    text = shown(terminal=True)
    assert "Epoch 1/2" in text
    assert "4/4" in text
    assert "steps/s · loss 0." in text
    assert "Epoch 2/2" in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_line_of_an_epoch_fits_the_terminal_and_has_the_losses(width: int) -> None:
    for line in lines(shown(terminal=True, width=width)):
        assert len(line) <= width
        assert "loss" in line
        assert "validation loss" in line


def test_the_main_metric_fits_a_usual_terminal() -> None:
    assert all("accuracy" in line for line in lines(shown(terminal=True, epochs=12)))


def test_a_log_file_gets_one_whole_line_an_epoch() -> None:
    text = shown(terminal=False)
    assert len(text.splitlines()) == 2
    assert all("accuracy" in line and "auc" in line and "rate" in line for line in text.splitlines())
    assert "best" in text
    assert "\x1b" not in text


def test_a_model_prints_a_line_an_epoch_where_there_is_no_terminal_unless_it_is_silenced(
    capfd: pytest.CaptureFixture[str],
) -> None:
    rows, classes = np.arange(80.0, dtype=np.float32).reshape(40, 2), ["a", "b"] * 20
    MLP((4,)).fit(rows, classes, epochs=3)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert [line.split()[1] for line in printed.err.splitlines() if line.startswith("Epoch")] == ["1/3", "2/3", "3/3"]
    MLP((4,)).fit(rows, classes, epochs=3, progress=False)
    assert capfd.readouterr() == ("", "")


def test_the_reason_for_an_early_end_is_printed_as_it_is() -> None:
    class End(Callback):
        def on_batch_end(self, state: TrainingState) -> None:
            state.stop("够了 [enough]")

    assert shown(End(), terminal=False).splitlines()[-1] == "Ended: 够了 [enough]"


def test_a_warning_is_not_wrapped_in_a_log_file_and_stays_as_it_is() -> None:
    file = io.StringIO()
    ProgressBar(console=Console(file=file, force_terminal=False, width=80)).say("[x] " + "word " * 30)
    assert file.getvalue().splitlines() == ["[x] " + "word " * 29 + "word "]
