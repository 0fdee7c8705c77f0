"""Charts as data: their expressions are PromQL, and have words in every language."""

from __future__ import annotations

import json
import re

import pytest

from services.health.console.app import STATIC
from services.health.promql.parsing import parse

PANELS = [
    (group, panel)
    for group, panels in json.loads((STATIC / "panels.json").read_text("utf-8")).items()
    for panel in panels
]


@pytest.mark.parametrize(("group", "panel"), PANELS, ids=[f"{group} {panel['name']}" for group, panel in PANELS])
def test_a_chart_asks_in_promql_and_has_a_title(group: str, panel: dict[str, object]) -> None:
    lines = panel.get("lines") or {"": panel["expression"]}
    assert isinstance(lines, dict)
    for expression in lines.values():
        parse(str(expression).replace("$model", "digits").replace("$window", "60s"))
        assert ("$model" in str(expression)) == (group == "model")
    for language in ("en", "zh"):
        words = (STATIC / "core" / f"words_{language}.js").read_text("utf-8")
        assert re.search(rf'"panel\.{panel["name"]}": "', words)
