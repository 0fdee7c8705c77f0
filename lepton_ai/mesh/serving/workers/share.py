"""Turns the process of a service into the parent of several workers that share its port."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from lepton_ai.errors import FailedPrecondition, InvalidInput, Unsupported
from lepton_ai.mesh.serving.advertised import names_port
from lepton_ai.mesh.serving.workers.reserved import reserve
from lepton_ai.mesh.settings import ServiceSettings

_PARENT = Path(__file__).with_name("parent.py")
_LAST_PORT = 65535


def share_port(settings: ServiceSettings) -> NoReturn:
    """Replace this process's program by one that starts `settings.workers` processes of the service.

    The parent imports nothing of ours and so takes a quarter of the memory of a process that has read settings. Raises
    FailedPrecondition when a port is taken, or when an address is advertised that only one worker could have.
    """
    if sys.platform != "linux":
        raise Unsupported("Several workers on one port need Linux.", fix="Set LEPTON_WORKERS=1.")
    if settings.advertise_address and names_port(settings.advertise_address):
        raise FailedPrecondition(
            "LEPTON_ADVERTISE_ADDRESS names a port, but each of several workers is reached at a port of its own.",
            fix="Advertise the host alone; LEPTON_WORKER_PORT is the first worker's port, the next has the next.",
        )
    _check_ports(settings)
    shared = reserve(settings.host, settings.port)
    own = [
        reserve(settings.host, settings.worker_port and settings.worker_port + index)
        for index in range(settings.workers)
    ]
    orders = {
        "command": [sys.executable, *sys.orig_argv[1:]],
        "environments": [
            _environment(settings, index, shared.getsockname()[1], each.getsockname()[1])
            for index, each in enumerate(own)
        ],
        "held": [each.fileno() for each in (shared, *own)],
        "log_format": settings.log_format,
    }
    os.execv(sys.executable, [sys.executable, "-I", "-S", str(_PARENT), json.dumps(orders)])  # noqa: S606


def _check_ports(settings: ServiceSettings) -> None:
    """Raises InvalidInput unless there are as many ports as workers from the first one's on."""
    for name in ("worker_port", "metrics_port"):
        port = getattr(settings, name)
        if port and port + settings.workers - 1 > _LAST_PORT:
            raise InvalidInput.of_field(
                f"LEPTON_{name.upper()}",
                f"leaves no ports for {settings.workers} workers",
                fix=f"Set {_LAST_PORT - settings.workers + 1} at most, or 0 for any free ones.",
            )


def _environment(settings: ServiceSettings, index: int, shared_port: int, own_port: int) -> Mapping[str, str]:
    """What is different for one of the workers."""
    worker = {"number": index + 1, "port": own_port, "parent": os.getpid()}
    environment = {"LEPTON_PORT": str(shared_port), "LEPTON_WORKER": json.dumps(worker)}
    if settings.metrics_port:
        environment["LEPTON_METRICS_PORT"] = str(settings.metrics_port + index)
    return environment
