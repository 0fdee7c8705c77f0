"""Calls to a service: one channel per replica, each call to the best of them, retried elsewhere when that is safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, Self, TypeVar

import grpc

from lepton_ai.errors import DeadlineExceeded, LeptonError, Unavailable
from lepton_ai.mesh.calling.balancer import Balancer, Outcome, Ticket
from lepton_ai.mesh.calling.callers import user_agent_option
from lepton_ai.mesh.calling.hedging import HedgeBudget, Hedging, race
from lepton_ai.mesh.calling.link import Link
from lepton_ai.mesh.calling.notes import NotedChannel
from lepton_ai.mesh.calling.outcomes import given_up, may_retry, outcome_of
from lepton_ai.mesh.discovery.endpoints import EndpointWatch
from lepton_ai.mesh.errors import as_lepton_error, from_rpc_error
from lepton_ai.mesh.latest import Latest
from lepton_ai.mesh.limits import MAX_MESSAGE_BYTES
from lepton_ai.mesh.load import Load
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import HEDGE, REPEAT_KEY, RETRY, RetryBudget, is_repeat, pause_before_retry

Invoke = Callable[[grpc.aio.Channel, float], Awaitable["T"]]
"""(channel, timeout_s) → the answer."""
T = TypeVar("T")

CLIENT_PING_S = 20
"""How often a client pings a server over an idle connection; servers must permit at least this rate."""
_PING_TIMEOUT_S = 10
_ASK_LOAD_EVERY_S = 0.1
"""How often a replica is asked for its load, on a call that goes there anyway."""


def channel_options(max_message_bytes: int, *, caller: str = "") -> tuple[tuple[str, int | str], ...]:
    """The options of every channel between Lepton's processes; `caller` is the service that calls, "" a program."""
    return (
        *user_agent_option(caller),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", CLIENT_PING_S * 1000),
        ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_S * 1000),
        # Measured with grpcio 1.81: an unanswered ping ends the connection after this (by default a minute), not after
        # the keepalive timeout.
        ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_S * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # A replica that restarts must be reached as soon as it listens again: in a rolling restart the next one leaves
        # a moment later. The second is, despite its name, how long a connection attempt may take.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 250),
        # A new channel to an address that came back must not inherit the old one's wait before the next attempt.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    )


