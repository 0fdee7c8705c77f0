"""Whatever a span is told, it keeps a bounded, unchangeable value that can be sent."""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any

import pytest

from lepton_ai.mesh.tracing.values import bounded_attributes, bounded_value


class _Number(IntEnum):
    SEVEN = 7


class _Text(StrEnum):
    CAT = "cat"


class _OldText(str, Enum):  # noqa: UP042 - its str() is "_OldText.DOG"
    DOG = "dog"


@pytest.mark.parametrize("value", [True, False, 0, -(2**63), 2**63 - 1, 1.5, "", "猫", None])
def test_plain_values_stay_as_they_are(value: Any) -> None:
    assert bounded_value(value) == value
    assert type(bounded_value(value)) is type(value)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("长" * 300, "长" * 256),
        ("a\ud800b", "a?b"),
        (b"x" * 300, b"x" * 256),
        (2**63, "0x8000000000000000"),
        (_Number.SEVEN, 7),
        (_Text.CAT, "cat"),
        (_OldText.DOG, "dog"),
        (["a" * 300, 1], ("a" * 256, 1)),
        ({"a": [1]}, {"a": (1,)}),
        (PurePosixPath("a/b"), "a/b"),
    ],
)
def test_other_values_are_cut_and_copied(value: Any, kept: Any) -> None:
    assert bounded_value(value) == kept
    assert type(bounded_value(value)) is type(kept)


def test_a_number_with_more_digits_than_python_prints_is_cut_too() -> None:
    assert bounded_value(10**5000) == hex(10**5000)[:256]


def test_attributes_are_as_many_as_allowed_in_the_order_given() -> None:
    assert list(bounded_attributes({str(number): number for number in range(100)})) == [str(n) for n in range(64)]
    assert bounded_attributes(None) == {}
