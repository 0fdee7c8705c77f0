"""Starts a service: as one process or as several on one port, and a public port on the transport of its settings."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.settings import PublicSettings, ServiceSettings


def launch(main: str, settings: type[ServiceSettings] = PublicSettings) -> None:
    """Run the coroutine function `main`, "module:function", in this process, or in the Envoy that it becomes.

    `settings` is the class that knows which transports and how many workers the service may have. Of several workers,
    this process becomes the parent. The module is imported only where it runs: imports are most of the time that a
    service takes to start. Errors end the process as in `run_process`.
    """
    try:
        _read_options(main)
        _become(settings.load(), main)
    except LeptonError as error:
        sys.exit(f"error: {error}")
    from lepton_ai.mesh.serving.process import run_process

    module, _, function = main.partition(":")
    run_process(getattr(importlib.import_module(module), function))


def _read_options(main: str) -> None:
    """Options of the command line, as the variables that they stand for."""
    service = main.rpartition(".")[0]
    parser = argparse.ArgumentParser(prog=f"python -m {service}", description="Settings: see README.md.")
    parser.add_argument("--workers", metavar="N", help="processes that share the port (LEPTON_WORKERS)")
    workers = parser.parse_args().workers
    if workers is not None:
        os.environ["LEPTON_WORKERS"] = workers


def _become(settings: ServiceSettings, main: str) -> None:
    """Replace this process's program where the settings ask for another one."""
    if settings.worker is not None:
        from lepton_ai.mesh.serving.workers.bond import die_with

        die_with(settings.worker.parent)
    elif settings.workers > 1:
        from lepton_ai.mesh.serving.workers.share import share_port

        share_port(settings)
    if isinstance(settings, PublicSettings) and settings.transport != "grpc":
        from lepton_ai.mesh.serving.transports.pyvoy.exec import become_envoy, can_embed

        if settings.transport == "pyvoy" or can_embed():
            become_envoy(settings, main)
