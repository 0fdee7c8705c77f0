"""Runs the real tritonserver on this machine: finds it, gives it a Python backend that fits this Python, starts it.

`python -m lepton_ai.local.programs.triton --help` is what a process supervisor runs: it prepares everything and then
becomes tritonserver, under the same process id.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata, util
from pathlib import Path
from typing import Any

import click
import psutil

from lepton_ai.errors import FailedPrecondition
from lepton_ai.local.programs.ports import LOOPBACK
from lepton_ai.local.programs.triton_repair import REPAIR_DIGEST, copy_repaired, copy_with_private_memory
from lepton_ai.mesh.shared_memory import SHARED_MEMORY

_STUB = "triton_python_backend_stub"
_FIRST_SHARED_MEMORY_BYTES = 1 << 20
"""What each stub maps at first; it grows when tensors need more."""
_SPAN_DELAY_MS = 400
_EXIT_TIMEOUT_S = 5


@dataclass(frozen=True)
class TritonInstallation:
    """A tritonserver binary and what it needs to run."""

    binary: Path
    backend: Path | None = None
    """The Python backend of the nvidia-pytriton wheel; None for a full installation, which finds its own."""
    stub: Path | None = None
    """The wheel's Python-backend stub for the running Python."""
    libraries: tuple[Path, ...] = ()
    """Directories for LD_LIBRARY_PATH."""
    version: str = ""


@dataclass(frozen=True)
class TritonOptions:
    """What differs between one tritonserver and the next."""

    model_repository: Path
    socket: Path
    """Where it listens: a Unix socket whose name ends in `:NUMBER`. Whoever may connect may run any code in Triton."""
    otlp_http_address: str | None = None
    """host:port that takes OTLP over HTTP; None turns tracing off. Only requests with a traceparent are traced."""
    metrics_port: int | None = None
    """Port of its metrics page on loopback; None: none."""
    threads: int = 1
    """Threads that numeric libraries may use in each model instance."""


def find_triton(search_path: str | None = None) -> TritonInstallation:
    """The tritonserver on PATH (or `search_path`), else the one in the nvidia-pytriton wheel.

    Raises FailedPrecondition when there is neither, or when the wheel has no stub for this Python.
    """
    on_path = shutil.which("tritonserver", path=search_path)
    if on_path:
        return TritonInstallation(binary=Path(on_path))
    spec = util.find_spec("pytriton")  # found, not imported: the import takes a second and patches asyncio
    if spec is None or not spec.submodule_search_locations:
        raise FailedPrecondition(
            "No tritonserver was found.",
            reason="TRITON_MISSING",
            fix="Install the local extra (it has the nvidia-pytriton wheel), or put tritonserver on PATH.",
        )
    package = Path(spec.submodule_search_locations[0])
    server = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / _STUB
    if not stub.is_file():
        raise FailedPrecondition(
            f"The nvidia-pytriton wheel has no Python-backend stub for Python {version}.",
            reason="TRITON_STUB_MISSING",
            fix="Run the local stack with a Python version that the wheel supports.",
        )
    return TritonInstallation(
        binary=server / "bin" / "tritonserver",
        backend=server / "backends" / "python",
        stub=stub,
        libraries=(Path(sysconfig.get_config_var("LIBDIR")), package.parent / "nvidia_pytriton.libs"),
        version=metadata.version("nvidia-pytriton"),
    )


def prepare(installation: TritonInstallation, directory: Path) -> TritonInstallation:
    """The wheel's installation made runnable in `directory`: the server mended, the backend with this Python's stub.

    A full installation is returned as it is. Safe to call from several processes at once: what is made is made aside
    and moved into place, and never changed afterwards.
    """
    if installation.backend is None or installation.stub is None:
        return installation
    made_of = f"{installation.backend} {installation.stub} {installation.version} {REPAIR_DIGEST}"
    key = hashlib.sha256(made_of.encode()).hexdigest()
    target = directory / f"triton-{key[:12]}"
    prepared = replace(installation, binary=target / "tritonserver", backend=target / "backends/python")
    if target.is_dir():
        return prepared
    directory.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=directory))
    try:
        copy_repaired(installation.binary, temporary / "tritonserver")
        _fill_backend(temporary / "backends/python", installation.backend, installation.stub)
        # Fails when another process was first; then its copy is as good.
        with contextlib.suppress(OSError):
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return prepared


def _fill_backend(directory: Path, backend: Path, stub: Path) -> None:
    directory.mkdir(parents=True)
    for source in backend.iterdir():
        if source.suffix == ".so":
            copy_with_private_memory(source, directory / source.name)
        elif source.is_file():
            (directory / source.name).symlink_to(source.resolve())
    copy_with_private_memory(stub, directory / _STUB)  # a copy, as the wheel's need not be executable
    (directory / _STUB).chmod(0o755)


def triton_command(installation: TritonInstallation, options: TritonOptions, run_directory: Path) -> tuple[str, ...]:
    """tritonserver's command line: gRPC on a socket only, models loaded on demand, traced when asked to be."""
    prepared = prepare(installation, run_directory)
    address, _, number = str(options.socket).rpartition(":")  # Triton puts them together again
    arguments = {
        "model-repository": options.model_repository,
        "model-control-mode": "explicit",
        "strict-readiness": "false",
        "allow-http": "false",
        "allow-metrics": "false" if options.metrics_port is None else "true",
        "allow-grpc": "true",
        "grpc-address": f"unix:{address}",
        "grpc-port": number,
        "exit-timeout-secs": _EXIT_TIMEOUT_S,
        "cuda-memory-pool-byte-size": "0:0",
    }
    if options.metrics_port is not None:
        arguments |= {"metrics-address": LOOPBACK, "metrics-port": options.metrics_port}
    if prepared.backend is not None:
        arguments["backend-directory"] = prepared.backend.parent
    command = [str(prepared.binary), *(f"--{name}={value}" for name, value in arguments.items())]
    command.append("--disable-auto-complete-config")
    command += [f"--backend-config=python,{setting}" for setting in _python_backend_settings(run_directory)]
    if options.otlp_http_address:
        command += [f"--trace-config={setting}" for setting in _trace_settings(options.otlp_http_address)]
    return tuple(command)


