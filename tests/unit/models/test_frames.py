"""Data frames as they are: every type of column, gaps of every kind, whole frames and single rows answered alike."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.datasets import from_arrays, read_table
from lepton_ai.errors import InvalidInput
from lepton_ai.models import MLP, TextClassifier
from lepton_ai.models.data import as_dataset

pd: Any = pytest.importorskip("pandas")  # comes with the packages of the ready data sets

ROWS = 40
NUMBERS = np.random.default_rng(0).normal(size=ROWS)
LABELS = np.where(NUMBERS > 0, "ja", "nein")


def gaps(values: list[Any], missing: Any = None) -> list[Any]:
    return [missing if row % 5 == 3 else value for row, value in enumerate(values)]


WORDS = [f"Wort {row % 3}" for row in range(ROWS)]
COLUMNS: dict[str, Any] = {
    "nullable integers": pd.array(gaps(list(range(ROWS))), dtype="Int64"),
    "nullable unsigned integers": pd.array(gaps([2**63 + row for row in range(ROWS)]), dtype="UInt64"),
    "nullable floats": pd.array(gaps(NUMBERS.tolist()), dtype="Float32"),
    "half floats": NUMBERS.astype(np.float16),
    "floats with NaN": gaps(NUMBERS.tolist(), np.nan),
    "decimals": gaps([Decimal(row) / 7 for row in range(ROWS)]),
    "decimals with NaN": pd.Series(gaps([Decimal(row) / 7 for row in range(ROWS)], np.nan), dtype=object),
    "durations": pd.Series(gaps([pd.Timedelta(hours=row) for row in range(ROWS)], pd.NaT)),
    "sparse numbers": pd.arrays.SparseArray(NUMBERS),
    "Arrow's integers": pd.array(gaps(list(range(ROWS))), dtype="int64[pyarrow]"),
    "nullable booleans": pd.array(gaps([bool(row % 2) for row in range(ROWS)]), dtype="boolean"),
    "booleans with NaN": pd.Series(gaps([bool(row % 2) for row in range(ROWS)], np.nan), dtype=object),
    "categories": pd.Categorical(gaps(WORDS)),
    "categories of numbers": pd.Categorical(np.arange(ROWS) % 3),
    "intervals": pd.cut(NUMBERS, 4),
    "texts with NaN": pd.Series(gaps(WORDS, np.nan), dtype=object),
    "texts with NA": pd.array(gaps(WORDS), dtype="string"),
    "UUIDs": [uuid.UUID(int=row % 3) for row in range(ROWS)],
}


def answers(predicted: Any) -> Any:
    return np.array([each.outputs["logits"] for each in predicted])


@pytest.mark.parametrize("what", COLUMNS)
def test_a_frame_and_its_rows_get_the_same_answers(what: str) -> None:
    index = np.random.default_rng(1).permutation(ROWS) + 5000
    frame = pd.DataFrame({"spalte": COLUMNS[what], "x": NUMBERS}).set_index(index)
    model = MLP([4])
    model.fit(frame, LABELS, epochs=1, validation=None, progress=False, doctor=False)
    whole = answers(model.predict(frame))
    np.testing.assert_allclose(answers(model.predict(frame.to_dict("records"))), whole, atol=1e-5)
    rows = [frame.iloc[position] for position in range(ROWS)]
    np.testing.assert_allclose(answers(model.predict(row.to_dict()) for row in rows), whole, atol=1e-5)
    np.testing.assert_allclose(answers(model.predict(row) for row in rows), whole, atol=1e-5)
    np.testing.assert_allclose(answers(model.predict(frame[["x", "spalte"]])), whole, atol=1e-5)


def test_texts_of_a_frame_are_read_as_those_that_were_learned_from(tmp_path: Path) -> None:
    texts = {"price": ["1.234,50", "12,5"] * (ROWS // 2), "paid": ["True", "false", "n/a", "TRUE"] * (ROWS // 4)}
    pd.DataFrame({**texts, "label": LABELS}).to_csv(tmp_path / "prices.csv", sep=";", index=False)
    model = MLP([4])
    model.fit(read_table(tmp_path / "prices.csv"), epochs=1, validation=None, progress=False, doctor=False)
    # on their own, these would be 12500 dollars and "True" a category
    frame = pd.DataFrame({"price": ["12,500"] * ROWS, "paid": ["True"] * ROWS})
    row = model.predict({"price": 12.5, "paid": True})
    np.testing.assert_allclose(answers(model.predict(frame)), answers([row] * ROWS), atol=1e-5)
    right = float(np.mean([label == row.label for label in LABELS]))
    assert model.evaluate(frame, LABELS)[1] == pytest.approx(right)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, Decimal("NaN"), np.datetime64("NaT")], ids=repr)
def test_whatever_says_that_a_value_is_missing_is_filled_in_and_told(missing: Any) -> None:
    model = MLP([4])
    model.fit({"n": NUMBERS, "c": WORDS}, LABELS, epochs=1, progress=False, doctor=False)
    assert len(model.predict({"n": 0.5, "c": missing}).anomalies) == 1
    assert len(model.predict({"n": missing, "c": "Wort 1"}).anomalies) == 1


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=repr)
def test_a_missing_text_is_refused_as_missing(missing: Any) -> None:
    model = TextClassifier("cnn", max_length=4)
    model.fit({"text": WORDS}, LABELS, epochs=1, progress=False, doctor=False)
    with pytest.raises(InvalidInput, match=r"inputs\.text: is missing"):
        model.predict({"text": missing})
    with pytest.raises(InvalidInput, match=r"inputs\.text: is missing"):
        model.predict(pd.DataFrame({"text": ["Wort 1", missing]}))


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(pd.Categorical(LABELS), name="ziel"),
        pd.Series(LABELS, dtype="string", index=range(100, 100 + ROWS)),
        pd.DataFrame({"ziel": LABELS}),
        [np.str_(label) for label in LABELS],
        pd.array(np.arange(ROWS) % 2, dtype="Int64"),
        [Decimal(row % 2) for row in range(ROWS)],
    ],
    ids=["categories", "texts", "a frame", "NumPy's texts", "integers", "decimals"],
)
def test_labels_of_every_type_are_classes(labels: Any) -> None:
    classes = as_dataset((pd.DataFrame({"x": NUMBERS}), labels)).classes
    assert classes in (("ja", "nein"), ("0", "1"))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=repr)
def test_missing_labels_are_counted_and_refused(missing: Any) -> None:
    labels = pd.Series(gaps(LABELS.tolist(), missing), dtype=object)
    with pytest.raises(InvalidInput, match="8 of 40 rows have no target, the first is row 3"):
        MLP([4]).fit(pd.DataFrame({"x": NUMBERS}), labels, progress=False)


def test_numbers_and_tuples_may_name_columns() -> None:
    for names in ([0, 1], [0, "a"], pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])):
        frame = pd.DataFrame(np.stack([NUMBERS, NUMBERS**2], axis=1), columns=names)
        model = MLP([4])
        model.fit(frame, LABELS, epochs=1, progress=False, doctor=False)
        one = model.predict(frame.to_dict("records")[0])
        np.testing.assert_allclose(one.outputs["logits"], answers(model.predict(frame.head(1)))[0], atol=1e-5)


@pytest.mark.parametrize("names", [["a", "a"], [1, "1"]])
def test_two_columns_of_one_name_are_refused(names: list[Any]) -> None:
    with pytest.raises(InvalidInput, match="two columns have this name"):
        from_arrays(pd.DataFrame(np.zeros((3, 2)), columns=names))


def test_an_index_is_no_column_unless_it_is_the_time() -> None:
    frame = pd.DataFrame({"x": NUMBERS})
    times = pd.date_range("2024-01-01", periods=ROWS, name="tag")
    several = pd.MultiIndex.from_arrays([range(ROWS), range(ROWS)], names=["a", None])
    assert from_arrays(frame.set_index(pd.Index(range(5, 5 + ROWS), name="kunde"))).schema.names == ("x",)
    assert from_arrays(frame.set_index(several)).schema.names == ("x",)
    assert from_arrays(frame.set_index(times)).schema.names == ("x", "tag")


def test_what_cannot_be_used_is_refused_by_name() -> None:
    for values in ([1, "a"], [1, datetime.date(2024, 1, 1)], [1 + 2j, 2]):
        with pytest.raises(InvalidInput, match=r"gemischt: holds .* Give all its values one type"):
            from_arrays(pd.DataFrame({"gemischt": pd.Series(values, dtype=object)}))
    with pytest.raises(InvalidInput, match="values of several types"):
        from_arrays(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_numpy())


def test_an_array_of_a_frame_with_gaps_is_one_of_numbers() -> None:
    array = pd.DataFrame({"a": [1, 2], "b": pd.array([3, None], dtype="Int64")}).to_numpy()
    rows = np.array([row["x"] for row in from_arrays(array)])
    np.testing.assert_array_equal(rows, np.array([[1, 3], [2, np.nan]]))


def test_a_series_and_an_array_of_texts_are_several_examples() -> None:
    model = TextClassifier("cnn", max_length=4)
    model.fit(pd.Series(WORDS), LABELS, epochs=1, progress=False, doctor=False)
    for several in (pd.Series(["Wort 1", "Wort 2"]), np.array(["Wort 1", "Wort 2"]), np.array(["Wort 1", "b"], object)):
        assert len(model.predict(several)) == 2
