"""A channel whose calls carry notes to the server, for the few calls that have any: retries, hedges, questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from lepton_ai.mesh.load import LOAD_KEY, Load

Notes = tuple[tuple[str, str], ...]
OnLoad = Callable[[Load], None]


class NotedChannel(grpc.aio.Channel):
    """Calls go out on `channel` with these notes in their metadata. With `on_load`, what a server says about its load
    at the end of a unary call is told.

    It equals the channel itself, and bidirectional streams carry no notes: they are shared by many calls and kept by
    channel.
    """

    def __init__(self, channel: grpc.aio.Channel, notes: Notes, on_load: OnLoad | None = None) -> None:
        self._channel = channel
        self._notes = notes if on_load is None else (*notes, (LOAD_KEY, "?"))
        self._on_load = on_load

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._noted(self._channel.unary_unary(*method, **options), self._on_load)

    def unary_stream(self, *method: Any, **options: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._noted(self._channel.unary_stream(*method, **options), None)

    def stream_unary(self, *method: Any, **options: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._noted(self._channel.stream_unary(*method, **options), None)

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._channel.stream_stream(*method, **options)

    def __eq__(self, other: object) -> bool:
        return self._channel == (other._channel if isinstance(other, NotedChannel) else other)

    def __hash__(self) -> int:
        return hash(self._channel)

    def _noted(self, method: Callable[..., Any], on_load: OnLoad | None) -> Callable[..., Any]:
        def call(*request: Any, metadata: Any = None, **options: Any) -> Any:
            call = method(*request, metadata=(*(metadata or ()), *self._notes), **options)
            if on_load is not None:
                call.add_done_callback(lambda done: _read(done, on_load))
            return call

        return call

    async def close(self, grace: float | None = None) -> None:
        """See grpc.aio.Channel."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """See grpc.aio.Channel."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See grpc.aio.Channel."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See grpc.aio.Channel."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> NotedChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


_reading: set[asyncio.Task[None]] = set()


def _read(call: Any, on_load: OnLoad) -> None:
    task = asyncio.get_running_loop().create_task(_tell(call, on_load))
    _reading.add(task)
    task.add_done_callback(_reading.discard)


async def _tell(call: Any, on_load: OnLoad) -> None:
    for key, value in await call.trailing_metadata() or ():  # at once, as the call is over
        load = Load.parse(value) if key == LOAD_KEY else None
        if load is not None:
            on_load(load)
