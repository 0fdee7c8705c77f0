"""The life of one version on this replica: fetched, loaded, warmed, probed, served, healed, drained, unloaded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from lepton_ai.errors import DataLoss, DeadlineExceeded, InternalError, LeptonError, ResourceExhausted, Unavailable
from lepton_ai.mesh.loops import run_loop
from lepton_ai.mesh.retry import backoff_s
from lepton_ai.package.golden import GoldenItem
from lepton_ai.v1 import health_pb2, registry_pb2
from services.inference.lifecycle.loading import Loader, Prepared
from services.inference.lifecycle.prober import Prober, path_is_away
from services.inference.triton.backend import READY
from services.inference.triton.errors import MODEL_NOT_LOADED, STUB_DEAD, TRITON_AWAY, smells_dead
from services.inference.triton.watch import TritonWatch
from services.inference.version import LoadedVersion, VersionKey

State: TypeAlias = health_pb2.VersionState.ValueType

LOADING: State = health_pb2.VERSION_STATE_LOADING
SERVING: State = health_pb2.VERSION_STATE_SERVING
DRAINING: State = health_pb2.VERSION_STATE_DRAINING
FAILED: State = health_pb2.VERSION_STATE_FAILED

PROBE_INTERVAL_S = 2.0
"""A version that has given no good answer for so long is probed."""
_GOLDEN_INTERVAL_S = 2.0
_LATE_PROBES = 3
_QUICK_ATTEMPTS = 4
"""Attempts at healing without a pause: load, unload and load, restart Triton, load."""
# So soon after a start, a report of a dead process may be about one that has been replaced since.
_ECHO_S = 3.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0
_LONGEST_OUTAGE_PAUSE_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LifeParts:
    """What all versions of a replica share."""

    loader: Loader
    watch: TritonWatch
    prober: Prober
    changed: Callable[[], None]
    """Called after every change of a version's state."""
    drain_s: float
    probe_interval_s: float
    restart_triton: Callable[[], Awaitable[None]] | None = None
    """The last resort when a model that has served cannot be brought back by loading it again."""


