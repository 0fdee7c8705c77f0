"""The records in the shared state, their keys and their JSON: only this module writes and reads them.

Anyone who reaches the store can write anything there. A value that cannot be read is skipped and logged once, so that
it neither hides the good ones nor stops the code that follows them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.address import is_address
from lepton_ai.mesh.discovery.state import DEPLOYMENTS, ENDPOINTS, SERVING
from lepton_ai.references import check_name
from lepton_ai.v1 import health_pb2, registry_pb2

T = TypeVar("T")
M = TypeVar("M", bound=Message)

_MAX_JSON_DEPTH = 32
_MAX_LISTED_BYTES = 512 << 10
"""As JSON up to twice as much; etcd takes 1.5 MiB."""
UNREADABLE = (json_format.ParseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What JSON parsers raise for malformed content, wrong encodings included."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoint:
    """One process that serves a service at host:port; the metadata holds what else callers may want to know."""

    service: str
    address: str
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


def endpoint_key(endpoint: Endpoint) -> str:
    """The key of an endpoint. Raises InvalidInput for a service or an address that cannot be part of a key."""
    for name, value in (("service", endpoint.service), ("address", endpoint.address)):
        if not value or "/" in value:
            raise InvalidInput.of_field(name, f"{value!r} is empty or contains '/'", fix="Choose another name.")
    return f"{ENDPOINTS}{endpoint.service}/{endpoint.address}"


def encode_endpoint(endpoint: Endpoint) -> bytes:
    """The value of an endpoint's key, in etcd's own gRPC naming layout."""
    return json.dumps({"Addr": endpoint.address, "Metadata": dict(endpoint.metadata)}, ensure_ascii=False).encode()


def decode_endpoint(key: str, value: bytes) -> Endpoint:
    """The endpoint that is registered under a key. Raises InvalidInput for anything else.

    Lepton's keys end with the address; other writers of etcd's layout may end them as they like.
    """
    service, _, place = key.removeprefix(ENDPOINTS).partition("/")
    try:
        document = json.loads(value)
        address, metadata = document["Addr"], document.get("Metadata") or {}
        texts = {str(name): str(text) for name, text in metadata.items()}
    except UNREADABLE as error:
        raise _unreadable("an endpoint") from error
    if not service or not isinstance(address, str) or not is_address(address):
        raise InvalidInput.of_field("Addr", "is not HOST:PORT")
    if is_address(place) and place != address:
        raise _misplaced("Addr")
    return Endpoint(service, address, texts)


def deployment_key(model: str) -> str:
    """The key of a model's deployment."""
    return f"{DEPLOYMENTS}{model}"


def encode_deployment(deployment: registry_pb2.Deployment) -> bytes:
    """The value of a deployment's key, of what `published` returns."""
    return _encode(published(deployment))


def published(deployment: registry_pb2.Deployment) -> registry_pb2.Deployment:
    """A deployment as it is published: without the lists of files where they would make the value too large for etcd.

    Their models' names stay, with which `lepton_ai.package.transfer.fetch_manifest` asks the registry for them.
    """
    if deployment.ByteSize() <= _MAX_LISTED_BYTES:
        return deployment
    short = registry_pb2.Deployment.FromString(deployment.SerializeToString())
    for version in short.versions:
        version.manifest.CopyFrom(registry_pb2.Manifest(model=deployment.model))
        for variant in version.variants:
            variant.manifest.CopyFrom(version.manifest)
    return short


def decode_deployment(key: str, value: bytes) -> registry_pb2.Deployment:
    """The deployment under a key. Raises InvalidInput for a value that no Lepton registry writes."""
    deployment = _decode(value, registry_pb2.Deployment())
    if key != deployment_key(check_name(deployment.model, field="model")):
        raise _misplaced("model")
    if any(version.version < 1 for version in deployment.versions):
        raise InvalidInput.of_field("versions.version", "begins at 1")
    return deployment


def serving_key(replica: str) -> str:
    """The key under which an inference replica says what it serves; `replica` is its address."""
    return f"{SERVING}{replica}"


def encode_serving_state(state: health_pb2.ServingState) -> bytes:
    """The value of an inference replica's key."""
    return _encode(state)


def decode_serving_state(key: str, value: bytes) -> health_pb2.ServingState:
    """What a replica says under its key. Raises InvalidInput for a value that no Lepton replica writes."""
    state = _decode(value, health_pb2.ServingState())
    if not is_address(state.replica):
        raise InvalidInput.of_field("replica", "is not HOST:PORT")
    if key != serving_key(state.replica):
        raise _misplaced("replica")
    return state


class Records(Generic[T]):
    """Reads a watched part of the shared state again and again; each value is decoded, or refused and logged, once."""

    def __init__(self, decode: Callable[[str, bytes], T]) -> None:
        """`decode` is one of this module's; it raises InvalidInput."""
        self._decode = decode
        self._read: Mapping[str, tuple[bytes, T | None]] = {}

    def read(self, entries: Mapping[str, bytes]) -> dict[str, T]:
        """The records by key, in the order of the keys, without unreadable ones. Later calls share them: do not change
        them."""
        self._read = {key: self._read_one(key, value) for key, value in sorted(entries.items())}
        return {key: record for key, (_, record) in self._read.items() if record is not None}

    def _read_one(self, key: str, value: bytes) -> tuple[bytes, T | None]:
        known = self._read.get(key)
        if known is not None and known[0] == value:
            return known
        try:
            return value, self._decode(key, value)
        except InvalidInput as error:
            _log.warning("skipped a record that cannot be read", extra={"key": key[:200], "why": error.message[:200]})
            return value, None


def _encode(message: Message) -> bytes:
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None).encode()


def _decode(value: bytes, message: M) -> M:
    try:
        return json_format.Parse(value, message, ignore_unknown_fields=True, max_recursion_depth=_MAX_JSON_DEPTH)
    except UNREADABLE as error:
        raise _unreadable(f"a {message.DESCRIPTOR.name}") from error


def _unreadable(what: str) -> InvalidInput:
    return InvalidInput(f"The value is not {what} as JSON.", fix="Delete the key; its owner writes it again.")


def _misplaced(name: str) -> InvalidInput:
    return InvalidInput.of_field(name, "is not what the key says", fix="Delete the key; its owner writes it again.")
