"""What the texts of a column are is decided from all of them, and only where it is certain."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.datasets.texts.column_survey import ColumnSurvey, Found
from lepton_ai.pipeline.reading import FORMATS, Reading


def found(*texts: str | None, decimal: str | None = None, day_first: bool | None = None) -> Found:
    survey = ColumnSurvey()
    survey.add(pa.array(list(texts), pa.string()))
    return survey.found(decimal, day_first)


@pytest.mark.parametrize(
    ("texts", "reading", "kind"),
    [
        (("1", "-2", None), Reading(), pa.int64()),
        (("1.5", "2", "1e-3"), Reading(), pa.float64()),
        (("12,5", "7"), Reading(","), pa.float64()),
        (("1.234,56", "12,5"), Reading(",", "."), pa.float64()),
        (("12,500", "0,900"), Reading(","), pa.float64()),
        (("1,234.56", "12.5"), Reading(".", ","), pa.float64()),
        (("1,234,567", "5"), Reading(".", ","), pa.int64()),
        (("1.234.567", "5"), Reading(",", "."), pa.int64()),
        (("12,34,567", "5"), Reading(".", ","), pa.int64()),
        (("1'234.50", "7"), Reading(".", "'"), pa.float64()),
        (("1\u202f234,50", "7"), Reading(",", " "), pa.float64()),
        (("1\u00a0234", "7"), Reading(".", " "), pa.int64()),
        (("12,5 %", "100 %"), Reading(","), pa.float64()),
        (("€ 1,50", "€ 2"), Reading(",", unit="€"), pa.float64()),
        (("$1,234.50", "-$7.00"), Reading(".", ",", unit="$"), pa.float64()),
        (("−5", "+3"), Reading(), pa.int64()),
        (("NA", "1", "-", "2"), Reading(missing=("-", "NA")), pa.int64()),
        (("#DIV/0!", "1.5"), Reading(missing=("#DIV/0!",)), pa.float64()),
    ],
)  # fmt: skip
def test_numbers_are_found_however_they_are_written(
    texts: tuple[str, ...], reading: Reading, kind: pa.DataType
) -> None:
    decided = found(*texts)
    assert (decided.what, decided.reading, decided.type) == ("number", reading, kind)


def test_what_was_decided_is_said_with_how_to_decide_otherwise() -> None:
    assert "decimal commas" in found("12,5").note
    assert "'NA' counts as missing" in found("NA", "1").note
    assert "'NA' is kept as a value; read_table(missing=[…]) decides otherwise" in found("NA", "DE").note
    assert found("1", "2").note == ""


@pytest.mark.parametrize("texts", [("1,234", "5"), ("1,234",), ("12,345", "1,000", "999")])
def test_a_comma_that_can_be_for_decimals_or_thousands_is_left_to_the_person(texts: tuple[str, ...]) -> None:
    decided = found(*texts)
    assert (decided.what, decided.type) == ("undecided", None)
    assert "decimal=','" in decided.note
    assert found(*texts, decimal=",").reading == Reading(",")
    assert found(*texts, decimal=".").reading == Reading(".", ",")


@pytest.mark.parametrize(
    ("texts", "unit"),
    [(("￥8,000", "￥12,500"), "¥"), (("¥8,000", "9,000"), "¥"), (("8,000元",), "元"), (("$1,200",), "$")],
)
def test_a_comma_in_money_of_countries_with_decimal_points_is_for_thousands_and_that_is_said(
    texts: tuple[str, ...], unit: str
) -> None:
    decided = found(*texts)
    assert (decided.what, decided.reading) == ("number", Reading(".", ",", unit))
    assert "read_table(decimal=',') decides otherwise" in decided.note
    assert decided.reading.value(texts[0]) == int(re.sub(r"\D", "", texts[0]))
    assert found(*texts, decimal=",").reading == Reading(",", "", unit)


def test_money_that_nothing_is_known_of_is_asked_about() -> None:
    assert found("8,000 €", "9,000 €").what == "undecided"


def test_a_point_that_can_be_for_thousands_is_for_decimals_and_that_is_said() -> None:
    decided = found("1.234", "2.500")
    assert (decided.what, decided.reading) == ("number", Reading())
    assert "read_table(decimal=',')" in decided.note
    assert found("1.234", "2.500", decimal=",").reading == Reading(",", ".")
    assert found("1.234", "0.5").note == ""


@pytest.mark.parametrize(
    "texts",
    [
        ("01067", "80331"),
        ("10115", "80331", "01067"),
        ("007",),
        ("+49301234567", "+4930765432"),
        ("+49 170 123", "+49 170 456"),
        ("18446744073709551610", "1"),
        ("1582218195625938945", "0.5"),
        ("9223372036854775808", "9223372036854775807"),
        ("12E4", "7"),
        ("€5", "$5"),
    ],
)
def test_what_a_person_would_lose_is_kept_as_text(texts: tuple[str, ...]) -> None:
    decided = found(*texts)
    assert (decided.what, decided.type) == ("code", None)
    assert decided.note


@pytest.mark.parametrize(
    "texts",
    [
        ("NA", "DE"), ("NA",), ("None", "Card", "Cash"), ("A1", "1582218195625938945"), ("(5)", "3"), ("5-", "3"),
        ("12,5", "12.5"), ("08:30", "09:15"), ("1", "true"), ("2024-01-02", "7"), ("31/12/2024", "12/31/2024"),
        ("1.5.2", "1.6.0"), ("0x1F", "3"),
    ],
)  # fmt: skip
def test_texts_that_are_no_numbers_throughout_stay_texts(texts: tuple[str, ...]) -> None:
    decided = found(*texts)
    assert (decided.what, decided.type) == ("text", None)


def test_a_few_words_among_numbers_count_as_missing_but_codes_do_not() -> None:
    numbers = [str(number) for number in range(100)]
    decided = found(*numbers, "kein")
    assert (decided.what, decided.reading.missing, decided.type) == ("number", ("kein",), None)
    assert "'kein' counts as missing" in decided.note
    assert found(*numbers, "A1").what == "text"
    assert found(*numbers, "low", "middle", "high").what == "text"


@pytest.mark.parametrize("words", [("true", "false"), ("TRUE", "FALSE", "NULL"), ("True", None)])
def test_booleans_in_any_letters(words: tuple[str | None, ...]) -> None:
    decided = found(*words)
    assert (decided.what, decided.reading.of, decided.type) == ("boolean", "booleans", pa.bool_())


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (("31/12/2024", "01/02/2024"), "day"),
        (("12/31/2024", "01/02/2024"), "month"),
        (("05.03.2024", "01.02.2024"), "day"),
        (("31-12-24", "01-02-99"), "day"),
        (("99/12/31", "24/01/02"), "year"),
        (("31/12/2024 23:59", "01/02/2024 00:00"), "day"),
        (("12/31/2024 11:59 PM", "01/02/2024 1:00 am"), "month"),
        (("2024/1/31 08:30", "2024/2/1"), ""),
        (("2024-01-31T10:00:00+02:00", "2024-01-31T10:00:00Z"), ""),
        (("31-Dec-2024", "1-Jan-2024"), ""),
    ],
)
def test_the_order_of_dates_is_found_from_the_whole_column(texts: tuple[str, ...], order: str) -> None:
    decided = found(*texts)
    assert (decided.what, decided.reading.dates, decided.type) == ("time", order, None)


@pytest.mark.parametrize("texts", [("01/02/2024", "03/04/2024"), ("01-02-24", "03-04-25"), ("01.02.24",)])
def test_dates_that_can_be_read_in_two_ways_are_not_guessed(texts: tuple[str, ...]) -> None:
    decided = found(*texts)
    assert (decided.what, decided.reading.dates) == ("time", "undecided")
    assert "day_first=True" in decided.note
    assert found(*texts, day_first=True).reading.dates == "day"
    assert found(*texts, day_first=False).reading.dates == "month"


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (("2024-12-31", "2024-01-01"), pa.date32()),
        (("2024-12-31", "2024-01-01 10:00"), pa.timestamp("s")),
        (("2024-12-31T10:00:00", "2024-01-01 10:00:00.25"), pa.timestamp("us")),
    ],
)
def test_iso_times_become_times(texts: tuple[str, ...], kind: pa.DataType) -> None:
    assert found(*texts).type == kind


def test_a_column_of_blanks_is_empty() -> None:
    assert found(None, "", "  ").what == "empty"


@given(
    st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=1, max_size=20),
    st.sampled_from(FORMATS),
    st.integers(1, 7),
)
def test_a_number_is_never_read_as_another_one(values: list[object], style: tuple[str, str], cut: int) -> None:
    decimal, thousands = style
    texts = [f"{value:,.2f}".replace(",", "t").replace(".", decimal).replace("t", thousands) for value in values]
    survey = ColumnSurvey()
    for start in range(0, len(texts), cut):
        survey.add(pa.array(texts[start : start + cut]))
    decided = survey.found()
    assert decided.what == "number"
    assert [decided.reading.number(text) for text in texts] == [float(f"{value}") for value in values]
