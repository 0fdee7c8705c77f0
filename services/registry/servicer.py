"""lepton.v1.RegistryService: turns messages into calls of the registry's parts and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.serving.deadline import remaining_s
from lepton_ai.v1 import registry_pb2, registry_pb2_grpc
from services.registry.catalogue import Catalogue
from services.registry.deployments import Deployments
from services.registry.messages import rollout_message
from services.registry.pushes import Pushes
from services.registry.rollouts.progress import Action
from services.registry.rollouts.record import Plan
from services.registry.rollouts.rollouts import Rollouts
from services.registry.storage.check import StorageCheck

SERVICE_NAME = "lepton.v1.RegistryService"
OPEN_METHODS = ("FindMissingFiles", "DownloadFile", "GetVersion", "ListModels", "ListDeployments", "ListRollouts")
"""They only read; whatever else there is needs the token."""
_MAX_PUSH_S = 3600.0
_MAX_ACTOR_LENGTH = 200
_MAX_ROLLOUTS = 1000

Context = grpc.aio.ServicerContext[Any, Any]


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """One method per RPC; the contract is documented in protos/lepton_ai/v1/registry.proto."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        pushes: Pushes,
        deployments: Deployments,
        rollouts: Rollouts,
        storage_check: StorageCheck,
    ) -> None:
        self._catalogue = catalogue
        self._pushes = pushes
        self._deployments = deployments
        self._rollouts = rollouts
        self._storage_check = storage_check

    async def FindMissingFiles(  # noqa: N802
        self, request: registry_pb2.FindMissingFilesRequest, context: Context
    ) -> registry_pb2.FindMissingFilesResponse:
        missing = await self._catalogue.find_missing(request.sha256)
        return registry_pb2.FindMissingFilesResponse(sha256=missing)

    async def PushVersion(  # noqa: N802
        self, request_iterator: AsyncIterator[registry_pb2.PushVersionRequest], context: Context
    ) -> registry_pb2.PushVersionResponse:
        timeout_s = remaining_s(context, default_s=_MAX_PUSH_S)
        return await self._pushes.push(request_iterator, actor=_actor(context), timeout_s=timeout_s)

    async def DownloadFile(  # noqa: N802
        self, request: registry_pb2.DownloadFileRequest, context: Context
    ) -> AsyncIterator[registry_pb2.DownloadFileResponse]:
        async for chunk in self._catalogue.read_file(request.sha256):
            yield registry_pb2.DownloadFileResponse(data=chunk)

    async def CheckStorage(  # noqa: N802
        self, request: registry_pb2.CheckStorageRequest, context: Context
    ) -> AsyncIterator[registry_pb2.CheckStorageResponse]:
        async for response in self._storage_check.run():
            yield response

    async def GetVersion(  # noqa: N802
        self, request: registry_pb2.GetVersionRequest, context: Context
    ) -> registry_pb2.ModelVersion:
        return await self._catalogue.get_version(request.model)

    async def ListModels(  # noqa: N802
        self, request: registry_pb2.ListModelsRequest, context: Context
    ) -> registry_pb2.ListModelsResponse:
        return registry_pb2.ListModelsResponse(models=await self._catalogue.list_models(request.name))

    async def SetAlias(  # noqa: N802
        self, request: registry_pb2.SetAliasRequest, context: Context
    ) -> registry_pb2.Model:
        await self._deployments.set_alias(request.model, request.alias, request.version, actor=_actor(context))
        return await self._catalogue.get_model(request.model)

    async def DeleteAlias(  # noqa: N802
        self, request: registry_pb2.DeleteAliasRequest, context: Context
    ) -> registry_pb2.Model:
        await self._deployments.delete_alias(request.model, request.alias, actor=_actor(context))
        return await self._catalogue.get_model(request.model)

    async def Deploy(  # noqa: N802
        self, request: registry_pb2.DeployRequest, context: Context
    ) -> registry_pb2.Deployment:
        return await self._deployments.deploy(request.model, actor=_actor(context))

    async def Undeploy(  # noqa: N802
        self, request: registry_pb2.UndeployRequest, context: Context
    ) -> registry_pb2.UndeployResponse:
        await self._deployments.undeploy(request.model, actor=_actor(context))
        return registry_pb2.UndeployResponse()

    async def ListDeployments(  # noqa: N802
        self, request: registry_pb2.ListDeploymentsRequest, context: Context
    ) -> registry_pb2.ListDeploymentsResponse:
        return registry_pb2.ListDeploymentsResponse(deployments=await self._deployments.list())

    async def StartRollout(  # noqa: N802
        self, request: registry_pb2.StartRolloutRequest, context: Context
    ) -> registry_pb2.Rollout:
        plan = Plan(tuple(request.plan.shares), request.plan.step_s, request.plan.bake_s, not request.plan.unjudged)
        return rollout_message(await self._rollouts.start(request.model, plan, actor=_actor(context)))

    async def ListRollouts(  # noqa: N802
        self, request: registry_pb2.ListRolloutsRequest, context: Context
    ) -> registry_pb2.ListRolloutsResponse:
        found = await self._rollouts.find(request.model, limit=min(request.limit or 100, _MAX_ROLLOUTS))
        return registry_pb2.ListRolloutsResponse(rollouts=map(rollout_message, found))

    async def ControlRollout(  # noqa: N802
        self, request: registry_pb2.ControlRolloutRequest, context: Context
    ) -> registry_pb2.Rollout:
        name = registry_pb2.RolloutAction.Name(request.action).removeprefix("ROLLOUT_ACTION_")
        if name not in Action.__members__:
            raise InvalidInput.of_field("action", "is missing")
        record = await self._rollouts.control(request.model, Action[name], actor=_actor(context))
        return rollout_message(record)

    async def Rollback(  # noqa: N802
        self, request: registry_pb2.RollbackRequest, context: Context
    ) -> registry_pb2.Deployment:
        return await self._rollouts.rollback(request.model, actor=_actor(context))


def _actor(context: Context) -> str:
    """Who asks, for the audit trail: what the caller says of itself, and always where it calls from."""
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    said = "".join(character for character in metadata.get("lepton-actor", "") if character.isprintable())
    return f"{said[:_MAX_ACTOR_LENGTH]} {context.peer()[:50]}".strip()
