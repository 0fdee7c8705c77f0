from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.references import NAME_PATTERN, format_form, format_model_ref, parse_form, parse_model_ref

names = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: ".." not in name)


@given(names)
def test_a_plain_name_means_the_production_route(name: str) -> None:
    assert parse_model_ref(name).WhichOneof("selector") is None


@given(names, st.one_of(st.integers(1, 2**63 - 1).map(str), names))
def test_a_reference_survives_formatting(name: str, selector: str) -> None:
    if selector.isdigit() and int(selector) == 0:
        return
    reference = parse_model_ref(f"{name}@{selector}")
    assert parse_model_ref(format_model_ref(reference)) == reference


def test_a_variant_stands_after_its_version() -> None:
    reference, variant = parse_form("m@3+int8")
    assert (reference, variant, format_form(3, variant)) == (parse_model_ref("m@3"), "int8", "3+int8")
    assert parse_form("m@3") == (parse_model_ref("m@3"), "")
    assert format_form(3, "") == "3"
    for text in ("m@3+", "m@3+A", "m@3+a+b"):
        with pytest.raises(InvalidInput, match="variant"):
            parse_form(text)


BAD_NAMES = ["", "a..b", "../x", "A", "a\0", "é", "a" * 65, "x" * 300]
BAD_SELECTORS = ["m@0", "m@", "m@-1", "m@A", "m@" + "9" * 30, "m@²"]


@pytest.mark.parametrize("text", BAD_NAMES + BAD_SELECTORS)
def test_bad_references_are_refused_with_the_field(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_model_ref(text)
    assert caught.value.fields[0].field.startswith("model.")
