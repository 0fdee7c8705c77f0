"""The published JSON schema of lepton.yaml: made of the models that check it, and saying the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lepton_ai.errors import InvalidInput
from lepton_ai.package import Description
from lepton_ai.package.schema import make_schema, schema_text
from tests.sample_packages import description

ROOT = Path(__file__).parents[3]
CHECK = jsonschema.Draft202012Validator(make_schema())


def test_the_file_is_what_the_models_say() -> None:
    assert json.loads(schema_text()) == make_schema(), "write it anew: python -m lepton_ai.package.schema"


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(make_schema())


def test_the_package_of_the_documentation_is_valid() -> None:
    text = (ROOT / "docs/packages.md").read_text(encoding="utf-8")
    document = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    CHECK.validate(document)
    Description.of(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"preproces": {}},
        {"max_batch_size": "8"},
        {"inputs": []},
        {"model": {"file": "m", "format": "pickle"}},
        {"cache": {"ttl_s": 0}},
    ],
)
def test_what_lepton_refuses_an_editor_marks(changes: dict[str, Any]) -> None:
    document = description(**changes)
    assert not CHECK.is_valid(document)
    with pytest.raises(InvalidInput):
        Description.of(document)


def test_steps_are_checked_by_their_operation() -> None:
    assert CHECK.is_valid(description(postprocess=[{"op": "softmax", "input": "y"}]))
    errors = list(CHECK.iter_errors(description(postprocess=[{"op": "softmax", "inputs": "y"}])))
    assert "'inputs' was unexpected" in errors[0].message
    assert not CHECK.is_valid(description(postprocess=[{"op": "sofmax"}]))
