"""`lepton audit`: who changed what, and whether anybody has changed that."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import Column, home_option, json_option, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.v1 import registry_pb2

_LONGEST_CHANGE = 80


@click.group(
    invoke_without_command=True,
    epilog="Examples: lepton audit · lepton audit --model resnet --action deploy · lepton audit verify --anchor HASH",
)
@click.option("--model", default="", help="Only changes of this model.")
@click.option("--action", default="", help="Only these, such as push, deploy, sign, set_alias or rollback.")
@click.option("--actor", default="", help="Only by those with this text in their names.")
@click.option("--since", type=click.DateTime(), help="Only from this time on, in UTC.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@json_option
@home_option
@click.pass_context
def audit(
    context: click.Context,
    *,
    model: str,
    action: str,
    actor: str,
    since: datetime | None,
    limit: int,
    as_json: bool,
    home: Path,
) -> None:
    """Who changed what in the registry, the newest first.

    "token:NAME" is whoever showed the token of NAME; other names are what callers say of themselves.
    """
    if context.invoked_subcommand is not None:
        return
    since = None if since is None else since.replace(tzinfo=UTC)
    with client_for(home) as client:
        entries = client.audit(model, action=action, actor=actor, since=since, limit=limit)
    if as_json:
        print_json([_document(entry) for entry in entries])
    elif entries:
        columns = [Column("Time"), Column("Actor"), Column("Action"), Column("Model"), Column("Change")]
        print_table(columns, [_row(entry) for entry in entries])
    else:
        print_note("Nothing of that kind was changed.")


@audit.command(epilog="Examples: lepton audit verify · lepton audit verify --anchor $(cat anchor)")
@click.option("--anchor", default="", metavar="HASH", help="The hash that an earlier verification printed.")
@json_option
@home_option
def verify(*, anchor: str, as_json: bool, home: Path) -> int:
    """Walk the chain of the audit trail, and print the hash of its newest entry.

    Each entry holds the hash of the one before it: one that was changed, deleted, moved or put in between is named, and
    the command ends with 1. Keep the printed hash outside the registry, and give it next time as --anchor: then entries
    deleted at the end, and a trail that was written anew, are found as well.
    """
    with client_for(home) as client:
        found = client.verify_audit(anchor)
    is_whole = not found.broken and found.anchored
    if as_json:
        document = {"ok": is_whole, "entries": found.entries, "newest_hash": found.newest_hash}
        print_json({**document, "broken": found.broken or None, "anchored": found.anchored})
        return 0 if is_whole else 1
    if found.broken:
        click.echo(
            f"Entry {found.broken} does not follow from the {found.entries} before it: it was changed or put there, or "
            "entries before it were deleted or moved."
        )
    elif not found.anchored:
        click.echo(
            f"None of the {found.entries} entries has the anchor's hash: entries at the end were deleted, or all were "
            "written anew."
        )
    else:
        print_note(f"All {found.entries} entries follow from one another. The hash of the newest is the next anchor:")
        click.echo(found.newest_hash)
    return 0 if is_whole else 1


def _row(entry: registry_pb2.AuditEntry) -> tuple[Any, ...]:
    change = " → ".join(filter(None, (entry.before_json, entry.after_json)))
    shown = change if len(change) <= _LONGEST_CHANGE else f"{change[: _LONGEST_CHANGE - 1]}…"
    return f"{entry.at.ToDatetime():%Y-%m-%d %H:%M:%S}", entry.actor, entry.action, entry.model, shown


def _document(entry: registry_pb2.AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at.ToJsonString(),
        "actor": entry.actor,
        "action": entry.action,
        "model": entry.model,
        "before": json.loads(entry.before_json) if entry.before_json else None,
        "after": json.loads(entry.after_json) if entry.after_json else None,
        "hash": entry.hash,
    }
