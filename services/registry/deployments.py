"""Changes what should be served: in the database and in etcd, or in neither."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from google.protobuf import json_format

from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable
from lepton_ai.mesh.discovery.records import deployment_key, encode_deployment
from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.references import check_name
from lepton_ai.v1 import common_pb2, registry_pb2
from services.registry.catalogue import resolve
from services.registry.completion import Completion
from services.registry.messages import read_deployment
from services.registry.store import AuditEntry, DeploymentRecord, RouteTarget, Store, Writing

PRODUCTION = "production"
_WHOLE_WEIGHT = 100


class Deployments:
    """Deploy, undeploy and alias, each one transaction around one write to etcd."""

    def __init__(self, *, store: Store, state: StateStore, state_address: str, completion: Completion) -> None:
        self._store = store
        self._state = state
        self._state_address = state_address
        self._completion = completion

    async def deploy(self, ref: common_pb2.ModelRef, *, actor: str) -> registry_pb2.Deployment:
        """Ask for a version to take the production traffic. Raises NotFound, Unavailable (then nothing changed)."""
        return await self._completion.finish(self._deploy(ref, actor))

    async def undeploy(self, model: str, *, actor: str) -> None:
        """Take a model out of service. Raises NotFound for an unknown one, Unavailable."""
        await self._completion.finish(self._undeploy(check_name(model, field="model"), actor))

    async def set_alias(self, model: str, alias: str, version: int, *, actor: str) -> None:
        """Point an alias at a version. Raises InvalidInput, NotFound, Unavailable."""
        _check_free(alias)
        if alias.isdigit():
            raise InvalidInput.of_field("alias", "looks like a version number", fix="Begin it with a letter.")
        ref = common_pb2.ModelRef(name=model, version=version)
        await self._completion.finish(self._set_alias(ref, alias, actor))

    async def delete_alias(self, model: str, alias: str, *, actor: str) -> None:
        """Take an alias away. Raises InvalidInput, NotFound, Unavailable."""
        _check_free(alias)
        ref = common_pb2.ModelRef(name=model, alias=alias)
        await self._completion.finish(self._set_alias(ref, alias, actor, is_deleted=True))

    async def list(self) -> list[registry_pb2.Deployment]:
        """Everything that is asked to be served."""
        async with self._store.reading() as reading:
            found = [await read_deployment(reading, model) for model in await reading.deployed_models()]
        return [deployment for deployment in found if deployment is not None]

    async def _deploy(self, ref: common_pb2.ModelRef, actor: str) -> registry_pb2.Deployment:
        async with self._store.writing() as writing:
            version = await resolve(writing, ref)
            before = await read_deployment(writing, version.model)
            await writing.set_alias(version.model, PRODUCTION, version.version)
            after = await self._settle(writing, version.model, {version.version})
            if after != before:
                await _record(writing, actor, "deploy", before=before, after=after)
            # Written last, as it cannot be taken back: only the commit is left to do after it.
            await self._put(after)
        return after

    async def _undeploy(self, model: str, actor: str) -> None:
        async with self._store.writing() as writing:
            if await writing.version(model, 0) is None:
                raise NotFound(f"There is no model {model}.", reason="MODEL_NOT_FOUND")
            before = await read_deployment(writing, model)
            if before is not None:
                await writing.set_deployment(model, (), ())
                await writing.set_alias(model, PRODUCTION, None)
                await writing.set_generation(model, before.generation + 1)
                await _record(writing, actor, "undeploy", before=before, after=None)
            await self._reach(self._state.delete(deployment_key(model)))

    async def _set_alias(self, ref: common_pb2.ModelRef, alias: str, actor: str, *, is_deleted: bool = False) -> None:
        async with self._store.writing() as writing:
            version = await resolve(writing, ref)
            model, number = version.model, None if is_deleted else version.version
            old = (await writing.aliases(model)).get(alias)
            if old == number:
                return
            await writing.set_alias(model, alias, number)
            action = "delete_alias" if is_deleted else "set_alias"
            before, after = _alias_summary(alias, old), _alias_summary(alias, number)
            await writing.record(AuditEntry(actor, action, model, before=before, after=after))
            deployed = await writing.deployment(model)
            if deployed is not None:
                settled = await self._settle(writing, model, set(deployed.versions))
                if settled.generation != deployed.generation:
                    await self._put(settled)

    async def _settle(self, writing: Writing, model: str, versions: set[int]) -> registry_pb2.Deployment:
        """Write what follows from the deployed versions and the aliases; a new generation only when that is new."""
        routes = _routes(await writing.aliases(model), versions)
        old = await writing.deployment(model)
        if not _is_same(old, versions, routes):
            await writing.set_deployment(model, versions, routes)
            await writing.set_generation(model, await writing.generation(model) + 1)
        deployment = await read_deployment(writing, model)
        if deployment is None:
            raise RuntimeError("a deployment vanished inside its own transaction")
        return deployment

    async def _put(self, deployment: registry_pb2.Deployment) -> None:
        await self._reach(self._state.put(deployment_key(deployment.model), encode_deployment(deployment)))

    async def _reach(self, request: Awaitable[None]) -> None:
        try:
            await request
        except Unavailable as error:
            # It does not say when to come back: clients would wait for that, while a person waits for the answer.
            raise Unavailable(
                f"etcd does not answer at {self._state_address}; nothing was changed.",
                reason="ETCD_UNAVAILABLE",
                fix="Try again when it is back. What is deployed goes on being served meanwhile.",
            ) from error


def _check_free(alias: str) -> None:
    check_name(alias, field="alias")
    if alias == PRODUCTION:
        raise FailedPrecondition(
            "The alias production follows what is deployed.",
            reason="RESERVED_ALIAS",
            fix="Deploy or undeploy a version instead.",
        )


def _alias_summary(alias: str, version: int | None) -> dict[str, object] | None:
    return None if version is None else {"alias": alias, "version": version}


def _routes(aliases: Mapping[str, int], versions: set[int]) -> set[RouteTarget]:
    return {RouteTarget(alias, version, _WHOLE_WEIGHT) for alias, version in aliases.items() if version in versions}


def _is_same(old: DeploymentRecord | None, versions: set[int], routes: set[RouteTarget]) -> bool:
    return old is not None and set(old.versions) == versions and set(old.routes) == routes


async def _record(
    writing: Writing,
    actor: str,
    action: str,
    *,
    before: registry_pb2.Deployment | None,
    after: registry_pb2.Deployment | None,
) -> None:
    model = (after or before or registry_pb2.Deployment()).model
    await writing.record(AuditEntry(actor, action, model, before=_summary(before), after=_summary(after)))


def _summary(deployment: registry_pb2.Deployment | None) -> dict[str, object] | None:
    """A deployment for the audit trail: without its manifests, which never change and are kept with the versions."""
    if deployment is None:
        return None
    copy = registry_pb2.Deployment.FromString(deployment.SerializeToString())
    for version in copy.versions:
        version.ClearField("manifest")
    return json_format.MessageToDict(copy, preserving_proto_field_name=True)
