"""docs/pipelines.md lists every operation with its parameters, as the code has them, and what it shows works."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import yaml

from lepton_ai.pipeline import OperationDescription, Pipeline, describe_operations

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


def test_the_document_that_it_shows_loads() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert "FP32 [40, 98]" in shown
    assert [(output.name, tuple(output.shape)) for output in Pipeline.load(yaml.safe_load(shown), {}).outputs] == [
        ("mel", (40, 98))
    ]


def test_the_program_that_it_shows_learns(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    (tmp_path / "shown.py").write_text(shown, encoding="utf-8")
    pipeline = runpy.run_path(str(tmp_path / "shown.py"))["pipeline"]
    assert pipeline.run({"age": 30.0, "city": "北京"}).tensors["row"].tolist() == [0.0, 1.0, 0.0]
