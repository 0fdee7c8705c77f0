"""Who calls whom, from counts and from traces."""

from __future__ import annotations

from typing import Any

import pytest

from lepton_ai.errors import Unavailable
from services.health.console.edges import EXPRESSIONS, Edges, merge
from services.health.promql.parsing import parse

TRACED = {
    "traces": 2, "from_us": 0, "to_us": 10_000_000,
    "edges": [
        {"caller": "inference", "callee": "triton", "calls": 20, "errors": 5, "p50_us": 7, "p95_us": 9},
        {"caller": "other", "callee": "inference", "calls": 10, "errors": 0, "p50_us": 1, "p95_us": 2},
    ],
}  # fmt: skip


class Counts:
    """Measurements of a test's choice: (caller, service, rate)."""

    def __init__(self, *found: tuple[str, str, float], away: bool = False) -> None:
        self._found = found
        self._away = away
        self.asked = 0

    async def read(self, service: str, method: str, request: dict[str, Any], *, token: str = "") -> dict[str, Any]:
        self.asked += 1
        if self._away:
            raise Unavailable("no")
        samples = [{"labels": {"caller": one, "service": two}, "value": rate} for one, two, rate in self._found]
        return {"samples": samples if request["expression"] == EXPRESSIONS["rate"] else []}


class Traces:
    def __init__(self, *, away: bool = False) -> None:
        self._away = away

    async def edges(self) -> dict[str, Any]:
        if self._away:
            raise Unavailable("no store")
        return TRACED


def test_what_is_counted_says_more_than_what_is_traced() -> None:
    counted = {("inference", "triton"): {"rate": 40.0, "failing": 4.0, "p50_s": 0.002, "p95_s": float("nan")}}
    assert merge(counted, TRACED) == [
        {
            "caller": "inference", "callee": "triton", "rate": 40.0, "failed": 0.1, "p50_us": 2000, "p95_us": 0,
            "seen_in": "counts",
        },
        {
            "caller": "other", "callee": "inference", "rate": 1.0, "failed": 0.0, "p50_us": 1, "p95_us": 2,
            "seen_in": "traces",
        },
    ]  # fmt: skip


def test_calls_to_itself_and_none_are_no_edges() -> None:
    counted = {("health", "health"): {"rate": 1.0}, ("client", "registry"): {"rate": 0.0}, ("", "x"): {"rate": 1.0}}
    assert merge(counted, {}) == []


async def test_without_traces_there_are_counts_and_the_other_way_round() -> None:
    counts = Counts(("client", "inference", 39.0))
    found = await Edges(Traces(away=True), counts).read()
    assert [(each["caller"], each["callee"], each["rate"]) for each in found["edges"]] == [
        ("client", "inference", 39.0)
    ]
    assert ["health", "registry"] in found["known"]
    found = await Edges(Traces(), Counts(away=True)).read()
    assert [each["seen_in"] for each in found["edges"]] == ["traces", "traces"]
    with pytest.raises(Unavailable):
        await Edges(Traces(away=True), Counts(away=True)).read()


async def test_many_pages_ask_once() -> None:
    counts = Counts()
    edges = Edges(Traces(), counts)
    assert await edges.read() is await edges.read()
    assert counts.asked == len(EXPRESSIONS)


def test_the_expressions_are_promql() -> None:
    for expression in EXPRESSIONS.values():
        parse(expression)
