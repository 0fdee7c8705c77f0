"""Changes what should be served: in the database and in etcd, or in neither."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from google.protobuf import json_format

from lepton_ai.errors import FailedPrecondition, InvalidInput, NotFound
from lepton_ai.references import PRODUCTION, check_name
from lepton_ai.v1 import common_pb2, registry_pb2
from services.registry.catalogue.catalogue import find_variant, resolve, resolve_ready
from services.registry.completion import Completion
from services.registry.database.store import AuditEntry, Reading, Store, VersionRecord, Writing
from services.registry.deployments.settlement import Settlement
from services.registry.messages import ORIGINALS, read_deployment
from services.registry.rollouts.progress import end
from services.registry.rollouts.record import NewRollout, Plan, RolloutRecord, State


class CheckServable(Protocol):
    """Raises FailedPrecondition for a version that must not be served, for instance as it is not signed."""

    async def __call__(self, reading: Reading, version: VersionRecord, variant: str = "") -> None: ...


async def any_version(reading: Reading, version: VersionRecord, variant: str = "") -> None:
    """Every version may be served."""


class Deployments:
    """Deploy, undeploy and alias, each one transaction around one write to etcd."""

    def __init__(
        self,
        *,
        store: Store,
        settlement: Settlement,
        completion: Completion,
        check_servable: CheckServable = any_version,
    ) -> None:
        self.check_servable = check_servable
        self._store = store
        self._settlement = settlement
        self._completion = completion

    async def deploy(
        self, ref: common_pb2.ModelRef, *, actor: str, variants: str = "", variant: str | None = None
    ) -> registry_pb2.Deployment:
        """Ask for a version to take the production traffic.

        `variants`: which may answer from now on, "exact", "auto" or "deadline"; empty: as it is. `variant`: the one
        that answers in its place, whatever they may; "": none; None: as it is, and none where `variants` are said.
        Raises InvalidInput, NotFound, Unavailable (then nothing changed), FailedPrecondition while a rollout is under
        way and for a version that is not signed as it should be.
        """
        if variants and variant:
            fix = "Deploy that variant, or say which may answer."
            raise InvalidInput.of_field("variants", "are said, and a variant too", fix=fix)
        return await self._completion.finish(self._deploy(ref, actor, variants, "" if variants else variant))

    async def announce_variants(self, writing: Writing, model: str) -> None:
        """Tell the replicas of a variant that was just recorded, if they may use it. To be done last in a transaction.

        Raises Unavailable.
        """
        is_deployed = await writing.deployment(model) is not None
        if is_deployed and await writing.variant_policy(model) != ORIGINALS:
            await self._settlement.publish(await self._settlement.settle(writing, model, anew=True))

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

    async def _deploy(
        self, ref: common_pb2.ModelRef, actor: str, variants: str, variant: str | None
    ) -> registry_pb2.Deployment:
        async with self._store.writing() as writing:
            version = await resolve_ready(writing, ref)
            await self.check_servable(writing, version)
            pin = version.pinned if variant is None else variant
            if pin != version.pinned and pin:
                await self.check_servable(writing, version, find_variant(version, pin).name)
            before = await read_deployment(writing, version.model)
            await _supersede(writing, version, pin, actor)
            await writing.set_alias(version.model, PRODUCTION, version.version)
            is_news = variants not in ("", await writing.variant_policy(version.model))
            if is_news:
                await writing.set_variant_policy(version.model, variants)
            if pin != version.pinned:
                await writing.pin_variant(version.model, version.version, pin)
                is_news = True
            after = await self._settlement.settle(writing, version.model, anew=is_news)
            if after != before:
                await record_change(writing, actor, "deploy", before=before, after=after)
            await self._settlement.publish(after)
        return after

    async def _undeploy(self, model: str, actor: str) -> None:
        async with self._store.writing() as writing:
            if not await writing.newest_number(model):
                raise NotFound(f"There is no model {model}.", reason="MODEL_NOT_FOUND")
            before = await read_deployment(writing, model)
            if before is not None:
                if (rollout := await writing.live_rollout(model)) is not None:
                    ended = end(rollout, f"the model was taken out of service by {actor}")
                    await writing.set_rollout(ended)
                    if ended.place != rollout.place:
                        await writing.add_decision(ended, actor)
                await writing.set_deployment(model, (), ())
                await writing.set_alias(model, PRODUCTION, None)
                await writing.set_generation(model, before.generation + 1)
                await record_change(writing, actor, "undeploy", before=before, after=None)
            await self._settlement.withdraw(model)

    async def _set_alias(self, ref: common_pb2.ModelRef, alias: str, actor: str, *, is_deleted: bool = False) -> None:
        async with self._store.writing() as writing:
            version = await (resolve if is_deleted else resolve_ready)(writing, ref)
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
                settled = await self._settlement.settle(writing, model)
                if settled.generation != deployed.generation:
                    await self._settlement.publish(settled)


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


async def _supersede(writing: Writing, version: VersionRecord, pin: str, actor: str) -> None:
    """End the bake time of the last rollout, and remember which version or variant was served, for a rollback.

    `pin`: the variant that answers in place of the version from now on.

    Raises FailedPrecondition while a rollout of the model is not decided.
    """
    rollout = await writing.live_rollout(version.model)
    if rollout is not None and rollout.state.is_under_way:
        raise under_way(rollout)
    if rollout is not None:
        await writing.set_rollout(end(rollout, ""))
    old = (await writing.aliases(version.model)).get(PRODUCTION, version.version)
    is_other_form = old == version.version and pin != version.pinned
    if old != version.version or is_other_form:
        plan = Plan(shares=(), step_s=0.0, bake_s=0.0)
        new = NewRollout(version.model, version.version, old, plan, State.PROMOTED, actor, "deployed at once")
        await writing.add_rollout(replace(new, variant=pin, old_variant=version.pinned) if is_other_form else new)


def under_way(rollout: RolloutRecord) -> FailedPrecondition:
    """That nothing else can become of a model before its rollout is decided."""
    return FailedPrecondition(
        f"A rollout of {rollout.model} to {rollout.candidate} is under way.",
        reason="ROLLOUT_UNDER_WAY",
        fix=f"Decide it first: `lepton rollout promote {rollout.model}` or `lepton rollout abort {rollout.model}`.",
    )


async def record_change(
    writing: Writing,
    actor: str,
    action: str,
    *,
    before: registry_pb2.Deployment | None,
    after: registry_pb2.Deployment | None,
) -> None:
    """Write into the audit trail what was served before and what is now."""
    model = (after or before or registry_pb2.Deployment()).model
    await writing.record(AuditEntry(actor, action, model, before=_summary(before), after=_summary(after)))


def _summary(deployment: registry_pb2.Deployment | None) -> dict[str, object] | None:
    """A deployment for the audit trail: without its manifests, which never change and are kept with the versions."""
    if deployment is None:
        return None
    copy = registry_pb2.Deployment.FromString(deployment.SerializeToString())
    for version in copy.versions:
        version.ClearField("manifest")
        for variant in version.variants:
            variant.ClearField("manifest")
            variant.ClearField("measured")
    return json_format.MessageToDict(copy, preserving_proto_field_name=True)
