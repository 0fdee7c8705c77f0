"""`lepton registry`: whether every stored file is whole, backups, and their way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import (
    Column,
    format_size_bytes,
    home_option,
    json_option,
    print_json,
    print_note,
    print_table,
    progress_bar,
    style_state,
)
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lepton_ai.v1 import registry_pb2


@click.group()
def registry() -> None:
    """Look after what the registry keeps."""


@registry.command(epilog="Examples: lepton registry check · lepton registry check --json")
@json_option
@home_option
def check(*, as_json: bool, home: Path) -> int:
    """Read every stored file and compare it with its hash.

    Names what is damaged or missing, which versions it hits, and what to do. Ends with 1 when something is. Files that
    no version holds are listed, too; they only take room.
    """
    with client_for(home) as client, progress_bar("Reading", shown=not as_json) as on_progress:
        faults = client.check_storage(on_progress=on_progress)
    lost = [fault for fault in faults if fault.uses]
    orphans = [fault for fault in faults if not fault.uses]
    if as_json:
        print_json({"ok": not lost, "faults": [_document(each) for each in lost], "orphans": _hashes(orphans)})
    else:
        _print_lost(lost)
        _print_orphans(orphans)
    return 1 if lost else 0


@registry.command(
    epilog="Examples: lepton registry backup /mnt/backups/lepton · lepton registry backup monday.tar --json"
)
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@home_option
def backup(path: Path, *, as_json: bool, home: Path) -> None:
    """Write all that the registry holds into the folder PATH, while it serves; or into one file, PATH.tar.

    Models, versions with their files, aliases, deployments, rollouts, signatures, webhooks and the audit trail, as they
    are at one moment. Into a folder with a backup, only new files are fetched, and the backup there stays whole until
    the new one is. Keep it as secret as the registry: webhooks' secrets are in it.
    """
    with client_for(home) as client, progress_bar("Fetching", shown=not as_json) as on_progress:
        summary = client.back_up(path, on_progress=on_progress)
    if as_json:
        sizes = {"files": summary.files, "size_bytes": summary.size_bytes, "new_bytes": summary.new_bytes}
        print_json({"created_at": summary.header.created_at, "revision": summary.header.revision, **sizes})
        return
    size, new = format_size_bytes(summary.size_bytes), format_size_bytes(summary.new_bytes)
    click.echo(f"The registry is in {path}: {summary.files} files of {size}, {new} of them new.")


@registry.command(epilog="Examples: lepton registry restore /mnt/backups/lepton · lepton registry restore monday.tar")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@json_option
@home_option
def restore(path: Path, *, as_json: bool, home: Path) -> None:
    """Fill an empty registry from the backup in PATH, a folder or a .tar file.

    All of the backup is read and hashed first, so that a damaged one is refused before anything is written. Versions
    have the same numbers and digests again, and what was deployed is published to etcd within seconds.
    """
    with client_for(home) as client, progress_bar("Sending", shown=not as_json) as on_progress:
        restored = client.restore(path, on_progress=on_progress)
    if as_json:
        print_json({"models": restored.models, "rows": restored.rows})
        return
    click.echo(f"{restored.models} models are back, with {restored.rows} rows in all.")


def _print_lost(lost: Sequence[registry_pb2.StorageFault]) -> None:
    if not lost:
        print_note("Every file of every version is there and whole.")
        return
    columns = [Column("State"), Column("Version"), Column("File"), Column("Size", "right"), Column("SHA-256")]
    print_table(
        columns,
        [
            (style_state(_kind(fault)), _version(use), use.path, format_size_bytes(fault.size_bytes), fault.sha256[:12])
            for fault in lost
            for use in fault.uses
        ],
    )
    versions = sorted({_version(use) for fault in lost for use in fault.uses})
    print_note(
        f"Push again, with `lepton push DIRECTORY`, the packages of {', '.join(versions)}. A file that several of them "
        "share needs only one."
    )


def _print_orphans(orphans: Sequence[registry_pb2.StorageFault]) -> None:
    if orphans:
        size = format_size_bytes(sum(each.size_bytes for each in orphans))
        print_note(f"{len(orphans)} files ({size}) belong to no version; they go when the registry starts again:")
        for orphan in orphans:
            print_note(f"  {orphan.sha256}")


def _document(fault: registry_pb2.StorageFault) -> dict[str, Any]:
    uses = [{"model": use.model, "version": use.version, "path": use.path} for use in fault.uses]
    fix = f"Push the package of {_version(fault.uses[0])} again."
    return {"state": _kind(fault), "sha256": fault.sha256, "size_bytes": fault.size_bytes, "uses": uses, "fix": fix}


def _hashes(faults: Iterable[registry_pb2.StorageFault]) -> list[dict[str, Any]]:
    return [{"sha256": fault.sha256, "size_bytes": fault.size_bytes} for fault in faults]


def _version(use: registry_pb2.FileUse) -> str:
    return f"{use.model}@{use.version}"


def _kind(fault: registry_pb2.StorageFault) -> str:
    from lepton_ai.v1 import registry_pb2

    return registry_pb2.StorageFaultKind.Name(fault.kind).removeprefix("STORAGE_FAULT_KIND_").lower()
