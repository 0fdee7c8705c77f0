"""docs/detectors.md lists every parameter of the step detect, and what it shows is accepted."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from lepton_ai.package import Description
from lepton_ai.pipeline import Pipeline
from lepton_ai.postprocessing import Postprocess
from lepton_ai.postprocessing.boxes import Detect

DOCUMENT = (Path(__file__).parents[3] / "docs" / "detectors.md").read_text(encoding="utf-8")
SHOWN = [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)]


def test_every_parameter_is_listed_with_its_default() -> None:
    lines = [line.split("|")[1:3] for line in DOCUMENT.splitlines() if line.startswith("| `")]
    listed = {name: defaults for names, defaults in lines for name in re.findall(r"`(\w+)`", names)}
    assert set(Detect.model_fields) <= set(listed)
    for name, field in Detect.model_fields.items():
        if field.default is not None and not field.is_required():
            assert str(field.default).lower() in listed[name], name


def test_the_package_that_it_shows_is_accepted() -> None:
    description = Description.of(SHOWN[0])
    assert description.preprocess is not None and description.postprocess is not None
    document = description.preprocess.model_dump(exclude_unset=True)
    [made] = Pipeline.load(document).outputs
    assert (made.name, made.dtype, tuple(made.shape)) == ("images", "FP32", (3, 640, 640))
    labels = "\n".join(f"class {index}" for index in range(80)).encode()
    Postprocess.load(description.postprocess, {"labels.txt": labels}).check(description.outputs)


def test_the_output_without_a_batch_dimension_is_accepted() -> None:
    document = {key: value for key, value in SHOWN[0].items() if key not in ("postprocess", "golden", "preprocess")}
    assert Description.of(document | SHOWN[1]).unbatched_outputs == {"output"}
