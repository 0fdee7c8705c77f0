"""Moves versions through their life: ready → archived → deleted, and back as long as they are not deleted."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.v1 import common_pb2, registry_pb2
from services.registry.catalogue.catalogue import resolve
from services.registry.catalogue.record import PushRecord, VersionState
from services.registry.completion import Completion
from services.registry.database.store import AuditEntry, Reading, Store, VersionRecord
from services.registry.messages import version_message

_MAX_REASON = 2000
_MAX_PUSHES = 1000
_ACTIONS = {VersionState.ARCHIVED: "archive", VersionState.READY: "restore", VersionState.DELETED: "delete"}


class Lifecycle:
    """Archive, restore and delete: each one transaction, written down in the audit trail."""

    def __init__(self, store: Store, completion: Completion) -> None:
        self._store = store
        self._completion = completion

    async def change(
        self, ref: common_pb2.ModelRef, state: VersionState, reason: str, *, actor: str
    ) -> registry_pb2.ModelVersion:
        """Bring a version into the state; nothing happens to one that is in it.

        Raises NotFound, InvalidInput without a number, FailedPrecondition where its present state does not allow it, or
        that it is in use.
        """
        if ref.WhichOneof("selector") != "version":
            raise InvalidInput.of_field(
                "model.version", "is missing", fix="Name the version by its number: what is newest may change."
            )
        if len(reason) > _MAX_REASON:
            raise InvalidInput.of_field("reason", f"has more than {_MAX_REASON} characters")
        return await self._completion.finish(self._change(ref, state, reason, actor))

    async def pushes(self, model: str, *, limit: int) -> Sequence[PushRecord]:
        """Pushes that have not made a version, the newest first."""
        async with self._store.reading() as reading:
            return await reading.pushes(model, limit=min(limit or 100, _MAX_PUSHES))

    async def _change(
        self, ref: common_pb2.ModelRef, state: VersionState, reason: str, actor: str
    ) -> registry_pb2.ModelVersion:
        async with self._store.writing() as writing:
            version = await resolve(writing, ref)
            if version.state is not state:
                await _check_change(writing, version, state)
                await writing.set_version_state(version.model, version.version, state, reason)
                before = {"version": version.version, "digest": version.digest, "state": version.state.value}
                after = {"version": version.version, "state": state.value, "reason": reason}
                await writing.record(AuditEntry(actor, _ACTIONS[state], version.model, before=before, after=after))
            changed = await resolve(writing, ref)
            return version_message(changed, await writing.aliases(changed.model))


async def _check_change(reading: Reading, version: VersionRecord, state: VersionState) -> None:
    name = f"{version.model}@{version.version}"
    if version.state is VersionState.DELETED:
        raise FailedPrecondition(
            f"{name} is deleted.", reason="VERSION_DELETED", fix="Push its package again: it becomes a new version."
        )
    if state is VersionState.DELETED and version.state is not VersionState.ARCHIVED:
        fix = f"Archive it first: lepton archive {name}"
        raise FailedPrecondition(f"{name} is {version.state.value}.", reason="VERSION_NOT_ARCHIVED", fix=fix)
    if state is VersionState.ARCHIVED:
        await _check_unused(reading, version, name)


async def _check_unused(reading: Reading, version: VersionRecord, name: str) -> None:
    """Raises FailedPrecondition for a version that is deployed, has an alias or is part of a rollout."""
    model, number = version.model, version.version
    rollout = await reading.live_rollout(model)
    if rollout is not None and number in (rollout.version, rollout.old_version):
        fix = f"Wait until it has ended, or end it: lepton rollout abort {model}"
        raise _in_use(f"{name} is part of a rollout.", fix)
    deployment = await reading.deployment(model)
    if deployment is not None and number in deployment.versions:
        raise _in_use(f"{name} is deployed.", f"Deploy another version, or none: lepton undeploy {model}")
    aliases = sorted(alias for alias, pointed in (await reading.aliases(model)).items() if pointed == number)
    if aliases:
        fix = f"Point it elsewhere, or take it away: lepton alias {model} {aliases[0]} --delete"
        raise _in_use(f"{name} has the alias {aliases[0]}.", fix)


def _in_use(what: str, fix: str) -> FailedPrecondition:
    return FailedPrecondition(what, reason="VERSION_IN_USE", fix=fix)
