"""`lepton export`: a package as what other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.output import json_option, named_home_option, print_json, print_note
from lepton_ai.cli.packages.source import Source, opened_source

if TYPE_CHECKING:
    from lepton_ai.interchange.triton_export import Backend


@click.command(
    epilog="Examples: lepton export --triton resnet@3 ./models · lepton export --oci ./resnet ./resnet-oci · "
    "lepton export --package resnet@production resnet.lepton"
)
@click.argument("source")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--triton", "kind", flag_value="triton", help="A Triton model repository that runs without Lepton.")
@click.option("--oci", "kind", flag_value="oci", help="An OCI layout of a CNCF ModelPack artifact.")
@click.option("--package", "kind", flag_value="package", help="The package: a folder, or a file named *.lepton.")
@click.option("--backend", type=click.Choice(["python", "onnxruntime"]), default="python", show_default=True,
              help="With --triton: what Triton runs the model with.")  # fmt: skip
@json_option
@named_home_option
def export(source: str, output: Path, *, kind: str | None, backend: Backend, as_json: bool, home: Path | None) -> None:
    """Write SOURCE to OUTPUT, which must not exist yet or be empty.

    SOURCE is a package's folder or packed file, or NAME, NAME@VERSION or NAME@ALIAS of the registry. The same package
    makes the same bytes.
    """
    if kind is None:
        raise click.UsageError("Say what to write: --triton, --oci or --package.")
    with opened_source(source, home, quiet=as_json) as opened:
        written = _write(opened, output, kind, backend)
    if as_json:
        print_json({"output": str(output), **written})
        return
    click.echo(f"{written['model']} is in {output}.")
    for key in ("digest", "sha256"):
        if key in written:
            print_note(f"{key} {written[key]}")


def _write(source: Source, output: Path, kind: str, backend: Backend) -> dict[str, Any]:
    from lepton_ai.interchange.modelpack import write_layout
    from lepton_ai.interchange.triton_export import write_triton_repository
    from lepton_ai.package import copy_package, pack
    from lepton_ai.package.archives.packed import PACKED_SUFFIX

    package, model = source.package, {"model": source.package.description.name}
    if kind == "triton":
        write_triton_repository(package, output, version=source.version or 1, backend=backend)
        return model
    if kind == "oci":
        return {**model, "digest": write_layout(package, output, version=str(source.version or ""))}
    if output.suffix == PACKED_SUFFIX:
        return {**model, "sha256": pack(package, output)}
    return {**model, "digest": copy_package(package, output).digest}
