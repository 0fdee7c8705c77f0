"""`lepton convert`: a package's model in another format, compared with the original."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from lepton_ai.cli.output import json_option, named_home_option, print_json
from lepton_ai.cli.packages.source import opened_source

_FORMATS = ("onnx", "torch-export", "openvino", "aot-inductor", "tflite", "tensorrt")


@click.command(
    epilog="Examples: lepton convert ./resnet ./resnet-openvino --to openvino · "
    "lepton convert digits@2 ./digits-pt2 --to torch-export"
)
@click.argument("model")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--to", "wanted", type=click.Choice(_FORMATS), required=True, help="The format.")
@json_option
@named_home_option
def convert(model: str, directory: Path, *, wanted: str, as_json: bool, home: Path | None) -> None:
    """Write MODEL's network into the new folder DIRECTORY and compare its answers with the original's.

    MODEL is a package (folder or packed file), or NAME, NAME@VERSION or NAME@ALIAS of the registry. Golden and random
    inputs are compared; the largest difference is told, and how much faster or slower one row is on one thread.
    """
    from lepton_ai.optimize.convert.conversion import convert as convert_package

    with opened_source(model, home, quiet=as_json) as source:
        made = convert_package(source.package, wanted, directory)
    if as_json:
        print_json({**asdict(made), "path": str(made.path)})
        return
    speed, ratio = made.speed, made.speed.ratio
    click.echo(
        f"{made.path} answers {made.rows} inputs as the original does, up to {made.largest_difference:.3g} "
        f"(values up to {made.largest_value:.3g}); one row on one thread takes {speed.time_ms:.3g} ms, the original's "
        f"{speed.original_ms:.3g} ({ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] times as fast)."
    )
