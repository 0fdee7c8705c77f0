"""Where a data set comes from: its source, what was done to it since, and the digests before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lepton_ai.errors import InvalidInput


@dataclass(frozen=True)
class Operation:
    """One thing that was done to a data set, and how many rows it had afterwards."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON data."""
    rows: int = 0


@dataclass(frozen=True)
class Lineage:
    """A record that is kept with every model: which data, from where, changed how."""

    source: str
    """Where the rows came from: "folder cats-dogs", "table churn.csv", "arrays"; never a secret."""
    operations: tuple[Operation, ...] = ()
    digest: str = ""
    """SHA-256 of the data set as it is after the operations; see `Dataset.digest`."""
    parent_digest: str = ""
    """SHA-256 of the data set as it came from its source; empty when nothing was done to it."""

    def after(self, name: str, *, rows: int, parameters: Mapping[str, Any] | None = None) -> Lineage:
        """The lineage of what an operation made."""
        operation = Operation(name, dict(parameters or {}), rows)
        return replace(self, operations=(*self.operations, operation), digest="")

    def to_json(self) -> str:
        """The lineage as JSON, read back by `from_json`."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Lineage:
        """A lineage that `to_json` wrote. Raises InvalidInput when it is not one."""
        try:
            document = json.loads(text)
            operations = tuple(Operation(**operation) for operation in document.pop("operations"))
            return cls(**document, operations=operations)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInput("The lineage is not one that Lepton wrote.", fix="Save the data set again.") from error
