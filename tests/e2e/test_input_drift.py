"""Input drift on the whole platform: a model trained with the SDK is given what it knows, then something else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

import lepton_ai as la
from lepton_ai import AsyncClient
from lepton_ai.datasets import from_rows
from lepton_ai.models import MLP
from lepton_ai.testing import eventually
from lepton_ai.v1 import alerts_pb2, drift_pb2
from tests.platform import Platform

pytestmark = pytest.mark.e2e

NAME = "visits"
ENOUGH = 1000
"""Rows of late, before anything is said of them."""
_A_CALL = 20
_CITIES = ("北京", "Paris", "Lima")


class Visitors:
    """Draws rows as they were in training, or of older people."""

    def __init__(self) -> None:
        self._chance = np.random.default_rng(11)

    def draw(self, count: int, *, older_by: float = 0.0) -> list[dict[str, float | str]]:
        """Rows without labels."""
        ages = self._chance.normal(40, 10, count) + older_by
        visits = self._chance.poisson(4, count)
        cities = self._chance.choice(_CITIES, count, p=(0.5, 0.3, 0.2))
        return [
            {"age": float(age), "visits": int(number), "城市": str(city)}
            for age, number, city in zip(ages, visits, cities, strict=True)
        ]


def trained(visitors: Visitors) -> MLP:
    """A small model that has seen 1,800 rows; 200 were to validate it."""
    rows = [{**row, "label": "old" if float(row["age"]) > 45 else "young"} for row in visitors.draw(2000)]
    model = MLP((8,))
    model.fit(from_rows(rows, target="label"), epochs=1, progress=False)
    return model


async def counted(
    client: AsyncClient, visitors: Visitors, *, older_by: float = 0.0, least: int
) -> Mapping[str, drift_pb2.DriftComparison]:
    """Every feature, once so many rows of late were counted; rows come until then."""

    async def known() -> Mapping[str, drift_pb2.DriftComparison]:
        await client.predict_batch(NAME, visitors.draw(_A_CALL, older_by=older_by))
        (version,) = await client.drift(NAME)
        return {each.what: each for each in version.inputs if each.latest >= least}

    found: Mapping[str, drift_pb2.DriftComparison] = await eventually(
        known, timeout_s=150.0, interval_s=0.1, description=f"{least} rows were counted"
    )
    return found


async def alerts(client: AsyncClient) -> Sequence[alerts_pb2.Alert]:
    """Pending and firing ones of the inputs of the model."""
    return await client.alerts(matchers=['alertname="InputDrift"', f'model="{NAME}"'])


@pytest.mark.timeout(400)
async def test_inputs_as_in_training_raise_nothing_and_shifted_ones_name_their_feature(platform: Platform) -> None:
    visitors = Visitors()
    model = await asyncio.to_thread(trained, visitors)
    await asyncio.to_thread(la.deploy, model, name=NAME, addresses=platform.addresses)
    async with platform.client() as client:
        clean = await counted(client, visitors, least=ENOUGH)
        assert {name: each.verdict for name, each in clean.items()} == dict.fromkeys(
            ("age", "visits", "城市"), drift_pb2.DRIFT_VERDICT_STABLE
        )
        assert {each.reference for each in clean.values()} == {drift_pb2.DRIFT_REFERENCE_TRAINING}
        assert await alerts(client) == []

        shifted = await counted(client, visitors, older_by=15.0, least=2 * ENOUGH)
        drifted = [name for name, each in shifted.items() if each.verdict == drift_pb2.DRIFT_VERDICT_DRIFTED]
        assert drifted == ["age"]

        async def fired() -> Sequence[alerts_pb2.Alert]:
            return [each for each in await alerts(client) if each.state == alerts_pb2.ALERT_STATE_FIRING]

        (alert,) = await eventually(fired, timeout_s=30.0, description="the alert fires")
        assert alert.annotations["summary"].startswith(f"1 of 3 inputs of {NAME}@1 are not as in training: age. ")
        assert "in training (1,800)" in alert.annotations["description"]
        shown = await asyncio.to_thread(platform.lepton, "alerts")
        assert alert.fingerprint[:8] in shown.stdout
        await client.undeploy(NAME)
