"""Files, folders and standard input as examples: the model decides what they are."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lepton_ai.cli.examples import file_examples
from lepton_ai.client import ModelDescription
from lepton_ai.errors import FailedPrecondition, InvalidInput

PHOTOS = ModelDescription("cats", 1, {"photo": "image"})
TEXTS = ModelDescription("reviews", 1, {"text": "text"})
ROWS = ModelDescription("churn", 1, {"年龄": "number", "城市": "category"})


def values(path: Path, described: ModelDescription) -> list[Any]:
    return [example.value for example in file_examples([path], described)]


def typed_in(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_any_file_is_one_example_of_a_model_that_takes_a_picture_or_a_text(tmp_path: Path) -> None:
    file = tmp_path / "上传"
    file.write_bytes(b"")
    assert values(file, PHOTOS) == values(file, TEXTS) == [file]


def test_a_file_that_is_no_table_is_refused_for_a_model_of_rows(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"Makefile is no file of rows.*年龄 \(number\).*--input"):
        values(tmp_path / "Makefile", ROWS)


def test_a_model_that_takes_tensors_takes_no_file(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="infer"):
        values(tmp_path, ModelDescription("raw", 1, {}))


def test_of_a_folder_the_files_that_suit_the_model_are_taken_in_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/猫.png", "c.txt", ".d.jpg", "rows.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("年龄,城市\n66,上海\n", encoding="utf-8")
    assert values(tmp_path, PHOTOS) == [tmp_path / "a" / "猫.png", tmp_path / "b.JPG"]
    assert values(tmp_path, TEXTS) == [tmp_path / "c.txt"]
    assert values(tmp_path, ROWS) == [{"年龄": 66, "城市": "上海"}]


def test_a_folder_without_any_is_refused_with_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no file in .* that cats takes.*\.jpg"):
        values(tmp_path, PHOTOS)


@pytest.mark.parametrize(
    ("content", "described", "expected"),
    [
        ("年龄,城市\n66,上海\n", ROWS, [{"年龄": 66, "城市": "上海"}]),
        ('{"年龄": 6, "城市": "a"}\n{"年龄": 1, "城市": "b"}\n', ROWS, [{"年龄": 6, "城市": "a"}, {"年龄": 1, "城市": "b"}]),  # noqa: E501
        ('{\n"年龄": 66,\n"城市": "上海"}', ROWS, [{"年龄": 66, "城市": "上海"}]),
        ('[{"年龄": 66, "城市": "上海"}]', ROWS, [{"年龄": 66, "城市": "上海"}]),
        ("很好\n\n太差\n", TEXTS, [{"": "很好"}, {"": "太差"}]),
        ("any bytes", PHOTOS, [b"any bytes"]),
    ],
    ids=["CSV", "JSON lines", "JSON over several lines", "a list", "texts", "a picture"],
)  # fmt: skip
def test_standard_input_is_what_it_looks_like(
    monkeypatch: pytest.MonkeyPatch, content: str, described: ModelDescription, expected: list[Any]
) -> None:
    typed_in(monkeypatch, content.encode())
    assert values(Path("-"), described) == expected
