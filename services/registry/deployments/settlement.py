"""What follows from a model's aliases and its rollout: which versions are served, and where calls go."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from lepton_ai.errors import Unavailable
from lepton_ai.mesh.discovery.records import deployment_key, encode_deployment
from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.references import PRODUCTION
from lepton_ai.v1 import registry_pb2
from services.registry.database.store import DeploymentRecord, RouteTarget, Writing
from services.registry.messages import read_deployment
from services.registry.rollouts.progress import weights
from services.registry.rollouts.record import RolloutRecord

_WHOLE_WEIGHT = 100


class Settlement:
    """Writes it to the database, and to etcd."""

    def __init__(self, state: StateStore, *, state_address: str) -> None:
        self._state = state
        self._state_address = state_address

    async def settle(self, writing: Writing, model: str, *, anew: bool = False) -> registry_pb2.Deployment:
        """Write what follows from the aliases and the rollout; a new generation only when that is new, or `anew`, as
        something else has changed that replicas are told."""
        aliases, rollout = await writing.aliases(model), await writing.live_rollout(model)
        versions = {aliases[PRODUCTION]} | ({rollout.version, rollout.old_version} if rollout else set())
        routes = _routes(aliases, versions, rollout)
        old = await writing.deployment(model)
        if anew or not _is_same(old, versions, routes):
            await writing.set_deployment(model, versions, routes)
            await writing.set_generation(model, await writing.generation(model) + 1)
        deployment = await read_deployment(writing, model)
        if deployment is None:
            raise RuntimeError("a deployment vanished inside its own transaction")
        return deployment

    async def publish(self, deployment: registry_pb2.Deployment) -> None:
        """Tell the replicas. Raises Unavailable.

        To be done last in a transaction, as it cannot be taken back: only the commit is left to do after it.
        """
        await self._reach(self._state.put(deployment_key(deployment.model), encode_deployment(deployment)))

    async def withdraw(self, model: str) -> None:
        """Tell them that a model is not served any more. Raises Unavailable."""
        await self._reach(self._state.delete(deployment_key(model)))

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


def _routes(aliases: Mapping[str, int], versions: set[int], rollout: RolloutRecord | None) -> set[RouteTarget]:
    routes = {RouteTarget(alias, version, _WHOLE_WEIGHT) for alias, version in aliases.items() if version in versions}
    shares = {} if rollout is None else weights(rollout)
    if shares.keys() <= {aliases[PRODUCTION]}:
        return routes
    split = {RouteTarget(PRODUCTION, version, weight) for version, weight in shares.items()}
    return {route for route in routes if route.alias != PRODUCTION} | split


def _is_same(old: DeploymentRecord | None, versions: set[int], routes: set[RouteTarget]) -> bool:
    return old is not None and set(old.versions) == versions and set(old.routes) == routes
