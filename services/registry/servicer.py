"""lepton.v1.RegistryService: turns messages into calls of the registry's parts and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import grpc

from lepton_ai.credentials import said_actor
from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.serving.deadline import remaining_s
from lepton_ai.mesh.serving.tokens import Tokens
from lepton_ai.mesh.wire import head
from lepton_ai.v1 import registry_pb2, registry_pb2_grpc
from services.registry.audit.trail import AuditTrail, check_message, page_message
from services.registry.backup.backups import Backups
from services.registry.catalogue.catalogue import Catalogue
from services.registry.catalogue.lifecycle import Lifecycle
from services.registry.catalogue.record import VersionState
from services.registry.catalogue.search import Search
from services.registry.database.store import AuditFilter
from services.registry.deployments.deployments import Deployments
from services.registry.messages import push_message, read_plan, read_variant_policy, rollout_message
from services.registry.pushes.nearby import NearbyFiles
from services.registry.pushes.pushes import Pushes
from services.registry.pushes.requests import Requests, decode_request
from services.registry.rollouts.progress import Action
from services.registry.rollouts.rollouts import Rollouts
from services.registry.signing.signatures import Signatures, signature_message
from services.registry.storage.check import StorageCheck
from services.registry.webhooks.webhooks import Webhooks, delivery_message, webhook_message

SERVICE_NAME = "lepton.v1.RegistryService"
OPEN_METHODS = (
    "FindMissingFiles",
    "DownloadFile",
    "LocateFile",
    "GetVersion",
    "ListModels",
    "ListDeployments",
    "ListRollouts",
    "GetSignature",
    "ListPushes",
    "SearchVersions",
)
"""They only read; whatever else there is needs the token."""
_MAX_PUSH_S = 3600.0
_MAX_ACTOR_LENGTH = 200
_MAX_ROLLOUTS = 1000

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class RegistryParts:
    """What answers the calls."""

    audit: AuditTrail
    backups: Backups
    catalogue: Catalogue
    deployments: Deployments
    lifecycle: Lifecycle
    nearby: NearbyFiles
    pushes: Pushes
    rollouts: Rollouts
    search: Search
    signatures: Signatures
    storage_check: StorageCheck
    tokens: Tokens
    webhooks: Webhooks


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """One method per RPC; the contract is documented in protos/lepton_ai/v1/registry.proto."""

    def __init__(self, parts: RegistryParts) -> None:
        self._parts = parts

    def add_to(self, server: Any) -> None:
        """Serve it, with requests to PushVersion read without copying what files hold."""
        push = grpc.stream_unary_rpc_method_handler(
            self.PushVersion, decode_request, registry_pb2.PushVersionResponse.SerializeToString
        )
        # The first one that knows a method is asked.
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, {"PushVersion": push}),))
        registry_pb2_grpc.add_RegistryServiceServicer_to_server(self, server)

    async def FindMissingFiles(  # noqa: N802
        self, request: registry_pb2.FindMissingFilesRequest, context: Context
    ) -> registry_pb2.FindMissingFilesResponse:
        return await self._parts.catalogue.find_missing(request.sha256)

    async def PushVersion(  # noqa: N802
        self, request_iterator: Requests, context: Context
    ) -> registry_pb2.PushVersionResponse:
        timeout_s = remaining_s(context, default_s=_MAX_PUSH_S)
        response = await self._parts.pushes.push(request_iterator, actor=self._actor(context), timeout_s=timeout_s)
        await self._parts.signatures.mark_unsigned([response.version])
        return response

    async def TakeFiles(  # type: ignore[override]  # noqa: N802
        self, request_iterator: AsyncIterator[registry_pb2.TakeFilesRequest], context: Context
    ) -> None:
        async with asyncio.timeout(remaining_s(context, default_s=_MAX_PUSH_S)):
            await self._parts.nearby.take(request_iterator, context.write)

    async def LocateFile(  # noqa: N802
        self, request: registry_pb2.LocateFileRequest, context: Context
    ) -> registry_pb2.FilePlace:
        return await self._parts.catalogue.locate_file(request.sha256, request.machine)

    async def DownloadFile(  # type: ignore[override]  # noqa: N802
        self, request: registry_pb2.DownloadFileRequest, context: Context
    ) -> AsyncIterator[bytes]:
        async with aclosing(self._parts.catalogue.read_file(request.sha256)) as chunks:
            async for chunk in chunks:  # encoded here, which spares two copies
                yield b"".join((head(registry_pb2.DownloadFileResponse.DATA_FIELD_NUMBER, len(chunk)), chunk))

    async def CheckStorage(  # noqa: N802
        self, request: registry_pb2.CheckStorageRequest, context: Context
    ) -> AsyncIterator[registry_pb2.CheckStorageResponse]:
        async for response in self._parts.storage_check.run():
            yield response

    async def BackUp(  # noqa: N802
        self, request: registry_pb2.BackUpRequest, context: Context
    ) -> AsyncIterator[registry_pb2.BackUpResponse]:
        async for chunk in self._parts.backups.back_up():
            yield registry_pb2.BackUpResponse(dump=chunk)

    async def Restore(  # noqa: N802
        self, request_iterator: AsyncIterator[registry_pb2.RestoreRequest], context: Context
    ) -> registry_pb2.RestoreResponse:
        return await self._parts.backups.restore(request_iterator, actor=self._actor(context))

    async def GetVersion(  # noqa: N802
        self, request: registry_pb2.GetVersionRequest, context: Context
    ) -> registry_pb2.ModelVersion:
        version = await self._parts.catalogue.get_version(request.model)
        await self._parts.signatures.mark_unsigned([version])
        return version

    async def ListModels(  # noqa: N802
        self, request: registry_pb2.ListModelsRequest, context: Context
    ) -> registry_pb2.ListModelsResponse:
        response = await self._parts.catalogue.list_models(request)
        await self._parts.signatures.mark_unsigned([version for model in response.models for version in model.versions])
        return response

    async def ArchiveVersion(  # noqa: N802
        self, request: registry_pb2.ChangeVersionRequest, context: Context
    ) -> registry_pb2.ModelVersion:
        return await self._change(request, VersionState.ARCHIVED, context)

    async def RestoreVersion(  # noqa: N802
        self, request: registry_pb2.ChangeVersionRequest, context: Context
    ) -> registry_pb2.ModelVersion:
        return await self._change(request, VersionState.READY, context)

    async def DeleteVersion(  # noqa: N802
        self, request: registry_pb2.ChangeVersionRequest, context: Context
    ) -> registry_pb2.ModelVersion:
        return await self._change(request, VersionState.DELETED, context)

    async def SetTag(  # noqa: N802
        self, request: registry_pb2.SetTagRequest, context: Context
    ) -> registry_pb2.SetTagResponse:
        actor = self._actor(context)
        return await self._parts.search.set_tag(request.model, request.key, request.value, actor=actor)

    async def SearchVersions(  # noqa: N802
        self, request: registry_pb2.SearchVersionsRequest, context: Context
    ) -> registry_pb2.SearchVersionsResponse:
        search, size, token = self._parts.search, request.page_size, request.page_token
        response = await search.find(request.filter, page_size=size, page_token=token)
        await self._parts.signatures.mark_unsigned(response.versions)
        return response

    async def ListPushes(  # noqa: N802
        self, request: registry_pb2.ListPushesRequest, context: Context
    ) -> registry_pb2.ListPushesResponse:
        found = await self._parts.lifecycle.pushes(request.model, limit=request.limit)
        return registry_pb2.ListPushesResponse(pushes=map(push_message, found))

    async def SignVersion(  # noqa: N802
        self, request: registry_pb2.SignVersionRequest, context: Context
    ) -> registry_pb2.Signature:
        actor = self._actor(context)
        signed = await self._parts.signatures.sign(
            request.model, request.version, request.bundle, actor=actor, variant=request.variant
        )
        return signature_message(signed)

    async def GetSignature(  # noqa: N802
        self, request: registry_pb2.GetSignatureRequest, context: Context
    ) -> registry_pb2.Signature:
        return signature_message(await self._parts.signatures.find(request.model, request.variant))

    async def ListAudit(  # noqa: N802
        self, request: registry_pb2.ListAuditRequest, context: Context
    ) -> registry_pb2.ListAuditResponse:
        since = request.since.ToDatetime(UTC) if request.HasField("since") else None
        wanted = AuditFilter(request.model, request.action, request.actor, since, request.before)
        return page_message(await self._parts.audit.list(wanted, limit=request.limit))

    async def VerifyAudit(  # noqa: N802
        self, request: registry_pb2.VerifyAuditRequest, context: Context
    ) -> registry_pb2.VerifyAuditResponse:
        return check_message(await self._parts.audit.verify(request.anchor))

    async def CreateWebhook(  # noqa: N802
        self, request: registry_pb2.CreateWebhookRequest, context: Context
    ) -> registry_pb2.CreateWebhookResponse:
        created = await self._parts.webhooks.create(request, actor=self._actor(context))
        return registry_pb2.CreateWebhookResponse(webhook=webhook_message(created), secret=created.secret)

    async def ListWebhooks(  # noqa: N802
        self, request: registry_pb2.ListWebhooksRequest, context: Context
    ) -> registry_pb2.ListWebhooksResponse:
        return registry_pb2.ListWebhooksResponse(webhooks=map(webhook_message, await self._parts.webhooks.list()))

    async def DeleteWebhook(  # noqa: N802
        self, request: registry_pb2.DeleteWebhookRequest, context: Context
    ) -> registry_pb2.DeleteWebhookResponse:
        await self._parts.webhooks.delete(request.id, actor=self._actor(context))
        return registry_pb2.DeleteWebhookResponse()

    async def TestWebhook(  # noqa: N802
        self, request: registry_pb2.TestWebhookRequest, context: Context
    ) -> registry_pb2.TestWebhookResponse:
        outcome = await self._parts.webhooks.test(request.id, request.event)
        return registry_pb2.TestWebhookResponse(status=outcome.status or 0, error=outcome.error)

    async def ListDeliveries(  # noqa: N802
        self, request: registry_pb2.ListDeliveriesRequest, context: Context
    ) -> registry_pb2.ListDeliveriesResponse:
        found = await self._parts.webhooks.deliveries(request.webhook, limit=request.limit)
        return registry_pb2.ListDeliveriesResponse(deliveries=map(delivery_message, found))

    async def SetAlias(  # noqa: N802
        self, request: registry_pb2.SetAliasRequest, context: Context
    ) -> registry_pb2.Model:
        await self._parts.deployments.set_alias(
            request.model, request.alias, request.version, actor=self._actor(context)
        )
        return await self._parts.catalogue.get_summary(request.model)

    async def DeleteAlias(  # noqa: N802
        self, request: registry_pb2.DeleteAliasRequest, context: Context
    ) -> registry_pb2.Model:
        await self._parts.deployments.delete_alias(request.model, request.alias, actor=self._actor(context))
        return await self._parts.catalogue.get_summary(request.model)

    async def Deploy(  # noqa: N802
        self, request: registry_pb2.DeployRequest, context: Context
    ) -> registry_pb2.Deployment:
        policy = read_variant_policy(request.variants)
        return await self._parts.deployments.deploy(
            request.model, actor=self._actor(context), variants=policy, variant=request.variant or None
        )

    async def Undeploy(  # noqa: N802
        self, request: registry_pb2.UndeployRequest, context: Context
    ) -> registry_pb2.UndeployResponse:
        await self._parts.deployments.undeploy(request.model, actor=self._actor(context))
        return registry_pb2.UndeployResponse()

    async def ListDeployments(  # noqa: N802
        self, request: registry_pb2.ListDeploymentsRequest, context: Context
    ) -> registry_pb2.ListDeploymentsResponse:
        return registry_pb2.ListDeploymentsResponse(deployments=await self._parts.deployments.list())

    async def StartRollout(  # noqa: N802
        self, request: registry_pb2.StartRolloutRequest, context: Context
    ) -> registry_pb2.Rollout:
        plan = read_plan(request.plan)
        started = await self._parts.rollouts.start(
            request.model, plan, actor=self._actor(context), variant=request.variant
        )
        return rollout_message(started)

    async def ListRollouts(  # noqa: N802
        self, request: registry_pb2.ListRolloutsRequest, context: Context
    ) -> registry_pb2.ListRolloutsResponse:
        rollouts, limit = self._parts.rollouts, min(request.limit or 100, _MAX_ROLLOUTS)
        if not request.with_decisions:
            found = await rollouts.find(request.model, limit=limit)
            return registry_pb2.ListRolloutsResponse(rollouts=map(rollout_message, found))
        decided = await rollouts.find_decided(request.model, limit=limit)
        return registry_pb2.ListRolloutsResponse(rollouts=[rollout_message(*each) for each in decided])

    async def ControlRollout(  # noqa: N802
        self, request: registry_pb2.ControlRolloutRequest, context: Context
    ) -> registry_pb2.Rollout:
        name = registry_pb2.RolloutAction.Name(request.action).removeprefix("ROLLOUT_ACTION_")
        if name not in Action.__members__:
            raise InvalidInput.of_field("action", "is missing")
        record = await self._parts.rollouts.control(request.model, Action[name], actor=self._actor(context))
        return rollout_message(record)

    async def Rollback(  # noqa: N802
        self, request: registry_pb2.RollbackRequest, context: Context
    ) -> registry_pb2.Deployment:
        return await self._parts.rollouts.rollback(request.model, actor=self._actor(context))

    async def _change(
        self, request: registry_pb2.ChangeVersionRequest, state: VersionState, context: Context
    ) -> registry_pb2.ModelVersion:
        return await self._parts.lifecycle.change(request.model, state, request.reason, actor=self._actor(context))

    def _actor(self, context: Context) -> str:
        """Who asks, for the audit trail: the name of its token, else what it says of itself, and where it calls from.

        Nobody can say of itself that it has a token.
        """
        metadata = context.invocation_metadata()
        name = self._parts.tokens.identify(metadata)
        who = f"token:{name}" if name else said_actor(metadata)[:_MAX_ACTOR_LENGTH].replace("token:", "")
        return f"{who} {_host_of(context.peer())[:50]}".strip()


def _host_of(peer: str) -> str:
    """Where a call comes from, without the port, which is another one each time."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
