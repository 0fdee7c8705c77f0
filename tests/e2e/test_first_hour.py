"""A newcomer's first hour: an own table, fit, deploy, predict, a mistake and its trace, a second version, and back.

Run with `-s` to see how long each step takes; docs/first-hour.md shows what that was on a small machine.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lepton_ai.testing import eventually
from tests.e2e.conftest import ONE_THREAD
from tests.platform import Platform

MODEL = "churn-first-hour"
TRAIN = f"""
import sys
import lepton_ai as la
from lepton_ai.datasets import read_table
from lepton_ai.models import MLP

train, test = read_table("客户.csv", target="结果").split(0.2)
model = MLP(hidden=(int(sys.argv[1]),))
model.fit(train, validation=test, epochs=15, progress=False)
print(model.evaluate(test))
print(la.deploy(model, name="{MODEL}"))
"""
ASK = f"""
import lepton_ai as la

with la.Client() as lepton:
    answer = lepton.predict("{MODEL}", {{"年龄": 66, "城市": "上海", "消费": 99.5}})
    print(answer.label)
    try:
        lepton.predict("{MODEL}", {{"年龄": "很老", "城市": "上海", "消费": 99.5}})
    except la.LeptonError as error:
        print(error)
"""


class Walk:
    """What a newcomer does, in their folder, and how long it takes."""

    def __init__(self, folder: Path, platform: Platform) -> None:
        self.folder = folder
        self.platform = platform

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        begin_s = time.monotonic()
        yield
        print(f"| {name} | {time.monotonic() - begin_s:.1f} |")  # noqa: T201 - shown with -s

    def python(self, script: str, *arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=self.folder,
            env=environment | ONE_THREAD | {"LEPTON_HOME": str(self.platform.home)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lepton(self, *arguments: str, fails: bool = False) -> str:
        done = self.platform.lepton(*arguments)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def shown_trace(self, trace_id: str) -> str:
        """The trace once it is stored; an empty text before."""
        done = self.platform.lepton("trace", trace_id)
        return done.stdout if "Predict" in done.stdout else ""


@pytest.fixture
def walk(platform: Platform, tmp_path: Path) -> Iterator[Walk]:
    """A folder with a table of one's own: who is over 50 and not from 北京 leaves."""
    dice = random.Random(1)
    lines = ["年龄,城市,消费,结果"]
    for _ in range(400):
        age, city = dice.randint(18, 80), dice.choice(["北京", "上海", "深圳"])
        lines.append(
            f"{age},{city},{dice.lognormvariate(5, 1):.2f},{'流失' if age > 50 and city != '北京' else '留存'}"
        )
    (tmp_path / "客户.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "row.json").write_text('{"年龄": 20, "城市": "北京", "消费": 50}', encoding="utf-8")
    yield Walk(tmp_path, platform)
    platform.lepton("undeploy", MODEL)


async def test_the_first_hour(walk: Walk) -> None:
    with walk.step("train a table of one's own and deploy it"):
        first = walk.python(TRAIN, "16")
    assert f"{MODEL} version 1" in first
    with walk.step("look at what is served"):
        described = walk.lepton("models", MODEL)
    assert all(word in described for word in ("年龄", "城市", "消费", "lepton predict"))
    with walk.step("predict from the command line"):
        given = walk.lepton("predict", MODEL, "--input", "年龄=66", "--input", "城市=上海", "--input", "消费=99.5")
        row = walk.lepton("predict", MODEL, str(walk.folder / "row.json"), "--json")
    assert "流失" in given
    assert json.loads(row)["predictions"][0]["labels"][0]["name"] == "留存"
    with walk.step("predict a whole table"):
        walk.lepton("predict", MODEL, str(walk.folder / "客户.csv"), "--csv", str(walk.folder / "answers.csv"))
    assert len((walk.folder / "answers.csv").read_text(encoding="utf-8").splitlines()) == 401
    with walk.step("predict from Python, and make a mistake"):
        answered, refused = walk.python(ASK).splitlines()[:2]
    assert answered == "流失"
    assert "年龄" in refused
    with walk.step("follow a mistake"):
        failed = walk.lepton("predict", MODEL, "--input", "年龄=很老", "--input", "城市=上海", "--trace", fails=True)
        trace_id = failed.split("lepton trace ")[1].split()[0].strip("`.")
        tree = await eventually(
            lambda: walk.shown_trace(trace_id), timeout_s=20, interval_s=0.2, description="the trace is stored"
        )
    assert "年龄" in tree
    with walk.step("deploy a second version"):
        second = walk.python(TRAIN, "8")
    assert f"{MODEL} version 2" in second
    with walk.step("go back to the first"):
        walk.lepton("deploy", f"{MODEL}@1")
        answer = json.loads(walk.lepton("predict", MODEL, str(walk.folder / "row.json"), "--json"))
    assert answer["version"] == 1
