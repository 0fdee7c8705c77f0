"""Drift over the wire: predictions that replicas report become verdicts, for clients and after a restart."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from lepton_ai.addresses import Addresses
from lepton_ai.client import AsyncClient
from lepton_ai.errors import NotFound
from lepton_ai.mesh.tracing import Tracing
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import drift_pb2, feedback_pb2, feedback_pb2_grpc
from services.health.service import build
from services.health.settings import HealthSettings


def predictions(count: int, share: float, *, seed: int) -> feedback_pb2.RememberPredictionsRequest:
    rng, made_at = np.random.default_rng(seed), (time.time_ns() // 1_000_000).to_bytes(6, "big")
    version = feedback_pb2.RememberedPredictions(
        model="zoo",
        version=2,
        ids=b"".join(made_at + rng.bytes(10) for _ in range(count)),
        items=[0] * count,
        names=["猫", "dog"],
        labels=(1 + (rng.random(count) > share)).tolist(),
        values=rng.beta(8, 2, count).tolist(),
        durations_us=[1000] * count,
        users=bytes(8 * count),
    )
    return feedback_pb2.RememberPredictionsRequest(versions=[version])


async def test_labels_that_change_are_drift_also_after_a_restart(tmp_path: Path) -> None:
    state = MemoryStore()
    settings = HealthSettings(port=0, data_dir=tmp_path, propagation_s=0)
    server = await build(settings, state, Tracing.create("health", settings))
    address = await server.start()
    async with grpc.aio.insecure_channel(address) as channel, AsyncClient(Addresses(health=address)) as client:
        with pytest.raises(NotFound):
            await client.drift("zoo")
        remember = feedback_pb2_grpc.FeedbackServiceStub(channel).RememberPredictions
        await remember(predictions(5000, 0.7, seed=1), timeout=10)
        await remember(predictions(2000, 0.7, seed=2), timeout=10)
        (version,) = await client.drift("zoo")
        assert (version.version, version.verdict) == (2, drift_pb2.DRIFT_VERDICT_STABLE)
        await remember(predictions(4000, 0.2, seed=3), timeout=10)
        (drifted,) = await client.drift("zoo")
    assert drifted.verdict == drift_pb2.DRIFT_VERDICT_DRIFTED
    label = next(each for each in drifted.comparisons if each.what == "label")
    assert {each.name: round(each.golden, 1) for each in label.shares[:2]} == {"猫": 0.7, "dog": 0.3}
    await server.drain()

    again = await build(settings, MemoryStore(), Tracing.create("health", settings))
    address = await again.start()
    async with AsyncClient(Addresses(health=address)) as client:
        assert (await client.drift("zoo"))[0].comparisons == drifted.comparisons
    await again.drain()
