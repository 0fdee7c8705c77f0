"""Answers of Prometheus and of ours in one form, so that they can be compared: labels → time in ms → number."""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from lepton_ai.errors import InvalidInput
from services.health.metrics.series import Series
from services.health.promql.evaluation import evaluate, evaluate_range
from tests.promql.expressions import EXPRESSIONS, INSTANTS_S, RANGE_S, REFUSED
from tests.promql.prometheus import LocalPrometheus
from tests.promql.series import MemoryReader

KEPT = Path(__file__).with_name("answers-2.42.json.xz")
"""What Prometheus 2.42 answered; `python -m tests.promql.keep` writes it."""
RELATIVE = 1e-9
Answer: TypeAlias = Mapping[str, Mapping[str, str]] | None
"""None: it was refused."""


async def ask_prometheus(server: LocalPrometheus, expression: str) -> list[Answer]:
    """At each of the instants, and over the range."""
    answers = [_read(await server.instant(expression, at_s)) for at_s in INSTANTS_S]
    return [*answers, _read(await server.range(expression, *RANGE_S))]


async def ask_ours(reader: MemoryReader, expression: str) -> list[Answer]:
    """The same of our evaluator."""
    answers: list[Answer] = []
    for at_s in INSTANTS_S:
        try:
            found = await evaluate(expression, reader, at_s, timeout_s=60)
        except InvalidInput:
            answers.append(None)
        else:
            answers.append({_key(each.labels): {str(round(at_s * 1000)): repr(each.value)} for each in found})
            assert len(answers[-1] or ()) == len(found), "no series twice"
    try:
        series = await evaluate_range(expression, reader, *RANGE_S, timeout_s=60)
    except InvalidInput:
        return [*answers, None]
    return [*answers, {_key(each.labels): _points(each) for each in series}]


def differences(theirs: list[Answer], ours: list[Answer]) -> list[str]:
    """What does not agree, in words."""
    found = []
    for place, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        if their is None or our is None:
            found += [] if their is our else [f"{place}: refused by one alone: {their} {our}"]
            continue
        for key in their.keys() | our.keys():
            points, others = their.get(key, {}), our.get(key, {})
            found += [
                f"{place}: {key} at {at}: {points.get(at)} is not {others.get(at)}"
                for at in points.keys() | others.keys()
                if not _agree(points.get(at), others.get(at))
            ]
    return found


@cache
def kept_answers() -> Mapping[str, list[Answer]]:
    """What Prometheus answered when the file was written."""
    kept: Mapping[str, list[Answer]] = json.loads(lzma.decompress(KEPT.read_bytes()))
    assert set(kept) == {*EXPRESSIONS, *REFUSED}, "python -m tests.promql.keep"
    return kept


def _agree(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    a, b = float(one), float(other)
    return (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= RELATIVE * max(abs(a), abs(b))


def _read(answer: Mapping[str, Any]) -> Answer:
    if answer["status"] != "success":
        return None
    data = answer["data"]
    if data["resultType"] == "scalar":
        return {_key({}): _times([data["result"]])}
    return {_key(each["metric"]): _times(each.get("values") or [each["value"]]) for each in data["result"]}


def _times(pairs: list[tuple[float, str]]) -> dict[str, str]:
    return {str(round(at * 1000)): f"{float(value):.12g}" for at, value in pairs}


def _points(series: Series) -> dict[str, str]:
    pairs = zip(series.times_s.tolist(), series.values.tolist(), strict=True)
    return {str(round(at * 1000)): repr(value) for at, value in pairs}


def _key(labels: Mapping[str, str]) -> str:
    return json.dumps({name: labels[name] for name in sorted(labels) if labels[name]}, ensure_ascii=False)
