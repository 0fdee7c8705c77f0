"""RNN, GRU and LSTM on sequences of vectors, of numbers and of characters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_ai.datasets import Column, Dataset, Schema, from_arrays, from_rows
from lepton_ai.errors import InvalidInput
from lepton_ai.models import GRU, LSTM, RNN
from lepton_ai.models.recurrent import Recurrent
from lepton_ai.models.recurrent_layers import RecurrentLayers
from tests.unit.models.served import assert_served_alike

FAMILIES = (RNN, GRU, LSTM)
SENSE = Schema((Column("text", "text"), Column("sense", "category", "target")))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def walks(rows: int = 48, *, seed: int = 0) -> Dataset:
    """Sequences of 3 to 9 steps of two features, up or down."""
    random = np.random.default_rng(seed)
    label = np.arange(rows) % 2
    steps = [random.normal(1000 + 5 * (2 * up - 1), 3, (random.integers(3, 10), 2)) for up in label]
    made = ({"walk": each, "way": "up" if up else "down"} for each, up in zip(steps, label, strict=True))
    return from_rows(made, target="way")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_sequences_of_unequal_length_are_learned_and_served(
    family: type[Recurrent], bidirectional: bool, tmp_path: Path
) -> None:
    data = walks()
    model = family(8, max_length=12, bidirectional=bidirectional, layers=2)
    model.fit(data, epochs=6, batch_size=8, learning_rate=0.02, progress=False)
    assert model.evaluate(data).metrics["accuracy"] >= 0.9
    assert_served_alike(model, data, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_number_is_predicted_in_its_own_units(family: type[Recurrent], tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(64, 6))
    model = family(8, max_length=6)
    data = from_arrays({"steps": x}, 500 + 100 * x.sum(axis=1))
    model.fit(data, epochs=10, batch_size=8, learning_rate=0.02, progress=False)
    _, mae = model.evaluate(data)
    assert mae < 0.5 * np.abs(100 * x.sum(axis=1)).mean()
    assert_served_alike(model, data, tmp_path)


def test_texts_are_sequences_of_their_characters(tmp_path: Path) -> None:
    rows = [{"text": "好坏"[n % 2] * (3 + n), "sense": "ab"[n % 2]} for n in range(32)]
    data = from_rows(rows, target="sense").with_schema(SENSE)
    model = GRU(8, max_length=40, embedding=8)
    model.fit(data, epochs=4, batch_size=8, learning_rate=0.02, progress=False)
    assert model.predict("好好好好").label == "a"
    assert_served_alike(model, data, tmp_path)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_both_directions_give_what_pytorch_gives_for_packed_sequences(cell: str) -> None:
    torch.manual_seed(0)
    ours = RecurrentLayers(cell, 3, 4, layers=1, bidirectional=True)  # type: ignore[arg-type]
    theirs = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](
        3, 4, batch_first=True, bidirectional=True
    )
    weights = {f"{name}": value for name, value in ours.forwards[0].state_dict().items()}
    weights |= {f"{name}_reverse": value for name, value in ours.backwards[0].state_dict().items()}
    theirs.load_state_dict(weights)
    lengths = torch.tensor([5, 2, 4])
    values, mask = torch.randn(3, 5, 3), torch.arange(5) < lengths[:, None]
    packed = torch.nn.utils.rnn.pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    answers = ours(values, mask) * mask.unsqueeze(2)
    torch.testing.assert_close(answers, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_more_padding_changes_no_answer(family: type[Recurrent]) -> None:
    data = walks(16)
    model = family(8, max_length=12, layers=2, bidirectional=True)
    model.fit(data, epochs=1, validation=None, progress=False)
    assert model.pipeline is not None
    made = [model.pipeline.run(data.inputs(row)).tensors for row in range(4)]
    steps, mask = (torch.from_numpy(np.stack([each[name] for each in made])) for name in ("steps", "mask"))
    longer = torch.cat([steps, torch.full((4, 30, 2), 7.0)], dim=1), torch.cat([mask, torch.zeros(4, 30).long()], dim=1)
    with torch.inference_mode():
        torch.testing.assert_close(model.network(*longer), model.network(steps, mask))
        for row in range(4):  # alone, a row has no padding that others need
            torch.testing.assert_close(
                model.network(steps[row:][:1], mask[row:][:1])[0], model.network(steps, mask)[row]
            )


def test_sequences_that_differ_in_their_last_digits_keep_them() -> None:
    random = np.random.default_rng(0)
    rows = [1.7e9 + random.normal(size=5) for _ in range(12)]
    data = from_rows({"times": row, "label": "ab"[at % 2]} for at, row in enumerate(rows))
    model = GRU(4)
    model.fit(data, epochs=1, validation=None, progress=False)
    assert model.pipeline is not None
    given = model.pipeline.run({"times": rows[0]}).tensors["steps"][:5, 0].tolist()
    assert given == pytest.approx((rows[0] - np.concatenate(rows).mean()).tolist(), abs=1e-5)


def test_rows_of_different_features_are_refused_by_number() -> None:
    rows = [{"walk": np.zeros((4, 2)), "way": "a"}, {"walk": np.ones((4, 3)), "way": "b"}]
    with pytest.raises(InvalidInput, match="Row 1"):
        GRU().fit(from_rows(rows, target="way"), progress=False)
