"""The queries of the dashboards, and the metrics that expressions look at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.health.metrics.series import NAME
from services.health.promql.expressions import Selector
from services.health.promql.parsing import parse
from services.health.promql.reading import children
from services.health.promql.rules.file import read_rules

DASHBOARDS = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
_VARIABLE = re.compile(r"\$(?!__)(\w+)|\$\{(\w+)\}")
_INTERVAL = "1m"
EMPTY_HERE = re.compile(r"GPU:")
"""Titles of panels that are empty where there is no GPU."""


@dataclass(frozen=True)
class Query:
    """One query of a panel, with every variable at "All"."""

    dashboard: str
    panel: str
    expression: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expression}"


def documents() -> dict[str, dict[str, Any]]:
    """Name → dashboard."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def queries() -> Iterator[Query]:
    """Of all panels."""
    for name, document in documents().items():
        for panel in document["panels"]:
            for target in panel.get("targets", ()):
                yield Query(name, panel["title"], filled(target["expr"]))


def filled(expression: str) -> str:
    """An expression as Grafana sends it."""
    return _VARIABLE.sub(".*", expression.replace("$__rate_interval", _INTERVAL))


def used_variables(document: dict[str, Any]) -> set[str]:
    """Names of the variables that its queries use."""
    texts = [target["expr"] for panel in document["panels"] for target in panel.get("targets", ())]
    return {found[1] or found[2] for text in texts for found in _VARIABLE.finditer(text)}


def inlined(expression: str) -> str:
    """An expression with the rules of recorded series in their place, for whoever does not record them."""
    records = {rule.record: rule.expr for group in read_rules() for rule in group.rules if rule.record}
    while found := next((name for name in records if name in expression), None):
        expression = re.sub(rf"{re.escape(found)}(?![\w:])", f"({records[found]})", expression)
    return expression


def metric_names(expression: str) -> set[str]:
    """The metrics that an expression looks at."""
    pending, names = [parse(expression)], set()
    while pending:
        node = pending.pop()
        pending += children(node)
        if isinstance(node, Selector):
            names |= {matcher.value for matcher in node.matchers if (matcher.label, matcher.op) == (NAME, "=")}
    return names
