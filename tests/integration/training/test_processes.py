"""Two processes, started by torchrun or Ray, train as one does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lepton_ai.errors import InvalidInput
from lepton_ai.models import Model
from lepton_ai.models.cluster import fit_on_ray
from lepton_ai.models.wrap import Wrapped
from tests.integration.training.distributed_run import ROWS, SETTINGS, make_model, train
from tests.integration.training.test_training_document import FIRST, RAY, small
from tests.unit.training.tables import table

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[3]


def close(one: Model, other: Model) -> None:
    for name, tensor in one.network.state_dict().items():
        torch.testing.assert_close(other.network.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


def run_two(directory: Path) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    module = ["-m", "tests.integration.training.distributed_run", str(directory)]
    process = subprocess.Popen(
        [*torchrun, *module], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, err = process.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        process.terminate()  # then it ends its workers, which a SIGKILL would leave behind
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_two_processes_of_torchrun_give_the_result_of_one_and_only_the_first_prints_and_saves(tmp_path: Path) -> None:
    together, alone = tmp_path / "two", tmp_path / "one"
    for directory in (together, alone):
        directory.mkdir()
    done = run_two(together)
    assert done.returncode == 0, done.stderr
    model, history = train(alone)
    losses, validation, best = ast.literal_eval((together / "history-0").read_text())
    assert losses == pytest.approx(history["loss"], rel=1e-4)
    assert validation == pytest.approx(history["validation_loss"], rel=1e-4)
    assert best == history.best_epoch
    assert (together / "history-1").read_text() == (together / "history-0").read_text()
    assert {path.name for path in together.glob("model-*")} == {"model-0.pth"}
    assert done.stderr.count("Epoch 4/4") == 1
    close(model, Wrapped.load(together / "model-0.pth", module=_module()))


def test_a_run_of_two_that_ended_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        done = run_two(tmp_path)
        assert done.returncode == 0, done.stderr
    assert done.stderr.count("Epoch") == 0  # there was nothing left to do


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_workers_of_ray_give_the_result_of_one_process(tmp_path: Path, ray: None) -> None:
    model, history = train(tmp_path)
    trained = fit_on_ray(make_model, table(ROWS), workers=2, progress=False, **SETTINGS)
    assert trained.history["loss"] == pytest.approx(history["loss"], rel=1e-4)
    close(model, trained)


@pytest.mark.filterwarnings("ignore")
def test_what_is_wrong_with_the_data_is_said_as_without_ray(ray: None) -> None:
    with pytest.raises(InvalidInput, match="to train on"):
        fit_on_ray(make_model, table(1), workers=2, progress=False)


@pytest.mark.filterwarnings("ignore")
def test_the_program_for_ray_in_the_document_runs(ray: None) -> None:
    names: dict[str, Any] = {}
    exec(small(FIRST[: FIRST.index("model =")] + RAY), names)  # noqa: S102 # the document is ours
    assert len(names["model"].history) == 2


def _module() -> torch.nn.Module:
    model = make_model()
    assert isinstance(model, Wrapped)
    assert model._module is not None
    return model._module
