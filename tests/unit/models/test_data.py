"""What `fit`, `evaluate` and `predict` take: rows in any of the forms in which people have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data import Dataset as TorchDataset

import lepton_ai
from lepton_ai.datasets import Column, Dataset, Schema, from_arrays, from_rows
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.errors import InvalidInput
from lepton_ai.models import CNN, GAN, GRU, MLP, Autoencoder, Forecaster, TextClassifier, Wrapped
from lepton_ai.models.data import as_dataset
from lepton_ai.package import Package
from tests.unit.models.served import assert_served_alike

pd: Any = pytest.importorskip("pandas")  # comes with the packages of the ready data sets

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = np.where(X[:, 0] > 0, "猫", "狗")
FRAME = pd.DataFrame({"甲": X[:, 0], "乙": X[:, 1], "label": Y})
RECORDS: list[dict[str, Any]] = FRAME.to_dict("records")
PIXELS = np.random.default_rng(0).integers(0, 255, (24, 16, 16, 3), dtype=np.uint8)


class Pairs(TorchDataset[tuple[torch.Tensor, int]]):
    """A data set as tutorials of PyTorch write it: no iterator, and no end that an index error would tell."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(X[index % len(X)]), int(Y[index % len(X)] == "猫")


def records() -> Iterator[dict[str, Any]]:
    yield from RECORDS


CODES = (Y == "猫").astype(int)
FORMS: dict[str, Any] = {
    "arrays": (X, Y),
    "tensors": (torch.from_numpy(X), torch.from_numpy(CODES)),
    "lists": (X.tolist(), Y.tolist()),
    "a column of targets": (X, CODES[:, np.newaxis]),
    "a frame": FRAME,
    "a filtered frame": FRAME[FRAME["甲"] < 5],
    "an Arrow table": pa.Table.from_pandas(FRAME),
    "a frame and a series": (FRAME[["甲", "乙"]], FRAME["label"]),
    "columns by name": {"甲": X[:, 0], "乙": X[:, 1], "label": Y},
    "records": RECORDS,
    "an iterator of records": records,
    "pairs": list(zip(X, Y, strict=True)),
    "records with targets": list(zip(FRAME[["甲", "乙"]].to_dict("records"), Y, strict=True)),
    "a TensorDataset": TensorDataset(torch.from_numpy(X), torch.from_numpy(CODES)),
    "a data set of PyTorch": Pairs(),
    "a DataLoader": DataLoader(Pairs(), batch_size=8),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_a_model_learns_from(form: str) -> None:
    data = FORMS[form]() if callable(FORMS[form]) else FORMS[form]
    model = MLP((8,))
    model.fit(data, epochs=10, progress=False)
    assert len(as_dataset((X, Y))) == 60
    assert model.lineage["rows"] == 54  # of 60, a tenth being kept for validation


def test_inputs_and_targets_may_be_two_arguments() -> None:
    model = MLP((16,))
    model.fit(X, Y, epochs=30, progress=False)
    loss, accuracy = model.evaluate(X, Y)
    assert accuracy > 0.9
    assert loss < 0.5


def test_a_data_set_is_taken_as_it_is() -> None:
    data = as_dataset(FRAME)
    assert isinstance(data, Dataset)
    assert as_dataset(data) is data


def test_the_index_of_a_frame_is_no_column() -> None:
    assert as_dataset(FRAME[FRAME["甲"] > 0]).schema.names == ("甲", "乙", "label")


def test_the_name_of_a_series_is_that_of_the_target() -> None:
    target = as_dataset((FRAME[["甲"]], FRAME["label"].rename("动物"))).schema.target
    assert target is not None
    assert target.name == "动物"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("rows.csv", "a text or a path.*read_table"),
        (Path("photos"), "a text or a path.*read_folder"),
        (None, "a NoneType, which holds no rows"),
        (3, "a int, which holds no rows"),
        ([], "no rows"),
        ((X, Y[:-1]), "differ in length"),
    ],
)
def test_what_holds_no_rows_is_refused(data: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        MLP().fit(data)


def test_targets_beside_a_data_set_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"does not go with a data set.*with_roles"):
        MLP().fit(as_dataset(FRAME), Y)


