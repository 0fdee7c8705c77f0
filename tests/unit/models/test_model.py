"""The interface that all models share, shown on the two simplest ones."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lepton_ai
from lepton_ai.datasets import Column, Dataset, Schema, from_rows, read_table
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models import CNN, MLP
from lepton_ai.package import Package
from lepton_ai.pipeline import Pipeline
from tests.unit.models.served import assert_served_alike

LABELLED = Schema((Column("照片", "image"), Column("label", "category", "target")))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def picture(*, bright: bool, seed: int) -> bytes:
    """Noise, with or without a bright square in its middle."""
    pixels = np.random.default_rng(seed).integers(0, 100, (16, 16, 3), dtype=np.uint8)
    if bright:
        pixels[4:12, 4:12] += 150
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pictures(count: int = 64) -> Dataset:
    rows = [{"照片": picture(bright=i % 2 == 1, seed=i), "label": ("空", "方")[i % 2]} for i in range(count)]
    return from_rows(rows, schema=LABELLED)


def rows(count: int = 200, *, target: str = "category") -> Dataset:
    random = np.random.default_rng(0)
    made = []
    for _ in range(count):
        age, city = float(random.normal(40, 10)), str(random.choice(["北京", "Paris"]))
        score = age + (20 if city == "Paris" else 0)
        label: object = ("young", "old")[score > 50] if target == "category" else 3 * score + 100
        made.append({"age": age if random.random() > 0.1 else None, "city": city, "label": label})
    kinds = (Column("age", "number"), Column("city", "category"), Column("label", target, "target"))  # type: ignore[arg-type]
    return from_rows(made, schema=Schema(kinds))


def small_cnn() -> CNN:
    return CNN((16, 16, 3), 2, channels=(8, 8))


@pytest.fixture(scope="module")
def trained() -> CNN:
    torch.set_num_threads(1)
    model = small_cnn()
    model.fit(pictures(), epochs=12, batch_size=8, learning_rate=1e-2, progress=False)
    return model


def test_a_model_learns_what_there_is_to_see(trained: CNN) -> None:
    loss, accuracy = trained.evaluate(pictures(40))
    assert accuracy > 0.9
    assert loss < 0.5


def test_an_evaluation_has_every_metric_by_name(trained: CNN) -> None:
    evaluation = trained.evaluate(pictures(10))
    assert set(evaluation.metrics) >= {"loss", "accuracy", "f1"}
    assert "accuracy" in repr(evaluation)


def test_one_example_gets_one_answer_and_several_get_several(trained: CNN) -> None:
    square = picture(bright=True, seed=1000)
    assert trained.predict(square).label == "方"
    assert [each.label for each in trained.predict([square, picture(bright=False, seed=1001)])] == ["方", "空"]


def test_an_example_may_be_a_path(trained: CNN, tmp_path: Path) -> None:
    (tmp_path / "方.png").write_bytes(picture(bright=True, seed=1000))
    assert trained.predict(str(tmp_path / "方.png")).label == "方"


def test_a_broken_picture_is_refused_by_name(trained: CNN) -> None:
    with pytest.raises(InvalidInput, match="照片"):
        trained.predict(b"no picture")


def test_the_served_network_and_the_loaded_model_answer_alike(trained: CNN, tmp_path: Path) -> None:
    assert_served_alike(trained, pictures(20), tmp_path)


def test_a_package_is_whole(trained: CNN, tmp_path: Path) -> None:
    package = trained.package(tmp_path / "package", name="squares")
    package.check()
    assert {sample.expect.label for sample in package.description.golden} == {"方", "空"}


def test_a_loaded_model_remembers_where_it_comes_from(trained: CNN, tmp_path: Path) -> None:
    loaded = lepton_ai.load(trained.save(tmp_path / "方.pth"))
    assert isinstance(loaded, CNN)
    assert loaded.config == trained.config
    assert loaded.history["loss"] == trained.history["loss"]
    assert loaded.lineage["data"]["digest"]


def test_a_file_of_another_model_is_refused(trained: CNN, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="was saved by CNN, not by MLP"):
        MLP.load(trained.save(tmp_path / "cnn.pth"))


def test_the_summary_names_layers_and_counts_weights(trained: CNN) -> None:
    summary = trained.summary()
    assert "Conv2d" in summary
    assert f"{sum(weight.numel() for weight in trained.network.parameters()):,} weights" in summary


def test_equal_seeds_make_equal_models() -> None:
    first, second = small_cnn(), small_cnn()
    for model in (first, second):
        model.fit(pictures(32), epochs=2, progress=False)
    assert first.history["loss"] == second.history["loss"]


def test_what_was_not_trained_can_neither_be_saved_nor_asked(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="fit first"):
        small_cnn().save(tmp_path / "model.pth")
    with pytest.raises(FailedPrecondition, match="fit first"):
        small_cnn().predict(picture(bright=True, seed=0))


def test_a_wrong_number_of_classes_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"num_classes.*the data set has 2 classes"):
        CNN((16, 16, 3), 3).fit(pictures(16), epochs=1, progress=False)


@pytest.mark.parametrize("name", ["", "two\nlines"])
def test_a_class_without_a_name_of_one_line_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot name a class"):
        MLP([4]).fit(np.eye(4), ["a", name] * 2, epochs=1, progress=False)


def test_one_class_is_not_enough() -> None:
    ones = pictures(32).filter(lambda row: row["label"] == "方")
    alone = ones.with_schema(Schema((Column("照片", "image"), Column("label", "category", "target", ("方",)))))
    with pytest.raises(InvalidInput, match="at least two classes"):
        CNN((16, 16, 3), 2).fit(alone, epochs=1, validation=None, progress=False)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_are_named(count: int) -> None:
    with pytest.raises(InvalidInput, match="to train on"):
        small_cnn().fit(pictures(32)[:count], epochs=1, progress=False)


def test_rows_that_cannot_be_prepared_are_named() -> None:
    broken: list[dict[str, object]] = [{"照片": b"\xff\xd8 not really", "label": "空"}]
    broken += [dict(row) for row in pictures(16).rows()]
    with pytest.raises(InvalidInput, match=r"1 of 17 rows cannot be prepared \(rows 0\)"):
        small_cnn().fit(from_rows(broken, schema=LABELLED), epochs=1, validation=None, progress=False)


def test_an_unknown_setting_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="Did you mean epochs"):
        small_cnn().fit(pictures(16), epoch=3)


def test_a_shape_that_is_no_picture_is_refused() -> None:
    with pytest.raises(InvalidInput, match="input_shape"):
        CNN((128, 128), 2)


def test_rows_of_numbers_and_categories_are_classified(tmp_path: Path) -> None:
    model = MLP((16,))
    model.fit(rows(), epochs=30, learning_rate=1e-2, progress=False)
    assert model.evaluate(rows())[1] > 0.8
    assert_served_alike(model, rows(20), tmp_path)


def test_numbers_are_predicted_in_their_own_units(tmp_path: Path) -> None:
    model = MLP((32,), dropout=0.0)
    model.fit(rows(400, target="number"), epochs=40, learning_rate=1e-2, progress=False)
    _, mae = model.evaluate(rows(400, target="number"))
    assert mae < 15  # of values around 250, a tenth of the rows without their age
    assert_served_alike(model, rows(20, target="number"), tmp_path)


def test_a_package_reads_texts_as_the_table_was_read(tmp_path: Path) -> None:
    lines = [
        f"{'12,5' if index % 2 else '-1.234,00'} €;{'n/a' if index % 3 else 'true'};{index % 2}" for index in range(60)
    ]
    (tmp_path / "prices.csv").write_text("\n".join(["price;paid;label", *lines]), encoding="utf-8")
    data = read_table(tmp_path / "prices.csv")
    model = MLP((8,))
    model.fit(data, epochs=1, progress=False)
    assert_served_alike(model, data, tmp_path)
    document = Package.read(tmp_path / "package").pipeline_document()
    assert document is not None
    assert model.pipeline is not None
    assert document == json.loads(model.pipeline.document_json)
    served = Pipeline.load(document, Package.read(tmp_path / "package").pipeline_files())
    features = [served.run(row).tensors["features"].tolist() for row in ({"price": "12,5 €"}, {"price": 12.5})]
    assert features[0] == features[1]


def test_a_gap_in_a_row_is_filled_and_flagged() -> None:
    model = MLP((8,))
    model.fit(rows(), epochs=1, progress=False)
    answer = model.predict({"city": "北京"})
    assert answer.labels
    assert [anomaly.partition(" with ")[0] for anomaly in answer.anomalies] == ["age: was missing, filled"]


def test_a_package_holds_the_model_to_train_on(trained: CNN, tmp_path: Path) -> None:
    package = trained.package(tmp_path / "package", name="squares")
    again = CNN.load(package.path("trained.pth"))
    assert again.evaluate(pictures(10)).metrics == trained.evaluate(pictures(10)).metrics
