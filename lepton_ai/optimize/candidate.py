"""What may be tried: one method with its parameters, or several after one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Value = bool | int | float | str


@dataclass(frozen=True)
class Step:
    """One method of the table in `lepton_ai.optimize.methods`, with what it is told."""

    method: str
    parameters: Mapping[str, Value] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As people and folders name it: "int8-entropy"."""
        return "-".join([self.method, *(_short(name, value) for name, value in self.parameters.items())])


@dataclass(frozen=True)
class Candidate:
    """Steps that make a variant of the original, in order. Without steps it is the original."""

    steps: tuple[Step, ...] = ()

    @property
    def name(self) -> str:
        """ "prune-0.5+int8-entropy"; "original" without steps."""
        return "+".join(step.name for step in self.steps) or ORIGINAL

    def document(self) -> list[dict[str, Any]]:
        """As JSON data."""
        return [{"method": step.method, "parameters": dict(step.parameters)} for step in self.steps]

    @classmethod
    def of(cls, document: list[dict[str, Any]]) -> Candidate:
        """What `document` gave."""
        return cls(tuple(Step(each["method"], each["parameters"]) for each in document))


ORIGINAL = "original"


def _short(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return name if value else f"no-{name}"
    return f"{value:g}" if isinstance(value, int | float) else value.lower()
