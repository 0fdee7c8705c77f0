"""What people see of a search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lepton_ai.optimize.candidate import Candidate
from lepton_ai.optimize.portions import Portions
from lepton_ai.optimize.report.chart import pareto_svg
from lepton_ai.optimize.report.page import page_of
from lepton_ai.optimize.result import Optimisation, notes_on
from lepton_ai.optimize.rows import Rows
from lepton_ai.optimize.search.task import Folder, Target, Task
from tests.unit.optimize.search.test_search import CPU, DISTILLED, HALF, INT8, TASK, ScriptedWorker, measured, search

ANSWERS = {
    "original": measured(1.0, 0.0, 100, memory=100),
    "int8": measured(3.0, 0.001, 25, memory=60),
    "stored-half": measured(1.0, 0.0, 50, memory=90),
    "distil": measured(4.0, 0.2, 10, memory=10),
}


def found(path: Path, target: Target = "latency", answers: Mapping[str, Any] = {}) -> Optimisation:
    task = Task(TASK.of, TASK.rows, target, TASK.max_loss, CPU)
    worker = ScriptedWorker({**ANSWERS, **answers})
    trials = search(path, worker, task).run([INT8, HALF, DISTILLED], budget_s=60)
    return Optimisation("猫<b>", task, tuple(trials), Folder(path), ("a & b",))


@pytest.mark.parametrize(
    ("target", "best"), [("latency", "int8"), ("throughput", "int8"), ("size", "int8"), ("memory", "int8")]
)
def test_the_best_is_within_the_bound(tmp_path: Path, target: Target, best: str) -> None:
    chosen = found(tmp_path, target).best
    assert chosen is not None and chosen.name == best  # distil would be better, and loses too much


def test_a_gain_that_the_interval_leaves_open_is_none(tmp_path: Path) -> None:
    answers = {name: measured(1.05, 0.0, 100) for name in (*ANSWERS, "distil+int8")}
    assert found(tmp_path, answers=answers).best is None


def test_the_picture_is_whole_and_names_every_variant(tmp_path: Path) -> None:
    drawn = ElementTree.fromstring(pareto_svg(found(tmp_path)))  # noqa: S314 - our own text
    names = {text.text for text in drawn.iter("text")}
    assert {"original", "int8", "stored-half", "distil", "bound"} <= names
    places = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in drawn.iter("circle")]
    assert all(0 <= x <= 760 and 0 <= y <= 380 for x, y in places)


def test_names_of_variants_that_are_alike_do_not_cover_one_another(tmp_path: Path) -> None:
    alike = {name: measured(1.0, 0.0, 100) for name in (*ANSWERS, "distil+int8")}
    drawn = ElementTree.fromstring(pareto_svg(found(tmp_path, answers=alike)))  # noqa: S314 - our own text
    heights = sorted(float(text.attrib["y"]) for text in drawn.iter("text") if text.attrib.get("class") == "name")
    assert len(heights) == 5
    assert all(below - above >= 14 for above, below in pairwise(heights))
    assert heights[0] > 0 and heights[-1] < 380


def test_the_page_needs_nothing_else_and_escapes_what_it_is_given(tmp_path: Path) -> None:
    page = page_of(found(tmp_path))
    assert "猫&lt;b&gt;" in page and "a &amp; b" in page
    assert not re.search(r"<script|src=|href=|@import|url\(", page)


def test_the_table_tells_losses_and_verdicts(tmp_path: Path) -> None:
    table = str(found(tmp_path, answers={"stored-half": {"failed": "ended with SIGSEGV"}}))
    lines = {line.split()[0]: line for line in table.splitlines() if line}
    assert "best" in lines["int8"] and "0.10 [-0.90, 1.10] pt" in lines["int8"]
    assert "failed: ended with SIGSEGV" in lines["stored-half"] and "loses too much" in lines["distil"]


def test_notes_say_what_makes_figures_less_than_they_look(tmp_path: Path) -> None:
    rows = Rows({})
    few = Portions(rows, _Counted(7), None, are_parted=False)  # type: ignore[arg-type]
    notes = " ".join(notes_on(found(tmp_path).trials, few, 0.005))
    assert "Only 7 rows" in notes and "agreement" in notes and "About 800 rows" in notes


class _Counted:
    """Rows of which only the number is asked."""

    targets = None

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


def test_a_candidate_is_named_by_its_steps() -> None:
    assert Candidate().name == "original"
    assert Candidate((*DISTILLED.steps, *INT8.steps)).name == "distil+int8"
    assert Candidate.of(Candidate(INT8.steps).document()) == Candidate(INT8.steps)
