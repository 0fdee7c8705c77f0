"""Searches with real processes: what comes out can be served, what breaks breaks alone, a kill loses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

import lepton_ai as la
from lepton_ai.addresses import Addresses
from lepton_ai.client import AsyncClient
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.inspection.dry_run import check_answers
from lepton_ai.models.data import as_dataset
from lepton_ai.optimize import Optimisation
from lepton_ai.optimize.again import measure_again
from lepton_ai.optimize.candidate import Candidate, Step
from lepton_ai.optimize.entry import lay_out
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.optimize.portions import portion
from lepton_ai.optimize.result import notes_on
from lepton_ai.optimize.search.process import work
from lepton_ai.optimize.search.task import Folder, Task
from lepton_ai.optimize.variant import record_measurement
from lepton_ai.package import Package
from lepton_ai.testing import MemoryStore, eventually
from tests.integration.registry.served import serving
from tests.sample_packages import onnx_package
from tests.unit.cli.packages.running import run
from tests.unit.optimize.small import packaged, stripes

Capture = pytest.CaptureFixture[str]
CHEAP = ["stored-half"]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packaged(tmp_path_factory.mktemp("packages") / "stripes")


@pytest.fixture(scope="module")
def found(original: Package, tmp_path_factory: pytest.TempPathFactory) -> Optimisation:
    out = tmp_path_factory.mktemp("searches") / "stripes"
    return la.optimise(original, stripes(), max_loss=0.05, target="size", methods=CHEAP, out=out)


def test_variants_are_packages_that_answer_and_say_what_was_measured(found: Optimisation) -> None:
    assert found.best is not None and found.package is not None
    optimised = found.package.description.optimised
    assert optimised is not None and optimised.of == found.task.of and optimised.flags == this_cpu().flags
    assert found.best.measured is not None
    assert optimised.size_bytes < 0.7 * found.best.measured.original_size_bytes
    for trial in found.trials[1:]:
        assert trial.state == "measured", trial.problem
        assert check_answers(Package.read(found.folder.variant(trial.name)))


async def test_the_registry_takes_a_variant_as_the_next_version(
    found: Optimisation, original: Package, tmp_path: Path
) -> None:
    assert found.package is not None
    async with (
        serving(tmp_path / "registry", MemoryStore()) as served,
        AsyncClient(Addresses(registry=served.address)) as client,
    ):
        versions = [await client.push(package.directory) for package in (original, found.package)]
    assert [(version.model, version.version) for version in versions] == [("stripes", 1), ("stripes", 2)]


async def test_the_best_one_is_pushed_as_a_variant_of_the_version_that_it_was_made_of(
    original: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        "--target",
        "size",
        "--method",
        CHEAP[0],
        "--max-loss",
        "50%",
        "--push",
        "variant",
        "--out",
        tmp_path / "o",
    ]
    async with (
        serving(tmp_path / "registry", MemoryStore()) as served,
        AsyncClient(Addresses(registry=served.address)) as client,
    ):
        monkeypatch.setenv("LEPTON_REGISTRY_ADDRESS", served.address)
        await client.push(original.directory)
        assert await asyncio.to_thread(run, "optimise", "stripes@1", *command, "--push", "variant") == 0
        version = await client.version("stripes@1")
        assert [(each.of_digest, each.lineage.parent) for each in version.variants] == [(original.digest, "stripes@1")]
        assert version.variants[0].method.startswith(CHEAP[0])
        assert version.variants[0].measured.size_bytes < 0.7 * version.size_bytes
        assert len((await client.models("stripes"))[0].versions) == 1


def test_a_variant_needs_a_version_of_the_registry_to_belong_to(original: Package) -> None:
    assert run("optimise", original.directory, "--push", "variant") == 2


def test_the_report_shows_every_trial(found: Optimisation) -> None:
    page, table = found.folder.report.read_text(encoding="utf-8"), str(found)
    assert "<svg" in page and "http" not in page.replace("http-equiv", "")
    for trial in found.trials:
        assert trial.name in page and trial.name in table
    assert found.best is not None and json.loads(json.dumps(found.document()))["best"] == found.best.name


def test_the_same_search_again_is_known_already(found: Optimisation, original: Package) -> None:
    again = la.optimise(
        original, stripes(), max_loss=0.05, target="size", methods=CHEAP, out=found.directory, budget_s=0.0
    )
    assert again.trials == found.trials


def test_the_original_stays_as_it_was(found: Optimisation, original: Package) -> None:
    assert Package.read(original.directory).digest == original.digest == found.task.of


def test_where_no_method_fits_there_is_no_best_and_it_is_said_why(tmp_path: Path) -> None:
    package, rows = onnx_package(tmp_path / "p"), np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    none = la.optimise(
        package, as_dataset(rows), max_loss=0.0, target="memory", methods=["int4-weights"], out=tmp_path / "v"
    )
    assert none.best is None and none.package is None
    assert none.trials[1].state == "failed" and "no dense layers" in none.trials[1].problem


def test_rows_of_the_wrong_shape_are_refused(original: Package, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        la.optimise(original, as_dataset(np.zeros((20, 5), dtype=np.float32)), out=tmp_path / "v")
    assert not (tmp_path / "v" / "trials.json").exists()


def test_a_search_that_is_killed_goes_on_where_it_was(original: Package, tmp_path: Path) -> None:
    stripes().save(tmp_path / "rows.arrow")
    out = tmp_path / "variants"
    program = (
        "import sys, lepton_ai as la; from lepton_ai.datasets import Dataset\n"
        "la.optimise(sys.argv[1], Dataset.open(sys.argv[2]), max_loss=0.05, target='size', "
        "methods=['stored-half'], out=sys.argv[3])"
    )
    arguments = [sys.executable, "-c", program, str(original.directory), str(tmp_path / "rows.arrow"), str(out)]
    searching = subprocess.Popen(arguments)
    folder = Folder(out)
    wait_for(folder.read_trials, timeout_s=60, description="the first trial")
    workers = psutil.Process(searching.pid).children()
    searching.send_signal(signal.SIGKILL)
    searching.wait()
    psutil.wait_procs(workers, timeout=20)
    assert not any(worker.is_running() for worker in workers)
    known = folder.read_trials()
    found = la.optimise(original, stripes(), max_loss=0.05, target="size", methods=["int8", "stored-half"], out=out)
    assert found.trials[: len(known)] == tuple(known) and len(found.trials) > len(known)
    assert found.best is not None


def wait_for(condition: Callable[[], object], *, timeout_s: float, description: str) -> None:
    asyncio.run(eventually(condition, timeout_s=timeout_s, description=description))


def laid_out(path: Path, original: Package) -> Folder:
    folder, portions = Folder(path), portion(original, stripes())
    folder.begin(Task(original.digest, portions.digest, "latency", 0.05, this_cpu()))
    lay_out(folder, original, portions)
    return folder


def test_a_process_that_is_killed_is_told_from_one_that_takes_too_long(original: Package, tmp_path: Path) -> None:
    folder, candidate = laid_out(tmp_path, original), Candidate((Step("int8"),))
    assert "longer than the time" in work(folder, "make", candidate, 0.05)["failed"]
    answers: list[dict[str, str]] = []
    before = set(psutil.Process().children())
    thread = threading.Thread(target=lambda: answers.append(work(folder, "make", candidate, 60)))
    thread.start()
    wait_for(lambda: set(psutil.Process().children()) - before, timeout_s=20, description="a worker")
    for worker in set(psutil.Process().children()) - before:
        os.kill(worker.pid, signal.SIGKILL)
    thread.join()
    assert "memory" in answers[0]["failed"]


def test_a_variant_of_another_processor_is_refused_until_it_is_measured_again(
    found: Optimisation, original: Package, tmp_path: Path, capsys: Capture
) -> None:
    assert found.package is not None and found.package.description.optimised is not None
    variant = found.package.directory
    measured = found.package.description.optimised.model_dump(mode="json")
    record_measurement(variant, {**measured, "flags": ["avx2", "amx_bf16"], "cpu": "another"})
    assert run("check", variant) == 1
    shown = capsys.readouterr()
    assert "another processor" in shown.out and "--again" in shown.err
    stripes().save(tmp_path / "rows.arrow")
    again = measure_again(original, Package.read(variant), stripes(), max_loss=0.05)
    assert again.description.optimised is not None and again.description.optimised.flags == this_cpu().flags
    assert run("check", variant) == 0
    assert "as fast" in capsys.readouterr().err


def test_only_the_version_that_it_was_made_of_is_held_against_a_variant(found: Optimisation, original: Package) -> None:
    assert found.package is not None
    with pytest.raises(FailedPrecondition, match="was made of"):
        measure_again(found.package, found.package, stripes())
    with pytest.raises(FailedPrecondition, match="no variant"):
        measure_again(original, original, stripes())


def test_the_command_prints_a_table_or_json(
    found: Optimisation, original: Package, tmp_path: Path, capsys: Capture
) -> None:
    stripes().save(tmp_path / "数据.arrow")
    asked = ["--target", "size", "--max-loss", "5%", "--method", "stored-half", "--out", found.directory]
    command = ["optimise", original.directory, "--data", tmp_path / "数据.arrow", *asked]
    assert run(*command) == 0  # the same search, so all of it is known
    shown = capsys.readouterr()
    assert "stored-half-fp16" in shown.out and "lepton push" in shown.err and "report.html" in shown.err
    assert run(*command, "--json") == 0
    assert json.loads(capsys.readouterr().out)["best"].startswith("stored-half")


def test_golden_samples_are_little_to_go_by(original: Package, tmp_path: Path) -> None:
    portions = portion(original, None)
    assert len(portions.judged) == 3 and not portions.are_parted
    assert "Only 3 rows" in notes_on((), portions, 0.005)[0]


@pytest.mark.parametrize("wrong", [["--max-loss", "0.5"], ["--max-loss", "x%"], ["--target", "price"]], ids=str)
def test_wrong_options_are_refused(original: Package, wrong: list[str]) -> None:
    assert run("optimise", original.directory, *wrong) == 2
