"""What docs/models.md shows works as it stands there, on fewer rows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_ai import models

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
DEPLOYING = [block for block in BLOCKS if "la.deploy" in block]  # tests/e2e/test_models_document.py runs these
FEWER = {"Digits": 200, "ChineseReviews": 200, "SpokenDigits": 60}
OPTIONS = {"SpokenDigits": 'test="voices"'}  # recordings of people come with a Debian package that not everybody has


def test_the_snippets_run_one_after_the_other(tmp_path: Path) -> None:
    program = "\n".join(block for block in BLOCKS if block not in DEPLOYING)
    for name, rows in FEWER.items():
        assert f"= {name}.split()\n" in program
        few = f"= (part.shuffle()[:{rows}] for part in {name}.split({OPTIONS.get(name, '')}))\n"
        program = program.replace(f"= {name}.split()\n", few)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"curves.png", "animals.pth", "mine.pth", "lake.agent"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "package" / "lepton.yaml").is_file()
    assert "(16, 8, 8, 1)" in done.stdout


@pytest.mark.parametrize("name", sorted(set(models.__all__) - {"Evaluation", "Model", "Predicted"}))
def test_every_family_is_in_the_table(name: str) -> None:
    assert re.search(rf"^\|.*`{name}`.*\|.*\|.*\|$", DOCUMENT, re.MULTILINE)
