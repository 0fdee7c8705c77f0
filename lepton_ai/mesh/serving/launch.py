"""Starts a service whose port is public, on the transport that its settings name."""

from __future__ import annotations

import importlib
import sys

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.settings import PublicSettings


def launch(main: str) -> None:
    """Run the coroutine function `main`, "module:function", in this process, or in the Envoy that it becomes.

    The module is imported only where it runs: imports are most of the time that a service takes to start. Errors end
    the process as in `run_process`.
    """
    try:
        settings = PublicSettings.load()
        if settings.transport != "grpc":
            from lepton_ai.mesh.serving.transports.pyvoy.exec import become_envoy, can_embed

            if settings.transport == "pyvoy" or can_embed():
                become_envoy(settings, main)
    except LeptonError as error:
        sys.exit(f"error: {error}")
    from lepton_ai.mesh.serving.process import run_process

    module, _, function = main.partition(":")
    run_process(getattr(importlib.import_module(module), function))
