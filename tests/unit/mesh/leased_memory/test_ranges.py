"""Parts of a range never overlap, and all of it is there again once all are given back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.mesh.leased_memory.ranges import Ranges

SIZE = 100


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40))))
def test_parts_never_overlap_and_come_together_again(steps: list[tuple[bool, int]]) -> None:
    ranges, taken = Ranges(10, 10 + SIZE), dict[int, int]()
    for gives_back, number in steps:
        if gives_back and taken:
            begin = sorted(taken)[number % len(taken)]
            ranges.give_back(begin, taken.pop(begin))
        elif (found := ranges.take(number)) is not None:
            used = {at for begin, size in taken.items() for at in range(begin, begin + size)}
            assert not used & set(range(found, found + number))
            assert 10 <= found <= 10 + SIZE - number
            taken[found] = number
    for begin, size in taken.items():
        ranges.give_back(begin, size)
    assert ranges.take(SIZE) == 10


def test_what_does_not_fit_in_one_piece_is_not_given() -> None:
    ranges = Ranges(0, 30)
    assert [ranges.take(10) for _ in range(4)] == [0, 10, 20, None]
    ranges.give_back(0, 10)
    ranges.give_back(20, 10)
    assert ranges.take(20) is None


def test_an_empty_range_gives_nothing() -> None:
    assert Ranges(5, 5).take(1) is None
