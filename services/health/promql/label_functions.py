"""Functions that change labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from services.health.metrics.patterns import Match, compile_groups
from services.health.promql.parsing import invalid
from services.health.promql.values import Labels, Vector, merged, without

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")
_MAX_VALUE_CHARS = 10_000


def replace(vector: Vector, target: str, replacement: str, source: str, expression: str) -> Vector:
    """`label_replace`: where the source's whole value matches, the target gets the replacement with its groups."""
    _check_name(target)
    pattern = compile_groups(expression)

    @cache
    def replaced(value: str) -> str | None:
        found = pattern.fullmatch(value)
        return None if found is None else _expand(replacement, found)

    def change(labels: Labels) -> Labels:
        made = replaced(labels.get(source, ""))
        return labels if made is None else _with(labels, target, made)

    return merged(Vector([change(labels) for labels in vector.labels], vector.values, vector.present))


def join(vector: Vector, target: str, separator: str, *sources: str) -> Vector:
    """`label_join`: the target gets the values of the sources with the separator between them."""
    for name in (target, *sources):
        _check_name(name)
    labels = [_with(each, target, separator.join(_values(each, sources))) for each in vector.labels]
    return merged(Vector(labels, vector.values, vector.present))


def _values(labels: Labels, names: Sequence[str]) -> list[str]:
    return [labels.get(name, "") for name in names]


def _with(labels: Labels, name: str, value: str) -> Labels:
    if len(value) > _MAX_VALUE_CHARS:  # a few functions within each other double it a few times
        raise invalid(f"makes a label of more than {_MAX_VALUE_CHARS:,} characters", reason="LABEL_TOO_LONG")
    rest = without(labels, (name,))
    return {**rest, name: value} if value else rest


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise invalid(f"{name!r} is no name of a label")


def _expand(template: str, found: Match) -> str:
    """$1, ${1} and ${name}; a group that is not there is empty, $$ is a dollar."""
    named, numbered = found.groupdict(), (found.group(), *found.groups())

    def put(reference: re.Match[str]) -> str:
        group = reference[1] or reference[2]
        if group is None:
            return "$"
        if not group.isdecimal():
            return named.get(group) or ""
        return (numbered[int(group)] or "") if int(group) < len(numbered) else ""

    return _REFERENCE.sub(put, template)
