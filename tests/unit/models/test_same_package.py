"""The same script makes the same package: nothing of the clock, of chance or of this process is in it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lepton_ai
from lepton_ai.datasets import from_arrays
from lepton_ai.models import MLP, Recommender, TextClassifier
from lepton_ai.models.model import Model
from lepton_ai.package import Package

ROOT = Path(__file__).parents[3]
CITIES = np.array(["北京", "上海", "深圳"] * 40)


def table() -> Any:
    ages = np.arange(120.0) % 60 + 18
    return from_arrays({"年龄": ages, "城市": CITIES}, np.where(ages > 40, "流失", "留存"), target="结果")


def digest_of(directory: Path) -> str:
    """Over names and contents of all files."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    parts = [path.relative_to(directory).as_posix().encode() + path.read_bytes() for path in files]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def packed(model: Model, place: Path, *data: Any, **settings: Any) -> str:
    model.fit(*data, epochs=2, progress=False, **settings)
    model.package(place, name="same")
    return digest_of(place)


@pytest.mark.parametrize("kind", ["table", "text", "ratings"])
def test_the_same_fit_makes_the_same_package(kind: str, tmp_path: Path) -> None:
    def once(place: str) -> str:
        if kind == "table":
            return packed(MLP((8,)), tmp_path / place, table())
        if kind == "text":
            texts = ["质量很好，满意", "物流很快", "质量太差", "非常失望"] * 20
            return packed(TextClassifier("cnn", level="jieba"), tmp_path / place, texts, ["好", "好", "差", "差"] * 20)
        ratings = {"user": ["安", "博", "安", "陈"] * 15, "item": ["茶", "书", "笔", "茶"] * 15}
        return packed(Recommender("ranking"), tmp_path / place, ratings)

    assert once("first") == once("second")


def test_where_a_run_was_kept_and_how_functions_lie_in_memory_is_not_in_the_package(tmp_path: Path) -> None:
    def once(place: str) -> str:
        def loss(output: Tensor, target: Tensor) -> Tensor:
            return torch.nn.functional.cross_entropy(output, target)

        def vary(batch: Any, random: Any) -> Any:
            return batch

        settings = {"loss": loss, "augment": [vary], "checkpoint": tmp_path / f"kept-{place}"}
        return packed(MLP((8,)), tmp_path / place, table(), **settings)

    assert once("first") == once("second")


SCRIPT = """
    import sys
    from pathlib import Path
    from tests.unit.models.test_same_package import MLP, packed, table
    print(packed(MLP((8,)), Path(sys.argv[1]), table()))
"""


def test_another_process_with_other_hashes_makes_the_same_package(tmp_path: Path) -> None:
    def once(seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / seed)]
        return subprocess.run(command, env=environment, cwd=ROOT, text=True, capture_output=True, check=True).stdout

    assert once("1") == once("2")


def test_a_saved_model_still_knows_how_long_it_took_and_a_packed_one_how_it_went(tmp_path: Path) -> None:
    model = MLP((8,))
    packed(model, tmp_path / "package", table())
    again = lepton_ai.load(model.save(tmp_path / "model.pth"))
    pulled = lepton_ai.load(Package.read(tmp_path / "package").path("trained.pth"))
    assert again.history["duration_s"] == model.history["duration_s"]
    assert pulled.history["loss"] == model.history["loss"] and pulled.history["duration_s"] == []
    assert "of training" not in pulled.report(tmp_path / "report.html", table()).read_text(encoding="utf-8")
