"""`lepton init`: a package for a model that is there already."""

from __future__ import annotations

from pathlib import Path

import click

from lepton_ai.cli.output import json_option, print_json, print_note


@click.command(
    epilog="Examples: lepton init resnet.onnx · lepton init model.pt2 ./mine --labels labels.txt · "
    "lepton init ./mlruns/1/models/m-1/artifacts · lepton init densenet.mar --allow-torchscript · "
    "lepton init ./triton-models --model yolo"
)
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("directory", default=None, required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="", help="Name of the model.  [default: after the file]")
@click.option("--labels", "labels_path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="File with the name of one class a line.")  # fmt: skip
@click.option("--input", "inputs", multiple=True, metavar="NAME:DTYPE:SHAPE",
              help="An input of a model whose file does not say it: image:FP32:-1x3x224x224.")  # fmt: skip
@click.option(
    "--architecture", default="", help="Of weights in safetensors that do not name it, such as efficientnet-lite0."
)
@click.option("--model", default="", help="Which one of a Triton repository with several.")
@click.option("--allow-torchscript", is_flag=True,
              help="Load TorchScript, which runs code that the file holds, to convert it to ONNX.")  # fmt: skip
@json_option
def init(
    source: Path,
    directory: Path | None,
    *,
    name: str,
    labels_path: Path | None,
    inputs: tuple[str, ...],
    architecture: str,
    model: str,
    allow_torchscript: bool,
    as_json: bool,
) -> None:
    """Make a package of SOURCE in DIRECTORY, by default a folder named after the model.

    SOURCE is an ONNX file, a torch.export archive (.pt2), a model that `save` of Lepton has written, safetensors of an
    architecture that Lepton has, a TorchServe archive (.mar), or a folder: an MLflow model, a Triton model repository,
    an OCI layout of `lepton export --oci`. Notes at the top of lepton.yaml say what is left to fill in. Nothing is
    unpickled.
    """
    from lepton_ai.interchange.draft import package_name
    from lepton_ai.interchange.recognition import InitOptions, init_package
    from lepton_ai.interchange.torchscript import InputSpec

    labels = labels_path.read_text(encoding="utf-8-sig").splitlines() if labels_path else []
    options = InitOptions(
        name=name,
        labels=[label.strip() for label in labels if label.strip()],
        inputs=[InputSpec.parse(text) for text in inputs],
        architecture=architecture,
        model=model,
        torchscript_allowed=allow_torchscript,
    )
    target = directory or Path(name or f"{package_name(source.name.split('.')[0], model)}-package")
    package = init_package(source, target, options)
    notes = _notes(target)
    if as_json:
        described = {"model": package.description.name, "digest": package.digest}
        print_json({"directory": str(target), **described, "notes": notes})
        return
    click.echo(f"{package.description.name} is in {target}.")
    for note in notes:
        click.echo(f"· {note}", err=True)  # notes may hold brackets
    print_note(f"Look at {target}/lepton.yaml, then: lepton check {target}")


def _notes(directory: Path) -> list[str]:
    lines = (directory / "lepton.yaml").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("# - ") for line in lines if line.startswith("# - ")]
