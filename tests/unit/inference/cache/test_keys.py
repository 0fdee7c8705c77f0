"""Keys depend on the version and on the input, and on nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.package import Caching
from lepton_ai.v1 import common_pb2
from services.inference.cache.keys import (
    KEY_BYTES,
    answers_seed,
    item_fingerprint,
    item_key,
    row_key,
    tenant_seed,
    tensors_seed,
)
from services.inference.rows import NamedTensor, Rows
from tests.unit.inference.colours import colours_version

SEED = bytes(32)
Value = common_pb2.Value


def item(item_id: str = "", **inputs: Value) -> common_pb2.Item:
    return common_pb2.Item(id=item_id, inputs=inputs)


def row(data: bytes, *, name: str = "x", dtype: str = "FP32", shape: tuple[int, ...] = (1, 2)) -> Rows:
    return Rows(1, (NamedTensor(name, dtype, shape, data),))


def test_the_id_of_an_item_and_the_order_of_its_inputs_do_not_count() -> None:
    one = item("first", a=Value(number=1.0), b=Value(data=b"x" * 5000))
    same = item("second", b=Value(data=b"x" * 5000), a=Value(number=1.0))
    assert item_key(SEED, one) == item_key(SEED, same)
    assert item_fingerprint(one) == item_fingerprint(same)
    assert len(item_key(SEED, one)) == KEY_BYTES


@pytest.mark.parametrize(
    "other",
    [
        item(a=Value(text="1")),
        item(a=Value(integer=1)),
        item(a=Value(data=b"1")),
        item(b=Value(number=1.0)),
        item(a=Value(number=1.0), b=Value()),
        item(a=Value(number=-0.0)),
        item(),
    ],
)
def test_any_other_input_has_another_key(other: common_pb2.Item) -> None:
    assert item_key(SEED, other) != item_key(SEED, item(a=Value(number=1.0)))


inputs = st.dictionaries(st.text(max_size=3), st.binary(max_size=8) | st.just(b"z" * 5000), max_size=3)


@given(inputs, inputs)
def test_items_have_equal_keys_when_they_are_equal_and_only_then(
    left: dict[str, bytes], right: dict[str, bytes]
) -> None:
    keys = [item_key(SEED, item(**{})) if not each else _key(each) for each in (left, right)]
    assert (keys[0] == keys[1]) == (left == right)


def _key(values: dict[str, bytes]) -> bytes:
    return item_key(SEED, common_pb2.Item(inputs={name: Value(data=data) for name, data in values.items()}))


def test_rows_of_other_content_shape_type_or_name_have_other_keys() -> None:
    rows = [
        row(b"12345678"),
        row(b"12345679"),
        row(b"12345678", shape=(1, 1, 2)),
        row(b"12345678", dtype="INT32"),
        row(b"12345678", name="y"),
    ]
    assert len({row_key(SEED, each) for each in rows}) == len(rows)
    assert row_key(SEED, rows[0]) == row_key(SEED, row(b"12345678"))


def test_another_package_under_the_same_version_number_has_other_keys() -> None:
    one, again = colours_version(digest="a" * 64), colours_version(digest="a" * 64)
    other = colours_version(digest="b" * 64)
    assert answers_seed(one) == answers_seed(again) != answers_seed(other)
    assert answers_seed(colours_version(version=2, digest="a" * 64)) != answers_seed(one)
    again.variant = "int8"
    assert answers_seed(again) != answers_seed(one)


def test_versions_with_the_same_pipeline_share_its_tensors_unless_one_keeps_tenants_apart() -> None:
    one, two = colours_version(version=1), colours_version(version=2)
    apart = colours_version(version=2, caching=Caching(isolate=True))
    assert tensors_seed(one) == tensors_seed(two) != tensors_seed(apart)


def test_tenants_have_keys_of_their_own() -> None:
    seeds = {tenant_seed(SEED, tenant) for tenant in ("a", "b", "")} | {SEED}
    assert len({item_key(seed, item(a=Value(number=1.0))) for seed in seeds}) == 4
