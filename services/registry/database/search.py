"""Searches of versions in the registry's database."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Float, Integer, Select, and_, cast, exists, func, not_, or_, select

from services.registry.catalogue.filters import Term
from services.registry.catalogue.record import VersionState
from services.registry.database import schema

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_VERSIONS = schema.versions


_FILES = schema.files
_SIZE = (
    select(func.coalesce(func.sum(_FILES.c.size_bytes), 0))
    .where(_FILES.c.model == _VERSIONS.c.model, _FILES.c.version == _VERSIONS.c.version)
    .scalar_subquery()
)


def search_query(terms: Sequence[Term], *, after: tuple[str, int] | None, limit: int) -> Select[Any]:
    """The rows of versions for which all terms hold, with their sizes."""
    query = select(_VERSIONS, _SIZE.label("size_bytes")).where(*map(_condition, terms))
    if not any(term.key == "state" for term in terms):
        query = query.where(_VERSIONS.c.state != VersionState.DELETED.value)
    if after is not None:
        model, version = after
        later = and_(_VERSIONS.c.model == model, _VERSIONS.c.version < version)
        query = query.where(or_(_VERSIONS.c.model > model, later))
    return query.order_by(_VERSIONS.c.model, _VERSIONS.c.version.desc()).limit(limit)


def _condition(term: Term) -> ColumnElement[bool]:
    if term.key == "version":
        return _compared(cast(_VERSIONS.c.version, Integer), term)
    if term.key == "metric":
        return _compared(cast(_VERSIONS.c.lineage["metrics"][term.name].as_string(), Float), term)
    if term.key in ("tag", "alias"):
        return _among(term)
    if term.key in ("parent", "data_digest", "run"):
        return _text(func.coalesce(_VERSIONS.c.lineage[term.key].as_string(), ""), term)
    return _text(_VERSIONS.c.model if term.key == "name" else _VERSIONS.c[term.key], term)


def _among(term: Term) -> ColumnElement[bool]:
    """Whether there is such a tag, of the version or of its model, or such an alias. `!=`: whether there is none."""
    positive = Term(term.key, term.name, "=" if term.operator == "!=" else term.operator, term.value)
    if term.key == "tag":
        table = schema.tags
        of_version = table.c.version.in_([0, _VERSIONS.c.version])
        where: tuple[ColumnElement[bool], ...] = (of_version, table.c.key == term.name, _text(table.c.value, positive))
    else:
        table = schema.aliases
        where = (table.c.version == _VERSIONS.c.version, _text(table.c.alias, positive))
    found = exists().where(table.c.model == _VERSIONS.c.model, *where)
    return not_(found) if term.operator == "!=" else found


def _compared(column: Any, term: Term) -> ColumnElement[bool]:
    compared: ColumnElement[bool] = _COMPARE[term.operator](column, term.number)
    return compared


def _text(column: Any, term: Term) -> ColumnElement[bool]:
    if term.operator == "~":
        contained: ColumnElement[bool] = column.icontains(term.value, autoescape=True)
        return contained
    compared: ColumnElement[bool] = _COMPARE[term.operator](column, term.value)
    return compared
