"""The language of searches: what it understands, and what it says of the rest."""

from __future__ import annotations

import pytest

from lepton_ai.errors import InvalidInput
from services.registry.catalogue.filters import Term, parse_filter


def test_terms_are_joined_by_and() -> None:
    assert parse_filter("tag.team=vision and name~effi AND state != archived") == [
        Term("tag", "team", "=", "vision"),
        Term("name", "", "~", "effi"),
        Term("state", "", "!=", "archived"),
    ]


def test_values_may_be_quoted_and_anything() -> None:
    assert parse_filter(r'description~"猫 and \"dog\""') == [Term("description", "", "~", '猫 and "dog"')]


def test_numbers_are_compared() -> None:
    assert parse_filter("version>=3 and metric.top1 > 0.7") == [
        Term("version", "", ">=", "3", 3.0),
        Term("metric", "top1", ">", "0.7", 0.7),
    ]


def test_nothing_lets_everything_through() -> None:
    assert parse_filter("  ") == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("name", "KEY OPERATOR VALUE"),
        ("colour=red", "there is no 'colour'"),
        ("tag=vision", "tag needs a name"),
        ("name.x=y", "name takes no name"),
        ("name<b", "has no order"),
        ("version~3", "contains nothing"),
        ("version=three", "'three' is no number"),
        ("name=a state=ready", "'and' is missing"),
        ("name=a and ", "KEY OPERATOR VALUE|'and' is missing"),
        ("name='; drop table versions", "KEY OPERATOR VALUE|'and' is missing"),
        (" and ".join(["name=a"] * 21), "more than 20 terms"),
        ("name=" + "a" * 2000, "more than 2000 characters"),
    ],
)
def test_what_is_wrong_is_named(text: str, what: str) -> None:
    with pytest.raises(InvalidInput, match=what) as caught:
        parse_filter(text)
    assert caught.value.fields[0].field == "filter"
