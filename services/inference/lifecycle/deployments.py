"""What should be served: followed in etcd, remembered in a file, and never dropped on etcd's word alone."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from lepton_ai.errors import LeptonError
from lepton_ai.mesh.discovery.records import UNREADABLE, Records, decode_deployment, deployment_key
from lepton_ai.mesh.discovery.state import DEPLOYMENTS, StateStore, Watch
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import backoff_s
from lepton_ai.package.transfer import RegistryPool
from lepton_ai.references import check_name
from lepton_ai.v1 import registry_pb2, registry_pb2_grpc

Deployments = Mapping[str, registry_pb2.Deployment]
StillDeployed = Callable[[str], Awaitable[bool]]

_LIST_TIMEOUT_S = 5.0
_LONGEST_PAUSE_S = 10.0
_log = logging.getLogger(__name__)


def still_deployed(registry: RegistryPool) -> StillDeployed:
    """A function that asks the registry, whose word counts, whether a model is deployed, and raises what asking
    raises."""

    async def list_deployments(channel: grpc.aio.Channel, timeout_s: float) -> registry_pb2.ListDeploymentsResponse:
        stub = registry_pb2_grpc.RegistryServiceStub(channel)
        return await stub.ListDeployments(registry_pb2.ListDeploymentsRequest(), timeout=timeout_s)

    async def ask(model: str) -> bool:
        response = await registry.call(list_deployments, timeout_s=_LIST_TIMEOUT_S)
        return any(deployment.model == model and deployment.versions for deployment in response.deployments)

    return ask


class DeploymentView:
    """The deployments by model, as far as known.

    A key that is gone from etcd may mean an undeployed model or an etcd that was wiped: a model is dropped only when
    its deployment has no versions or the registry, asked, does not list it.
    """

    def __init__(self, state: StateStore, ask_registry: StillDeployed, changed: Callable[[], None]) -> None:
        self._state = state
        self._ask_registry = ask_registry
        self._changed = changed
        self._records = Records(decode_deployment)
        self._known: dict[str, registry_pb2.Deployment] | None = None
        self._watch: Watch | None = None
        self._follower: asyncio.Task[None] | None = None
        self._doubts: dict[str, asyncio.Task[None]] = {}

    @property
    def deployments(self) -> Deployments | None:
        """What should be served; None as long as neither etcd nor the file has said anything."""
        return self._known

    async def start(self, remembered: Deployments | None) -> None:
        """Begin with what is remembered, then follow etcd."""
        if remembered is not None:
            self._known = dict(remembered)
        self._watch = await self._state.watch(DEPLOYMENTS)
        self._follower = run_loop(partial(self._follow, self._watch), name="follow deployments")

    async def close(self) -> None:
        """Stop following."""
        tasks = [task for task in (self._follower, *self._doubts.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._watch is not None:
            await self._watch.close()

    async def _follow(self, watch: Watch) -> None:
        async for entries in watch.changes():
            # An empty view of an etcd that never answered says nothing.
            if watch.connected or entries:
                self._take(entries)
                self._changed()

    def _take(self, entries: Mapping[str, bytes]) -> None:
        known = {} if self._known is None else self._known
        for deployment in self._records.read(entries).values():
            if deployment.versions:
                known[deployment.model] = deployment
            else:
                known.pop(deployment.model, None)
        self._known = known
        # A key whose value cannot be read still exists: keep what was known of it before.
        present = {key.removeprefix(DEPLOYMENTS) for key in entries}
        for model in known.keys() - present - self._doubts.keys():
            self._doubts[model] = run_loop(partial(self._resolve_doubt, model), name=f"doubt {model}")

    async def _resolve_doubt(self, model: str) -> None:
        """Ask until the registry says that the model is gone, or its key is back."""
        attempt = 0
        while not self._is_present(model):
            attempt += 1
            if await self._is_gone(model):
                if self._known is not None and not self._is_present(model):
                    self._known.pop(model, None)
                    self._changed()
                break
            await asyncio.sleep(backoff_s(attempt, base_s=0.5, max_s=_LONGEST_PAUSE_S))
        del self._doubts[model]

    async def _is_gone(self, model: str) -> bool:
        try:
            return not await self._ask_registry(model)
        except LeptonError:  # the registry is away too: keep what is served
            return False

    def _is_present(self, model: str) -> bool:
        return self._watch is not None and deployment_key(model) in self._watch.entries


@dataclass(frozen=True)
class Memory:
    """What a replica must know to serve again without etcd and the registry."""

    wanted: Deployments = field(default_factory=dict)
    effective: Deployments = field(default_factory=dict)
    """Where calls really went, with the versions that this takes: some may be no longer wanted but still serve."""


class MemoryFile:
    """Keeps a Memory in a file. Calls block on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = ""

    def read(self) -> Memory | None:
        """What was remembered; None when there is nothing or it cannot be read."""
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            return Memory(_from_json(document["wanted"]), _from_json(document["effective"]))
        except FileNotFoundError:
            return None
        except (OSError, LeptonError, *UNREADABLE) as error:
            _log.warning("The remembered deployments cannot be read: %s", type(error).__name__)
            return None

    def write(self, memory: Memory) -> None:
        """Write it down if it has changed. A reader sees the old or the new file, never a part."""
        text = json.dumps({"wanted": _to_json(memory.wanted), "effective": _to_json(memory.effective)}, sort_keys=True)
        if text == self._written:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(f".{os.getpid()}.new")  # other workers write the same file
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._path)
        self._written = text


def _to_json(deployments: Deployments) -> dict[str, object]:
    return {model: json_format.MessageToDict(deployment) for model, deployment in deployments.items()}


def _from_json(document: Mapping[str, dict[str, Any]]) -> dict[str, registry_pb2.Deployment]:
    return {
        check_name(model): json_format.ParseDict(deployment, registry_pb2.Deployment(), ignore_unknown_fields=True)
        for model, deployment in document.items()
    }
