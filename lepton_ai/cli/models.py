"""`lepton push`, `undeploy` and `models`: which models exist and which are served."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.catalogue.signing import signing_key
from lepton_ai.cli.output import (
    Column,
    console,
    format_size_bytes,
    home_option,
    json_option,
    print_json,
    print_note,
    print_table,
)
from lepton_ai.cli.platform import client_for
from lepton_ai.cli.versions.listing import state_of, version_document
from lepton_ai.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lepton_ai.client import Client
    from lepton_ai.v1 import registry_pb2


@click.command(
    epilog="Examples: lepton push ./efficientnet-lite0 · lepton push resnet.lepton --sign release.key · "
    "lepton push ./int8 --variant-of resnet@3"
)
@click.argument("package", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--sign",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Private key to sign the version with.  [env: LEPTON_SIGNING_KEY]",
)
@click.option(
    "--variant-of", default="", metavar="NAME@VERSION", help="As a variant of this version, from which it was made."
)
@click.option("--variant", default="", metavar="NAME", help="The variant's name.  [default: that of its method]")
@json_option
@home_option
def push(package: Path, *, sign: Path | None, variant_of: str, variant: str, as_json: bool, home: Path) -> None:
    """Upload PACKAGE, a folder with a lepton.yaml or a packed file, as the next version of its model.

    With --variant-of, what `lepton optimise` has made of a version becomes a variant of it, and the number stays.
    """
    key = signing_key(sign)
    with client_for(home) as client, _upload_progress(shown=not as_json) as on_progress:
        version = client.push(package, sign=key, on_progress=on_progress, variant_of=variant_of, variant=variant)
    if as_json:
        print_json(version_document(version))
        return
    if variant_of:
        names = ", ".join(each.name for each in version.variants)
        click.echo(f"{version.model} version {version.version} has the variants {names}.")
        print_note(f"Let them answer: lepton deploy {version.model}@{version.version} --variants auto")
        return
    click.echo(
        f"{version.model} version {version.version} is in the registry ({format_size_bytes(version.size_bytes)})."
    )
    if state_of(version.state) == "checking":
        print_note(f"It is ready once it is signed: lepton sign {version.model}@{version.version} --key FILE")
    else:
        print_note(f"Serve it: lepton deploy {version.model}@{version.version}")


@click.command(epilog="Example: lepton undeploy resnet")
@click.argument("model")
@json_option
@home_option
def undeploy(model: str, *, as_json: bool, home: Path) -> None:
    """Stop serving MODEL. Its versions stay in the registry."""
    with client_for(home) as client:
        client.undeploy(model)
    print_json({"model": model, "served": False}) if as_json else click.echo(f"{model} is no longer served.")


@click.command(epilog="Example: lepton download efficientnet-lite0 lepton.yaml")
@click.argument("model")
@click.argument("file")
@click.argument("path", default=None, required=False, type=click.Path(dir_okay=False, path_type=Path))
@home_option
def download(model: str, file: str, path: Path | None, *, home: Path) -> None:
    """Fetch FILE of MODEL (NAME: its newest version, NAME@VERSION or NAME@ALIAS) from the registry to PATH.

    Without a PATH it goes under its own name into this folder.
    """
    with client_for(home) as client:
        written = client.download(model, file, path if path is not None else Path(Path(file).name))
    print_note(f"{file} of {model} is in {written}.")


@click.command(
    epilog="Examples: lepton models · lepton models resnet · lepton models resnet@3 · "
    'lepton models --filter "tag.team=vision and name~effi and state=ready" · lepton models resnet --rejected'
)
@click.argument("name", default="")
@click.option("--filter", "wanted", default="", help="Versions of all models for which this holds.")
@click.option("--rejected", is_flag=True, help="Pushes that were rejected, or are under way.")
@json_option
@home_option
def models(name: str, *, wanted: str, rejected: bool, as_json: bool, home: Path) -> None:
    """List all models; every version of the model NAME, what it takes and answers, and how to call it; or all about
    one version (NAME@VERSION or NAME@ALIAS)."""
    from lepton_ai.cli.catalogue.model_page import ModelPage
    from lepton_ai.cli.versions.listing import list_found, list_rejected

    with client_for(home) as client:
        if wanted:
            list_found(client, wanted, as_json=as_json)
            return
        if rejected:
            list_rejected(client, name, as_json=as_json)
            return
        if "@" in name:
            _show_version(client, name, as_json=as_json)
            return
        found = client.models(name)
        page = ModelPage.read(client, found[0]) if name else None
    if as_json:
        print_json([{**_model_document(model), **(page.document() if page else {})} for model in found])
    elif page is not None:
        _print_versions(found[0])
        page.print_out()
    elif found:
        _print_models(found)
    else:
        print_note("There are no models yet. Upload one: lepton push DIRECTORY")


def _show_version(client: Client, name: str, *, as_json: bool) -> None:
    from lepton_ai.cli.versions.listing import print_version

    version = client.version(name)
    try:
        signature = client.signature(f"{version.model}@{version.version}")
    except NotFound:
        signature = None
    if as_json:
        signed = {"signed_by": signature.signer, "signature_verified": signature.verified} if signature else {}
        print_json({**version_document(version), "signed_by": "", "signature_verified": False, **signed})
        return
    print_version(version, signature)
    print_note(f"Its card: lepton card {version.model}@{version.version}")


def _print_models(found: Any) -> None:
    columns = [Column("Model"), Column("Newest", "right"), Column("Served", "right"), Column("Description")]
    rows = []
    for model in found:
        served = ", ".join(str(version) for version in _deployed(model)) or "–"
        rows.append((model.name, model.versions[0].version, served, model.versions[0].description))
    print_table(columns, rows)


def _print_versions(model: registry_pb2.Model) -> None:
    right = [Column("Version", "right"), Column("Size", "right")]
    columns = [*right, Column("State"), Column("Served"), Column("Aliases"), Column("Pushed"), Column("Digest")]
    has_variants = any(version.variants for version in model.versions)
    columns += [Column("Variants")] if has_variants else []
    served = _deployed(model)
    print_table(
        columns,
        [
            (
                version.version,
                format_size_bytes(version.size_bytes),
                state_of(version.state),
                "yes" if version.version in served else "",
                ", ".join(version.aliases),
                f"{version.created_at.ToDatetime():%Y-%m-%d %H:%M} UTC",
                version.digest[:12],
                *([", ".join(variant.name for variant in version.variants)] if has_variants else []),
            )
            for version in model.versions
        ],
    )


def _deployed(model: registry_pb2.Model) -> list[int]:
    return [version.version for version in model.deployment.versions]


def _model_document(model: registry_pb2.Model) -> dict[str, Any]:
    versions = [version_document(version) for version in model.versions]
    return {"name": model.name, "versions": versions, "aliases": dict(model.aliases), "deployed": _deployed(model)}


def _upload_progress(*, shown: bool) -> AbstractContextManager[Callable[[int, int], None] | None]:
    """A progress bar on a terminal; nothing elsewhere."""
    if not shown or not console(stderr=True).is_terminal:
        return nullcontext()
    from lepton_ai.cli.progress import transfer_progress

    return transfer_progress("Uploading")
