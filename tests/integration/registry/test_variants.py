"""Variants of versions over gRPC: pushed, shown with lineage and measurements, immutable, signed, gone with their
version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton_ai.addresses import Addresses
from lepton_ai.client import AsyncClient
from lepton_ai.errors import FailedPrecondition, InvalidInput, LeptonError, NotFound
from lepton_ai.mesh.discovery.records import decode_deployment, deployment_key
from lepton_ai.mesh.errors import from_rpc_error
from lepton_ai.package import Package
from lepton_ai.signing import bundles
from lepton_ai.signing.keys import SigningKey, TrustedKeys, create_keys
from lepton_ai.testing import MemoryStore
from lepton_ai.v1 import registry_pb2 as pb
from lepton_ai.v1.common_pb2 import ModelRef
from tests.integration.registry.served import TIMEOUT_S, Served, contents, push, requests, send, serving
from tests.sample_packages import onnx_package, variant_package


@pytest.fixture
def state() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def served(tmp_path: Path, state: MemoryStore) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data", state, delete_after_s=0.0) as running:
        yield running


@pytest.fixture
async def original(served: Served, tmp_path: Path) -> Package:
    """Pushed as version 1."""
    package = onnx_package(tmp_path / "original")
    await push(served.stub, package)
    return package


async def call(method: Any, request: Any) -> Any:
    try:
        return await method(request, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


async def push_variant(served: Served, package: Package, name: str = "int8", version: int = 1) -> Any:
    messages = requests(package.manifest(), contents(package))
    messages[0].variant_of.CopyFrom(pb.VariantOf(version=version, name=name))
    try:
        return await send(served.stub, messages)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


async def version(served: Served, number: int = 1) -> pb.ModelVersion:
    found: pb.ModelVersion = await call(
        served.stub.GetVersion, pb.GetVersionRequest(model=ModelRef(name="doubler", version=number))
    )
    return found


async def audit(served: Served, action: str) -> list[pb.AuditEntry]:
    return list((await call(served.stub.ListAudit, pb.ListAuditRequest(action=action))).entries)


async def test_a_variant_keeps_the_number_and_has_a_digest_of_its_own(
    served: Served, original: Package, tmp_path: Path
) -> None:
    package = variant_package(tmp_path / "int8", original)
    response = await push_variant(served, package)
    assert (response.created, response.variant, response.version.version) == (True, "int8", 1)
    found = await version(served)
    assert found.digest == original.digest
    (variant,) = found.variants
    assert (variant.name, variant.digest) == ("int8", package.digest)
    assert variant.dry_run.startswith("passed")
    (model,) = (await call(served.stub.ListModels, pb.ListModelsRequest(summary=True))).models
    assert [each.version for each in model.versions] == [1]
    assert [each.name for each in model.versions[0].variants] == ["int8"]


async def test_it_says_what_it_was_made_of_and_what_was_measured_where(
    served: Served, original: Package, tmp_path: Path
) -> None:
    package = variant_package(tmp_path / "int8", original, flags=["avx2"], cpu="A processor")
    await push_variant(served, package)
    (variant,) = (await version(served)).variants
    assert (variant.of_digest, variant.method) == (original.digest, "int8-minmax-u8s8")
    assert variant.lineage.parent == "doubler@1"
    measured = variant.measured
    assert (measured.cpu, list(measured.flags)) == ("A processor", ["avx2"])
    assert (measured.speed_up, measured.speed_up_low, measured.speed_up_high) == (2.0, 1.9, 2.1)
    assert (measured.loss, measured.loss_high, measured.max_loss) == (0.001, 0.004, 0.005)
    (entry,) = await audit(served, "push_variant")
    assert package.digest in entry.after_json
    assert original.digest in entry.after_json


async def test_a_variant_does_not_change(served: Served, original: Package, tmp_path: Path) -> None:
    package = variant_package(tmp_path / "int8", original)
    await push_variant(served, package)
    assert not (await push_variant(served, package)).created
    other = variant_package(tmp_path / "other", original, speed_up=3.0)
    with pytest.raises(FailedPrecondition, match="variants do not change"):
        await push_variant(served, other)
    with pytest.raises(FailedPrecondition, match="already, as int8"):
        await push_variant(served, package, "again")
    assert [each.digest for each in (await version(served)).variants] == [package.digest]


async def test_only_what_was_made_of_a_version_is_a_variant_of_it(
    served: Served, original: Package, tmp_path: Path
) -> None:
    await push(served.stub, onnx_package(tmp_path / "second", max_batch_size=2))
    package = variant_package(tmp_path / "int8", original)
    refused: list[tuple[Package, int, type[LeptonError], str]] = [
        (package, 2, InvalidInput, "optimised.of"),
        (onnx_package(tmp_path / "plain", max_batch_size=3), 1, InvalidInput, "does not say what it was made of"),
        (package, 9, NotFound, "no version 9"),
    ]
    for pushed, number, kind, match in refused:
        with pytest.raises(kind, match=match):
            await push_variant(served, pushed, version=number)
    assert not (await version(served)).variants
    with pytest.raises(InvalidInput, match=r"variant_of\.name"):
        await push_variant(served, package, "../x")


async def test_a_variant_is_signed_by_its_own_name(served: Served, original: Package, tmp_path: Path) -> None:
    package = variant_package(tmp_path / "int8", original)
    await push_variant(served, package)
    private, _ = create_keys(tmp_path / "key")
    key = SigningKey(private)
    wrong = bundles.sign(package.manifest(), 1, key)
    with pytest.raises(FailedPrecondition, match=r"not for doubler@1\+int8"):
        await call(
            served.stub.SignVersion,
            pb.SignVersionRequest(model="doubler", version=1, bundle=wrong, variant="int8"),
        )
    right = bundles.sign(package.manifest(), 1, key, "int8")
    request = pb.SignVersionRequest(model="doubler", version=1, bundle=right, variant="int8")
    signed = await call(served.stub.SignVersion, request)
    ref = ModelRef(name="doubler", version=1)
    kept = await call(served.stub.GetSignature, pb.GetSignatureRequest(model=ref, variant="int8"))
    assert (kept.bundle, kept.variant) == (right, "int8")
    assert (await version(served)).variants[0].signer == signed.signer
    with pytest.raises(NotFound, match="doubler@1 is not signed"):
        await call(served.stub.GetSignature, pb.GetSignatureRequest(model=ref))


async def test_a_client_signs_and_verifies_a_variant_by_its_name(
    served: Served, original: Package, tmp_path: Path
) -> None:
    package = variant_package(tmp_path / "int8", original)
    private, public = create_keys(tmp_path / "key")
    trusted = TrustedKeys.of(str(public))
    async with AsyncClient(Addresses(registry=served.address)) as client:
        await client.push(package.directory, variant_of="doubler@1", variant="int8")
        with pytest.raises(FailedPrecondition, match=r"OTHER_PACKAGE|not the package in this folder"):
            await client.sign("doubler@1+int8", private, directory=original.directory)
        signed = await client.sign("doubler@1+int8", private, directory=package.directory)
        assert (signed.version, signed.variant) == (1, "int8")
        assert await client.verify("doubler@1+int8", trusted) == signed.signer
        with pytest.raises(NotFound, match="It has int8"):
            await client.sign("doubler@1+fp16", private)


async def test_variants_go_with_their_version(served: Served, original: Package, tmp_path: Path) -> None:
    await push(served.stub, onnx_package(tmp_path / "second", max_batch_size=2))
    package = variant_package(tmp_path / "int8", original)
    await push_variant(served, package)
    model = package.files["model.onnx"].sha256
    assert model in served.leftovers()
    for what in ("Archive", "Delete"):
        request = pb.ChangeVersionRequest(model=ModelRef(name="doubler", version=1))
        await call(getattr(served.stub, f"{what}Version"), request)
    await served.registry.dispose()
    assert model not in served.leftovers()
    assert not (await version(served)).variants


async def test_replicas_are_told_of_variants_only_where_the_model_lets_them_answer(
    served: Served, state: MemoryStore, original: Package, tmp_path: Path
) -> None:
    async def deployed() -> pb.Deployment:
        key = deployment_key("doubler")
        return decode_deployment(key, (await state.list(key))[key])

    async def deploy(policy: pb.VariantPolicy.ValueType) -> pb.Deployment:
        ref = ModelRef(name="doubler", version=1)
        return await call(served.stub.Deploy, pb.DeployRequest(model=ref, variants=policy))  # type: ignore[no-any-return]

    await push_variant(served, variant_package(tmp_path / "int8", original))
    first = await deploy(pb.VARIANT_POLICY_UNSPECIFIED)
    assert (first.variant_policy, list(first.versions[0].variants)) == (pb.VARIANT_POLICY_UNSPECIFIED, [])
    auto = await deploy(pb.VARIANT_POLICY_AUTO)
    assert auto.generation == first.generation + 1
    assert auto == await deployed()
    assert [each.name for each in auto.versions[0].variants] == ["int8"]

    await push_variant(served, variant_package(tmp_path / "other", original, speed_up=3.0), "faster")
    told = await deployed()
    assert told.generation == auto.generation + 1
    assert [each.name for each in told.versions[0].variants] == ["int8", "faster"]
    assert (await deploy(pb.VARIANT_POLICY_UNSPECIFIED)).variant_policy == pb.VARIANT_POLICY_AUTO
    exact = await deploy(pb.VARIANT_POLICY_EXACT)
    assert list(exact.versions[0].variants) == []
