"""The little language of searches: `tag.team=vision and name~effi and state=ready`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lepton_ai.errors import InvalidInput

_MAX_LENGTH, _MAX_TERMS = 2000, 20
_TERM = re.compile(r'\s*([a-z_]+)(?:\.([^\s=!~<>]{1,64}))?\s*(!=|<=|>=|=|~|<|>)\s*("(?:[^"\\]|\\.)*"|[^\s"]+)')
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
TEXTS = frozenset({"name", "state", "description", "digest", "alias", "parent", "data_digest", "run"})
NAMED = frozenset({"tag", "metric"})
"""Keys that are followed by a name."""
NUMBERS = frozenset({"version", "metric"})
_EXAMPLE = "For instance: tag.team=vision and name~effi and state=ready."


@dataclass(frozen=True)
class Term:
    """One condition. `name` is that of a tag or a metric."""

    key: str
    name: str
    operator: str
    value: str
    number: float = 0.0


def parse_filter(text: str) -> list[Term]:
    """The terms, all of which must hold. Raises InvalidInput with the place that is wrong."""
    if len(text) > _MAX_LENGTH:
        raise InvalidInput.of_field("filter", f"has more than {_MAX_LENGTH} characters")
    terms: list[Term] = []
    at = 0
    while text[at:].strip():
        if terms:
            joined = _AND.match(text, at)
            if joined is None:
                raise _wrong(text, at, "'and' is missing")
            at = joined.end()
        found = _TERM.match(text, at)
        if found is None:
            raise _wrong(text, at, "is not KEY OPERATOR VALUE")
        terms.append(_term(*found.groups(default=""), text=text, at=at))
        at = found.end()
    if len(terms) > _MAX_TERMS:
        raise InvalidInput.of_field("filter", f"has more than {_MAX_TERMS} terms")
    return terms


def _term(key: str, name: str, operator: str, value: str, *, text: str, at: int) -> Term:
    if key not in TEXTS | NAMED | NUMBERS:
        raise _wrong(text, at, f"there is no {key!r}; there are {', '.join(sorted(TEXTS | NAMED | NUMBERS))}")
    if bool(name) != (key in NAMED):
        raise _wrong(text, at, f"{key} needs a name, as in {key}.NAME" if key in NAMED else f"{key} takes no name")
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if key not in NUMBERS:
        if operator[0] in "<>":
            raise _wrong(text, at, f"{key} has no order; it may be =, != or ~")
        return Term(key, name, operator, value)
    if operator == "~":
        raise _wrong(text, at, f"{key} is a number and contains nothing")
    try:
        return Term(key, name, operator, value, float(value))
    except ValueError:
        raise _wrong(text, at, f"{value!r} is no number") from None


def _wrong(text: str, at: int, what: str) -> InvalidInput:
    return InvalidInput.of_field("filter", f"at {text[at : at + 40].strip()!r}: {what}", fix=_EXAMPLE)
