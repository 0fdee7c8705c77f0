"""`lepton push`, `deploy`, `undeploy` and `models`: which models exist and which are served."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lepton_ai.cli.catalogue.rollout import Duration, Percents, document, follow_rollout, summary
from lepton_ai.cli.output import Column, console, home_option, json_option, print_json, print_note, print_table
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lepton_ai.v1 import registry_pb2


@click.command(epilog="Example: lepton push ./efficientnet-lite0")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@home_option
def push(directory: Path, *, as_json: bool, home: Path) -> None:
    """Upload the package in DIRECTORY (with its lepton.yaml) as the next version of its model."""
    with client_for(home) as client, _upload_progress(shown=not as_json) as on_progress:
        version = client.push(directory, on_progress=on_progress)
    if as_json:
        print_json(_version_document(version))
        return
    click.echo(f"{version.model} version {version.version} is in the registry ({_mebibytes(version.size_bytes)}).")
    print_note(f"Serve it: lepton deploy {version.model}@{version.version}")


@click.command(
    epilog="Examples: lepton deploy resnet · lepton deploy resnet@3 · lepton deploy resnet --wait 0 · "
    "lepton deploy resnet@5 --canary 5%,25%,50% --every 60s"
)
@click.argument("model")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait until it answers; 0: do not.")
@click.option("--canary", type=Percents(), help="Shares of the traffic that it gets first, such as 5%,25%,50%.")
@click.option("--every", "step_s", type=Duration(), default="60s", show_default=True, help="How long each share lasts.")
@click.option(
    "--bake", "bake_s", type=Duration(), default="5m", show_default=True, help="How long the old version stays warm."
)
@click.option("--no-judge", is_flag=True, help="Let each share last its time, whatever becomes of its calls.")
@click.option("--detach", is_flag=True, help="With --canary: start it and return at once.")
@json_option
@home_option
def deploy(
    model: str,
    *,
    wait_s: float,
    canary: tuple[float, ...] | None,
    step_s: float,
    bake_s: float,
    no_judge: bool,
    detach: bool,
    as_json: bool,
    home: Path,
) -> None:
    """Serve MODEL: NAME (its newest version), NAME@VERSION or NAME@ALIAS.

    What was served before goes on until the new version has been loaded, warmed and tested. With --canary the new
    version takes over step by step; `lepton rollout` steers that, `lepton rollback` takes it back.
    """
    if canary is not None:
        options = {"step_s": step_s, "bake_s": bake_s, "judged": not no_judge}
        _deploy_canary(model, canary, options, detach=detach, as_json=as_json, home=home)
        return
    show = not as_json and wait_s > 0 and console(stderr=True).is_terminal
    spinner = console(stderr=True).status(f"Loading, warming and testing {model}") if show else nullcontext()
    with client_for(home) as client, spinner:
        deployment = client.deploy(model, wait_s=wait_s)
    version = deployment.version
    if as_json:
        print_json({"model": deployment.model, "version": version, "generation": deployment.generation})
        return
    verb = "is served" if wait_s > 0 else "will be served"
    click.echo(f"{deployment.model} version {version} {verb}.")


def _deploy_canary(
    model: str,
    percents: tuple[float, ...],
    options: dict[str, Any],
    *,
    detach: bool,
    as_json: bool,
    home: Path,
) -> None:
    with client_for(home) as client:
        started = client.start_rollout(model, percents, **options)
        if not detach:
            print_note(f"Leave with Ctrl-C; it goes on. Take it back: lepton rollback {started.model}")
            started = follow_rollout(client, started.model)
    print_json(document(started)) if as_json else click.echo(summary(started))


@click.command(epilog="Example: lepton undeploy resnet")
@click.argument("model")
@home_option
def undeploy(model: str, *, home: Path) -> None:
    """Stop serving MODEL. Its versions stay in the registry."""
    with client_for(home) as client:
        client.undeploy(model)
    click.echo(f"{model} is no longer served.")


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


@click.command(epilog="Examples: lepton models · lepton models resnet")
@click.argument("name", default="")
@json_option
@home_option
def models(name: str, *, as_json: bool, home: Path) -> None:
    """List all models; or every version of the model NAME, what it takes and answers, and how to call it."""
    from lepton_ai.cli.catalogue.model_page import ModelPage

    with client_for(home) as client:
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


def _print_models(found: Any) -> None:
    columns = [Column("Model"), Column("Newest", "right"), Column("Served", "right"), Column("Description")]
    rows = []
    for model in found:
        served = ", ".join(str(version) for version in _deployed(model)) or "–"
        rows.append((model.name, model.versions[0].version, served, model.versions[0].description))
    print_table(columns, rows)


def _print_versions(model: registry_pb2.Model) -> None:
    right = [Column("Version", "right"), Column("Size", "right")]
    columns = [*right, Column("Served"), Column("Aliases"), Column("Pushed"), Column("Digest")]
    served = _deployed(model)
    print_table(
        columns,
        [
            (
                version.version,
                _mebibytes(version.size_bytes),
                "yes" if version.version in served else "",
                ", ".join(version.aliases),
                f"{version.created_at.ToDatetime():%Y-%m-%d %H:%M} UTC",
                version.digest[:12],
            )
            for version in model.versions
        ],
    )


def _deployed(model: registry_pb2.Model) -> list[int]:
    return [version.version for version in model.deployment.versions]


def _model_document(model: registry_pb2.Model) -> dict[str, Any]:
    versions = [_version_document(version) for version in model.versions]
    return {"name": model.name, "versions": versions, "aliases": dict(model.aliases), "deployed": _deployed(model)}


def _version_document(version: registry_pb2.ModelVersion) -> dict[str, Any]:
    return {
        "model": version.model,
        "version": version.version,
        "digest": version.digest,
        "aliases": list(version.aliases),
        "size_bytes": version.size_bytes,
        "created_at": version.created_at.ToJsonString(),
        "description": version.description,
    }


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.1f} MiB"


def _upload_progress(*, shown: bool) -> AbstractContextManager[Callable[[int, int], None] | None]:
    """A progress bar on a terminal; nothing elsewhere."""
    if not shown or not console(stderr=True).is_terminal:
        return nullcontext()
    from lepton_ai.cli.progress import transfer_progress

    return transfer_progress("Uploading")