def test_several_examples_in_one_array_get_several_answers() -> None:
    model = MLP((8,))
    model.fit(X, Y, epochs=2, progress=False)
    one, several = model.predict(X[0]), model.predict(torch.from_numpy(X[:3]))
    assert len(several) == 3
    assert several[0].label == one.label


def test_a_frame_gets_an_answer_a_row_and_may_have_other_columns_and_gaps() -> None:
    model = MLP((8,))
    model.fit(FRAME, epochs=2, progress=False)
    asked = FRAME.head(3).assign(extra=1)
    asked.loc[0, "乙"] = None
    assert len(model.predict(asked)) == 3


def test_several_sequences_in_one_array_get_several_answers() -> None:
    model = GRU(4)
    model.fit(X[:, :, np.newaxis], Y, epochs=1, progress=False)
    assert len(model.predict(X[:5, :, np.newaxis])) == 5


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_arrays_of_floats_are_served_as_fp32_whatever_is_learned_and_sent(dtype: Any, tmp_path: Path) -> None:
    model = lepton_ai.wrap(nn.Linear(4, 2))
    model.fit(X.astype(dtype), Y, epochs=2, progress=False)
    again = Wrapped.load(model.save(tmp_path / "model.pth"), module=nn.Linear(4, 2))
    for sent in (np.float64, np.float32):
        data, place = as_dataset(X[:4].astype(sent)), tmp_path / sent.__name__
        assert_served_alike(model, data, place, loaded=again)
        description = Package.read(place / "package").description
        assert [spec.dtype for spec in description.inputs] == ["FP32"]


def test_a_module_of_whole_numbers_can_be_packed(tmp_path: Path) -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(12, 2))

    tokens, model = np.random.default_rng(0).integers(0, 5, (60, 4)), lepton_ai.wrap(network())
    model.fit(tokens, Y, epochs=1, progress=False)
    again = Wrapped.load(model.save(tmp_path / "model.pth"), module=network())
    assert_served_alike(model, as_dataset(tokens[:4]), tmp_path, loaded=again)


def test_arrays_are_served_as_they_are_learned(tmp_path: Path) -> None:
    model = MLP((8,))
    model.fit(X.astype(np.float64), Y, epochs=2, progress=False)
    assert_served_alike(model, as_dataset(X[:4].astype(np.float64)), tmp_path)


def test_pictures_may_be_arrays(tmp_path: Path) -> None:
    model = CNN((16, 16, 3), 2, channels=(4,))
    model.fit(PIXELS, [0, 1] * 12, epochs=1, progress=False)
    assert len(model.predict(PIXELS[:3])) == 3
    assert_served_alike(model, as_dataset(PIXELS[:3]), tmp_path)


def test_grey_pictures_need_no_third_dimension() -> None:
    model = CNN((16, 16, 1), 2, channels=(4,))
    model.fit(PIXELS[..., 0], [0, 1] * 12, epochs=1, progress=False)
    assert model.predict(PIXELS[0, ..., 0]).label in ("0", "1")


def test_a_gan_and_an_autoencoder_take_arrays_of_pictures() -> None:
    gan, autoencoder = GAN((16, 16, 3), width=2), Autoencoder(input_shape=(16, 16, 3))
    gan.fit(PIXELS, epochs=1, progress=False)
    autoencoder.fit(PIXELS, epochs=1, progress=False)
    assert gan.sample(2).shape == (2, 16, 16, 3)
    assert autoencoder.predict(PIXELS[0]).label in ("normal", "anomaly")


