"""Where things stand in a YAML document, so that errors about its fields name line and column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from lepton_ai.errors import FieldViolation, InvalidInput

_LAST_PART = re.compile(r"(\.[^.\[\]]*|\[\d+\])$|^[^.\[\]]+$")
_UNKNOWN_FIELD = "is not a known field"


@dataclass(frozen=True)
class Position:
    """Of a character in a file; both count from 1, as editors do."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True)
class Positions:
    """Where each field of a document stands, by its path ("inputs[0].dtype")."""

    keys: Mapping[str, Position]
    values: Mapping[str, Position]

    @classmethod
    def of(cls, node: yaml.Node) -> Positions:
        """The positions of everything below a node."""
        keys: dict[str, Position] = {}
        values: dict[str, Position] = {}
        pending: list[tuple[str, yaml.Node]] = [("", node)]
        while pending:
            path, each = pending.pop()
            values[path] = _position(each)
            if isinstance(each, yaml.MappingNode):
                for key, value in each.value:
                    inner = f"{path}.{key.value}" if path else str(key.value)
                    keys[inner] = _position(key)
                    pending.append((inner, value))
            elif isinstance(each, yaml.SequenceNode):
                pending += [(f"{path}[{index}]", member) for index, member in enumerate(each.value)]
        return cls(keys, values)

    def find(self, field: str, *, key: bool = False) -> Position | None:
        """Where a field stands, or what it would be a part of; None for what is not below any. `key`: its name."""
        if key and field in self.keys:
            return self.keys[field]
        while field:
            if field in self.values:
                return self.values[field]
            field = _LAST_PART.sub("", field)
        return None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Let errors of the block about fields of the document say where these stand."""
        try:
            yield
        except InvalidInput as error:
            raise self._located(error) from error

    def _located(self, error: InvalidInput) -> InvalidInput:
        message, fields = error.message, []
        for field in error.fields:
            position = self.find(field.field, key=field.description.startswith(_UNKNOWN_FIELD))
            if position is None or "(line " in field.description:
                fields.append(field)
                continue
            told = FieldViolation(field.field, f"{field.description} ({position})")
            message = message.replace(field.description, told.description, 1)
            fields.append(told)
        return InvalidInput(message, reason=error.reason, fix=error.fix, fields=tuple(fields))


NOWHERE = Positions({}, {})
"""Of a document that was not read from a file."""


def _position(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)
