"""The search: what it tries, in which order, what it keeps, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.errors import FailedPrecondition, ResourceExhausted
from lepton_ai.optimize.candidate import Candidate, Step
from lepton_ai.optimize.measure.accuracy import Accuracy
from lepton_ai.optimize.measure.cpu import Cpu
from lepton_ai.optimize.measure.intervals import Estimate
from lepton_ai.optimize.measure.measured import Measured
from lepton_ai.optimize.measure.speed import Load, Speed
from lepton_ai.optimize.search.search import Progress, Search
from lepton_ai.optimize.search.space import single_methods
from lepton_ai.optimize.search.task import Folder, Task
from lepton_ai.optimize.search.trial import pareto_front

CPU = Cpu("some", ("avx2", "avx512_vnni"), 2)
TASK = Task("0" * 64, "1" * 64, "latency", 0.005, CPU)
INT8, HALF = Candidate((Step("int8"),)), Candidate((Step("stored-half"),))
DISTILLED = Candidate((Step("distil"),))
MANY = [Candidate((Step("int8", {"calibration": str(number)}),)) for number in range(200)]


def measured(speed: float = 2.0, loss: float = 0.0, size: int = 25, memory: int = 50) -> dict[str, Any]:
    """What a worker answers that has measured something."""
    ratio = Estimate(speed, speed - 0.1, speed + 0.1)
    accuracy = Accuracy("accuracy", 0.9 - loss, 0.9, Estimate(loss, loss - 0.01, loss + 0.01), ratio, 100, 0.1)
    figures = Measured((Speed(Load(1, 1), 10 / speed, 10.0, ratio),), accuracy, size, memory, 100)
    return {"measured": asdict(figures)}


class ScriptedWorker:
    """Answers what the test wants for each candidate, and remembers what it was asked."""

    def __init__(self, answers: Mapping[str, dict[str, Any]]) -> None:
        self._answers = {"original": measured(1.0, size=100), **answers}
        self.asked: list[str] = []

    def __call__(self, folder: Folder, part: str, candidate: Candidate, timeout_s: float) -> dict[str, Any]:
        self.asked.append(f"{part} {candidate.name}")
        answer = self._answers.get(candidate.name, measured())
        return answer if part == "measure" or {"failed", "full"} & set(answer) else {}


def search(path: Path, worker: ScriptedWorker, task: Task = TASK, **options: Any) -> Search:
    return Search(Folder(path), task, worker=worker, **options)


def test_the_original_is_measured_first_and_every_candidate_is_made_and_measured(tmp_path: Path) -> None:
    worker = ScriptedWorker({})
    trials = search(tmp_path, worker).run([INT8, HALF], budget_s=60)
    assert worker.asked == ["measure original", "make int8", "measure int8", "make stored-half", "measure stored-half"]
    assert [(trial.name, trial.state) for trial in trials] == [
        ("original", "measured"), ("int8", "measured"), ("stored-half", "measured"),
    ]  # fmt: skip


def test_a_candidate_that_breaks_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    worker = ScriptedWorker({"int8": {"failed": "was killed, most likely for want of memory"}})
    trials = search(tmp_path, worker).run([INT8, HALF], budget_s=60)
    assert [trial.state for trial in trials] == ["measured", "failed", "measured"]
    assert "memory" in trials[1].problem and "measure int8" not in worker.asked


def test_what_is_known_is_not_tried_again(tmp_path: Path) -> None:
    first = search(tmp_path, ScriptedWorker({"int8": measured(3.0)})).run([INT8], budget_s=60)
    worker = ScriptedWorker({})
    trials = search(tmp_path, worker).run([INT8, HALF], budget_s=60)
    assert worker.asked == ["make stored-half", "measure stored-half"]
    assert trials[:2] == first


@pytest.mark.parametrize(
    "other",
    [
        Task("2" * 64, TASK.rows, "latency", 0.005, CPU),
        Task(TASK.of, TASK.rows, "size", 0.005, CPU),
        Task(TASK.of, TASK.rows, "latency", 0.005, Cpu("other", ("avx2",), 2)),
    ],
    ids=["model", "target", "processor"],
)
def test_a_folder_of_another_search_is_left_alone(tmp_path: Path, other: Task) -> None:
    search(tmp_path, ScriptedWorker({})).run([INT8], budget_s=60)
    with pytest.raises(FailedPrecondition, match="holds a search for another"):
        search(tmp_path, ScriptedWorker({}), other)
    assert len(Folder(tmp_path).read_trials()) == 2


def test_a_full_disk_stops_the_search_which_goes_on_when_there_is_room(tmp_path: Path) -> None:
    full = ScriptedWorker({"stored-half": {"full": "model.onnx was not written: the disk is full."}})
    with pytest.raises(ResourceExhausted, match="stops at stored-half"):
        search(tmp_path, full).run([INT8, HALF], budget_s=60)
    worker = ScriptedWorker({})
    trials = search(tmp_path, worker).run([INT8, HALF], budget_s=60)
    assert worker.asked == ["make stored-half", "measure stored-half"] and len(trials) == 3


def test_after_the_budget_nothing_is_begun(tmp_path: Path) -> None:
    trials = search(tmp_path, ScriptedWorker({})).run([INT8, HALF], budget_s=0)
    assert [trial.name for trial in trials] == ["original"]


def test_without_the_originals_figures_there_is_no_search(tmp_path: Path) -> None:
    worker = ScriptedWorker({"original": {"failed": "ended with SIGSEGV"}})
    with pytest.raises(FailedPrecondition, match="SIGSEGV"):
        search(tmp_path, worker).run([INT8], budget_s=60)
    assert search(tmp_path, ScriptedWorker({})).run([], budget_s=60)[0].state == "measured"


def test_lighter_networks_that_held_are_quantised_too(tmp_path: Path) -> None:
    worker = ScriptedWorker({"int8": measured(2.0), "stored-half": measured(1.0), "prune-channels": measured(2, 0.2)})
    lossy = Candidate((Step("prune-channels"),))
    trials = search(tmp_path, worker).run([INT8, HALF, DISTILLED, lossy], budget_s=60)
    assert [trial.name for trial in trials[5:]] == ["distil+int8"]


def test_where_bytes_lose_too_much_the_worst_layers_come_back(tmp_path: Path) -> None:
    percentile, minmax = (Candidate((Step("int8", {"calibration": name}),)) for name in ("percentile", "minmax"))
    worker = ScriptedWorker({percentile.name: {"dropped": "loses"}, minmax.name: measured(2.0, 0.03)})
    trials = search(tmp_path, worker).run([percentile, minmax], budget_s=60)
    assert trials[-1].name == "int8-minmax-control"
    again = search(tmp_path / "other", ScriptedWorker({percentile.name: {"dropped": "loses"}}))
    assert again.run([percentile, minmax], budget_s=60)[-1].name == "int8-minmax"  # which held


def test_progress_says_what_is_next_and_what_came_of_it(tmp_path: Path) -> None:
    told: list[Progress] = []
    search(tmp_path, ScriptedWorker({}), on_progress=told.append).run([INT8], budget_s=60)
    assert [(each.next, each.trial.name if each.trial else "", each.done, each.total) for each in told] == [
        ("original", "", 0, 1), ("", "original", 1, 1), ("int8", "", 1, 2), ("", "int8", 2, 2),
    ]  # fmt: skip


def test_the_front_holds_what_no_other_beats(tmp_path: Path) -> None:
    answers = {
        "int8": measured(3.0, 0.0, 25),
        "stored-half": measured(1.0, 0.0, 50),
        "distil": measured(2.0, 0.0, 10),
    }
    trials = search(tmp_path, ScriptedWorker(answers)).run([INT8, HALF, DISTILLED], budget_s=60)
    assert {trial.name for trial in pareto_front(trials)} >= {"int8", "distil"}
    assert not {"stored-half", "original"} & {trial.name for trial in pareto_front(trials)}


def test_methods_that_train_need_a_trained_model_and_rows() -> None:
    names = {candidate.name for candidate in single_methods(CPU, trainable=False)}
    assert "int8-percentile-u8s8" in names and not any("prune" in name or "distil" in name for name in names)
    assert "prune-channels-0.3" in {candidate.name for candidate in single_methods(CPU, trainable=True)}


def test_the_fastest_that_held_is_tried_behind_the_reduced_decoder(tmp_path: Path) -> None:
    decoder = Candidate((Step("reduced-decoder"),))
    trials = search(tmp_path, ScriptedWorker({"int8": measured(3.0)})).run([decoder, INT8, HALF], budget_s=60)
    assert [trial.name for trial in trials[4:]] == ["reduced-decoder+int8"]
    lossy = ScriptedWorker({"reduced-decoder": measured(2.0, 0.1)})
    trials = search(tmp_path / "other", lossy).run([decoder, INT8, HALF], budget_s=60)
    assert len(trials) == 4


def test_pictures_are_needed_for_another_decoder_and_slow_candidates_come_last() -> None:
    names = [candidate.name for candidate in single_methods(CPU, trainable=False, pictures=True)]
    assert names[0] == "reduced-decoder" and names[-1] == "int8-entropy-u8s8"
    assert "reduced-decoder" not in {each.name for each in single_methods(CPU, trainable=False)}


def test_schemes_follow_the_processor() -> None:
    old = {candidate.name for candidate in single_methods(Cpu("old", ("avx2",), 2), trainable=False)}
    assert "int8-percentile-u8s7" in old and "int8-percentile-u8s8" not in old


def test_methods_can_be_chosen() -> None:
    chosen = single_methods(CPU, trainable=True, methods=["stored-half"])
    assert [candidate.name for candidate in chosen] == ["stored-half-bf16", "stored-half-fp16"]


def test_as_many_are_tried_at_once_as_asked_but_the_original_alone_and_first(tmp_path: Path) -> None:
    both, alone = threading.Barrier(2, timeout=20), list[str]()

    class Pair(ScriptedWorker):
        def __call__(self, folder: Folder, part: str, candidate: Candidate, timeout_s: float) -> dict[str, Any]:
            if part == "make":
                both.wait()  # raises when nobody else comes
            elif not candidate.steps:
                alone.extend(self.asked)
            return super().__call__(folder, part, candidate, timeout_s)

    trials = search(tmp_path, Pair({}), at_once=2).run([INT8, HALF], budget_s=60)
    assert alone == []
    assert sorted(trial.name for trial in trials) == ["int8", "original", "stored-half"]
    assert Folder(tmp_path).read_trials() == trials


def test_a_full_disk_ends_those_that_were_to_be_tried_after_it(tmp_path: Path) -> None:
    worker = ScriptedWorker({"int8": {"full": "no space"}, "stored-half": {"full": "no space"}})
    with pytest.raises(ResourceExhausted, match="no space"):
        search(tmp_path, worker, at_once=2).run([INT8, HALF, DISTILLED, *MANY], budget_s=60)
    assert len([each for each in worker.asked if each.startswith("make")]) < 3 + len(MANY)
