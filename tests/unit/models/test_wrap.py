"""Modules of one's own: pictures, tensors and rows go in, classes and numbers come out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lepton_ai
from lepton_ai.datasets import Column, Dataset, Schema, from_arrays, from_rows
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.models import CNN, Wrapped
from tests.unit.models.served import assert_served_alike

PICTURES = Schema((Column("photo", "image"), Column("kind", "category", "target")))

ROWS = Schema((Column("x", "number"), Column("c", "category"), Column("y", "category", "target")))


class Sum(nn.Module):
    """Two tensors to one number a row, without a second dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(2, 1), nn.Linear(3, 1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        numbers: Tensor = self.left(left) + self.right(right)
        return numbers[:, 0]


def convolution(classes: int = 2, *, width: int = 8) -> nn.Module:
    first = nn.Conv2d(3, width, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def pictures(rows: int = 32) -> Dataset:
    random = np.random.default_rng(0)
    return from_rows(
        (
            {
                "photo": png(random.integers(0, 100, (9, 9, 3), dtype=np.uint8) + 150 * (row % 2)),
                "kind": "暗亮"[row % 2],
            }
            for row in range(rows)
        ),
        schema=PICTURES,
    )


def pairs(rows: int = 64) -> Dataset:
    random = np.random.default_rng(0)
    left, right = random.normal(size=(2, rows, 3)).astype(np.float32)
    return from_arrays({"left": left[:, :2], "right": right}, 1000 + 50 * (left[:, 0] + right.sum(axis=1)))


def test_a_module_for_pictures_is_trained_in_place_and_served(tmp_path: Path) -> None:
    module = convolution()
    model = lepton_ai.wrap(module, input_shape=(8, 8, 3))
    model.fit(pictures(), epochs=12, batch_size=8, learning_rate=0.02, validation=None, progress=False)
    assert model.evaluate(pictures()).metrics["accuracy"] > 0.9
    assert_loads_and_serves(model, convolution(), pictures(16), tmp_path)
    assert module.training is False


def test_a_module_of_several_tensors_gives_one_number(tmp_path: Path) -> None:
    model = lepton_ai.wrap(Sum())
    model.fit(pairs(), epochs=30, batch_size=8, learning_rate=0.05, progress=False)
    assert model.evaluate(pairs()).metrics["mae"] < 20
    assert_loads_and_serves(model, Sum(), pairs(), tmp_path)


def test_a_module_for_rows_takes_one_vector(tmp_path: Path) -> None:
    rows = from_rows(({"x": float(n), "c": "ab"[n % 2], "y": "uv"[n % 2]} for n in range(40)), schema=ROWS)
    model = lepton_ai.wrap(nn.Linear(3, 2))
    model.fit(rows, epochs=10, learning_rate=0.1, progress=False)
    assert model.evaluate(rows).metrics["accuracy"] == 1
    assert_loads_and_serves(model, nn.Linear(3, 2), rows, tmp_path)


def test_steps_say_what_the_module_takes() -> None:
    steps: list[dict[str, Any]] = [
        {"op": "decode_image", "input": "photo", "mode": "L"},
        {"op": "resize", "size": [4, 4]},
        {"op": "to_tensor", "dtype": "FP32"},
        {"op": "normalize", "scale": 1 / 255, "output": "pixels"},
    ]
    model = lepton_ai.wrap(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), steps=steps)
    model.fit(pictures(), epochs=20, batch_size=8, learning_rate=0.02, validation=None, progress=False)
    assert model.evaluate(pictures()).metrics["accuracy"] > 0.9


def test_a_number_can_be_answered_in_the_modules_own_units() -> None:
    module = Sum()
    with torch.no_grad():
        module.left.bias.fill_(1000.0)
    model = lepton_ai.wrap(module, standardize=False)
    model.fit(pairs(), epochs=1, learning_rate=1e-6, progress=False)
    assert model.evaluate(pairs()).metrics["mae"] < 200


def test_a_file_holds_no_code_and_says_so(tmp_path: Path) -> None:
    model = lepton_ai.wrap(convolution(), input_shape=(8, 8, 3))
    model.fit(pictures(), epochs=1, progress=False)
    path = model.save(tmp_path / "mine.pth")
    with pytest.raises(FailedPrecondition, match="Sequential") as caught:
        lepton_ai.load(path)
    assert "Wrapped.load" in caught.value.fix
    with pytest.raises(InvalidInput, match="do not fit the module"):
        Wrapped.load(path, module=convolution(width=4))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (convolution(classes=5), (8, 8, 3), r"answers \[N, 5\], classification takes \[N, 2\]"),
        (convolution(), (8, 8, 1), r"does not take what the pipeline makes \(image \[2, 8, 8, 1\]\)"),
        (convolution(), None, "input_shape"),
    ],
)
def test_a_module_that_does_not_fit_is_told_before_training(
    module: nn.Module, shape: tuple[int, int, int] | None, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        lepton_ai.wrap(module, input_shape=shape).fit(pictures(), progress=False)


def assert_loads_and_serves(model: Wrapped, module: nn.Module, data: Dataset, directory: Path) -> None:
    loaded = Wrapped.load(model.save(directory / "mine.pth"), module=module)
    assert_served_alike(model, data, directory, loaded=loaded)


def test_doubles_reach_the_module_in_its_own_type() -> None:
    model = lepton_ai.wrap(nn.Linear(3, 2))
    model.fit(np.random.default_rng(0).normal(size=(20, 3)), [0, 1] * 10, epochs=1, progress=False)
    assert model.predict(np.zeros(3)).label in ("0", "1")


def test_arrays_of_pixels_are_pictures_when_there_is_an_input_shape(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model = lepton_ai.wrap(network, input_shape=(8, 8, 3))
    pixels = np.random.default_rng(0).integers(0, 255, (20, 8, 8, 3), dtype=np.uint8)
    model.fit(pixels, [0, 1] * 10, epochs=1, progress=False)
    file = model.save(tmp_path / "m.zip")
    assert_served_alike(model, from_arrays(pixels), tmp_path, loaded=Wrapped.load(file, module=copy.deepcopy(network)))


@pytest.mark.parametrize(("module", "told"), [(nn.Linear, "Make one: Linear"), (None, "NoneType"), (CNN(), "a CNN")])
def test_only_modules_are_wrapped(module: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        lepton_ai.wrap(module)


X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


class Several(nn.Module):
    """Answers of two kinds, in a tuple or by name."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.body, self.head, self.form = nn.Linear(3, 4), nn.Linear(4, 2), form

    def forward(self, x: Tensor) -> Any:
        inner = self.body(x)
        logits = self.head(inner.relu())
        return (logits, inner) if self.form == "tuple" else {"inner": inner, "logits": logits, "none": None}


@pytest.mark.parametrize(("form", "name"), [("tuple", "output_1"), ("dict", "inner")])
def test_of_several_answers_one_is_learned_and_all_are_served(form: str, name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = lepton_ai.wrap(Several(form))
    model.fit(X, Y, epochs=30, learning_rate=0.05, validation=None, progress=False)
    assert model.score(X, Y) > 0.8
    answer = model.predict(X[0])
    assert {key: value.shape for key, value in answer.outputs.items()} == {"logits": (2,), name: (4,)}
    assert answer.label in ("0", "1")
    assert_loads_and_serves(model, Several(form), from_arrays(X, Y), tmp_path)


class Hidden(nn.Module):
    """What recurrent layers answer: a state whose rows are not first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x), (self.layer(x),)


class Unnamed(nn.Module):
    """Answers by name, and what is learned is neither the first nor called so that it is found."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"hidden": x.repeat(1, 3), "classes": self.layer(x)}


def test_which_answer_is_learned_can_be_read_from_the_error() -> None:
    told = r"answers \[N, \d+\] as 'hidden', .* call the one of 'classes' that is learned 'logits'"
    with pytest.raises(InvalidInput, match=told):
        lepton_ai.wrap(Unnamed()).fit(X, Y, progress=False)


def test_an_answer_that_cannot_be_served_is_told_before_training() -> None:
    with pytest.raises(InvalidInput, match=r"'output_1', which is no tensor with a row for every row.*Leave it out"):
        lepton_ai.wrap(Hidden()).fit(X, Y, progress=False)


@pytest.mark.parametrize(
    "last",
    [
        [nn.Linear(3, 1)],
        [nn.Linear(3, 1), nn.Flatten(0)],
        [nn.Linear(3, 1), nn.Sigmoid()],
        [nn.Linear(3, 1), nn.Sigmoid(), nn.Flatten(0)],
        [nn.Linear(3, 2), nn.Softmax(dim=1)],
        [nn.Linear(3, 2), nn.LogSoftmax(dim=1)],
    ],
    ids=["number", "flat", "sigmoid", "flat sigmoid", "softmax", "log softmax"],
)
def test_two_classes_may_be_one_number_and_classes_probabilities(last: list[nn.Module], tmp_path: Path) -> None:
    network = nn.Sequential(*last)
    model = lepton_ai.wrap(network)
    model.fit(X, Y, epochs=30, learning_rate=0.05, validation=None, progress=False)
    assert model.score(X, Y) > 0.8
    with torch.inference_mode():
        own = network(torch.stack([torch.from_numpy(model.pipeline.run({"x": x}).tensors["x"]) for x in X[:5]]))  # type: ignore[union-attr]
    if isinstance(last[1] if len(last) > 1 else None, nn.Sigmoid | nn.Softmax):
        own = own if own.ndim == 2 else own[:, None]
        np.testing.assert_allclose(model.predict(X[:5]).scores[:, -1], own[:, -1].numpy(), atol=1e-5)
    assert_loads_and_serves(model, copy.deepcopy(network), from_arrays(X, Y), tmp_path)


def test_probabilities_of_several_labels_are_what_the_module_says(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Sigmoid())
    model = lepton_ai.wrap(network)
    labels = (X > 0).astype(int)
    model.fit(X, labels, epochs=20, learning_rate=0.05, progress=False)
    with torch.inference_mode():
        own = network(torch.from_numpy(X[:5])).numpy()
    np.testing.assert_allclose(np.asarray(model.predict(X[:5]), dtype=np.float64), own, atol=1e-5)
    assert_loads_and_serves(model, copy.deepcopy(network), from_arrays(X, labels), tmp_path)


def test_a_module_that_bounds_its_numbers_keeps_its_own_units() -> None:
    """The network of the first article: 3 inputs, a sigmoid, the mean squared error."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid())
    model = lepton_ai.wrap(network, task="regression")
    x, y = np.eye(3, dtype=np.float32), np.array([[1], [0], [1]])
    model.fit(x, y, epochs=150, optimizer="adam", loss="mse", learning_rate=0.1, validation=None, progress=False)
    np.testing.assert_allclose(model.predict(x).values, y, atol=0.3)
    with torch.inference_mode():
        np.testing.assert_allclose(model.predict(x).values, network(torch.from_numpy(x)).numpy(), atol=1e-6)