def _python_backend_settings(run_directory: Path) -> Sequence[str]:
    return (
        f"shm-region-prefix-name={shared_memory_prefix(run_directory)}",
        f"shm-default-byte-size={_FIRST_SHARED_MEMORY_BYTES}",
        f"shm-growth-byte-size={_FIRST_SHARED_MEMORY_BYTES}",
    )


def _trace_settings(address: str) -> Sequence[str]:
    return (
        "mode=opentelemetry",
        "level=TIMESTAMPS",
        "rate=0",  # only requests that come with a traceparent
        "count=-1",
        f"opentelemetry,url=http://{address}/v1/traces",
        "opentelemetry,resource=service.name=triton",
        f"opentelemetry,bsp_schedule_delay={_SPAN_DELAY_MS}",
    )


def triton_environment(
    installation: TritonInstallation, options: TritonOptions, base: Mapping[str, str]
) -> dict[str, str]:
    """`base` with what tritonserver and the Python in its stubs need."""
    environment = dict(base)
    libraries = [*map(str, installation.libraries), base.get("LD_LIBRARY_PATH", "")]
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    if installation.stub is not None:
        # The stub embeds an isolated Python (it ignores PYTHONPATH) that finds its packages as any python3 does that
        # is first on PATH: through the pyvenv.cfg beside it.
        environment["PATH"] = os.pathsep.join((sysconfig.get_path("scripts"), base.get("PATH", os.defpath)))
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[variable] = str(options.threads)
    return environment


def shared_memory_prefix(run_directory: Path) -> str:
    """What the names of the shared-memory regions of a run directory's Triton begin with."""
    return f"lepton-{hashlib.sha256(str(run_directory.resolve()).encode()).hexdigest()[:12]}-"


def remove_leftovers(run_directory: Path) -> None:
    """End orphaned stubs of a Triton that was killed, and free their shared memory.

    Only while no Triton of this run directory is up. A stub ends by itself when its Triton dies, unless it hangs.
    """
    prefix = shared_memory_prefix(run_directory)
    for process in psutil.process_iter(["cmdline", "ppid"]):
        if _is_orphan(process.info, prefix):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def _is_orphan(info: Mapping[str, Any], prefix: str) -> bool:
    """Whether a process is a stub of this run directory (its arguments name its shared memory) without a Triton."""
    command = info["cmdline"] or []
    if not command or Path(command[0]).name != _STUB or not any(part.startswith(prefix) for part in command):
        return False
    try:
        return "tritonserver" not in psutil.Process(info["ppid"]).name()
    except psutil.NoSuchProcess:
        return True


def _relative_to_common(options: TritonOptions, run_directory: Path) -> tuple[TritonOptions, Path]:
    """Enter the folder that holds both directories and name them from there.

    The Python in Triton's stubs reads file names as ASCII whatever the locale (its configuration is isolated), so no
    path that Triton hands to it may contain a folder with a name beyond ASCII.
    """
    common = Path(os.path.commonpath([run_directory.absolute(), options.model_repository.absolute()]))
    relative = [path.absolute().relative_to(common) for path in (options.model_repository, run_directory)]
    os.chdir(common)
    return replace(options, model_repository=relative[0]), relative[1]


@click.command()
@click.option("--run-directory", type=click.Path(path_type=Path), required=True, help="Backends and the pid file.")
@click.option("--model-repository", type=click.Path(path_type=Path), required=True, help="Made if it is not there.")
@click.option("--socket", type=click.Path(path_type=Path), required=True, help="Unix socket, named NAME:NUMBER.")
@click.option("--otlp-http-address", default=None, help="host:port for OTLP over HTTP; without it nothing is traced.")
@click.option("--metrics-port", type=int, default=None, help="Loopback port for Prometheus; without it there is none.")
@click.option("--pid-file", type=click.Path(path_type=Path), default=None, help="Gets tritonserver's process id.")
def main(
    run_directory: Path,
    model_repository: Path,
    socket: Path,
    otlp_http_address: str | None,
    metrics_port: int | None,
    pid_file: Path | None,
) -> None:
    """Become tritonserver. A supervisor restarts it when it dies; kill its pid to have it restarted."""
    installation = find_triton()
    options = TritonOptions(model_repository, socket.absolute(), otlp_http_address, metrics_port)
    os.umask(0o077)  # also closes the shared memory in which its Python backend keeps tensors
    run_directory.mkdir(parents=True, exist_ok=True)
    model_repository.mkdir(parents=True, exist_ok=True)
    remove_leftovers(run_directory)
    if pid_file is not None:
        pid_file.write_text(str(os.getpid()), encoding="ascii")
    command = triton_command(installation, *_relative_to_common(options, run_directory))
    os.execve(command[0], command, triton_environment(installation, options, os.environ))  # noqa: S606


if __name__ == "__main__":
    main()
