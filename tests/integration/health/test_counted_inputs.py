"""Counts of inputs over the wire, from a replica to health: only its Triton and its registry are fakes."""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.addresses import Addresses
from lepton_ai.client import AsyncClient
from lepton_ai.inputs.counts import InputCounts
from lepton_ai.inputs.profile import Profile
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.tensors import Array
from lepton_ai.testing import MemoryStore, eventually
from lepton_ai.v1 import drift_pb2
from services.health.service import build
from services.health.settings import HealthSettings
from services.inference.recording import counter
from tests.replica import FakeRegistry
from tests.sample_packages import onnx_package
from tests.served_replica import served_replica

ROWS_A_CALL = 8
"""As many as are counted of one call."""


def rows(number: int, *, seed: int, moved: float = 0.0) -> Array:
    made = np.random.default_rng(seed).normal(size=(number, 4)).astype(np.float32)
    made[:, 2] += moved
    return made


def profile_of(values: Array) -> Profile:
    counts = InputCounts()
    for row in values.tolist():
        counts.add((f"x[{place}]", "number", number) for place, number in enumerate(row))
    return Profile.of(counts)


async def send(client: AsyncClient, values: Array) -> None:
    for start in range(0, len(values), ROWS_A_CALL):
        await client.infer("doubler", {"x": values[start : start + ROWS_A_CALL]})


async def inputs(client: AsyncClient, *, moved: float = 0.0, least: int) -> dict[str, drift_pb2.DriftComparison]:
    """What is known of the inputs, once so many of the latest were counted; rows come until then."""
    seeds = count(1)

    async def known() -> dict[str, drift_pb2.DriftComparison]:
        await send(client, rows(80, seed=next(seeds), moved=moved))
        (version,) = await client.drift("doubler")
        return {each.what: each for each in version.inputs if each.latest >= least}

    found: dict[str, drift_pb2.DriftComparison] = await eventually(
        known, timeout_s=60, description=f"{least} rows were counted"
    )
    return found


@pytest.mark.timeout(240)
async def test_a_shift_is_told_by_the_name_of_its_feature_and_clean_rows_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counter, "_EVERY_S", 0.1)
    monkeypatch.setattr(counter, "SHARE_OF_A_CORE", 100.0)
    profile = profile_of(rows(3000, seed=0)).to_json()
    state = MemoryStore()
    registry = FakeRegistry(state)
    registry.push(onnx_package(tmp_path / "package", files={"profile.json": profile}, profile="profile.json"))
    await registry.deploy("doubler", 1)
    settings = HealthSettings(
        port=0,
        data_dir=tmp_path / "health",
        propagation_s=0,
        alert_interval_s=0.2,
        drift_interval_s=0.1,
        drift_pending_s=0,
    )
    server = await build(settings, state, Tracing.create("health", settings))
    health = await server.start()
    await server.ready()
    async with (
        served_replica(state, tmp_path, registry) as inference,
        AsyncClient(Addresses(inference=inference, health=health)) as client,
    ):
        served = partial(client.infer, "doubler", {"x": rows(1, seed=3)})
        await eventually(served, timeout_s=120, description="the model serves")
        clean = await inputs(client, least=1000)
        assert list(clean) == ["x[0]", "x[1]", "x[2]", "x[3]"]
        assert {each.verdict for each in clean.values()} == {drift_pb2.DRIFT_VERDICT_STABLE}
        assert {each.reference for each in clean.values()} == {drift_pb2.DRIFT_REFERENCE_TRAINING}
        shifted = await inputs(client, moved=2.0, least=2000)
        drifted = [name for name, each in shifted.items() if each.verdict == drift_pb2.DRIFT_VERDICT_DRIFTED]
        assert drifted == ["x[2]"]

        async def told() -> list[str]:
            alerts = await client.alerts()
            return [each.annotations["summary"] for each in alerts if each.labels["alertname"] == "InputDrift"]

        (summary,) = await eventually(told, timeout_s=60, description="the alert is raised")
        assert summary.startswith("1 of 4 inputs of doubler@1 are not as in training: x[2]. ")
    await server.drain()
