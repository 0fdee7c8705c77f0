"""The life of versions as a client asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lepton_ai.client.control.registry_calls import RegistryClient
from lepton_ai.references import check_name, check_tag, parse_model_ref
from lepton_ai.v1 import registry_pb2

_PAGE = 1000


class Versions:
    """The part of `AsyncClient` for what becomes of versions after they were pushed."""

    async def archive_version(self: RegistryClient, model: str, *, reason: str = "") -> registry_pb2.ModelVersion:
        """Take a version ("NAME@VERSION") out of use without losing it.

        Raises FailedPrecondition while it is deployed, has an alias or is part of a rollout.
        """
        return await _change(self, "ArchiveVersion", model, reason)

    async def restore_version(self: RegistryClient, model: str, *, reason: str = "") -> registry_pb2.ModelVersion:
        """Make an archived version ready again. Raises FailedPrecondition for a deleted one."""
        return await _change(self, "RestoreVersion", model, reason)

    async def delete_version(self: RegistryClient, model: str, *, reason: str = "") -> registry_pb2.ModelVersion:
        """Delete an archived version for good. Its number is not given again; its package may be pushed again.

        Raises FailedPrecondition for a version that is not archived.
        """
        return await _change(self, "DeleteVersion", model, reason)

    async def find_versions(
        self: RegistryClient, wanted: str = "", *, limit: int = 100
    ) -> Sequence[registry_pb2.ModelVersion]:
        """The first versions that a filter lets through, such as "tag.team=vision and name~effi and state=ready".

        Without their files; by name, the newest first. Raises InvalidInput for a wrong filter.
        """
        request = registry_pb2.SearchVersionsRequest(filter=wanted, page_size=min(limit, _PAGE))
        found: list[registry_pb2.ModelVersion] = []
        while len(found) < limit:
            page = await self._registry(
                lambda stub, left_s: stub.SearchVersions(request, timeout=left_s), self._timeout_s
            )
            found += page.versions
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        return found[:limit]

    async def set_tags(self: RegistryClient, model: str, tags: Mapping[str, str]) -> dict[str, str]:
        """Tag a version ("NAME@VERSION"), or a model itself ("NAME"); an empty value takes a tag away.

        Returns all tags that it has now. Raises NotFound, InvalidInput: before any is set, where one cannot be.
        """
        for key, value in tags.items():
            check_tag(key, value)
        now: dict[str, str] = {}
        for key, value in tags.items():
            now = await _set_tag(self, registry_pb2.SetTagRequest(model=parse_model_ref(model), key=key, value=value))
        return now

    async def pushes(self: RegistryClient, model: str = "", *, limit: int = 0) -> Sequence[registry_pb2.Push]:
        """Pushes that have not made a version, of a model or of all: under way, or rejected. The newest first."""
        request = registry_pb2.ListPushesRequest(model=check_name(model, field="model") if model else "", limit=limit)
        listed = await self._registry(lambda stub, left_s: stub.ListPushes(request, timeout=left_s), self._timeout_s)
        return list(listed.pushes)


async def _set_tag(registry: RegistryClient, request: registry_pb2.SetTagRequest) -> dict[str, str]:
    answer = await registry._registry(
        lambda stub, left_s: stub.SetTag(request, timeout=left_s, metadata=registry._proof), registry._timeout_s
    )
    return dict(answer.tags)


async def _change(registry: RegistryClient, method: str, model: str, reason: str) -> registry_pb2.ModelVersion:
    request = registry_pb2.ChangeVersionRequest(model=parse_model_ref(model), reason=reason)

    def call(stub: Any, left_s: float) -> Any:
        return getattr(stub, method)(request, timeout=left_s, metadata=registry._proof)

    version: registry_pb2.ModelVersion = await registry._registry(call, registry._timeout_s)
    return version
