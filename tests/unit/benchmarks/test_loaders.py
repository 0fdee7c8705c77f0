"""The code that a person would write: it must do the same work as ours to be worth comparing with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data import write_pictures
from benchmarks.loaders import Pictures, TableRows
from lepton_ai.datasets import Churn, read_folder
from lepton_ai.models import CNN, MLP
from lepton_ai.training.prepared import Prepared


def test_pictures_come_in_the_same_shape_and_type_as_ours(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path, 4)
    model, data = CNN((32, 32, 3), 2), read_folder(folder)
    ours = Prepared.of(data, model.prepare(data), model.define_task(data))

    theirs = Pictures(folder, 32)

    assert len(theirs) == len(ours) == 4
    assert theirs[0][0].shape == ours.inputs["image"].shape[1:]
    assert theirs[0][0].numpy().dtype == ours.inputs["image"].dtype


def test_rows_come_with_the_same_values_as_ours() -> None:
    data = Churn.load()[:300]
    model = MLP()
    ours = Prepared.of(data, model.prepare(data), model.define_task(data))
    columns = data.schema.inputs
    theirs = TableRows(
        {each.name: data.table[each.name].to_numpy() for each in columns if each.kind == "number"},
        {each.name: data.table[each.name].to_pylist() for each in columns if each.kind == "category"},
        data.target_values(),
    )

    found = np.stack([theirs[index][0].numpy() for index in range(300)])

    width = sum(each.kind == "number" for each in columns)
    features = np.asarray(ours.inputs["features"], np.float32)
    np.testing.assert_allclose(found[:, :width], features[:, :width], atol=1e-4)
    assert (found[:, width:].sum(axis=1) == features[:, width:].sum(axis=1)).all()
