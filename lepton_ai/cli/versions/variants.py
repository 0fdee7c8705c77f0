"""Variants of a version, for `lepton models`: what each is made of, and what was measured where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from lepton_ai.cli.output import Column, format_size_bytes, print_table

if TYPE_CHECKING:
    from lepton_ai.v1 import registry_pb2

_COLUMNS = (
    Column("Variant"),
    Column("Method"),
    Column("Times as fast", "right"),
    Column("Loss", "right"),
    Column("Bound", "right"),
    Column("Size", "right"),
    Column("Measured on"),
    Column("Signed by"),
)


def print_variants(version: registry_pb2.ModelVersion) -> None:
    """Print a table of a version's variants; nothing where there are none."""
    if version.variants:
        print_table(_COLUMNS, [_row(variant) for variant in version.variants])


def variant_document(variant: registry_pb2.Variant) -> dict[str, Any]:
    """A variant for programs: its lineage and its measurements."""
    lineage = variant.lineage
    measured = json_format.MessageToDict(
        variant.measured, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    numbers = {name: int(measured[name]) for name in ("rows", "size_bytes", "memory_bytes")}
    return {
        "name": variant.name,
        "digest": variant.digest,
        "size_bytes": variant.size_bytes,
        "created_at": variant.created_at.ToJsonString(),
        "dry_run": variant.dry_run,
        "parent": lineage.parent,
        "of_digest": variant.of_digest,
        "method": variant.method,
        "parameters": {name: json.loads(value) for name, value in lineage.parameters.items()},
        "measured": {**measured, **numbers},
        "signer": variant.signer,
        "pinned": variant.pinned,
    }


def _row(variant: registry_pb2.Variant) -> tuple[object, ...]:
    measured = variant.measured
    return (
        f"{variant.name} (answers)" if variant.pinned else variant.name,
        variant.method,
        f"{measured.speed_up:.2f} [{measured.speed_up_low:.2f}, {measured.speed_up_high:.2f}]",
        f"{measured.loss:.2%} [{measured.loss_low:.2%}, {measured.loss_high:.2%}] of {measured.metric}",
        f"{measured.max_loss:.2%}",
        format_size_bytes(variant.size_bytes),
        measured.cpu,
        variant.signer or "–",
    )
