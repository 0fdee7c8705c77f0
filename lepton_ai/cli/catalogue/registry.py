"""`lepton registry check`: whether the registry still has every file of every version."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import (
    Column,
    console,
    format_size_bytes,
    home_option,
    json_option,
    print_json,
    print_note,
    print_table,
    style_state,
)
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

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
    with client_for(home) as client, _progress(shown=not as_json) as on_progress:
        faults = client.check_storage(on_progress=on_progress)
    lost = [fault for fault in faults if fault.uses]
    orphans = [fault for fault in faults if not fault.uses]
    if as_json:
        print_json({"ok": not lost, "faults": [_document(each) for each in lost], "orphans": _hashes(orphans)})
    else:
        _print_lost(lost)
        _print_orphans(orphans)
    return 1 if lost else 0


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


def _progress(*, shown: bool) -> AbstractContextManager[Callable[[int, int], None] | None]:
    """A progress bar on a terminal; nothing elsewhere."""
    if not shown or not console(stderr=True).is_terminal:
        return nullcontext()
    from lepton_ai.cli.progress import transfer_progress

    return transfer_progress("Reading")
