"""Runs a package's ONNX network as a server would, beside the model that it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from lepton_ai.datasets import Dataset
from lepton_ai.models import Model
from lepton_ai.pipeline import raw_inputs

BATCH_SIZES = (1, 3, 16)


def assert_served_alike(model: Model, data: Dataset, directory: Path, *, loaded: Model | None = None) -> None:
    """The package's network gives the model's answers at several batch sizes; so does the model saved and loaded."""
    package = model.package(directory / "package", name="m")
    saved = loaded or type(model).load(model.save(directory / "model.zip"))
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(package.path("model.onnx"), options, providers=["CPUExecutionProvider"])
    assert model.pipeline is not None
    for golden in package.golden_items():
        model.pipeline.run(raw_inputs(golden.item))
    rows = [data.inputs(index % len(data)) for index in range(max(BATCH_SIZES))]
    tensors = [model.pipeline.run(row).tensors for row in rows]
    expected = [each.outputs for each in model.predict(data.take(np.arange(len(rows)) % len(data)))]
    names = [output.name for output in session.get_outputs()]
    for size in BATCH_SIZES:
        batch = {name: np.stack([each[name] for each in tensors[:size]]) for name in tensors[0]}
        answers = dict(zip(names, session.run(names, batch), strict=True))
        for name in names:
            wanted = np.stack([each[name] for each in expected[:size]])
            np.testing.assert_allclose(answers[name], wanted, rtol=1e-4, atol=1e-4)
    for before, after in zip(expected, saved.predict(data.take(np.arange(len(rows)) % len(data))), strict=True):
        for name, value in before.items():
            np.testing.assert_array_equal(value, after.outputs[name])
