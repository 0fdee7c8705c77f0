"""docs/pipelines.md lists every operation with its parameters, as the code has them."""

from __future__ import annotations

import json
from pathlib import Path

from lepton_ai.pipeline import OperationDescription, describe_operations

DOCUMENT = (Path(__file__).parents[3] / "docs" / "pipelines.md").read_text(encoding="utf-8")
OF_ALL = ("input", "output")


def line_of(operation: OperationDescription) -> str:
    schema = json.loads(operation.parameters_schema_json)
    needed = [f"`{name}`" for name in schema["properties"] if name in schema.get("required", ())]
    others = [
        f"`{name}={json.dumps(parameter['default'])}`"
        for name, parameter in schema["properties"].items()
        if name not in schema.get("required", ()) and name not in OF_ALL
    ]
    return f"| `{operation.name}` | {' '.join([*needed, *others])} | {operation.description} |"


def test_every_operation_is_listed_as_it_is() -> None:
    listed = [line for line in DOCUMENT.splitlines() if line.startswith("| `") and line.count("|") == 4]
    missing = [line for operation in describe_operations() if (line := line_of(operation)) not in listed]
    assert missing == []
