"""The forecaster, and the windows that it learns from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from lepton_ai.datasets import Column, Dataset, Schema, from_arrays, from_rows
from lepton_ai.errors import InvalidInput
from lepton_ai.models import Forecaster
from lepton_ai.models.data import as_dataset
from lepton_ai.models.windows import FUTURE, PAST, Series, series_of
from lepton_ai.training.forecasts import LAST, Skill
from tests.unit.models.served import assert_served_alike


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def waves(steps: int = 200) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Two series far from zero and of very different size."""
    time = np.arange(steps)
    return np.stack([5000 + 10 * np.sin(time / 3), 0.01 * np.cos(time / 5)], axis=1)


def test_series_are_forecast_far_better_than_by_their_last_values(tmp_path: Path) -> None:
    series, model = waves(), Forecaster(12, 4, hidden=16)
    model.fit(series, epochs=8, batch_size=16, learning_rate=0.01, progress=False)
    _, mae = figures = model.evaluate(waves(260)[180:])
    assert mae == figures.metrics["mae"]
    assert figures.metrics["skill"] > 0.7
    assert figures.metrics["mae"] < 0.5 * figures.metrics["naive_mae"]
    forecast = model.predict(series[-30:]).outputs["forecast"]
    np.testing.assert_allclose(forecast[0, 0], 5000 + 10 * np.sin(200 / 3), atol=4)
    assert_served_alike(model, series_of(series).windows(12, 4), tmp_path)


def test_a_table_or_series_of_the_last_steps_is_one_example() -> None:
    series, model = waves(80), Forecaster(6, 2, hidden=8)
    frame = pa.table({"负荷": series[:, 0], "热": series[:, 1]})
    model.fit(frame, epochs=1, progress=False)
    expected = model.predict(series[-9:]).values
    last = frame.slice(71)
    for steps in (last, last.select(["热", "负荷"]), as_dataset(last), last.append_column("备注", [["x"] * 9])):
        np.testing.assert_array_equal(model.predict(steps).values, expected)
    with pytest.raises(InvalidInput, match="热: there is no such column"):
        model.predict(last.select(["负荷"]))
    single = Forecaster(6, 2, hidden=8)
    single.fit(series[:, 0], epochs=1, progress=False)
    expected = single.predict(series[-9:, 0]).values
    np.testing.assert_array_equal(single.predict(last.select(["负荷"])).values, expected)
    np.testing.assert_array_equal(single.predict(last["负荷"]).values, expected)


def test_with_a_target_that_one_is_forecast_from_all() -> None:
    x, y = waves().T
    data = from_arrays({"load": x, "heat": y}, target="heat")
    data = data.with_schema(data.schema.with_kinds(load="number", heat="number"))
    model = Forecaster(6, 2, hidden=8)
    model.fit(data, epochs=1, progress=False)
    assert model.predict(np.stack([x, y], axis=1)).outputs["forecast"].shape == (2, 1)
    with pytest.raises(InvalidInput, match="load, heat"):
        model.evaluate(waves())


def test_before_the_first_step_the_forecast_is_the_last_value() -> None:
    model = Forecaster(6, 2, hidden=8)
    model.fit(waves(40), epochs=1, learning_rate=1e-12, weight_decay=0.0, progress=False)
    np.testing.assert_allclose(model.predict(waves(9)).outputs["forecast"], waves(9)[[-1, -1]], rtol=1e-4)


def test_fewer_values_than_the_window_are_refused() -> None:
    model = Forecaster(6, 2, hidden=8)
    model.fit(waves(40), epochs=1, progress=False)
    with pytest.raises(InvalidInput, match="at least 6"):
        model.predict(waves(5))
    with pytest.raises(InvalidInput, match="8 are needed"):
        model.fit(waves(7), validation=None, progress=False)


def test_windows_are_in_the_order_of_time_and_never_mix_groups() -> None:
    schema = Schema((Column("t", "time", "time"), Column("site", "category", "group"), Column("v", "number")))
    times = [3, 1, 2, 2, 3, 1]
    rows = [{"t": f"2024-01-0{t}", "site": "aaabbb"[n], "v": float(10 * (n > 2) + t)} for n, t in enumerate(times)]
    windows = Series.of(from_rows(rows, schema)).windows(2, 1)
    made = [(row[PAST].ravel().tolist(), row[LAST].tolist(), row[FUTURE].ravel().tolist()) for row in arrays(windows)]
    assert sorted(made) == [([1, 2], [2], [3]), ([11, 12], [12], [13])]


def test_groups_of_windows_that_differ_in_zeros_at_the_end_are_different() -> None:
    schema = Schema((Column("site", "category", "group"), Column("v", "number")))
    rows = [{"site": ("a", "a\0")[n % 2], "v": float(10 * (n % 2) + n)} for n in range(6)]
    assert [part.ravel().tolist() for part in Series.of(from_rows(rows, schema)).parts] == [[0, 2, 4], [11, 13, 15]]


def test_the_later_part_begins_with_what_must_be_looked_back_on() -> None:
    earlier, later = series_of(np.arange(20.0)).split(0.25, past=3)
    assert earlier.parts[0].ravel().tolist() == list(range(15))
    assert later.parts[0].ravel().tolist() == list(range(12, 20))


def test_gaps_are_refused_with_their_place() -> None:
    data = from_arrays({"值": np.array([1.0, 2.0, 3.0, np.nan, 5.0])})
    with pytest.raises(InvalidInput, match="row 3") as error:
        series_of(data)
    assert 'data.clean(missing="drop")' in error.value.fix
    assert len(series_of(data.clean(missing="drop").data).parts[0]) == 4


def test_skill_is_the_share_of_the_naive_error_that_is_saved() -> None:
    skill = Skill()
    skill.update(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0]), torch.tensor([0.0, 0.0]))
    assert float(skill.compute()) == pytest.approx(0.5)


def test_days_listed_backwards_are_learned_in_their_order() -> None:
    days = [f"{31 - at}/12/2024" for at in range(20)]
    data = from_arrays({"date": days, "sold": [float(20 - at) + 0.5 for at in range(20)]})
    assert series_of(data).parts[0][:3].ravel().tolist() == [1.5, 2.5, 3.5]


def test_days_of_which_the_month_is_not_known_are_refused() -> None:
    data = from_arrays({"date": ["02/01/2024", "01/01/2024"] * 5, "sold": [float(at) for at in range(10)]})
    with pytest.raises(InvalidInput, match="date: day and month"):
        series_of(data)


def test_a_series_whose_changes_fp32_cannot_hold_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="FP32 cannot hold") as error:
        series_of(1.7e9 + waves()).windows(12, 4)
    assert "Subtract an offset" in error.value.fix
    series_of(100 + waves()).windows(12, 4)


def arrays(windows: Dataset) -> list[dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]]:
    return [{name: np.asarray(value) for name, value in row.items()} for row in windows.rows()]
