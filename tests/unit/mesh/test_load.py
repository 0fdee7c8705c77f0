"""What a server says about its load, and what others may say under the same key."""

from __future__ import annotations

import pytest

from lepton_ai.mesh.load import Load


def test_a_load_is_read_as_it_was_written() -> None:
    load = Load(in_flight=12, latency_s=0.0345, limit=1000)
    assert str(load) == "12,34.500,1000"
    assert Load.parse(str(load)) == load


@pytest.mark.parametrize("text", ["", "?", "1", "1,2", "1,2,3,4", "a,b,c", "1.5,2,3"])
def test_what_is_no_load_is_ignored(text: str) -> None:
    assert Load.parse(text) is None
