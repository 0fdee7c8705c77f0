"""Keys of what is kept: BLAKE3 with 256 bits, so that nobody can make two inputs with one key.

A key says nothing of who asked, when, how urgently or by which alias: only of the version and the input. It is keyed by
a seed that stands for the version's package (and so for its pipeline, its model and its postprocessing), the tenant
where tenants are kept apart, and this release of Lepton, whose code has its share in the answer too.

BLAKE3 takes 12 µs for a photo of 72 KB where BLAKE2b takes 78 and SHA-256 41; faster ones (XXH3: 1 µs) are easily made
to collide on purpose, and then one caller could choose another one's answer.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from importlib.metadata import version as installed_version

from blake3 import blake3

from services.inference.item import Content, Item, Value
from services.inference.rows import NamedTensor, Rows
from services.inference.version import LoadedVersion

KEY_BYTES = 32
FORMAT = 1
"""Of what the store that replicas share holds: raised whenever older entries cannot be read any more."""
_SLICE_BYTES = 64
_LONG_BYTES = 4096
_HEAD = struct.Struct("<IcQ")
_release = installed_version("lepton-serving")


def answers_seed(loaded: LoadedVersion) -> bytes:
    """What the keys of a version's answers depend on beside the input; a variant's answers are not the original's."""
    of_variant = [loaded.variant] if loaded.variant else []
    return _seed("answers", loaded.model, str(loaded.version), loaded.digest, *of_variant)


def tensors_seed(loaded: LoadedVersion) -> bytes | None:
    """The same for what its pipeline makes, equal for all versions with that pipeline; None without one."""
    pipeline = loaded.pipeline_proto
    return None if pipeline is None else _seed("tensors", pipeline.digest, str(loaded.caching.isolate))


def tenant_seed(seed: bytes, tenant: str) -> bytes:
    """The seed for one tenant alone."""
    return blake3(tenant.encode(), key=seed).digest()


def item_key(seed: bytes, item: Item) -> bytes:
    """The key of a raw item; its id is not part of it."""
    inputs = item.inputs
    fields = [_item_field(seed, name, inputs[name]) for name in sorted(inputs)]
    return blake3(b"".join(fields), key=seed).digest()


def row_key(seed: bytes, row: Rows) -> bytes:
    """The key of one row of ready tensors, in the order that the model declares."""
    fields = [
        _field(seed, f"{tensor.name}\0{tensor.dtype}\0{tensor.shape}", b"t", tensor.data) for tensor in row.tensors
    ]
    return blake3(b"".join(fields), key=seed).digest()


def item_fingerprint(item: Item) -> int:
    """A number that is the same for the same item, much cheaper than its key and no proof of anything."""
    return hash(tuple((name, _shortened(item.inputs[name])) for name in sorted(item.inputs)))


def row_fingerprint(tensors: Sequence[NamedTensor]) -> int:
    """The same for ready tensors."""
    return hash(tuple(_ends(tensor.data) for tensor in tensors))


def _seed(*parts: str) -> bytes:
    document = json.dumps([_release, FORMAT, *parts]).encode()
    return blake3(document, derive_key_context="lepton inference cache, seed of a version").digest()


def _item_field(seed: bytes, name: str, value: Value) -> bytes:
    if value.WhichOneof("kind") == "data":
        return _field(seed, name, b"d", value.data)
    return _field(seed, name, b"v", value.SerializeToString(deterministic=True))


def _field(seed: bytes, name: str, kind: bytes, content: Content) -> bytes:
    """One field. Lengths come first, so that no two different lists of fields read alike."""
    encoded = name.encode()
    # A long content is hashed by itself: behind a head BLAKE3 cannot take it in whole vectors, which doubles its time.
    if len(content) >= _LONG_BYTES:
        kind, content = kind.upper(), blake3(content, key=seed).digest()
    return _HEAD.pack(len(encoded), kind, len(content)) + encoded + content


def _shortened(value: Value) -> tuple[object, ...]:
    if value.WhichOneof("kind") == "data":
        return _ends(value.data)
    return _ends(value.SerializeToString(deterministic=True))


def _ends(data: Content) -> tuple[object, ...]:
    """Length, middle and end: what is alike in files is mostly at their beginning."""
    middle = len(data) // 2
    return len(data), data[middle : middle + _SLICE_BYTES], data[-_SLICE_BYTES:]
