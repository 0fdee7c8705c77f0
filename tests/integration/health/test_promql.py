"""Our PromQL beside a real Prometheus over the same series."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from services.health.promql.rules.file import OURS
from tests.promql.answers import ask_ours, ask_prometheus, differences
from tests.promql.expressions import EXPRESSIONS, REFUSED
from tests.promql.prometheus import installed, running_prometheus
from tests.promql.scenarios import SCENARIOS, Scenario
from tests.promql.series import MemoryReader, platform
from tests.promql.verdicts import ask_promtool, judge

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE = (DEPLOY / "compose.monitoring.yml").read_text(encoding="utf-8")
pytestmark = [
    pytest.mark.timeout(600),  # thousands of questions, on machines that have other things to do
    pytest.mark.skipif(
        not installed(),
        reason="no Prometheus here (apt-get install prometheus): its kept answers are compared in unit tests",
    ),
]


async def test_ours_and_prometheus_agree_about_every_expression(tmp_path: Path) -> None:
    series = platform()
    found = []
    async with running_prometheus(tmp_path) as server:
        await server.write(series)
        for expression in (*EXPRESSIONS, *REFUSED):
            theirs, ours = await ask_prometheus(server, expression), await ask_ours(MemoryReader(series), expression)
            found += [f"{expression}: {each}" for each in differences(theirs, ours)]
    assert found == []


def test_prometheus_reads_our_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", OURS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_prometheus_and_ours_have_the_same_alerts_with_the_same_texts_at_the_same_times(
    scenario: Scenario, tmp_path: Path
) -> None:
    assert ask_promtool(scenario, await judge(scenario), tmp_path) == ""


def test_the_programs_read_what_compose_gives_them(tmp_path: Path) -> None:
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    mounted = next(line for line in COMPOSE.splitlines() if OURS.name in line).strip().removeprefix("- ")
    source, inside, _ = mounted.split(":")
    assert (DEPLOY / source).resolve() == OURS
    assert inside in text
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace(inside, str(OURS)), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("amtool") is None, reason="no amtool here (apt-get install prometheus-alertmanager)")
def test_alertmanager_reads_its_configuration() -> None:
    file = DEPLOY / "alertmanager" / "alertmanager.yml"
    done = subprocess.run(["amtool", "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
