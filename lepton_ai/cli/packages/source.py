"""What commands on packages take: a folder, a packed file, or a version in the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.cli.output import progress_bar, running_home
from lepton_ai.cli.platform import client_for
from lepton_ai.errors import NotFound

if TYPE_CHECKING:
    from lepton_ai.package import Package


@dataclass(frozen=True)
class Source:
    """A package, and which version of its model it is, if it is one."""

    package: Package
    version: int | None


@contextmanager
def opened_source(source: str, home: Path | None, *, quiet: bool) -> Iterator[Source]:
    """A path that is there, else NAME, NAME@VERSION or NAME@ALIAS of the registry, for as long as the block lasts."""
    from lepton_ai.package import Package, opened_package

    if Path(source).exists():
        with opened_package(source) as package:
            yield Source(package, None)
        return
    if source.startswith((".", "/", "~")) or "/" in source:
        raise NotFound(
            f"There is no {source}.",
            fix="Name a package that is there, or NAME, NAME@VERSION or NAME@ALIAS of the registry.",
        )
    with tempfile.TemporaryDirectory(prefix="lepton-") as place:
        directory = Path(place) / "package"
        with client_for(running_home(home)) as client, progress_bar("Fetching", shown=not quiet) as on_progress:
            version = client.download_package(source, directory, on_progress=on_progress)
        yield Source(Package.read(directory), version.version)
