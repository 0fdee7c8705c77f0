"""What docs/training.md shows works as it stands there, and its table has every finding of the doctor."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_ai.training.doctor.doctor import default_checks
from lepton_ai.training.doctor.not_finite import CAUSE

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
RAY = next(block for block in BLOCKS if "fit_on_ray" in block)
FIRST = BLOCKS[0]


def small(program: str) -> str:
    """With fewer rows and epochs, on a thread, and MLflow's runs in files."""
    program = program.replace("Churn.split()", "Churn.split(); train_data = train_data.take(range(0, 3000, 6))")
    program = re.sub(r"epochs=\d+", "epochs=2", program).replace("http://mlflow:5000", "file:runs")
    program = program.replace("warmup_steps=50", "warmup_steps=2")
    return f"import torch\ntorch.set_num_threads(1)\n{program}"


def run(folder: Path, *command: str | Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_ALLOW_FILE_STORE": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_programs_run_one_after_the_other(tmp_path: Path) -> None:
    programs = [block for block in BLOCKS if block is not RAY]
    printed = run(tmp_path, "-c", small("\n".join(programs)))
    assert re.search(r"accuracy 0\.\d+ ± 0\.\d+", printed)
    assert "→ went back to the weights of step" in printed
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert "Confusion" in (tmp_path / "run.html").read_text(encoding="utf-8")
    assert list((tmp_path / "logs").iterdir())
    assert (tmp_path / "run" / "training.lepton").is_file()


def test_the_first_program_runs_with_torchrun(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(small(FIRST), encoding="utf-8")
    run(tmp_path, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py")
    assert (tmp_path / "run.html").is_file()


def test_the_table_of_findings_is_what_the_doctor_can_find() -> None:
    section = DOCUMENT[DOCUMENT.index("| finding |") :].split("\n## ")[0]
    told = re.findall(r"^\| ([a-z -]+) \|", section, re.MULTILINE)[1:]
    assert sorted(told) == sorted([CAUSE, *(check.cause for check in default_checks())])
