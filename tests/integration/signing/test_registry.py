"""A registry takes in signatures of its versions only; where it requires them, nothing is deployed without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound
from lepton_ai.signing import bundles
from lepton_ai.signing.keys import SigningKey, create_keys
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from tests.integration.registry.served import TIMEOUT_S
from tests.integration.signing.platform import Platform
from tests.sample_packages import onnx_package


async def signature(platform: Platform, version: int = 1) -> pb.Signature:
    request = pb.GetSignatureRequest(model=ModelRef(name="doubler", version=version))
    return await platform.pool.call(
        lambda _, left_s: platform.served.stub.GetSignature(request, timeout=left_s), timeout_s=TIMEOUT_S
    )


async def test_a_version_is_signed_without_becoming_another_one(platform: Platform, tmp_path: Path) -> None:
    package = onnx_package(tmp_path / "p")
    version = await platform.push(package, signed=False)
    with pytest.raises(NotFound, match="is not signed"):
        await signature(platform)
    signed = await platform.sign(version)
    assert (signed.model, signed.version, signed.verified) == ("doubler", 1, False)
    assert (await signature(platform)).bundle == signed.bundle
    again = await platform.push(package, signed=False)
    assert (again.version, again.digest) == (1, version.digest)


async def test_signatures_of_anything_else_are_refused_whatever_the_policy(platform: Platform, tmp_path: Path) -> None:
    version = await platform.push(onnx_package(tmp_path / "p"), signed=False)
    with pytest.raises(InvalidInput, match="is no signature"):
        await platform.hand_in(version, b"{}")
    with pytest.raises(FailedPrecondition, match="is for doubler@2, not for doubler@1"):
        await platform.hand_in(version, bundles.sign(version.manifest, 2, platform.key))
    other = onnx_package(tmp_path / "q", description="another one")
    with pytest.raises(FailedPrecondition, match="not those that were signed"):
        await platform.hand_in(version, bundles.sign(other.manifest(), 1, platform.key))


async def test_a_strict_registry_takes_signatures_of_those_it_trusts(strict: Platform, tmp_path: Path) -> None:
    version = await strict.push(onnx_package(tmp_path / "p"), signed=False)
    stranger, _ = create_keys(tmp_path / "stranger.key")
    with pytest.raises(FailedPrecondition, match="not trusted"):
        await strict.sign(version, SigningKey(stranger))
    assert (await strict.sign(version)).verified


async def test_in_a_strict_registry_a_version_is_ready_once_it_is_signed(strict: Platform, tmp_path: Path) -> None:
    stub = strict.served.stub

    async def states() -> set[tuple[int, str]]:
        one = await stub.GetVersion(pb.GetVersionRequest(model=ModelRef(name="doubler", version=1)), timeout=TIMEOUT_S)
        listed = await stub.ListModels(pb.ListModelsRequest(summary=True), timeout=TIMEOUT_S)
        found = await stub.SearchVersions(pb.SearchVersionsRequest(), timeout=TIMEOUT_S)
        return {(each.state, each.reason) for each in (one, *listed.models[0].versions, *found.versions)}

    version = await strict.push(onnx_package(tmp_path / "p"), signed=False)
    waiting = (pb.MODEL_VERSION_STATE_CHECKING, "it waits for a signature: lepton sign doubler@1")
    assert (version.state, version.reason) == waiting
    assert await states() == {waiting}
    await strict.sign(version)
    assert await states() == {(pb.MODEL_VERSION_STATE_READY, "")}


async def test_a_strict_registry_deploys_only_what_is_signed(strict: Platform, tmp_path: Path) -> None:
    unsigned = await strict.push(onnx_package(tmp_path / "p"), signed=False)
    with pytest.raises(FailedPrecondition, match="is not signed"):
        await strict.deploy(unsigned)
    await strict.sign(unsigned)
    assert (await strict.deploy(unsigned)).generation == 1
    newer = await strict.push(onnx_package(tmp_path / "q", description="newer"), signed=False)
    plan = pb.RolloutPlan(shares=[500], step_s=60, bake_s=60)
    request = pb.StartRolloutRequest(model=ModelRef(name="doubler", version=newer.version), plan=plan)
    with pytest.raises(FailedPrecondition, match="doubler@2 is not signed"):
        await strict.pool.call(
            lambda _, left_s: strict.served.stub.StartRollout(request, timeout=left_s), timeout_s=TIMEOUT_S
        )
