"""Who serves what and where: processes register their endpoints in the shared state, callers watch a service's.

The layout of keys and values is that of etcd's own gRPC naming, so that Go clients can dial `etcd:///lepton/...` too.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from pathlib import Path

from lepton_ai.mesh.discovery.records import Endpoint, Records, decode_endpoint, encode_endpoint, endpoint_key
from lepton_ai.mesh.discovery.state import ENDPOINTS, Publication, StateStore, Watch
from lepton_ai.mesh.loops import run_loop

_log = logging.getLogger(__name__)


async def register(state: StateStore, endpoint: Endpoint) -> Publication:
    """Announce an endpoint for as long as this process lives, or until the publication is withdrawn."""
    return await state.publish(endpoint_key(endpoint), encode_endpoint(endpoint))


async def watch_endpoints(state: StateStore, service: str, *, memory: Path | None = None) -> EndpointWatch:
    """Follow the endpoints of a service. Returns within the store's request timeout, even when the store is away.

    The file `memory` keeps what was seen last; a process that starts while the store is away begins with it.
    """
    prefix = f"{ENDPOINTS}{service}/"
    if memory is None:
        return EndpointWatch(service, await state.watch(prefix))
    remembered = await asyncio.to_thread(_recall, memory, prefix)
    watch = EndpointWatch(service, await state.watch(prefix, remembered=remembered))
    watch.remember(memory)
    return watch


def _recall(path: Path, prefix: str) -> dict[str, bytes]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {key: value.encode() for key, value in document.items() if key.startswith(prefix)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        _log.warning("remembered endpoints cannot be read", extra={"why": type(error).__name__})
        return {}


def _write(path: Path, entries: Mapping[str, bytes]) -> None:
    """A reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.new")  # other workers write the same file
    text = json.dumps({key: value.decode(errors="replace") for key, value in entries.items()}, ensure_ascii=False)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def fixed_endpoints(service: str, addresses: Iterable[str]) -> EndpointWatch:
    """Endpoints that are given rather than discovered: they never change."""
    found = (Endpoint(service, address) for address in addresses)
    return EndpointWatch(service, _FixedView({endpoint_key(endpoint): encode_endpoint(endpoint) for endpoint in found}))


class _FixedView:
    """A `Watch` of entries that stay as they are."""

    connected = True

    def __init__(self, entries: Mapping[str, bytes]) -> None:
        self.entries = entries

    async def changes(self) -> AsyncIterator[Mapping[str, bytes]]:
        yield self.entries

    async def close(self) -> None:
        """There is nothing to stop."""


class EndpointWatch:
    """The endpoints of one service as last known. Fails static, like the watch it reads."""

    def __init__(self, service: str, watch: Watch) -> None:
        self.service = service
        self._watch = watch
        self._records = Records(decode_endpoint)
        self._read_from: Mapping[str, bytes] = {}
        self._endpoints: frozenset[Endpoint] = frozenset()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def endpoints(self) -> frozenset[Endpoint]:
        entries = self._watch.entries
        if entries is not self._read_from:
            self._read_from = entries
            self._endpoints = frozenset(self._records.read(entries).values())
        return self._endpoints

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(endpoint.address for endpoint in self.endpoints)

    @property
    def connected(self) -> bool:
        """Whether the view is being kept up to date right now."""
        return self._watch.connected

    async def changes(self) -> AsyncIterator[frozenset[Endpoint]]:
        """Yields the endpoints at once and again after every change, skipping what was replaced meanwhile."""
        shown: frozenset[Endpoint] | None = None
        async for _ in self._watch.changes():
            # Compared with metadata, which the hash leaves out: equal sets of endpoints are equal in it too.
            if self.endpoints != shown:
                shown = self.endpoints
                yield shown

    def remember(self, path: Path) -> None:
        """Keep what is seen in this file from now on, until closed."""
        self._keeper = run_loop(partial(self._keep, path), name=f"remember {self.service}")

    async def _keep(self, path: Path) -> None:
        async for entries in self._watch.changes():
            if not entries:  # the last known endpoints are of more use than none
                continue
            try:
                await asyncio.to_thread(_write, path, entries)
            except OSError as error:
                _log.warning("endpoints cannot be remembered", extra={"why": type(error).__name__})

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._watch.close()
