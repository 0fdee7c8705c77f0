"""What is counted of each kind of input."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lepton_ai.errors import InvalidInput
from lepton_ai.inputs.features import FeatureReader
from lepton_ai.pipeline.reading import Reading


def read(kind: str, value: Any, **options: Any) -> dict[str, Any]:
    reader = FeatureReader({"x": kind}, **options)
    return {name: found for name, _, found in reader.read({"x": value})}


def photo(side: int, *, grey: int, form: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side // 2), (grey, grey, grey)).save(file, form)
    return file.getvalue()


def test_numbers_and_categories_are_features_themselves() -> None:
    assert read("number", 3) == {"x": 3.0}
    assert read("number", None) == {"x": None}
    assert read("category", 3.0) == {"x": "3"}
    assert read("category", None) == {"x": None}


def test_texts_are_read_as_the_table_was() -> None:
    assert read("number", "1.234,5", readings={"x": Reading(decimal=",", thousands=".")}) == {"x": 1234.5}


@pytest.mark.parametrize(
    ("text", "length", "letters", "script"),
    [("hello wörld!", 12, 0.83, "LATIN"), ("猫がすき", 4, 1.0, "HIRAGANA"), ("привет", 6, 1.0, "CYRILLIC"),
     ("12 34", 5, 0.0, "none"), ("", 0, None, "none")],
)  # fmt: skip
def test_texts_have_a_length_a_share_of_letters_and_a_script(
    text: str, length: int, letters: float | None, script: str
) -> None:
    assert read("text", text) == {"x.length": length, "x.letters": letters, "x.script": script}


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("side", [40, 1600])
def test_pictures_have_a_size_brightness_and_contrast(side: int, form: str) -> None:
    found = read("image", photo(side, grey=51, form=form))
    assert (found["x.width"], found["x.height"]) == (side, side // 2)
    assert found["x.brightness"] == pytest.approx(0.2, abs=0.01)
    assert found["x.contrast"] == pytest.approx(0.0, abs=0.01)


def test_short_arrays_have_a_feature_for_every_element() -> None:
    assert read("tensor", np.array([1.5, 2.5])) == {"x[0]": 1.5, "x[1]": 2.5}
    assert read("tensor", np.array(4)) == {"x": 4.0}


def test_other_arrays_have_a_mean_and_a_deviation() -> None:
    found = read("tensor", np.array([[1.0, 3.0], [math.nan, 2.0]]))
    assert found == {"x.mean": 2.0, "x.std": pytest.approx(math.sqrt(2 / 3))}
    assert math.isnan(read("tensor", np.full((2, 2), math.nan))["x.mean"])


def test_arrays_of_texts_have_none() -> None:
    assert read("tensor", np.array([b"a", b"b"], dtype=object)) == {}


@pytest.mark.parametrize(("kind", "value"), [("number", "three"), ("image", b"no picture"), ("text", None)])
def test_what_the_pipeline_would_refuse_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(InvalidInput):
        read(kind, value)
