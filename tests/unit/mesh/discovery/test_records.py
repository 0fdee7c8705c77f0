"""What stands in the shared state is written and read in one place, and nothing that stands there hurts a reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.discovery.records import (
    Endpoint,
    Records,
    decode_deployment,
    decode_endpoint,
    decode_serving_state,
    deployment_key,
    encode_deployment,
    encode_endpoint,
    encode_serving_state,
    endpoint_key,
    serving_key,
)
from lepton_ai.v1 import health_pb2, registry_pb2

ENDPOINT = Endpoint("inference", "127.0.0.1:8500", {"zone": "东"})
DEPLOYMENT = registry_pb2.Deployment(
    model="cat",
    generation=7,
    versions=[registry_pb2.DeployedVersion(version=2, digest="d")],
    routes=[registry_pb2.Route(alias="production", targets=[registry_pb2.WeightedVersion(version=2, weight=100)])],
)
SERVING = health_pb2.ServingState(
    replica="127.0.0.1:8500",
    versions=[health_pb2.VersionStatus(model="cat", version=2, state=health_pb2.VERSION_STATE_SERVING)],
    triton_ready=True,
)

CASES: dict[str, tuple[str, bytes, Callable[[str, bytes], Any], Any]] = {
    "endpoint": (endpoint_key(ENDPOINT), encode_endpoint(ENDPOINT), decode_endpoint, ENDPOINT),
    "deployment": (deployment_key("cat"), encode_deployment(DEPLOYMENT), decode_deployment, DEPLOYMENT),
    "serving state": (serving_key(SERVING.replica), encode_serving_state(SERVING), decode_serving_state, SERVING),
}
each_kind = pytest.mark.parametrize("kind", CASES)

ABSURD = {
    "nothing": b"",
    "no JSON": b"{not json",
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "not UTF-8": b"\xff\xfe",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "empty": b"{}",
    "deep": b"[" * 100_000,
    "deep below a name": b'{"x":' * 3000 + b"1" + b"}" * 3000,
    "a long number": b'{"generation":' + b"9" * 6000 + b"}",
    "infinite": b'{"model": "cat", "generation": 1e400}',
    "half a character": b'{"model": "\\ud800", "Addr": "\\ud800", "replica": "\\ud800"}',
}


@each_kind
def test_what_was_written_is_read(kind: str) -> None:
    key, value, decode, record = CASES[kind]
    assert decode(key, value) == record


@each_kind
@pytest.mark.parametrize("name", ABSURD)
def test_what_is_no_such_record_is_refused(kind: str, name: str) -> None:
    key, _, decode, _ = CASES[kind]
    with pytest.raises(InvalidInput):
        decode(key, ABSURD[name])


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("endpoint", "/lepton/endpoints/inference/127.0.0.1:8501"),
        ("deployment", "/lepton/deployments/dog"),
        ("deployment", "/lepton/deployments/a/cat"),
        ("serving state", "/lepton/serving/127.0.0.1:8501"),
    ],
)
def test_a_record_under_a_key_that_is_not_its_own_is_refused(kind: str, key: str) -> None:
    _, value, decode, _ = CASES[kind]
    with pytest.raises(InvalidInput):
        decode(key, value)


@pytest.mark.parametrize("address", ["nowhere", "host:0", "unix:/run/x:1", "", "h:1/x"])
def test_where_nobody_can_be_reached_is_no_endpoint_and_no_replica(address: str) -> None:
    with pytest.raises(InvalidInput):
        decode_endpoint("/lepton/endpoints/inference/x", json.dumps({"Addr": address}).encode())
    with pytest.raises(InvalidInput):
        decode_serving_state(serving_key(address), json.dumps({"replica": address}).encode())


@pytest.mark.parametrize("model", ["", "Cat", "../x", "a b", "数字"])
def test_what_cannot_name_a_model_is_no_deployment(model: str) -> None:
    with pytest.raises(InvalidInput):
        decode_deployment(deployment_key(model), json.dumps({"model": model}).encode())


def test_what_a_later_release_adds_is_ignored() -> None:
    document = json.loads(encode_deployment(DEPLOYMENT)) | {"added_later": {"x": [1]}}
    assert decode_deployment(deployment_key("cat"), json.dumps(document).encode()) == DEPLOYMENT


def test_the_wish_to_serve_nothing_is_a_deployment() -> None:
    assert not decode_deployment(deployment_key("cat"), b'{"model": "cat"}').versions


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
documents = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=20), inner), max_leaves=20
)
NAMES = ["model", "generation", "versions", "routes", "replica", "triton_ready", "Addr", "Metadata", "version", "alias"]


@st.composite
def nearly_right(draw: st.DrawFn) -> bytes:
    """A good document in which some values are others."""
    document = json.loads(CASES[draw(st.sampled_from(sorted(CASES)))][1])
    document.update(draw(st.dictionaries(st.sampled_from(NAMES), documents, max_size=3)))
    return json.dumps(document).encode()


@given(value=st.binary() | documents.map(lambda document: json.dumps(document).encode()) | nearly_right())
def test_a_value_is_read_or_refused_whatever_it_is(value: bytes) -> None:
    for key, _, decode, _ in CASES.values():
        try:
            decode(key, value)
        except InvalidInput as error:
            assert error.message


@each_kind
@given(junk=st.dictionaries(st.text(max_size=30), st.binary() | documents.map(lambda each: json.dumps(each).encode())))
def test_junk_hides_nothing(kind: str, junk: dict[str, bytes]) -> None:
    key, value, decode, record = CASES[kind]
    assert Records(decode).read({**junk, key: value})[key] == record


def test_a_bad_value_is_said_once_for_as_long_as_it_stands(caplog: pytest.LogCaptureFixture) -> None:
    records = Records(decode_deployment)
    key = deployment_key("cat")
    for _ in range(3):
        assert records.read({key: b"{not json"}) == {}
    assert [getattr(record, "key", "") for record in caplog.records] == [key]
    assert records.read({key: encode_deployment(DEPLOYMENT)}) == {key: DEPLOYMENT}
    records.read({key: b"{not json"})
    records.read({})
    records.read({key: b"{not json"})
    assert len(caplog.records) == 3


def test_values_do_not_get_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    Records(decode_deployment).read({deployment_key("cat"): b'{"model": "secret-of-mine", "generation": "secret"}'})
    Records(decode_endpoint).read({"/lepton/endpoints/x/y": b'{"Addr": "secret"}'})
    assert len(caplog.records) == 2
    assert "secret" not in " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
