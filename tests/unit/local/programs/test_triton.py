"""How tritonserver is found and started."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lepton_ai.local.programs.triton import (
    TritonInstallation,
    TritonOptions,
    find_triton,
    prepare,
    triton_command,
    triton_environment,
)


@pytest.fixture
def installation(tmp_path: Path) -> TritonInstallation:
    wheel = tmp_path / "wheel"
    (wheel / "backends/python").mkdir(parents=True)
    (wheel / "backends/python/libtriton_python.so").write_text("library")
    (wheel / "tritonserver").write_text("server")
    (wheel / "tritonserver").chmod(0o755)
    (wheel / "stub").write_text("stub")
    (wheel / "stub").chmod(0o644)
    return TritonInstallation(
        binary=wheel / "tritonserver",
        backend=wheel / "backends/python",
        stub=wheel / "stub",
        libraries=(wheel / "libs",),
        version="1",
    )


def options(directory: Path, otlp: str | None = None) -> TritonOptions:
    return TritonOptions(directory / "models", 8001, otlp)


def test_one_on_path_comes_first(tmp_path: Path) -> None:
    binary = tmp_path / "tritonserver"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    assert find_triton(str(tmp_path)) == TritonInstallation(binary)


def test_it_is_made_runnable_once_however_many_ask_at_once(tmp_path: Path, installation: TritonInstallation) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: prepare(installation, tmp_path / "run"), range(32)))
    (prepared,) = made
    assert prepared.backend is not None
    stub = prepared.backend / "triton_python_backend_stub"
    assert (stub.read_text(), os.access(stub, os.X_OK)) == ("stub", True)
    assert (prepared.binary.read_text(), os.access(prepared.binary, os.X_OK)) == ("server", True)
    assert (prepared.backend / "libtriton_python.so").read_text() == "library"
    assert list((tmp_path / "run").iterdir()) == [prepared.binary.parent]


def test_a_full_installation_runs_as_it_is(tmp_path: Path) -> None:
    full = TritonInstallation(Path("/opt/tritonserver"))
    assert prepare(full, tmp_path) == full
    command = triton_command(full, options(tmp_path), tmp_path)
    assert not [argument for argument in command if argument.startswith("--backend-directory")]
    assert list(tmp_path.iterdir()) == []


def test_it_listens_on_loopback_speaks_grpc_only_and_loads_on_demand(
    tmp_path: Path, installation: TritonInstallation
) -> None:
    command = triton_command(installation, options(tmp_path), tmp_path)
    assert {
        "--grpc-address=127.0.0.1",
        "--grpc-port=8001",
        "--allow-http=false",
        "--allow-metrics=false",
        "--model-control-mode=explicit",
    } <= set(command)
    assert not [argument for argument in command if "trace" in argument]


def test_only_requests_with_a_traceparent_are_traced(tmp_path: Path, installation: TritonInstallation) -> None:
    command = triton_command(installation, options(tmp_path, "127.0.0.1:4318"), tmp_path)
    settings = {argument.removeprefix("--trace-config=") for argument in command if "trace-config" in argument}
    assert {"mode=opentelemetry", "level=TIMESTAMPS", "rate=0", "count=-1"} < settings
    assert "opentelemetry,url=http://127.0.0.1:4318/v1/traces" in settings


def test_the_stub_finds_this_pythons_packages_and_libraries(tmp_path: Path, installation: TritonInstallation) -> None:
    base = {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/mine", "HOME": "/home/me"}
    environment = triton_environment(installation, options(tmp_path), base)
    assert environment["PATH"].endswith(":/usr/bin") and environment["PATH"] != "/usr/bin"
    assert environment["LD_LIBRARY_PATH"] == f"{tmp_path}/wheel/libs:/mine"
    assert (environment["OMP_NUM_THREADS"], environment["HOME"]) == ("1", "/home/me")
    assert base["PATH"] == "/usr/bin"
