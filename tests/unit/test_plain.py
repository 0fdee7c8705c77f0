"""Values as NumPy, databases and pandas hand them over."""

from __future__ import annotations

import datetime
import math
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from lepton_ai.plain import decimal_number, is_missing, nearest_float, plain_value

ID = uuid.UUID("12345678123456781234567812345678")
SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))


def missing_values() -> list[Any]:
    found: list[Any] = [
        None, math.nan, np.float32("nan"), np.float16("nan"), np.datetime64("NaT"), np.timedelta64("NaT"),
        Decimal("NaN"), Decimal("sNaN"),
    ]  # fmt: skip
    try:
        import pandas as pd  # type: ignore[import-untyped]  # comes with the packages of the ready data sets
    except ImportError:
        return found
    return [*found, pd.NA, pd.NaT]


@pytest.mark.parametrize("value", missing_values(), ids=repr)
def test_what_says_that_there_is_no_value_is_missing(value: Any) -> None:
    assert is_missing(value)
    plain = plain_value(value)
    assert plain is None or math.isnan(plain), "NaN may be a number in an array"


@pytest.mark.parametrize(
    "value", [0, 0.0, "", "NaN", b"", False, math.inf, Decimal(0), np.datetime64("2024-01-01"), [], {}]
)
def test_everything_else_is_there(value: Any) -> None:
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.float16(1.5), 1.5),
        (np.longdouble(2.5), 2.5),
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.str_("北京"), "北京"),
        (np.bytes_(b"ab"), b"ab"),
        (Decimal("12.50"), 12.5),
        (Decimal("Infinity"), math.inf),
        (Decimal("12345678901234567890"), 12345678901234567890),
        (Decimal("1E+1000"), math.inf),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (datetime.datetime(2024, 5, 1, 8, tzinfo=SHANGHAI), "2024-05-01T08:00:00+08:00"),
        (datetime.time(8, 30), "08:30:00"),
        (datetime.timedelta(minutes=1, milliseconds=500), 60.5),
        (np.datetime64("2024-05-01"), "2024-05-01"),
        (np.datetime64("2024-05-01T08:00:00.123456789"), "2024-05-01T08:00:00.123456"),
        (np.timedelta64(1500, "ms"), 1.5),
        (ID, str(ID)),
        (memoryview(b"ab"), b"ab"),
        (bytearray(b"ab"), b"ab"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_becomes_the_plain_one_that_it_stands_for(value: Any, plain: Any) -> None:
    assert plain_value(value) == plain
    assert type(plain_value(value)) is type(plain) or isinstance(value, float | np.floating)


def test_what_is_not_known_is_given_back() -> None:
    strange = object()
    assert plain_value(strange) is strange


def test_decimals_are_floats_unless_a_float_would_round_a_whole_number() -> None:
    assert type(decimal_number(Decimal("3.00"))) is float
    assert decimal_number(Decimal(2**53 + 1)) == 2**53 + 1
    assert type(decimal_number(Decimal("9007199254740993.5"))) is float


def test_a_whole_number_beyond_floats_is_infinite() -> None:
    assert (nearest_float(10**400), nearest_float(-(10**400)), nearest_float(3)) == (math.inf, -math.inf, 3.0)
