"""The cost of a call from 1 to 100 deployed models, 1 to 64 callers, and 1 to 20 replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil

from benchmarks import rows
from benchmarks.flat.cheap_replicas import cheap_replicas
from benchmarks.flat.cost import ALLOWED, Cost, is_flat, median, ratios
from benchmarks.flat.cost import measure as measure_cost
from benchmarks.load import Call
from benchmarks.report import Report
from lepton_ai import Addresses, AsyncClient
from tests.platform import Platform

_ROUNDS = 5
_MODELS = (1, 10, 100)
_CALLERS = (1, 4, 16, 64)
_REPLICAS = (1, 2, 5, 20)
_CALLERS_OF_REPLICAS = 16
_ROW = np.zeros((1, rows.WIDTH), np.float32)

Costs = Mapping[int, Sequence[Cost]]


async def measure(platform: Platform, directory: Path, *, seconds: float) -> list[Report]:
    """All three, the callers before there are many models."""
    seconds /= _ROUNDS
    service = platform.process("inference")
    async with platform.client() as client:
        models = Models(client, directory)
        await models.deploy(_MODELS[0])
        callers = await over_callers(models.call(1), service, seconds=seconds)
        deployed = await over_models(models, service, seconds=seconds)
    with cheap_replicas(max(_REPLICAS)) as addresses:
        replicas = await over_replicas(addresses, seconds=seconds)
    return [
        _table("models", "Cost of a call by deployed models", deployed, "One caller, who calls all models in turn."),
        _table("callers", "Cost of a call by callers", callers, "Callers share batches: many pay less than one."),
        _table(
            "replicas",
            "Cost of a call by replicas",
            replicas,
            f"{_CALLERS_OF_REPLICAS} callers of one client; the replicas answer at once, from one process.",
        ),
    ]


class Models:
    """Small models, as many as asked for."""

    def __init__(self, client: AsyncClient, directory: Path) -> None:
        self._client = client
        self._directory = directory
        self._count = 0

    async def deploy(self, count: int) -> None:
        """Have so many models deployed and serving, each with one instance."""
        for number in range(self._count, count):
            name = _name(number)
            await self._client.push(rows.write(self._directory / name, name=name, instances=1))
            await self._client.deploy(name)
        self._count = max(self._count, count)

    def call(self, count: int) -> Call:
        """Calls of the first `count` models in turn."""

        async def call(number: int) -> object:
            return await self._client.infer(_name(number % count), {"x": _ROW})

        return call


def _name(number: int) -> str:
    return f"rows-{number}"


async def over_callers(call: Call, service: psutil.Process, *, seconds: float) -> Costs:
    """Every number of callers in turn, in rounds."""
    costs: dict[int, list[Cost]] = {callers: [] for callers in _CALLERS}
    for _ in range(_ROUNDS):
        for callers, seen in costs.items():
            seen.append(await measure_cost(call, callers=callers, seconds=seconds, service=service))
    return costs


async def over_models(models: Models, service: psutil.Process, *, seconds: float) -> Costs:
    """More and more models."""
    costs: dict[int, list[Cost]] = {}
    for count in _MODELS:
        await models.deploy(count)
        call = models.call(count)
        costs[count] = [await measure_cost(call, callers=1, seconds=seconds, service=service) for _ in range(_ROUNDS)]
    return costs


async def over_replicas(addresses: Sequence[str], *, seconds: float) -> Costs:
    """A client for each number of replicas, in turn, in rounds."""
    costs: dict[int, list[Cost]] = {count: [] for count in _REPLICAS}
    clients = {count: AsyncClient(Addresses(inference=",".join(addresses[:count]))) for count in _REPLICAS}
    for _ in range(_ROUNDS):
        for count, client in clients.items():

            async def call(_number: int, client: AsyncClient = client) -> object:
                return await client.infer("rows", {"x": _ROW})

            costs[count].append(await measure_cost(call, callers=_CALLERS_OF_REPLICAS, seconds=seconds))
    for client in clients.values():
        await client.close()
    return costs


def _table(what: str, title: str, costs: Costs, note: str) -> Report:
    found = ratios(costs)
    table = []
    for number, rounds in costs.items():
        cost = median(rounds)
        served = f"{cost.service_us:.0f}" if cost.service_us else "–"
        figures = [f"{cost.caller_us:.0f}", served, f"{found[number]:.2f}", f"{cost.p50_ms:.2f}", f"{cost.per_s:,.0f}"]
        table.append([str(number), *figures])
    verdict = "flat" if is_flat(found) else "NOT flat"
    note = f"{note} Ratio: of the CPU of both, median of {_ROUNDS} rounds; up to {ALLOWED:.2f} is flat: {verdict}."
    columns = (what, "caller µs of CPU", "inference µs of CPU", "ratio", "p50 ms", "per s")
    return Report(title, columns, table, note)
