"""The profile survives its file, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from lepton_ai.errors import InvalidInput
from lepton_ai.inputs.bars import bars
from lepton_ai.inputs.counts import InputCounts
from lepton_ai.inputs.profile import MAX_PROFILE_BYTES, Profile
from tests.unit.inputs.test_counts import counted, rows

NUMBER = {"kind": "number", "edges": [0.0, 1.0], "counts": [0, 1, 2, 3]}
CATEGORY = {"kind": "category", "names": ["a", "b"], "parts": 1, "counts": [0, 1, 2, 3]}


@given(rows)
def test_it_is_read_as_it_was_written(values: list[tuple[float | None, str | None]]) -> None:
    profile = Profile.of(counted(values))
    again = Profile.from_json(profile.to_json())
    assert again == profile
    assert again.digest == profile.digest


def test_a_wide_table_has_some_kilobytes() -> None:
    counts = InputCounts()
    for row in range(2000):
        counts.add((f"column {number}", "number", row * 0.37 + number) for number in range(30))
    assert len(Profile.of(counts).to_json()) < 20_000


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "profile"),
        ({"format": 2, "rows": 1, "features": {}}, "profile.format"),
        ({"format": 1, "rows": -1, "features": {}}, "profile.rows"),
        ({"format": 1, "rows": True, "features": {}}, "profile.rows"),
        ({"format": 1, "rows": 1, "features": []}, "profile.features"),
        ({"format": 1, "rows": 1, "features": {"": NUMBER}}, "profile.features"),
        ({"format": 1, "rows": 1, "features": {f"x{n}": NUMBER for n in range(301)}}, "profile.features"),
        *(
            ({"format": 1, "rows": 1, "features": {"x": each}}, "profile.features[x]")
            for each in (
                7,
                {"kind": "colour"},
                NUMBER | {"edges": [1.0, 0.0]},
                NUMBER | {"edges": [0.0, None]},
                NUMBER | {"edges": list(range(100))},
                CATEGORY | {"names": ["b", "a"]},
                CATEGORY | {"names": ["a", "a"]},
                CATEGORY | {"names": ["a", ["b"]]},
                CATEGORY | {"parts": 0},
            )
        ),
        *(
            ({"format": 1, "rows": 1, "features": {"x": each}}, "profile.features[x].counts")
            for each in (
                NUMBER | {"counts": [1, 2]},
                NUMBER | {"counts": [1, 2, 3, -4]},
                NUMBER | {"counts": [1, 2, 3, 0.5]},
                CATEGORY | {"counts": "1234"},
            )
        ),
    ],
)
def test_what_is_no_profile_is_refused_with_its_field(document: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Profile.from_json(json.dumps(document).encode())
    assert caught.value.fields[0].field == field


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b" " * (MAX_PROFILE_BYTES + 1)])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        Profile.from_json(content)


def test_an_edge_beyond_what_a_float_holds_is_refused() -> None:
    text = '{"format": 1, "rows": 1, "features": {"x": {"kind": "number", "edges": [1e999], "counts": [0, 0, 0]}}}'
    for content in (text, text.replace("1e999", "1" + "0" * 400)):
        with pytest.raises(InvalidInput):
            Profile.from_json(content.encode())


def test_bars_have_one_scale() -> None:
    assert bars([0.0, 0.5, 0.5], [1.0, 0.0, 0.001]) == (" ▄▄", "█ ▁")
    assert bars([], []) == ("", "")
