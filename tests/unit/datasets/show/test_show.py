"""What `data.show()` gives for each kind of data, and how it gets to a person."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lepton_ai.datasets import Dataset, from_arrays, from_rows
from lepton_ai.datasets.augment import Colour, Flip, Jitter, Mixup, TokenDropout
from lepton_ai.datasets.augment.compose import Wanted
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.datasets.show import Listing, Sheet
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline import Pipeline


def drawings(rows: int = 9, *, side: int = 16) -> Dataset:
    random = np.random.default_rng(0)
    pictures = [png(random.integers(0, 256, (side, side + 4, 3), dtype=np.uint8)) for _ in range(rows)]
    return from_arrays({"photo": pictures}, [["猫", "dog"][row % 2] for row in range(rows)])


def sounds(rows: int = 4) -> Dataset:
    cells = []
    for row in range(rows):
        file = io.BytesIO()
        samples = np.sin(np.arange(2000 + 500 * row) * 0.3).astype(np.float32)
        soundfile.write(file, samples, 8000, format="WAV")
        cells.append(file.getvalue())
    return from_arrays({"sound": cells}, ["一", "two"] * (rows // 2))


def pixels(sheet: Sheet | Listing) -> np.ndarray:  # type: ignore[type-arg]
    assert isinstance(sheet, Sheet)
    steps = [
        {"op": "decode_image", "input": "p"},
        {"op": "to_tensor", "output": "t", "dtype": "UINT8", "layout": "HWC"},
    ]
    return Pipeline.load({"inputs": {"p": "image"}, "steps": steps}).run({"p": sheet.png}).tensors["t"]


def test_pictures_come_on_a_sheet_pixel_for_pixel(capsys: pytest.CaptureFixture[str]) -> None:
    data = drawings(1)
    shown = pixels(data.show())
    steps = [
        {"op": "decode_image", "input": "p"},
        {"op": "to_tensor", "output": "t", "dtype": "UINT8", "layout": "HWC"},
    ]
    own = Pipeline.load({"inputs": {"p": "image"}, "steps": steps}).run({"p": data.row(0)["photo"]}).tensors["t"]
    enlarged = own.repeat(6, axis=0).repeat(6, axis=1)
    places = np.argwhere((shown == enlarged[0, 0]).all(axis=2))
    assert any(np.array_equal(shown[y : y + 96, x : x + 120], enlarged) for y, x in places)
    path = Path(capsys.readouterr().out.strip().rpartition("saved as ")[2])
    assert path.read_bytes().startswith(b"\x89PNG")
    path.unlink()


@pytest.mark.parametrize("augment", [[Flip(), Colour(0.3)], Mixup(1.0), "images"], ids=str)
def test_varied_pictures_stand_beside_the_original(augment: Wanted) -> None:
    plain, first, again, other = (
        pixels(drawings().show(4, wanted, seed=seed))
        for wanted, seed in ((None, 0), (augment, 0), (augment, 0), (augment, 1))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, plain)


def test_large_uneven_and_broken_pictures_and_arrays_are_shown() -> None:
    uneven = Dataset.concat(
        [drawings(2), drawings(2, side=300), from_arrays({"photo": [b"\x89PNG\r\n\x1a\n"]}, ["猫"])]
    )
    assert pixels(uneven.show()).shape[2] == 3
    with pytest.raises(InvalidInput, match="1 of 2 pictures cannot be decoded"):
        uneven[3:].show(4, "images")
    grey = from_arrays(np.random.default_rng(0).random((5, 12, 12)), list("abcab"))
    assert isinstance(grey.show(4, Flip()), Sheet)


@pytest.mark.parametrize("augment", [None, "sounds"])
def test_sounds_are_drawn(augment: str | None, tmp_path: Path) -> None:
    sheet = sounds().show(4, augment)
    assert isinstance(sheet, Sheet)
    assert pixels(sheet).std() > 20
    assert sheet.save(tmp_path / "图.png").read_bytes() == sheet._repr_png_()


def test_rows_come_as_a_table_and_markup_in_them_is_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = from_rows([{"text": "[bold]很好 <b>", "label": "好"}, {"text": "bad", "label": "坏"}], target="label")
    listing = data.show()
    assert isinstance(listing, Listing)
    assert listing.columns == ("row", "label", "text")
    assert "[bold]很好 <b>" in capsys.readouterr().out
    assert "[bold]很好 &lt;b&gt;" in listing.save(tmp_path / "rows.html").read_text(encoding="utf-8")
    assert "[bold]很好 <b>" in listing.save(tmp_path / "rows.txt").read_text(encoding="utf-8")


def test_texts_and_numbers_are_varied_as_a_model_sees_them() -> None:
    texts = from_rows([{"text": "很好 very good !", "label": row % 2} for row in range(3)], target="label")
    texts = texts.with_schema(texts.schema.with_kinds(text="text"))
    listing = texts.show(3, TokenDropout(0.5), seed=1)
    assert isinstance(listing, Listing)
    varied = [row[listing.columns.index("text, varied")] for row in listing.rows]
    assert any("▢" in text for text in varied)
    same = texts.show(3, TokenDropout(0.0))
    assert isinstance(same, Listing)
    assert same.rows[0][same.columns.index("text, varied")] == "很好very good!"
    numbers = from_arrays({"a": np.arange(100.0) * 1000, "b": [1.0, None] * 50}, ["x", "y"] * 50)
    table = numbers.show(50, Jitter(0.01))
    assert isinstance(table, Listing)
    moved = [float(row[3]) - float(row[2]) for row in table.rows]
    assert 50 < float(np.std(moved)) < 600


def test_wide_tables_say_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    from_arrays({f"column {number}": [1.5, 2.5] for number in range(40)}, ["a", "b"]).show()
    assert "Columns left out: 3" in capsys.readouterr().out


def test_nothing_and_too_much_are_refused() -> None:
    with pytest.raises(InvalidInput, match="empty"):
        drawings()[:0].show()
    with pytest.raises(InvalidInput, match="n: is 401"):
        drawings().show(401)
    with pytest.raises(InvalidInput, match="This augmentation is for pictures"):
        sounds().show(4, Flip())
