"""What a server says about its load, and what others may say under the same key."""

from __future__ import annotations

import pytest

from lepton_ai.mesh.load import Load, limit_of


def test_a_load_is_read_as_it_was_written() -> None:
    load = Load(in_flight=12, latency_s=0.0345, limit=1000)
    assert str(load) == "12,34.500,1000"
    assert Load.parse(str(load)) == load


@pytest.mark.parametrize("text", ["", "?", "1", "1,2", "1,2,3,4", "a,b,c", "1.5,2,3"])
def test_what_is_no_load_is_ignored(text: str) -> None:
    assert Load.parse(text) is None


def test_a_process_takes_as_many_calls_as_would_fill_its_service_and_never_more_than_its_own_limit() -> None:
    assert limit_of(6, 1000, 0.5) == 12
    assert limit_of(6, 1000, 1.0) == 6, "it is full"
    assert limit_of(6, 10, 0.1) == 10
    assert limit_of(6, 1000, 0.0) == 1000, "the service says nothing of its own"
    assert limit_of(0, 1000, 1.0) == 1