@pytest.mark.parametrize("pixels", [PIXELS.astype(int), PIXELS.transpose(0, 3, 1, 2), PIXELS[:, :8, :8]])
def test_pictures_of_another_type_or_shape_are_refused(pixels: Any) -> None:
    with pytest.raises(InvalidInput, match=r"this model takes uint8 \[16, 16, 3\]"):
        CNN((16, 16, 3), 2).fit(pixels, [0, 1] * 12)


def test_pictures_of_floats_from_0_to_1_are_those_of_bytes() -> None:
    """Trained on floats, the same network sees the same pixels."""
    bytes_, floats = CNN((16, 16, 3), 2, channels=(4,)), CNN((16, 16, 3), 2, channels=(4,))
    bytes_.fit(PIXELS, [0, 1] * 12, epochs=1, progress=False)
    floats.fit(PIXELS / 255, [0, 1] * 12, epochs=1, progress=False)
    scores = floats.predict((PIXELS[:3] / 255).astype(np.float32)).scores
    np.testing.assert_allclose(scores, bytes_.predict(PIXELS[:3]).scores, atol=1e-4)


def test_pictures_of_floats_beyond_1_are_refused_by_their_row() -> None:
    bright = PIXELS / 255.0
    bright[7] *= 255
    with pytest.raises(InvalidInput, match=r"row 7 has values from .*; floats are from 0 to 1. Divide them by 255"):
        CNN((16, 16, 3), 2).fit(bright, [0, 1] * 12)


def test_rows_are_named_by_their_numbers_in_what_was_given() -> None:
    rows = [{"photo": png(pixels), "label": "ab"[row % 2]} for row, pixels in enumerate(PIXELS)]
    rows[17]["photo"] = b"\xff\xd8 not really"
    schema = Schema((Column("photo", "image"), Column("label", "category", "target")))
    for seed in range(3):
        with pytest.raises(InvalidInput, match=r"1 of 24 rows cannot be prepared \(rows 17\)"):
            CNN((16, 16, 3), 2).fit(from_rows(rows, schema=schema), seed=seed)


def test_texts_that_repeat_are_texts() -> None:
    model = TextClassifier(max_length=8, embedding=4, hidden=4)
    model.fit(["很好吃", "太差了"] * 20, ["好", "差"] * 20, epochs=1, progress=False)
    assert model.predict("很好").label in ("好", "差")


def test_gaps_in_arrays_are_refused_with_what_to_do() -> None:
    gaps = X.copy()
    gaps[7, 2] = np.nan
    with pytest.raises(InvalidInput, match=r"NaN.*Fill gaps in"):
        MLP().fit(gaps, Y)


def test_an_autoencoder_does_not_look_at_targets_that_it_was_not_told_of() -> None:
    model = Autoencoder((4,), 2)
    model.fit(X, ["alike"] * 60, epochs=1, progress=False)
    assert model.threshold > 0


def test_a_forecaster_takes_frames_and_refuses_targets() -> None:
    waves = pd.DataFrame({"温度": np.sin(np.arange(80) / 3), "风": np.cos(np.arange(80) / 3)})
    model = Forecaster(8, 2)
    model.fit(waves, epochs=1, progress=False)
    assert model.predict(waves.tail(8).to_numpy()).outputs["forecast"].shape == (2, 2)
    with pytest.raises(InvalidInput, match="Give the series alone"):
        model.fit(waves, waves)


def test_what_cleaning_gives_is_taken_as_the_data() -> None:
    cleaned = from_arrays({"a": [1.5, 2.5, 1.5]}, ["x", "y", "x"]).clean()
    assert as_dataset(cleaned) is cleaned.data


