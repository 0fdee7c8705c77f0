"""What packages promise is taken over, unless somebody has promised otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.errors import InvalidInput, Unavailable
from lepton_ai.package import Description
from lepton_ai.v1 import registry_pb2
from services.health.alerts.memory.ledger import Ledger
from services.health.alerts.memory.records import Slo
from services.health.alerts.slo.packages import PackageSlos

TEXT = """
format: 1
name: cats
model: {file: model.onnx, format: onnx}
inputs: [{name: x, dtype: FP32, shape: [-1, 2]}]
outputs: [{name: y, dtype: FP32, shape: [-1, 2]}]
"""
PROMISE = "slo: {availability_percent: 99.9, latency_s: 0.2, latency_percent: 95, window_days: 7}\n"


class Packages:
    """What is deployed, and its descriptions."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = "one"
        self.fails = False

    def deployments(self) -> dict[str, registry_pb2.Deployment]:
        target = registry_pb2.WeightedVersion(version=1, weight=1)
        version = registry_pb2.DeployedVersion(version=1, digest=self.digest)
        route = registry_pb2.Route(alias="production", targets=[target])
        return {"cats": registry_pb2.Deployment(model="cats", versions=[version], routes=[route])}

    async def description(self, version: registry_pb2.DeployedVersion) -> Description:
        if self.fails:
            raise Unavailable("the registry is away")
        return Description.parse(self.text.encode())


async def test_what_a_package_promises_is_promised_until_a_later_one_does_not(tmp_path: Path) -> None:
    ledger, packages = Ledger(tmp_path / "alerts.sqlite"), Packages(TEXT + PROMISE)
    slos = PackageSlos(ledger, packages.deployments, packages)
    packages.fails = True
    await slos.refresh()
    assert ledger.of(Slo) == {}
    packages.fails = False
    await slos.refresh()
    promised = ledger.of(Slo)["cats"]
    assert promised.availability == pytest.approx(0.999)
    assert (promised.latency_s, promised.latency_share) == (0.2, 0.95)
    assert (promised.window_s, promised.source) == (7 * 86400, "package")
    packages.text, packages.digest = TEXT, "two"
    await slos.refresh()
    assert ledger.of(Slo) == {}
    await ledger.close()


async def test_what_somebody_has_promised_or_taken_back_counts_before_it(tmp_path: Path) -> None:
    ledger, packages = Ledger(tmp_path / "alerts.sqlite"), Packages(TEXT + PROMISE)
    slos = PackageSlos(ledger, packages.deployments, packages)
    await ledger.save([Slo(id="cats", availability=0.5, removed=True)])
    await slos.refresh()
    assert ledger.of(Slo)["cats"].removed
    await ledger.close()


@pytest.mark.parametrize("wrong", ["{availability_percent: 100}", "{latency_s: 0}", "{window_days: 91}", "{uptime: 1}"])
def test_a_promise_that_cannot_be_meant_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="slo"):
        Description.parse(f"{TEXT}slo: {wrong}\n".encode())
