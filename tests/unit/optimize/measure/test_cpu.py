"""Which processors a measurement holds for."""

from __future__ import annotations

import pytest

from lepton_ai.errors import FailedPrecondition
from lepton_ai.optimize.measure.cpu import OTHER_CPU, check_cpu, parse_cpu

OLD = parse_cpu("model name\t: Old\nflags\t\t: fpu sse4_2 avx2 fma\n", cores=4)
NEW = parse_cpu("model name\t: New\nflags\t\t: fpu avx2 fma avx512f avx512_vnni\n\nmodel name\t: New\n", cores=8)
ARM = parse_cpu("Features\t: fp asimd asimddp i8mm\n", cores=2)


def test_a_processor_is_known_by_what_it_can() -> None:
    assert (OLD.model, OLD.flags) == ("Old", ("avx2", "fma"))
    assert NEW.flags == ("avx2", "fma", "avx512f", "avx512_vnni") and NEW.cores == 8
    assert ARM.flags == ("asimd", "asimddp", "i8mm")


def test_without_a_description_it_can_nothing() -> None:
    assert parse_cpu("", cores=1).flags == ()


def test_byte_products_saturate_on_x86_without_vnni_only() -> None:
    assert [cpu.multiplies_bytes_exactly for cpu in (OLD, NEW, ARM)] == [False, True, True]


def test_a_measurement_holds_where_the_flags_are_the_same() -> None:
    check_cpu(NEW.flags, NEW)
    with pytest.raises(FailedPrecondition, match="lacks avx512f, avx512_vnni") as caught:
        check_cpu(NEW.flags, OLD)
    assert caught.value.reason == OTHER_CPU and "lepton optimise" in caught.value.fix
    with pytest.raises(FailedPrecondition, match="has avx512f, avx512_vnni besides"):
        check_cpu(OLD.flags, NEW)
