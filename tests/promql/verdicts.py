"""What RuleJudge finds in a scenario, and promtool's opinion of it."""

from __future__ import annotations

import json
import lzma
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from services.health.alerts.firing import ALERT_NAME, Firing
from services.health.metrics.series import NAME
from services.health.promql.rules.file import OURS, read_rules
from services.health.promql.rules.judge import RuleJudge
from tests.promql.scenarios import ALERTS, INTERVAL_S, Scenario
from tests.promql.series import MemoryReader

_Identity = tuple[tuple[str, str], ...]

KEPT_VERDICTS = Path(__file__).with_name("verdicts.json.xz")
"""What promtool has confirmed; `python -m tests.promql.keep` writes it."""


async def judge(scenario: Scenario) -> dict[float, list[Firing]]:
    """Time → what fires then: found at every evaluation for as long as the rule asks."""
    rules = RuleJudge(read_rules(), MemoryReader(scenario.as_series()))
    began: dict[_Identity, float] = {}
    verdicts = {}
    for at_s in scenario.times_s():
        found = {tuple(sorted(each.labels.items())): each for each in await rules.judge(at_s)}
        began = {identity: began.get(identity, at_s) for identity in found}
        verdicts[at_s] = [each for identity, each in found.items() if at_s - began[identity] >= each.pending_s]
    return verdicts


def ask_promtool(scenario: Scenario, verdicts: dict[float, list[Firing]], directory: Path) -> str:
    """What promtool says against these verdicts; empty: it agrees with every one, the texts included."""
    tests = [
        {"eval_time": f"{at_s:g}s", "alertname": name, "exp_alerts": _expected(name, verdicts[at_s])}
        for at_s in scenario.times_s()
        for name in sorted(ALERTS)
    ]
    document = {
        "rule_files": [str(OURS)],
        "evaluation_interval": f"{scenario.every_s:g}s",
        "tests": [
            {
                "interval": f"{round(INTERVAL_S * 1000)}ms",
                "input_series": [_written(labels, values) for labels, values in scenario.samples()],
                "alert_rule_test": tests,
            }
        ],
    }
    file = directory / f"{scenario.name}.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[:5000]


def written(verdicts: dict[float, list[Firing]]) -> dict[str, list[str]]:
    """Time → identity of what fires."""
    return {f"{at_s:g}": sorted(str(sorted(each.labels.items())) for each in found) for at_s, found in verdicts.items()}


def kept_verdicts() -> dict[str, dict[str, list[str]]]:
    """Scenario → time → identity of what fires, as promtool has confirmed it."""
    kept: dict[str, dict[str, list[str]]] = json.loads(lzma.decompress(KEPT_VERDICTS.read_bytes()))
    return kept


def _expected(name: str, firings: Sequence[Firing]) -> list[dict[str, Any]]:
    return [
        {
            "exp_labels": {label: value for label, value in each.labels.items() if label != ALERT_NAME},
            "exp_annotations": {label: text for label, text in each.annotations.items() if label != "query"},
        }
        for each in firings
        if each.labels[ALERT_NAME] == name
    ]


def _written(labels: dict[str, str], values: Sequence[float | None]) -> dict[str, str]:
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items() if name != NAME)
    words = [
        repr(float(value)) if value is not None else "stale" if k and values[k - 1] is not None else "_"
        for k, value in enumerate(values)
    ]
    return {"series": f"{labels[NAME]}{{{inside}}}", "values": " ".join(words)}
