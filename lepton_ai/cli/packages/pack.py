"""`lepton pack` and `lepton unpack`: packages as single files."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_ai.cli.output import format_size_bytes, json_option, print_json, print_note, progress_bar


@click.command(epilog="Examples: lepton pack ./resnet · lepton pack ./resnet -o models/resnet.lepton --json")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write.  [default: NAME.lepton]"
)
@json_option
def pack(directory: Path, *, output: Path | None, as_json: bool) -> None:
    """Make one file of the package in DIRECTORY. The same content makes the same file, to the byte.

    `lepton push`, `lepton check`, la.deploy and la.load take the file as they take the folder.
    """
    from lepton_ai.package import Package
    from lepton_ai.package import pack as write

    package = Package.read(directory)
    target = output or Path(f"{package.description.name}.lepton")
    with progress_bar("Packing", shown=not as_json) as on_progress:
        sha256 = write(package, target, on_progress=on_progress)
    size_bytes = target.stat().st_size
    if as_json:
        print_json({"file": str(target), "sha256": sha256, "size_bytes": size_bytes, "digest": package.digest})
        return
    click.echo(f"{target} ({format_size_bytes(size_bytes)})")
    print_note(f"sha256:{sha256}")


@click.command(epilog="Example: lepton unpack resnet.lepton ./resnet")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def unpack(file: Path, directory: Path) -> None:
    """Write the package in FILE to DIRECTORY, which must not exist yet or be empty."""
    from lepton_ai.package import unpack as read

    package = read(file, directory)
    click.echo(f"{package.description.name}: {len(package.files)} files in {directory}")
