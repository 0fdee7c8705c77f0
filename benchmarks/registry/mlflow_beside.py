"""The registry beside MLflow's local one: the same versions, aliases and questions, on SQLite both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.registry.transfers import write_random
from benchmarks.report import Report
from lepton_ai import AsyncClient
from lepton_ai.addresses import Addresses
from lepton_ai.package import Package
from lepton_ai.v1 import common_pb2, registry_pb2
from tests.integration.registry.process import registry_process
from tests.sample_packages import onnx_package

if TYPE_CHECKING:
    from lepton_ai.v1.registry_pb2_grpc import RegistryServiceAsyncStub

_VERSIONS = 20
_TIMES = 200
_QUESTIONS = {"get": "one version", "flip": "alias to another version", "list": "all versions of the model"}
_MODEL_BYTES = 20 << 20
_NAME = "beside"


async def measure(directory: Path) -> list[Report]:
    """Both in turns, version by version."""
    packages = [_package(directory / "packages" / str(number), number) for number in range(_VERSIONS)]
    (directory / "lepton").mkdir()
    async with (
        registry_process(directory / "lepton" / "data") as process,
        AsyncClient(Addresses(registry=process.address)) as client,
    ):
        lepton, rival = _Lepton(client, process.stub), _Mlflow(directory / "mlflow")
        pushes = [(await _timed(lepton.push(each)), await _timed(rival.push(each))) for each in packages]
        rows = [_row("a version of 20 MB", pushes)]
        for name, title in _QUESTIONS.items():
            ask, beside = getattr(lepton, name), getattr(rival, name)
            asked = [(await _timed(ask(number)), await _timed(beside(number))) for number in range(_TIMES)]
            rows.append(_row(title, asked))
    columns = ("", "Lepton p50 ms", "p95", "MLflow p50 ms", "p95", "Lepton / MLflow")
    note = (
        f"{_VERSIONS} versions. Lepton is a process that is asked over gRPC, checks files, runs the model in a process "
        "that can do nothing else, and syncs the disk; MLflow is a library in this process that copies files."
    )
    return [Report("The registry beside MLflow's", columns, rows, note)]


class _Lepton:
    def __init__(self, client: AsyncClient, stub: RegistryServiceAsyncStub) -> None:
        self._client = client
        self._stub = stub

    async def push(self, package: Package) -> None:
        await self._client.push(package.directory)

    async def get(self, number: int) -> None:
        reference = common_pb2.ModelRef(name=_NAME, version=1 + number % _VERSIONS)
        await self._stub.GetVersion(registry_pb2.GetVersionRequest(model=reference), timeout=10)

    async def flip(self, number: int) -> None:
        await self._client.set_alias(_NAME, "staging", 1 + number % _VERSIONS)

    async def list(self, number: int) -> None:
        await self._client.models(_NAME)


class _Mlflow:
    """Called as people do, from the thread that waits for it."""

    def __init__(self, directory: Path) -> None:
        import mlflow

        directory.mkdir(parents=True)
        address = f"sqlite:///{directory / 'mlflow.db'}"
        mlflow.set_tracking_uri(address)
        self._client: Any = mlflow.MlflowClient(tracking_uri=address, registry_uri=address)
        experiment = self._client.create_experiment(_NAME, artifact_location=str(directory / "artifacts"))
        self._run = self._client.create_run(experiment).info.run_id
        self._client.create_registered_model(_NAME)
        self._pushed = 0

    async def push(self, package: Package) -> None:
        self._pushed += 1
        place = f"model-{self._pushed}"
        self._client.log_artifacts(self._run, str(package.directory), place)
        self._client.create_model_version(_NAME, source=f"runs:/{self._run}/{place}", run_id=self._run)

    async def get(self, number: int) -> None:
        self._client.get_model_version(_NAME, str(1 + number % _VERSIONS))

    async def flip(self, number: int) -> None:
        self._client.set_registered_model_alias(_NAME, "staging", str(1 + number % _VERSIONS))

    async def list(self, number: int) -> None:
        self._client.search_model_versions(f"name = '{_NAME}'", max_results=100)


def _package(directory: Path, number: int) -> Package:
    directory.parent.mkdir(parents=True, exist_ok=True)
    package = onnx_package(directory, name=_NAME, description=f"version {number}", files={"weights.bin": b""})
    write_random(package.directory / "weights.bin", _MODEL_BYTES)
    return Package.read(directory)


async def _timed(work: Awaitable[None]) -> float:
    begun_s = time.perf_counter()
    await work
    return time.perf_counter() - begun_s


def _row(title: str, both: Sequence[tuple[float, float]]) -> list[str]:
    ours_s, theirs_s = zip(*both, strict=True)
    cells = []
    for times_s in (ours_s, theirs_s):
        cells += [f"{1e3 * statistics.median(times_s):.1f}", f"{1e3 * statistics.quantiles(times_s, n=20)[-1]:.1f}"]
    return [title, *cells, f"{statistics.median(ours_s) / statistics.median(theirs_s):.2f}"]
