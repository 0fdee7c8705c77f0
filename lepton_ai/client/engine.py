"""Runs the calls of a blocking client on an AsyncClient: in a thread of this process, or in a process of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lepton_ai.client import forking
from lepton_ai.errors import FailedPrecondition

if TYPE_CHECKING:
    from lepton_ai.addresses import Addresses
    from lepton_ai.client.asynchronous import AsyncClient
    from lepton_ai.package.transfer import OnProgress


@dataclass(frozen=True)
class ClientOptions:
    """What an AsyncClient is made with."""

    addresses: Addresses
    timeout_s: float
    trace_ratio: float
    hedging: bool = True
    tenant: str = ""
    exact: bool = False

    def make(self) -> AsyncClient:
        """Make the client. Call this in the event loop that the client will work in."""
        from lepton_ai.client.asynchronous import AsyncClient

        return AsyncClient(
            self.addresses,
            timeout_s=self.timeout_s,
            trace_ratio=self.trace_ratio,
            hedging=self.hedging,
            tenant=self.tenant,
            exact=self.exact,
        )


@dataclass(frozen=True)
class Call:
    """A method of AsyncClient with its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    async def run(self, client: AsyncClient, on_progress: OnProgress | None = None) -> Any:
        """Make the call. `on_progress` is for the method that takes one."""
        more = {} if on_progress is None else {"on_progress": on_progress}
        return await getattr(client, self.method)(*self.arguments, **self.options, **more)


class Engine(Protocol):
    """Runs calls, for any number of threads of one process."""

    @property
    def is_lost(self) -> bool:
        """Whether it can no longer answer any call."""

    def run(self, call: Call, on_progress: OnProgress | None = None) -> Any:
        """Run the call, and return or raise what it does. Blocks."""

    def close(self) -> None:
        """Close all connections. Blocks."""


class LoopThread:
    """An event loop in a thread of this process."""

    is_lost = False

    def __init__(self, options: ClientOptions) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lepton-client", daemon=True)
        self._thread.start()
        self._lock = threading.Lock()
        self._is_closed = False
        self._calls: set[asyncio.Task[Any] | None] = set()
        forking.leave_to_parent(self)
        try:
            self._client: AsyncClient = self._start(_make(options)).result()
        except BaseException:
            self._stop()
            raise

    def run(self, call: Call, on_progress: OnProgress | None = None) -> Any:
        future = self._start(self._call(call, on_progress))
        try:
            return future.result()
        except CancelledError:
            raise closed_client() from None
        except KeyboardInterrupt:
            future.cancel()
            raise

    def close(self) -> None:
        """Calls of other threads end as well: they raise FailedPrecondition."""
        self._start(self._close(), closes=True).result()
        self._stop()

    async def _call(self, call: Call, on_progress: OnProgress | None) -> Any:
        task = asyncio.current_task()
        self._calls.add(task)
        try:
            return await call.run(self._client, on_progress)
        finally:
            self._calls.discard(task)

    async def _close(self) -> None:
        calls = [call for call in self._calls if call is not None]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._client.close()

    def _start(self, work: Coroutine[Any, Any, Any], *, closes: bool = False) -> Future[Any]:
        """Run this in the loop. What comes before the closing is there to be cancelled by it, and nothing comes after:
        a stopped loop would let it wait for ever."""
        with self._lock:
            if self._is_closed:
                work.close()
                raise closed_client()
            self._is_closed = closes
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def closed_client() -> FailedPrecondition:
    """The error of a call of a client that is closed, or was closed meanwhile."""
    return FailedPrecondition("The client is closed.", reason="CLOSED", fix="Make another one.")


async def _make(options: ClientOptions) -> AsyncClient:
    """Make the client inside the loop, because grpc.aio binds it to the loop in which it is made."""
    return options.make()


def open_engine(options: ClientOptions) -> Engine:
    """An engine in a thread, which is quicker, or in a fresh process where a fork has broken gRPC."""
    if not forking.grpc_is_lost():
        return LoopThread(options)
    from lepton_ai.client.engine_process import EngineProcess

    return EngineProcess(options)