def test_a_plain_text_is_a_path_for_a_model_of_pictures_only(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.bild" for number in range(12)]
    for number, path in enumerate(paths):
        path.write_bytes(png(PIXELS[number]))
    labels = ["a", "b"] * 6
    model = CNN(input_shape=(16, 16, 3), num_classes=2)
    model.fit(
        from_rows({"image": path.read_bytes(), "label": y} for path, y in zip(paths, labels, strict=True)),
        epochs=1,
        progress=False,
    )
    wanted = model.predict(paths[0].read_bytes()).outputs["logits"]
    frame = pd.DataFrame({"image": [str(paths[0])]})
    for given in (str(paths[0]), paths[0], lepton_ai.File(paths[0]), {"image": lepton_ai.File(paths[0])}):
        assert np.array_equal(model.predict(given).outputs["logits"], wanted)
    for several in ([str(paths[0])], frame):
        assert np.array_equal(model.predict(several)[0].outputs["logits"], wanted)
    with pytest.raises(InvalidInput, match=r"lepton_ai\.File"):
        model.predict({"image": str(paths[0])})


@pytest.mark.parametrize(
    "x", [np.arange(30), np.arange(30.0), np.arange(30.0)[:, np.newaxis], list(range(30))], ids=repr
)
def test_a_line_is_learned_from_numbers_and_asked_by_numbers(x: Any) -> None:
    model = MLP((4,))
    model.fit(x, 2.0 * np.arange(30) - 1, epochs=1, progress=False)
    expected = [model.predict(10.0).value, model.predict(3.0).value]
    for several in (np.array([[10.0], [3.0]]), [10.0, 3.0]):
        assert [each.value for each in model.predict(several)] == pytest.approx(expected)


def test_texts_with_gaps_in_an_array_are_no_classes() -> None:
    y = np.array(["a", "b", np.nan] * 10)
    with pytest.raises(InvalidInput, match=r"y: 10 of 30 rows have the text 'nan'.*the first is row 2"):
        MLP().fit(np.ones((30, 2)), y)
    model = MLP((4,))
    model.fit(np.ones((30, 2)), y.tolist(), epochs=1, progress=False)
    assert model.classes_ == ("a", "b", "nan")


def test_categories_that_no_row_has_do_not_matter() -> None:
    y = pd.Series(pd.Categorical(["猫", "狗"] * 15, categories=["猫", "狗", "鱼"]))
    model = MLP((4,))
    model.fit(np.ones((30, 2)), y, epochs=1, progress=False)
    assert model.classes_ == ("狗", "猫")


def test_a_sparse_matrix_is_refused_with_what_to_do() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(InvalidInput, match=r"x: is a sparse matrix\. Give it dense: x\.toarray\(\)"):
        MLP().fit(sparse.eye(4).tocsr(), [0, 1, 0, 1])


def test_a_target_that_is_among_the_inputs_is_refused() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "price": [1.0, 2.0, 4.0]})
    with pytest.raises(InvalidInput, match=r"price: is among the inputs as well\. Drop it from the inputs"):
        MLP().fit(frame, frame["price"])


def test_targets_are_named_by_a_list_of_columns() -> None:
    frame = pd.DataFrame({"长": X[:, 0], "高": X[:, 1], "宽": X[:, 2]})
    for data in (frame, pa.Table.from_pandas(frame), {name: frame[name].to_numpy() for name in frame}):
        rows = as_dataset(data, ["高", "宽"])
        assert [each.name for each in rows.schema if each.role == "input"] == ["长"]
        assert rows.schema["y"].categories == ("高", "宽")
        np.testing.assert_allclose(rows.target_values()[1], X[1, 1:3])
    assert as_dataset(frame, frame[["宽"]].rename(columns={"宽": "重"})).schema["重"].role == "target"
    assert as_dataset((frame, ["高", "宽"])).schema["y"].categories == ("高", "宽")
    assert as_dataset((frame, "宽")).schema["宽"].role == "target"
    with pytest.raises(InvalidInput, match="深: there is no such column"):
        as_dataset(frame, ["高", "深"])
    assert as_dataset(frame[:2], ["高", "宽"]).target_values() == ["高", "宽"], "one for each row is no list of columns"
