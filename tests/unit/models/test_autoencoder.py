"""Autoencoders: what they take for odd, in rows and in pictures, and where they draw the line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.datasets import Column, Dataset, Schema, from_rows
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models import Autoencoder
from tests.unit.models.served import assert_served_alike

PICTURES = Schema((Column("photo", "image"),))


def sensors(rows: int = 200, *, odd: int = 20, seed: int = 0) -> Dataset:
    """Three readings on a line through space, a few of them off it, and a machine that makes no difference."""
    random = np.random.default_rng(seed)
    along = random.normal(size=(rows, 1)) @ [[1.0, 2.0, -1.0]] + 0.05 * random.normal(size=(rows, 3))
    off = random.normal(size=(odd, 3)) * 3
    readings = [*((each, "ok") for each in along), *((each, "broken") for each in off)]
    return from_rows(
        (
            {"a": a, "b": b, "c": c, "machine": "甲乙"[index % 2], "state": state}
            for index, ((a, b, c), state) in enumerate(readings)
        ),
        target="state",
    )


def stripes(rows: int, *, upright: bool) -> Dataset:
    random = np.random.default_rng(rows)
    pictures = []
    for _ in range(rows):
        line = (np.arange(16) // 4 % 2 * 200 + random.integers(0, 40)).astype(np.uint8)
        picture = np.broadcast_to(line, (16, 16))
        pictures.append({"photo": png(picture if upright else picture.T)})
    return from_rows(pictures, schema=PICTURES)


def trained(**config: object) -> Autoencoder:
    model = Autoencoder((16,), 1, normal="ok", **config)  # type: ignore[arg-type]
    model.fit(sensors(), epochs=12, batch_size=16, learning_rate=0.01, progress=False)
    return model


def test_rows_off_the_pattern_stand_out_and_are_served_alike(tmp_path: Path) -> None:
    model = trained()
    loss, auc = model.evaluate(sensors(seed=1))
    assert auc > 0.9
    assert loss > 0
    assert_served_alike(model, sensors(seed=1), tmp_path)


def test_the_threshold_is_a_quantile_of_normal_scores_and_is_saved(tmp_path: Path) -> None:
    model = trained(quantile=0.9)
    normal = sensors(seed=1).filter(lambda row: row["state"] == "ok")
    answers = model.predict(normal)
    above = [float(answer.outputs["score"][0]) > model.threshold for answer in answers]
    assert 0.02 < np.mean(above) < 0.3
    assert above == [answer.label == "anomaly" for answer in answers]
    assert Autoencoder.load(model.save(tmp_path / "m.pth")).threshold == model.threshold


def test_without_a_normal_class_the_target_is_not_looked_at() -> None:
    model = Autoencoder((16,), 1)
    history = model.fit(sensors(), epochs=1, progress=False)
    assert "validation_auc" not in history.names
    assert set(model.evaluate(sensors()).metrics) == {"loss"}


def test_pictures_unlike_the_others_stand_out(tmp_path: Path) -> None:
    model = Autoencoder((16, 8), 4, input_shape=(16, 16, 1))
    model.fit(stripes(64, upright=True), epochs=15, batch_size=16, learning_rate=0.01, progress=False)
    lying, upright = (
        np.array([each.outputs["score"][0] for each in model.predict(stripes(8, upright=way))]) for way in (False, True)
    )
    assert lying.min() > upright.max()
    assert_served_alike(model, stripes(16, upright=True), tmp_path)


def test_mistakes_are_named() -> None:
    with pytest.raises(InvalidInput, match="quantile"):
        Autoencoder(quantile=1.0)
    with pytest.raises(InvalidInput, match="input_shape"):
        Autoencoder(input_shape=(30, 30, 1))
    with pytest.raises(InvalidInput, match="'fine'"):
        Autoencoder(normal="fine").fit(sensors(), progress=False)
    with pytest.raises(FailedPrecondition, match="not been trained"):
        _ = Autoencoder().threshold
    with pytest.raises(InvalidInput, match="kind image"):
        Autoencoder().fit(stripes(4, upright=True), progress=False)
