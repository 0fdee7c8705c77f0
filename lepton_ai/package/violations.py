"""What is wrong with a document that does not fit its model, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lepton_ai.errors import FieldViolation, InvalidInput

_MAX_VIOLATIONS = 20


def invalid(error: ValidationError, model: type[BaseModel], *, file: str) -> InvalidInput:
    """The error of a document, `file`, that does not fit its model: with every field that is wrong (up to 20)."""
    details = error.errors(include_url=False, include_context=False)
    # A bad member also makes its list "too short": only the member is worth telling.
    inner = {found["loc"][:length] for found in details for length in range(len(found["loc"]))}
    violations = tuple(_violation(found, model, file) for found in details if found["loc"] not in inner)
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return InvalidInput(
        f"{file}: {first.field}: {first.description}{more}",
        fields=violations[:_MAX_VIOLATIONS],
        reason="INVALID_DESCRIPTION",
    )


def _violation(details: ErrorDetails, model: type[BaseModel], file: str) -> FieldViolation:
    path = ""
    for part in details["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    texts = {"missing": "is missing", "extra_forbidden": _unknown_field(details["loc"], model)}
    text = texts.get(details["type"]) or details["msg"].removeprefix("Value error, ")
    return FieldViolation(path or file, text)


def _unknown_field(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    *parents, name = location
    near = get_close_matches(str(name)[:64], _fields_at(parents, model), n=1)
    return "is not a known field" + (f"; did you mean {near[0]!r}?" if near else "")


def _fields_at(location: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    """Names of the fields that there are at a place of the document."""
    part = model
    for name in (step for step in location if isinstance(step, str)):
        if name in part.model_fields:  # else the key of a mapping, whose values are the part
            part = next(_parts_in(part.model_fields[name].annotation), part)
    return list(part.model_fields)


def _parts_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts_in(argument)
