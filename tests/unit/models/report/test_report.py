"""The page about a run, and the curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.datasets import from_rows
from lepton_ai.errors import FailedPrecondition
from lepton_ai.models import MLP
from lepton_ai.models.report.tables import confusion_table, note_cards, value_table
from lepton_ai.training.curves import draw_curves
from lepton_ai.training.history import History

HISTORY = History(
    [
        {"loss": 1.0, "validation_loss": 1.2, "validation_accuracy": 0.5, "learning_rate": 0.1, "duration_s": 1.0},
        {"loss": 0.5, "validation_loss": float("nan"), "validation_accuracy": 0.7, "learning_rate": 0.1},
    ],
    best_epoch=2,
)


def rows(count: int = 60) -> list[dict[str, object]]:
    x = np.random.default_rng(0).normal(size=count)
    return [
        {"x": float(value), "city": ["北京", "<b>"][row % 2], "y": ["猫", "狗"][row % 2]} for row, value in enumerate(x)
    ]


def test_the_page_tells_of_the_run_and_its_worst_mistakes(tmp_path: Path) -> None:
    data = from_rows(rows(), target="y", name="城市").select(["x", "y"])
    model = MLP(hidden=[4])
    model.fit(data, epochs=2, progress=False, augment="tables")
    model.history.notes.append(
        {"finding": "dead units", "message": "<i>all</i> of them", "advice": "Lower it", "epoch": 1}
    )
    page = model.report(tmp_path / "报告.html", data).read_text(encoding="utf-8")
    wrong = sum(predicted.label != row["y"] for predicted, row in zip(model.predict(data), data.rows(), strict=True))
    assert f"{wrong} rows are wrong, of 60" in page
    digest = model.lineage["data"]["digest"]
    assert all(text in page for text in ("猫", "dead units", "&lt;i&gt;all&lt;/i&gt;", "Jitter(amount=0.05)", digest))
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "rows are wrong, of 6" in model.report(tmp_path / "held.html").read_text(encoding="utf-8")


def test_numbers_that_are_furthest_off_are_named(tmp_path: Path) -> None:
    data = from_rows([{"x": (row * 0.37) % 5, "y": float(row % 7) * 1.5} for row in range(40)], target="y")
    model = MLP(hidden=[4])
    model.fit(data, epochs=1, progress=False)
    page = model.report(tmp_path / "page.html", data).read_text(encoding="utf-8")
    assert "Those furthest off, of 40 (in brackets by how much)" in page
    assert "<th>row</th><th>the model says</th><th>y</th><th>x</th>" in page
    targets = [float(row % 7) * 1.5 for row in range(40)]
    said = [float(predicted.outputs["values"][0]) for predicted in model.predict(data)]
    worst = max(range(40), key=lambda row: abs(said[row] - targets[row]))
    assert f"<th>{worst}</th><td>{said[worst]:.5g} ({said[worst] - targets[worst]:+.3g})</td>" in page


def test_a_finding_that_came_again_is_one_card_with_all_actions() -> None:
    again = [{"finding": "not a number", "epoch": 1, "step": step, "action": f"action {step}"} for step in (3, 4)]
    cards = note_cards([*again, {"finding": "plateau", "message": "平"}])
    assert cards.count("<article") == 2
    assert "action 3 <code>epoch 1, step 3</code>" in cards
    assert "action 4 <code>epoch 1, step 4</code>" in cards


def test_a_loss_that_exploded_is_drawn_by_magnitudes() -> None:
    def scale(*losses: float) -> str:
        history = History([{"loss": loss, "learning_rate": 10.0**-epoch} for epoch, loss in enumerate(losses)])
        panels = {panel.get_title("left"): panel.get_yscale() for panel in draw_curves(history).axes}
        assert panels["learning rate"] == "linear"
        return panels["loss"]

    assert scale(1e26, 1.0, 0.9, 0.8, 0.7) == "log"
    assert scale(2.0, 1.0, 0.1, 0.05, 0.01) == "linear"


def test_a_model_that_was_not_trained_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="has not been trained"):
        MLP().report(tmp_path / "page.html")
    with pytest.raises(FailedPrecondition, match="no finished epoch"):
        History().plot()


def test_curves_are_saved_where_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    HISTORY.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == ""
    assert HISTORY.plot()._repr_png_() == (tmp_path / "curves.png").read_bytes()
    saved = Path(capsys.readouterr().out.strip().rpartition("saved as ")[2])
    saved.unlink()


def test_many_classes_are_shown_by_what_is_confused() -> None:
    confusion = np.diag(np.full(40, 9))
    confusion[3, 7] = 5
    table = confusion_table(confusion, [f"类{number}" for number in range(40)])
    assert "<td>类3</td><td>类7</td><td>5</td>" in table
    assert table.count("<tr>") == 2
    small = confusion_table(np.array([[3, 1], [0, 4]]), ["a", "b"])
    assert small.count("class='right'") == 2
    assert "title='25.0 %'>1<" in small


def test_nested_values_are_named_by_their_path() -> None:
    table = value_table({"data": {"operations": [{"name": "split", "rows": 3}]}, "loss": None})
    assert "<th>data.operations[0].name</th><td>split</td>" in table
    assert "<th>loss</th><td>–</td>" in table
