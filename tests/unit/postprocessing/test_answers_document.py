"""docs/answers.md lists every step with its parameters, as the code has them, and what it shows loads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from lepton_ai.package.description import Description, Golden
from lepton_ai.pipeline.operation import Parameters
from lepton_ai.postprocessing import Postprocess
from lepton_ai.postprocessing.postprocess import STEPS

DOCUMENT = (Path(__file__).parents[3] / "docs" / "answers.md").read_text(encoding="utf-8")
FILES = {
    "labels.txt": "猫\n狗\n鸟\n".encode(),
    "alphabet.txt": "高\n可\n \n".encode(),
    "vocabulary.txt": b"[PAD]\n[CLS]\n[SEP]\nplay\n##ing\n",
}
SHOWN = [
    (heading, yaml.safe_load(block))
    for heading, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
]


def line_of(step: type[Parameters]) -> str:
    schema = step.model_json_schema()
    needed = [f"`{name}`" for name in schema["properties"] if name in schema.get("required", ())]
    others = [
        f"`{name}={json.dumps(parameter['default'])}`"
        for name, parameter in schema["properties"].items()
        if name not in schema.get("required", ()) and name != "input"
    ]
    return f"| `{step.name}` | {' '.join([*needed, *others])} | {step.describe()} |"


def test_every_step_is_listed_as_it_is() -> None:
    assert [line for line in map(line_of, STEPS.values()) if line not in DOCUMENT.splitlines()] == []


@pytest.mark.parametrize(
    ("heading", "shown"), [each for each in SHOWN if "postprocess" in each[1]], ids=lambda each: str(each)[:16]
)
def test_what_it_shows_goes_with_the_outputs_that_it_shows(heading: str, shown: dict[str, object]) -> None:
    model = {"name": "shown", "format": 1, "model": {"file": "m.onnx", "format": "onnx"}}
    description = Description.of({**model, "inputs": [{"name": "x", "dtype": "FP32", "shape": [-1]}], **shown})
    assert description.postprocess is not None
    postprocess = Postprocess.load(description.postprocess, FILES)
    postprocess.check(description.outputs)
    assert postprocess.kind in heading.lower()


def test_each_kind_of_answer_has_a_section_with_an_example() -> None:
    kinds = {step.kind for step in STEPS.values() if hasattr(step, "kind")}
    assert {kind for kind in kinds if not any(kind in heading.lower() for heading, _ in SHOWN)} == set()


def test_the_golden_samples_that_it_shows_can_be_read() -> None:
    (samples,) = [shown["golden"] for _, shown in SHOWN if "golden" in shown]
    assert [Golden.model_validate_json(json.dumps(sample)).expect.text for sample in samples] == [
        None,
        "高可用推理",
        None,
    ]
