"""`lepton cache`: what replicas keep of inputs that come again, what that saves, and how to make them forget it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import (
    Column,
    format_duration_s,
    format_size_bytes,
    home_option,
    json_option,
    print_json,
    print_note,
    print_table,
)
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lepton_ai.v1 import inference_pb2

_HOW = "Let a package say `cache: {answers: true}` in its lepton.yaml; see docs/caching.md."


@click.group(invoke_without_command=True, epilog="Examples: lepton cache · lepton cache --model resnet --json")
@click.option("--model", default="", help="Of this model alone.")
@json_option
@home_option
@click.pass_context
def cache(context: click.Context, *, model: str, as_json: bool, home: Path) -> None:
    """Show by model and replica how many inputs come again, what that saves, and why a cache is on or off."""
    if context.invoked_subcommand is not None:
        return
    with client_for(home) as client:
        found = client.cache_status(model)
    if as_json:
        print_json({replica: _document(status) for replica, status in found.items()})
    else:
        _print_caches(found)


@cache.command(epilog="Examples: lepton cache clear resnet · lepton cache clear --all")
@click.argument("model", default="")
@click.option("--all", "everything", is_flag=True, help="Of all models.")
@json_option
@home_option
def clear(model: str, *, everything: bool, as_json: bool, home: Path) -> None:
    """Have all replicas forget what they keep of MODEL. Answers are computed anew then."""
    if bool(model) == everything:
        raise click.UsageError("Name a model, or say --all.")
    with client_for(home) as client:
        cleared = client.clear_cache(model)
    if as_json:
        print_json(cleared)
        return
    replicas = f"{len(cleared)} replica{'' if len(cleared) == 1 else 's'}"
    click.echo(f"{format_size_bytes(sum(cleared.values()))} let go by {replicas}.")


def _print_caches(found: Mapping[str, inference_pb2.GetCacheStatusResponse]) -> None:
    rows = [_row(each, replica) for replica, status in found.items() for each in status.caches]
    if not rows:
        print_note(f"No model that is served may be kept. {_HOW}")
        return
    texts = ("Model", "Kind", "State")
    numbers = ("Rows", "Here", "Shared", "Joined", "Entries", "Memory", "Saved")
    columns = [Column(title) for title in texts] + [Column(title, "right") for title in numbers]
    several = len(found) > 1
    columns += [Column("Why"), *([Column("Replica")] if several else [])]
    print_table(columns, [row if several else row[:-1] for row in rows])
    for replica, status in found.items():
        if _shared(status) == "down":
            print_note(f"{replica}: the shared cache does not answer and is left alone for a moment.")


def _row(cache: inference_pb2.CacheStatus, replica: str) -> tuple[object, ...]:
    return (
        f"{cache.model_name}@{cache.model_version}",
        cache.kind,
        "on" if cache.on else "off",
        f"{cache.lookups:,}",
        _share(cache.local_hits, cache.lookups),
        _share(cache.shared_hits, cache.lookups),
        _share(cache.joined, cache.lookups),
        f"{cache.entries:,}",
        f"{format_size_bytes(cache.bytes)} of {format_size_bytes(cache.capacity_bytes)}",
        format_duration_s(cache.saved_seconds),
        cache.reason,
        replica,
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _document(status: inference_pb2.GetCacheStatusResponse) -> dict[str, Any]:
    return {
        "max_bytes": status.max_bytes,
        "shared": _shared(status),
        "caches": [_cache_document(each) for each in status.caches],
    }


def _cache_document(cache: inference_pb2.CacheStatus) -> dict[str, Any]:
    lookups = cache.lookups or 1
    return {
        "model": cache.model_name,
        "version": cache.model_version,
        "kind": cache.kind,
        "on": cache.on,
        "reason": cache.reason,
        "lookups": cache.lookups,
        "local_hits": cache.local_hits,
        "shared_hits": cache.shared_hits,
        "joined": cache.joined,
        "hit_ratio": (cache.local_hits + cache.shared_hits + cache.joined) / lookups,
        "hit_ratio_at_double": cache.hit_ratio_at_double,
        "entries": cache.entries,
        "bytes": cache.bytes,
        "capacity_bytes": cache.capacity_bytes,
        "saved_seconds": cache.saved_seconds,
    }


def _shared(status: inference_pb2.GetCacheStatusResponse) -> str:
    from lepton_ai.v1 import inference_pb2

    return inference_pb2.SharedCacheState.Name(status.shared).removeprefix("SHARED_CACHE_STATE_").lower()
