"""The whole of Lepton in one go: a stack, a real model, real photos, their labels, and the trace of one request.

make demo            # or: python -m examples.demo [--mode auto|local|docker] [--home DIRECTORY]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from examples.efficientnet_lite0 import NAME, LabelledPhoto, photos, write_package
from lepton_ai.cli.answers import prediction_table
from lepton_ai.cli.platform import client_for
from lepton_ai.cli.trace_view import render_trace
from lepton_ai.client import Client
from lepton_ai.local.stack import find_home
from lepton_ai.traces.client import TraceClient

PHOTOS = 4

out = Console(highlight=False)


@click.command()
@click.option("--mode", type=click.Choice(["auto", "local", "docker"]), default="auto", show_default=True)
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="Run directory of the stack.")
def main(mode: str, home: Path | None) -> None:
    """Bring the platform up, deploy EfficientNet-lite0 and show what it sees in a few photos."""
    directory = find_home(Path.cwd()) if home is None else home
    _start_stack(mode, directory)
    with client_for(directory) as client:
        _deploy(client, directory)
    with client_for(directory, trace=True) as client:
        trace_id = _predict(client, photos()[:PHOTOS])
        traces = TraceClient(client.addresses.traces)
        out.rule("[bold]Where the time of that request went")
        out.print(render_trace(traces.wait(trace_id, timeout_s=10)))
        out.print(f"\nIn a browser: [link]{traces.page_url(trace_id)}[/link]")
        out.print("Try it: [bold].venv/bin/lepton predict efficientnet-lite0 YOUR.jpg --trace[/bold]")
        out.print("Stop everything: [bold]make down[/bold]")


def _start_stack(mode: str, home: Path) -> None:
    """Through the command line, as a person would, so that its progress is seen."""
    lepton = [sys.executable, "-c", "from lepton_ai.cli import main; main()", "up", "--mode", mode, "--home", str(home)]
    if subprocess.run(lepton, env=os.environ, check=False).returncode != 0:
        raise SystemExit(1)


def _deploy(client: Client, home: Path) -> None:
    package = home / "packages" / NAME
    if not (package / "lepton.yaml").is_file():
        with _step(f"Converting {NAME} with its ImageNet weights to ONNX"):
            write_package(package)
    with _step("Pushing it to the registry"):
        version = client.push(package)
    with _step(f"Deploying version {version.version}: loading, warming and testing it in Triton"):
        client.deploy(f"{NAME}@{version.version}")


def _predict(client: Client, chosen: list[LabelledPhoto]) -> str:
    """Print what the model sees in each photo; returns the trace id of the last request."""
    out.rule("[bold]What the model sees")
    answers = [client.predict_batch(NAME, [photo.path]) for photo in chosen]
    names = [f"{photo.path.name} ({photo.label})" for photo in chosen]
    out.print(prediction_table(names, [answer.predictions[0] for answer in answers]))
    return answers[-1].trace_id


@contextmanager
def _step(title: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    begin_s = time.monotonic()
    with out.status(title):
        yield
    out.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - begin_s:.1f} s[/dim]")


if __name__ == "__main__":
    main()
