"""The numbers that matter, as the page shows them in lines: rounded, and only the trends that are drawn. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]
_DIGITS = 4
"""More nobody reads, and each change of a digit that nobody reads would be sent."""
_WITH_TREND = ("rate",)
_SCOPES = ("model", "service", "process", "machine")


def figures(listed: Mapping[str, Any]) -> Json:
    """KPIs (ListKpisResponse as JSON) by scope: the labels of each row with its numbers; and what the numbers are."""
    rows: Json = {scope: [] for scope in _SCOPES}
    for row in listed["rows"]:
        scope = _scope(row["scope"])
        if scope in rows:
            rows[scope].append({"labels": row["labels"], **_numbers(row["values"])})
    kpis = [
        {"scope": _scope(each["scope"]), **{key: each[key] for key in ("name", "title", "unit", "help", "expression")}}
        for each in listed["kpis"]
    ]
    return {"rows": rows, "kpis": kpis}


def _scope(name: str) -> str:
    return name.removeprefix("KPI_SCOPE_").lower()


def _numbers(values: Sequence[Mapping[str, Any]]) -> Json:
    numbers: Json = {}
    kinds: dict[str, Json] = {}
    trend: list[float | None] = []
    for each in values:
        number = _rounded(each["value"])
        if each["kind"]:
            kinds.setdefault(each["kpi"], {})[each["kind"]] = number
            continue
        numbers[each["kpi"]] = number
        if each["kpi"] in _WITH_TREND:
            trend = [_rounded(value) for value in each["trend"]]
    return {"numbers": numbers, "kinds": kinds, "trend": trend}


def _rounded(value: float | str) -> float | None:
    """JSON of protobuf writes what is not finite as a text."""
    number = float(value)
    if not math.isfinite(number):
        return None
    return float(f"{number:.{_DIGITS}g}")