class VersionLife:
    """Brings one version, or a variant of one, up and keeps it up until it is stopped."""

    def __init__(self, key: VersionKey, deployed: registry_pb2.DeployedVersion, parts: LifeParts) -> None:
        """`deployed`: the files, of a variant its own."""
        self.key = key
        self.model, self.version, self.variant = key
        self.deployed = deployed
        self.state: State = LOADING
        self.message = "is being loaded"
        self.loaded: LoadedVersion | None = None
        self._parts = parts
        self._prepared: Prepared | None = None
        self._golden: Sequence[GoldenItem] = ()
        """Samples that are still to be tested."""
        self._golden_asked_s = float("-inf")
        self._force = 0
        """How hard to load next time: 0 adopt what is loaded, 1 load, 2 unload and load, 3 restart Triton."""
        self._death = ""
        """What its process in Triton said last, or that it says nothing."""
        self._dead: set[str] = set()
        """Names in Triton that were found dead since it served last."""
        self._has_served = False
        self._serving_since_s = float("-inf")
        self._late = 0
        self._suspect = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Never raises: `state` and `message` say what goes wrong, and it is tried again."""
        self._task = run_loop(self._run, name=f"life of {self._name}")

    @property
    def _name(self) -> str:
        return f"{self.model} {self.version}{self.variant and f'+{self.variant}'}"

    @property
    def ending(self) -> bool:
        """Whether it was told to stop."""
        return self._ending is not None

    def wake(self) -> None:
        """Look at once: Triton has changed."""
        self._wake.set()

    def report(self, error: BaseException) -> None:
        """The data plane met an error that `smells_dead` recognises: probe the version at once."""
        dead = isinstance(error, LeptonError) and error.reason == STUB_DEAD
        if dead and self.state == SERVING and time.monotonic() - self._serving_since_s > _ECHO_S:
            self._force, self._death = max(self._force, 1), str(error)
        self._suspect = True
        self._wake.set()

    def stop(self, ended: Callable[[VersionLife], None]) -> None:
        """Drain, unload, remove; then call `ended`. Does nothing when it is being stopped already."""
        if self._ending is None:
            self._ending = run_loop(partial(self._end, ended), name=f"end of {self._name}")

    async def abandon(self) -> None:
        """Stop looking after the version but leave it loaded, for the process that comes after this one."""
        tasks = [task for task in (self._task, self._ending) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._let_go()

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                await self._bring_up()
                attempt = 0
                await self._serve()
            except LeptonError as error:
                attempt += 1
                await self._recover(error, attempt)
            except OSError as error:
                attempt += 1
                self._prepared = None  # the package may be gone from this disk: begin with fetching it
                self._let_go()
                _log.warning("%s: %s", self._name, error)
                self._set(FAILED, f"cannot be loaded: the disk of the replica says {type(error).__name__}")
                await self._pause(attempt, _LONGEST_PAUSE_S)
            except Exception:  # noqa: BLE001 - a fault of ours; it must not end the version unseen
                attempt += 1
                _log.exception("%s met a fault of ours", self._name)
                self._set(FAILED, "cannot be loaded: internal fault, see the log of the inference service")
                await self._pause(attempt, _LONGEST_PAUSE_S)

    async def _bring_up(self) -> None:
        """Take the version from nothing to serving, skipping steps that are done already."""
        watch = self._parts.watch
        self._set_loading("is being loaded")
        prepared = await self._prepare()
        if not watch.ready:
            self._set_loading("waits for Triton")
            await watch.until_ready()
            self._set_loading("is being loaded")
        await self._load(prepared)
        await self._verify(prepared.loaded)
        self._force, self._late, self._suspect = 0, 0, False
        self._dead.clear()
        self._has_served, self._serving_since_s = True, time.monotonic()
        self._set(SERVING, "")

    async def _prepare(self) -> Prepared:
        if self._prepared is None:
            self._prepared = await self._parts.loader.prepare(self.key, self.deployed)
            self._golden = self._prepared.golden
            self.loaded = self._prepared.loaded
            self.loaded.on_failure = self.report
        return self._prepared

    async def _load(self, prepared: Prepared) -> None:
        parts, loaded = self._parts, prepared.loaded
        if self._force == 0 and await parts.loader.find(prepared, parts.watch.states):
            return
        if self._force >= 3 and self._has_served and parts.restart_triton is not None:
            _log.warning("%s does not come back by loading it again; restarting Triton", loaded.triton_name)
            await parts.restart_triton()
            raise _triton_away()
        if self._force:
            self._dead.add(loaded.triton_name)
            _log.warning(
                "Version %s of %s is loaded anew, as its process in Triton does not answer: %s",
                *(self.version, self.model, self._death),
                extra={"triton_name": loaded.triton_name},
            )
        async with parts.loader.turn(prepared):
            await self._load_in_turn(prepared)

    async def _load_in_turn(self, prepared: Prepared) -> None:
        """Load it, unless another worker has done so while this one waited for its turn."""
        parts = self._parts
        await parts.watch.refresh()  # which names are free
        if await parts.loader.find(prepared, parts.watch.states, but=self._dead):
            return
        try:
            await parts.loader.load(prepared, parts.watch.states, afresh=self._force >= 2)
        except DeadlineExceeded as error:  # counts as dead, so that the next attempt goes further
            raise Unavailable("The model did not load in time.", reason=MODEL_NOT_LOADED) from error
        await parts.watch.refresh()

    async def _verify(self, loaded: LoadedVersion) -> None:
        """Test real answers before callers come. A missing part of the path delays the golden samples, not the
        version."""
        try:
            await self._parts.prober.warm_up(loaded)
        except DeadlineExceeded as error:
            raise InternalError("The model did not answer its first request in time.", reason="WARM_UP_LATE") from error
        await self._ask_golden(loaded)

    async def _ask_golden(self, loaded: LoadedVersion) -> None:
        if not self._golden:
            return
        self._golden_asked_s = time.monotonic()
        try:
            await self._parts.prober.check_golden(loaded, self._golden)
        except (LeptonError, TimeoutError) as error:
            if not path_is_away(error):
                raise
            _log.info("Golden samples of %s wait: a service that they need is missing", loaded.triton_name)
        else:
            self._golden = ()

    async def _serve(self) -> None:
        """Watch over the serving version; returns or raises when it must be brought up again."""
        loaded = self.loaded
        assert loaded is not None  # noqa: S101 - brought up
        while True:
            await self._until_look(loaded)
            if not self._parts.watch.ready:
                raise _triton_away()
            if self._force or self._is_lost(loaded):
                return
            due = time.monotonic() - loaded.last_success_s >= self._parts.probe_interval_s
            if self._suspect or due:
                self._suspect = False
                await self._check_alive(loaded)
            if self._golden and time.monotonic() - self._golden_asked_s >= _GOLDEN_INTERVAL_S:
                await self._ask_golden(loaded)

    async def _until_look(self, loaded: LoadedVersion) -> None:
        rest_s = loaded.last_success_s + self._parts.probe_interval_s - time.monotonic()
        await self._until_woken(min(max(rest_s, 0.01), self._parts.probe_interval_s))

    def _is_lost(self, loaded: LoadedVersion) -> bool:
        """Whether a poll since the version came up does not show it in Triton: then Triton was restarted in between."""
        watch = self._parts.watch
        return watch.seen_at_s > self._serving_since_s and watch.states.get(loaded.triton_name) != READY

    async def _check_alive(self, loaded: LoadedVersion) -> None:
        try:
            await self._parts.prober.check_alive(loaded)
        except DeadlineExceeded as error:
            # A busy model is late too; only one that answers nobody for several probes is hanging.
            self._late += 1
            if self._late >= _LATE_PROBES:
                raise Unavailable("The model does not answer any more.", reason=STUB_DEAD) from error
        except ResourceExhausted:
            _log.info("A probe of %s was refused under load", loaded.triton_name)
        else:
            self._late = 0

    async def _recover(self, error: LeptonError, attempt: int) -> None:
        if error.reason == TRITON_AWAY:
            self._force = 0  # a restarted Triton has nothing loaded
            self._dead.clear()
            self._set_loading("waits for Triton")
            await self._parts.watch.refresh()
            await self._pause(1, _FIRST_PAUSE_S)
            return
        if smells_dead(error):
            self._force, self._death = min(3, self._force + 1), error.message
            if self._has_served and attempt <= _QUICK_ATTEMPTS:
                self._set_loading(f"is being loaded again: {error.message}")
                return
        elif isinstance(error, DataLoss):
            self._prepared = None  # what is on this disk is not what was pushed: begin with fetching it
            self._let_go()
        elif isinstance(error, Unavailable | DeadlineExceeded):
            self._set_loading(f"waits: {error.message}")
            await self._pause(attempt, _LONGEST_OUTAGE_PAUSE_S)
            return
        _log.warning("%s cannot be loaded: %s", self._name, error)
        self._set(FAILED, f"cannot be loaded: {error.message}")
        await self._pause(attempt, _LONGEST_PAUSE_S)

    async def _pause(self, attempt: int, longest_s: float) -> None:
        await asyncio.sleep(backoff_s(attempt, base_s=_FIRST_PAUSE_S, max_s=longest_s))

    async def _until_woken(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        self._wake.clear()

    async def _end(self, ended: Callable[[VersionLife], None]) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.loaded is not None:
            self._set(DRAINING, "finishes its last requests")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._parts.drain_s):
                    await self.loaded.idle()
            self._let_go()
            await self._parts.loader.remove(self.loaded.triton_name)
            await self._parts.watch.refresh()
        ended(self)

    def _let_go(self) -> None:
        if self.loaded is not None:
            self.loaded.let_go()

    def _set_loading(self, message: str) -> None:
        """A version that has failed keeps that state while it is tried again, else its state would flicker."""
        if self.state != FAILED:
            self._set(LOADING, message)

    def _set(self, state: State, message: str) -> None:
        if (state, message) != (self.state, self.message):
            self.state, self.message = state, message
            self._parts.changed()


def _triton_away() -> Unavailable:
    return Unavailable("Triton does not answer.", reason=TRITON_AWAY)
