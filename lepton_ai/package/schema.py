"""The JSON schema of lepton.yaml, for editors: made of the same models that check it, with the steps of pipelines.

The file beside this module is what `lepton schema` prints; `python -m lepton_ai.package.schema` writes it anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).with_name("lepton.schema.json")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The published schema, as it is in the file."""
    return SCHEMA_FILE.read_text(encoding="utf-8")


def make_schema() -> dict[str, Any]:
    """The schema, made of the models."""
    from lepton_ai.package.description import Description
    from lepton_ai.pipeline.catalogue import OPERATIONS
    from lepton_ai.postprocessing.postprocess import STEPS

    schema = Description.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    steps = _steps(OPERATIONS, "operation", definitions)
    definitions["Preprocess"]["properties"]["steps"]["items"] = steps
    post = schema["properties"]["postprocess"]
    post |= {"type": ["array", "null"], "maxItems": post.pop("anyOf")[0]["maxItems"]}  # editors say more without anyOf
    post["items"] = _steps(STEPS, "answer", definitions)
    about = {"$schema": _DIALECT, "title": "lepton.yaml", "description": "What a Lepton model package holds."}
    return {**about, **{key: value for key, value in schema.items() if key not in about}, "$defs": definitions}


def _steps(kinds: Mapping[str, Any], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A step: `op` says which one, and the schema of that one's parameters holds."""
    chosen = []
    for name, kind in kinds.items():
        parameters = kind.model_json_schema(ref_template=f"#/$defs/{prefix}_{name}_{{model}}")
        for inner, definition in parameters.pop("$defs", {}).items():
            definitions[f"{prefix}_{name}_{inner}"] = definition
        parameters["properties"] = {"op": {"const": name, "description": kind.describe()}, **parameters["properties"]}
        definitions[f"{prefix}_{name}"] = parameters
        condition = {"properties": {"op": {"const": name}}, "required": ["op"]}
        chosen.append({"if": condition, "then": {"$ref": f"#/$defs/{prefix}_{name}"}})
    return {"type": "object", "required": ["op"], "properties": {"op": {"enum": list(kinds)}}, "allOf": chosen}


def write_schema() -> None:
    """Write the file anew, after a change of the models."""
    SCHEMA_FILE.write_text(
        json.dumps(make_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    write_schema()