class Pick:
    """A replica chosen for one call or one message; say how it ended, or use it in a `with` block that does.

    with pool.pick() as pick:
        await stub(pick.channel).Predict(request, timeout=1.0)
    """

    __slots__ = ("_link", "_ticket", "address", "channel")

    def __init__(self, ticket: Ticket, link: Link) -> None:
        self._ticket: Ticket | None = ticket
        self._link = link
        self.address = ticket.address
        self.channel = link.channel
        link.enter()

    def succeeded(self) -> None:
        """It answered; the time since the pick is its latency."""
        self._finish(Outcome.SUCCEEDED)

    def failed(self, error: BaseException) -> None:
        """It ended with this error, whose kind decides whether it counts against the replica."""
        self._finish(outcome_of(error))

    def abandoned(self) -> None:
        """Nobody waits for the answer any more; nothing was learnt."""
        self._finish(Outcome.ABANDONED)

    def overtaken(self) -> None:
        """Another replica, asked later, answered first; this call is cancelled."""
        self._finish(Outcome.OVERTAKEN)

    @property
    def must_wait(self) -> bool:
        """Whether its call must wait for a turn on the connection."""
        return self._link.full

    def may_ask_load(self, now: float) -> bool:
        """Whether it is time to ask the replica for its load again; then that counts as done."""
        due = now - self._link.asked_s >= _ASK_LOAD_EVERY_S
        if due:
            self._link.asked_s = now
        return due

    def turn(self, end_s: float) -> AbstractAsyncContextManager[None]:
        """Wait until the connection may carry one more call, at most until `end_s`: see `Link.turn`."""
        return self._link.turn(end_s)

    def _finish(self, outcome: Outcome) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._link.leave()
            ticket.finish(outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.succeeded()
        else:
            self.failed(error)


class _Attempt(Generic[T]):
    """One request of a call, to one replica."""

    __slots__ = ("_channel", "_end_s", "_invoke", "pick")

    def __init__(self, pick: Pick, channel: grpc.aio.Channel, invoke: Invoke[T], end_s: float) -> None:
        self.pick = pick
        self._channel = channel
        self._invoke = invoke
        self._end_s = end_s

    async def run(self) -> T:
        with self.pick:
            async with self.pick.turn(self._end_s):
                return await self._invoke(self._channel, self._end_s - time.monotonic())

    def ask_load(self, on_load: Callable[[str, Load], None], now: float) -> None:
        """Have the replica say how busy it is, if it has not been asked a moment ago."""
        if self.pick.may_ask_load(now):
            address = self.pick.address
            self._channel = NotedChannel(self._channel, (), lambda load: on_load(address, load))

    def overtaken(self) -> None:
        self.pick.overtaken()

    def abandoned(self) -> None:
        self.pick.abandoned()


class ServicePool:
    """The replicas of one service, as a caller sees them."""

    def __init__(  # noqa: PLR0913 - all but two have a usual value
        self,
        service: str,
        endpoints: EndpointWatch,
        *,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        linger_s: float = 10.0,
        doubt_s: float = 3.0,
        hedging: bool = True,
        caller: str = "",
    ) -> None:
        """`caller`: the service that this process is, "" for none of ours.

        `linger_s`: the least time to keep the channel of a replica that left, so that streams can move off it.

        `doubt_s`: how long to doubt the news that no replica is left. After a silence of etcd all leases run out at
        once, while the replicas live and are about to register again.

        `hedging`: whether calls that allow it may be made twice, see `call`.
        """
        self.service = service
        self._endpoints = endpoints
        self._interceptors = list(interceptors)
        self._options = channel_options(max_message_bytes, caller=caller)
        self._linger_s = linger_s
        self._doubt_s = doubt_s
        self._doubt: asyncio.TimerHandle | None = None
        self._balancer = Balancer()
        self._budget = RetryBudget()
        self._hedging = Hedging() if hedging else None
        self._links: dict[str, Link] = {}
        self._addresses: Latest[frozenset[str]] = Latest(frozenset())
        self._follower: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> frozenset[str]:
        """The replicas there are, ejected ones included."""
        return self._addresses.value

    @property
    def ejected(self) -> frozenset[str]:
        """The replicas that get no calls for now, because they failed."""
        return self._balancer.ejected

    def changed(self) -> AsyncIterator[frozenset[str]]:
        """Yields the addresses at once and again after every change, until the pool is closed."""
        return self._addresses.changes()

    async def start(self) -> None:
        """Open channels to the known endpoints and follow the changes."""
        self._apply(self._endpoints.addresses)
        self._follower = run_loop(self._follow, name=f"endpoints of {self.service}")

    async def close(self) -> None:
        """Stop following and close all channels; calls under way are cancelled. The EndpointWatch stays open."""
        tasks = [*self._retiring, *([self._follower] if self._follower is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._end_doubt()
        links, self._links = self._links, {}
        self._balancer.update(())
        self._addresses.set(frozenset())
        self._addresses.close()
        await asyncio.gather(*(link.close() for link in links.values()))

    def pick(self, exclude: Collection[str] = ()) -> Pick:
        """Choose a replica for one call or one message, none of `exclude`. Raises Unavailable when there is none."""
        ticket = self._balancer.pick(exclude)
        if ticket is None:
            raise Unavailable(
                f"No {'other ' if exclude else ''}replica of the {self.service} service is known.",
                reason="NO_REPLICA",
                fix=f"Start the {self.service} service, or wait until it is ready, and try again.",
            )
        return Pick(ticket, self._links[ticket.address])

    async def call_each(
        self, invoke: Callable[[grpc.aio.Channel, float], Awaitable[T]], *, timeout_s: float
    ) -> dict[str, T | LeptonError]:
        """Call every replica once, side by side; returns by address its answer, or its error."""

        async def call_one(link: Link) -> T | LeptonError:
            try:
                return await invoke(link.channel, timeout_s)
            except grpc.aio.AioRpcError as error:
                return from_rpc_error(error)

        links = dict(self._links)
        answers = await asyncio.gather(*(call_one(link) for link in links.values()))
        return dict(zip(links, answers, strict=True))

    async def call(
        self, invoke: Invoke[T], *, timeout_s: float, idempotent: bool = True, hedge: str | None = None
    ) -> T:
        """Make a call: `invoke(channel, timeout_s)` is tried at up to three replicas within `timeout_s` in all.

        A connection carries MAX_CALLS_PER_CONNECTION calls at once; more wait for their turn, within their own time.
        It retries UNAVAILABLE, and RESOURCE_EXHAUSTED where the server says when to come back: at once at a replica
        that has room, else after that time, or it raises the error when there is no time for that. What somebody nearer
        to the failure has retried already is not. A call that is not `idempotent` is tried again only when it surely
        did nothing. Raises the LeptonError that the last attempt ended with.

        `hedge` names calls that take about as long as this one (a method, a model and a size): when it takes longer
        than 95 % of those lately, it is made at a second replica as well, and the first answer counts. At most one call
        in twenty is, none while the pool has too much to do, and only `idempotent` ones. None: never.
        """
        end_s = time.monotonic() + timeout_s
        if timeout_s <= 0:
            raise DeadlineExceeded("There is no time left for this call.", fix="Allow more time.")
        repeat = is_repeat()
        self._budget.deposit(repeat=repeat)
        hedging = self._hedging if hedge is not None and idempotent and len(self._links) > 1 else None
        tried: list[str] = []
        while True:
            first = not tried
            attempt = self._attempt(invoke, end_s, tried, note=None if first and not repeat else RETRY)
            try:
                if hedging is not None and hedge is not None and first:
                    return await self._hedged(attempt, invoke, end_s, hedging, hedge, tried)
                return await attempt.run()
            except (grpc.aio.AioRpcError, LeptonError) as error:
                pause_s = self._pause_before_retry(error, tried, end_s=end_s, idempotent=idempotent)
                if pause_s is None:
                    raise given_up(error) from error
            if pause_s > 0:
                await asyncio.sleep(pause_s)

    def _attempt(self, invoke: Invoke[T], end_s: float, tried: list[str], *, note: str | None) -> _Attempt[T]:
        """The next request of a call, at a replica that is then one of `tried`."""
        pick = self.pick(tried if tried and not self.addresses <= frozenset(tried) else ())
        tried.append(pick.address)
        channel = pick.channel if note is None else NotedChannel(pick.channel, ((REPEAT_KEY, note),))
        return _Attempt(pick, channel, invoke, end_s)

    async def _hedged(
        self, attempt: _Attempt[T], invoke: Invoke[T], end_s: float, hedging: Hedging, kind: str, tried: list[str]
    ) -> T:
        begin_s = time.monotonic()
        usual = hedging.of(kind)
        hedging.budget.deposit()
        attempt.ask_load(self._balancer.report, begin_s)
        delay_s = usual.delay_s
        if delay_s is None or attempt.pick.must_wait or begin_s + delay_s >= end_s:
            answer = await attempt.run()
        else:
            answer = await race(attempt, lambda: self._hedge(invoke, end_s, hedging.budget, tried), delay_s)
        usual.observe(time.monotonic() - begin_s)
        return answer

    def _hedge(self, invoke: Invoke[T], end_s: float, budget: HedgeBudget, tried: list[str]) -> _Attempt[T] | None:
        """The second request of a call that takes long; None when there must not be one."""
        if self._balancer.overloaded or not self._balancer.has_room(tried):
            return None
        if not (budget.withdraw() and self._budget.withdraw()):
            return None
        return self._attempt(invoke, end_s, tried, note=HEDGE)

    def _pause_before_retry(
        self, error: grpc.aio.AioRpcError | LeptonError, tried: list[str], *, end_s: float, idempotent: bool
    ) -> float | None:
        """How long to wait before the next attempt; None when there must not be one."""
        known = as_lepton_error(error)
        if not may_retry(error, known, idempotent=idempotent):
            return None
        elsewhere = not self.addresses <= frozenset(tried)
        shed = known.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        # That one replica is full says nothing about the others; one that is not ready yet tells when all will be.
        wish_s = None if shed and elsewhere and self._balancer.has_room(tried) else known.retry_after_s
        pause_s = pause_before_retry(len(tried), end_s=end_s, elsewhere=elsewhere, wish_s=wish_s)
        return pause_s if pause_s is not None and self._budget.withdraw() else None

    async def _follow(self) -> None:
        async for endpoints in self._endpoints.changes():
            self._end_doubt()
            addresses = frozenset(endpoint.address for endpoint in endpoints)
            if addresses:
                self._apply(addresses)
            else:
                self._doubt = asyncio.get_running_loop().call_later(self._doubt_s, self._apply, addresses)

    def _end_doubt(self) -> None:
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None

    def _apply(self, addresses: frozenset[str]) -> None:
        for address in addresses - self._links.keys():
            self._links[address] = Link(self._open(address))
        for address in self._links.keys() - addresses:
            task = asyncio.create_task(self._links.pop(address).retire(self._linger_s), name=f"retire {address}")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._balancer.update(addresses)
        self._addresses.set(addresses)

    def _open(self, address: str) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(address, options=self._options, interceptors=self._interceptors)
        channel.get_state(try_to_connect=True)  # so that the first call need not wait for the handshake
        return channel
