"""Tables of versions and of pushes, for `lepton models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lepton_ai.cli.output import Column, format_size_bytes, print_json, print_note, print_table, style_state
from lepton_ai.cli.versions.variants import print_variants, variant_document

if TYPE_CHECKING:
    from lepton_ai.client import Client
    from lepton_ai.v1 import registry_pb2


def state_of(value: int) -> str:
    """A state as a word."""
    from lepton_ai.v1 import registry_pb2

    name = registry_pb2.ModelVersionState.Name(registry_pb2.ModelVersionState.ValueType(value))
    return name.removeprefix("MODEL_VERSION_STATE_").lower()


def version_document(version: registry_pb2.ModelVersion) -> dict[str, Any]:
    """A version for programs."""
    return {
        "model": version.model,
        "version": version.version,
        "state": state_of(version.state),
        "reason": version.reason,
        "digest": version.digest,
        "aliases": list(version.aliases),
        "tags": dict(version.tags),
        "size_bytes": version.size_bytes,
        "created_at": version.created_at.ToJsonString(),
        "description": version.description,
        "dry_run": version.dry_run,
        "variants": [variant_document(each) for each in version.variants],
    }


def list_found(client: Client, wanted: str, *, as_json: bool) -> None:
    """Print the versions that a filter lets through."""
    found = client.find_versions(wanted, limit=10_000)
    if as_json:
        print_json([version_document(each) for each in found])
    elif found:
        columns = [Column("Model"), Column("Version", "right"), Column("State"), Column("Aliases"), Column("Tags")]
        print_table([*columns, Column("Description")], [_found_row(each) for each in found])
    else:
        print_note("No version is like that.")


def _found_row(version: registry_pb2.ModelVersion) -> tuple[object, ...]:
    tags = ", ".join(f"{key}={value}" for key, value in sorted(version.tags.items()))
    state = style_state(state_of(version.state))
    return (version.model, version.version, state, ", ".join(version.aliases), tags, version.description)


def list_rejected(client: Client, model: str, *, as_json: bool) -> None:
    """Print the pushes of a model, or of all, that have not made a version."""
    found = client.pushes(model, limit=1000)
    if as_json:
        print_json([_push_document(each) for each in found])
    elif found:
        columns = [Column("Model"), Column("State"), Column("When"), Column("Size", "right"), Column("Why")]
        print_table(columns, [_push_row(each) for each in found])
    else:
        print_note("No push was rejected, and none is under way.")


def _push_row(push: registry_pb2.Push) -> tuple[object, ...]:
    when = f"{push.changed_at.ToDatetime():%Y-%m-%d %H:%M} UTC"
    return (push.model, style_state(state_of(push.state)), when, format_size_bytes(push.size_bytes), push.reason)


def _signer(signature: registry_pb2.Signature | None) -> str:
    if signature is None:
        return "by nobody"
    verified = "verified by the registry" if signature.verified else "not verified by the registry: lepton verify"
    return f"by {signature.signer} ({verified})"


def _push_document(push: registry_pb2.Push) -> dict[str, Any]:
    return {
        "model": push.model,
        "digest": push.digest,
        "state": state_of(push.state),
        "reason": push.reason,
        "fix": push.fix,
        "size_bytes": push.size_bytes,
        "actor": push.actor,
        "started_at": push.started_at.ToJsonString(),
        "changed_at": push.changed_at.ToJsonString(),
    }


def print_version(version: registry_pb2.ModelVersion, signature: registry_pb2.Signature | None) -> None:
    """Everything that the registry knows of one version."""
    state = state_of(version.state)
    rows: list[tuple[str, object]] = [
        ("state", style_state(state) if not version.reason else f"{state}: {version.reason}"),
        ("description", version.description),
        ("aliases", ", ".join(version.aliases)),
        ("tags", ", ".join(f"{key}={value}" for key, value in sorted(version.tags.items()))),
        ("size", f"{format_size_bytes(version.size_bytes)} in {len(version.manifest.files)} files"),
        ("pushed", f"{version.created_at.ToDatetime():%Y-%m-%d %H:%M} UTC"),
        ("digest", version.digest),
        ("signed", _signer(signature)),
        ("dry run", version.dry_run),
        ("parent", version.lineage.parent),
        ("data", version.lineage.data),
        ("run", version.lineage.run),
    ]
    shown: Sequence[tuple[str, object]] = [row for row in rows if row[1]]
    print_table([Column("", style="bold"), Column(f"{version.model}@{version.version}")], shown)
    print_variants(version)
