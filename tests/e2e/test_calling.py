"""Calling a model of rows as users do: from files, by name, over standard input, and from any folder."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

import lepton_ai as la
from examples.efficientnet_lite0 import NAME
from lepton_ai.datasets import from_arrays
from lepton_ai.local.known_homes import remember_home
from lepton_ai.models import MLP
from tests.platform import Platform

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def customers(platform: Platform) -> Iterator[MLP]:
    """A served model of rows."""
    generator = np.random.default_rng(0)
    table = {"年龄": generator.integers(18, 80, 200).astype(float), "城市": generator.choice(["北京", "上海"], 200)}
    model = MLP([8])
    leaves = np.where(table["年龄"] > 50, "流失", "留存")
    model.fit(from_arrays(table, leaves, target="结果"), epochs=5, progress=False, doctor=False)
    deployment = la.deploy(model, name="churn", addresses=platform.addresses)
    assert str(deployment) == "churn version 1 is deployed."
    yield model
    with la.Client(platform.addresses) as client:
        client.undeploy("churn")


ROWS = pd.DataFrame({"年龄": [66.0, 20.0], "城市": ["上海", "北京"], "结果": ["流失", "留存"]})


def test_rows_are_answered_alike_wherever_they_come_from(platform: Platform, customers: MLP, tmp_path: Path) -> None:
    expected = [each.label for each in customers.predict(ROWS)]
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    ROWS.to_parquet(tmp_path / "rows.parquet")
    ROWS.to_json(tmp_path / "rows.jsonl", orient="records", lines=True, force_ascii=False)
    for file in ("rows.csv", "rows.parquet", "rows.jsonl"):
        done = platform.lepton("predict", "churn", str(tmp_path / file), "--json")
        assert done.returncode == 0, done.stderr
        answered = json.loads(done.stdout)["predictions"]
        assert [each["labels"][0]["name"] for each in answered] == expected
    with la.Client(platform.addresses) as client:
        batch = client.predict_batch("churn", ROWS).predictions
        assert [each.labels[0].name for each in batch] == expected
        assert [each.labels[0].name for each in client.predict_many("churn", from_arrays(ROWS))] == expected
        with pytest.raises(la.LeptonError, match="结果: is not an input"):
            client.predict("churn", ROWS.to_dict("records")[0])
    with pytest.raises(la.LeptonError, match="结果: is not an input"):
        customers.predict(ROWS.to_dict("records")[0])


@pytest.mark.usefixtures("customers")
def test_a_row_that_fails_has_its_error_in_its_line_and_the_others_are_answered(
    platform: Platform, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("年龄,城市\n66,上海\nalt,上海\n20,北京\n", encoding="utf-8")
    done = platform.lepton("predict", "churn", str(tmp_path / "rows.csv"), "--csv", str(tmp_path / "out.csv"))
    assert done.returncode == 1
    assert "1 of 3 could not be predicted" in done.stderr
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["年龄"], bool(line["label"])) for line in lines] == [("66", True), ("alt", False), ("20", True)]
    assert "年龄: is a text, expected a number" in lines[1]["error"]


@pytest.mark.usefixtures("customers")
@pytest.mark.parametrize("name", ["churn", NAME])
def test_the_calls_that_the_page_of_a_model_shows_work_when_copied(
    platform: Platform, tmp_path: Path, name: str
) -> None:
    page = json.loads(platform.lepton("models", name, "--json").stdout)[0]
    printed = platform.lepton("models", name).stdout
    assert page["example"]["shell"] in printed
    assert set(page["inputs"].values()) <= {"number", "category", "image"}
    environment = {**os.environ, "LEPTON_HOME": str(platform.home), "PYTHONPATH": str(ROOT)}
    (tmp_path / "lepton").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lepton_ai.cli "$@"\n')
    (tmp_path / "lepton").chmod(0o755)
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    for command in (["sh", "-c", page["example"]["shell"]], [sys.executable, "-c", page["example"]["python"]]):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


@pytest.mark.usefixtures("customers")
def test_the_programs_of_the_document_work_one_after_the_other(platform: Platform, tmp_path: Path) -> None:
    document = (ROOT / "docs" / "calling.md").read_text(encoding="utf-8")
    program = "\n".join(re.findall(r"```python\n(.*?)```", document, re.DOTALL))
    environment = {**os.environ, "LEPTON_HOME": str(platform.home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert printed[0] in ("{'年龄': 'number', '城市': 'category'}", "{'城市': 'category', '年龄': 'number'}")
    assert set(printed[1:3]) <= {"流失", "留存"}
    assert printed[3].endswith("of 62 leave")
    assert re.search(r"年龄: is a text, expected a number.* [0-9a-f]{32}$", printed[4])


def test_a_failing_call_that_is_traced_says_how_to_see_it(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_text("no photo")
    done = platform.lepton("predict", NAME, str(tmp_path / "no.jpg"), "--trace")
    assert done.returncode == 1
    assert "no.jpg: inputs.photo: is not a JPEG" in done.stderr
    (trace_id,) = re.findall(r"lepton trace ([0-9a-f]{32})", done.stderr)
    assert "Predict" in platform.lepton("trace", trace_id).stdout


def test_a_running_stack_is_found_from_any_folder_of_its_user(platform: Platform, tmp_path: Path) -> None:
    own = {"XDG_STATE_HOME": str(tmp_path / "state")}
    remember_home(platform.home, own)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
    for chosen, code in (({}, 0), ({"LEPTON_HOME": str(tmp_path)}, 1)):
        done = subprocess.run(
            [sys.executable, "-m", "lepton_ai.cli", "models"],
            cwd=tmp_path,
            env={**environment, **own, **chosen, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert (NAME in done.stdout) if code == 0 else (f"The stack is down (LEPTON_HOME={tmp_path})" in done.stderr)


@pytest.mark.usefixtures("customers")
def test_a_version_has_another_name_until_it_is_taken_away(platform: Platform) -> None:
    assert platform.lepton("alias", "churn", "staging", "1").returncode == 0
    assert json.loads(platform.lepton("alias", "churn", "--json").stdout)["aliases"] == {"production": 1, "staging": 1}
    answered = platform.lepton("predict", "churn@staging", "--input", "年龄=66", "--input", "城市=上海")
    assert answered.returncode == 0, answered.stderr
    assert platform.lepton("alias", "churn", "staging", "--delete").returncode == 0
    with la.Client(platform.addresses) as client:
        assert client.aliases("churn") == {"production": 1}
        assert client.set_alias("churn", "next", 1) == {"next": 1, "production": 1}
        assert client.delete_alias("churn", "next") == {"production": 1}
    assert "no alias staging" in platform.lepton("alias", "churn", "staging", "--delete").stderr
    unknown = platform.lepton("deploy", "nothing")
    assert "ListModels" not in unknown.stderr
    assert "lepton models" in unknown.stderr
