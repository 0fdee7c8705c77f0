"""What spans may hold: values of bounded size that can always be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.util.types import AnyValue

MAX_ATTRIBUTES = 64
MAX_TEXT_CHARS = 256

_FIXED_SIZE = frozenset({bool, float, type(None)})
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1


def bounded_text(text: str) -> str:
    """The beginning of a text; lone surrogates, which UTF-8 cannot encode, become question marks."""
    if len(text) <= MAX_TEXT_CHARS and text.isascii():
        return text
    return text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode()


def bounded_value(value: AnyValue) -> AnyValue:
    """An immutable copy of an attribute's value; a value of a type that spans do not know becomes its text."""
    kind = type(value)
    if kind is str:
        return bounded_text(value)  # type: ignore[arg-type]
    if kind in _FIXED_SIZE or (kind is int and _MIN_INT <= value <= _MAX_INT):  # type: ignore[operator]
        return value
    return _bounded_other(value)


def bounded_attributes(attributes: Mapping[str, AnyValue] | None) -> dict[str, AnyValue]:
    """As many attributes as one event, link or span may have, in the order given."""
    pairs = list((attributes or {}).items())
    return {key: bounded_value(value) for key, value in pairs[:MAX_ATTRIBUTES]}


def _bounded_other(value: object) -> AnyValue:
    if isinstance(value, str):
        return bounded_text(value[:MAX_TEXT_CHARS])  # a plain string, also of an enumeration's member
    if isinstance(value, bytes):
        return value[:MAX_TEXT_CHARS]
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value) if _MIN_INT <= value <= _MAX_INT else bounded_text(hex(value))  # Python limits decimals
    if isinstance(value, Mapping):
        return bounded_attributes({str(key): each for key, each in value.items()})
    if isinstance(value, Sequence):
        return tuple(bounded_value(each) for each in value[:MAX_TEXT_CHARS])
    return bounded_text(str(value))
