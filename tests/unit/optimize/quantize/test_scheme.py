"""Which 8-bit types keep their sums on which processor."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.optimize.measure.cpu import Cpu
from lepton_ai.optimize.quantize.scheme import S8S8, U8S7, U8S8, find_scheme, schemes_for


def cpu(*flags: str) -> Cpu:
    return Cpu("some", flags, 2)


def test_full_weights_where_products_are_summed_in_32_bits() -> None:
    assert schemes_for(cpu("avx2", "avx512_vnni")) == (U8S8,)
    assert schemes_for(cpu("avx2", "avx_vnni")) == (U8S8,)


def test_reduced_weights_where_sums_of_pairs_saturate() -> None:
    assert schemes_for(cpu("avx2")) == (U8S7,)
    assert schemes_for(cpu("avx2", "avx512f", "avx512bw")) == (U8S7,)


def test_signed_activations_on_arm() -> None:
    assert schemes_for(cpu("asimd", "asimddp"))[0] == S8S8


@pytest.mark.parametrize(("weight", "saturates"), [(127, True), (63, False)])
def test_seven_bits_are_as_many_as_sixteen_bit_sums_bear(weight: int, *, saturates: bool) -> None:
    """The trap itself: two products of an unsigned and a signed byte, added in 16 bits."""
    pair = 2 * 255 * weight
    assert (pair > np.iinfo(np.int16).max) is saturates


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(InvalidInput, match="u4"):
        find_scheme("u4")
