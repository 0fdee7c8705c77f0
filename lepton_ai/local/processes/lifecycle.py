"""Brings the local stack up until it is healthy, and takes it down until nothing of it is left."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from lepton_ai.disk import is_full
from lepton_ai.errors import DeadlineExceeded, FailedPrecondition, InternalError, ResourceExhausted, Unavailable
from lepton_ai.local.processes.observation import ProcessHealth, StackHealth, combine, read_processes, read_tail
from lepton_ai.local.processes.readiness import check_all
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import Supervisor, end_members, find_members, is_alive, record_of
from lepton_ai.local.processes.table import PARTS, Layout, Part, Process, build_processes, port_wishes, stop_order
from lepton_ai.local.programs import triton
from lepton_ai.local.programs.ports import choose_ports
from lepton_ai.local.stack import TOKEN_NAME, ProcessRecord, StackState, delete_state, read_state, write_state
from lepton_ai.mesh import shared_memory

START_TIMEOUT_S = 120.0
_POLL_S = 0.05
_FAILED_STARTS = 3
"""A process that has died this often without ever being ready will not become ready by itself."""
_TAIL_LINES = 15
_SHUTDOWN_TIMEOUT_S = 10.0
_WAVE_MARGIN_S = 5.0
_BALANCED = ("inference",)
"""Parts whose replicas a client spreads its calls over."""

Observer = Callable[[StackHealth], None]


@dataclass(frozen=True)
class StackOptions:
    """What may be chosen when a stack is started."""

    replicas: Mapping[str, int] = field(default_factory=dict)
    """Part → how many, for those that differ from the table."""
    workers: Mapping[str, int] = field(default_factory=dict)
    """Part → processes of each replica, which share its port; one where it is not named."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Name → number, for those that must have this number."""
    usual_ports: bool = True
    """Prefer the usual ports; False takes any free ones, so that many stacks can run beside each other."""
    trace_ratio: float = 1.0
    timeout_s: float = START_TIMEOUT_S


class ProcessFailed(InternalError):
    """A process of the stack keeps dying. `process` names it, `log_tail` is what it said last."""

    def __init__(self, process: str, starts: int, log_tail: tuple[str, ...]) -> None:
        super().__init__(
            f"{process} died {starts} times while it was starting.",
            reason="PROCESS_FAILED",
            fix=f"See what it said: `lepton logs {process}`. It is tried again until you stop it with `lepton down`.",
        )
        self.process = process
        self.log_tail = log_tail


class Stack:
    """The local stack of one run directory."""

    def __init__(self, home: Path, *, parts: tuple[Part, ...] = PARTS) -> None:
        self.directory = RunDirectory(home)
        self._parts = parts
        self._supervisor = Supervisor(self.directory)

    def read_running(self) -> StackState | None:
        """The recorded state, if the stack is under supervision."""
        state = _read_local_state(self.directory.home)
        return state if state is not None and self._supervisor.running() else None

    def bring_up(self, options: StackOptions, *, observe: Observer = lambda _health: None) -> StackState:
        """Start what does not run and wait until all is ready; `observe` is told how it goes, many times a second.

        What an unclean end left behind is stopped first. Raises ProcessFailed when a process keeps dying,
        DeadlineExceeded after `options.timeout_s`, and FailedPrecondition when the stack runs with other numbers of
        replicas, a fixed port is taken, or a program is missing, ResourceExhausted when the disk is full.
        """
        deadline = time.monotonic() + options.timeout_s
        with _disk_errors(), self.directory.locked():
            state = self.read_running()
            if state is None:
                state = self._start(options)
            else:
                _require_same_replicas(state, options)
            self._await_ready(state, deadline, observe)
            state = replace(state, processes=self._records())
            write_state(self.directory.home, state)
            return state

    def _start(self, options: StackOptions) -> StackState:
        previous = _read_local_state(self.directory.home)
        if previous is not None:
            self._end_members(previous)
        self.directory.make()
        self.directory.secret(TOKEN_NAME)
        self.directory.set_logs_aside()
        replicas = {part.name: options.replicas.get(part.name, part.replicas) for part in self._parts}
        ports = choose_ports(
            port_wishes(self._parts, replicas, options.workers),
            fixed=options.ports,
            previous=previous.ports if previous else {},
            usual=options.usual_ports,
        )
        layout = Layout(self.directory, ports, replicas, options.workers, trace_ratio=options.trace_ratio)
        processes = build_processes(self._parts, layout)
        state = StackState(
            mode="local",
            stack_id=uuid.uuid4().hex,
            started_at=time.time(),
            addresses=_addresses(processes, layout),
            ports=ports,
            replicas=replicas,
            workers=options.workers,
            supervisor_socket=str(self.directory.socket),
        )
        # Written before anything is started, so that what was started can be found whatever happens.
        write_state(self.directory.home, state)
        supervisor = self._supervisor.start(processes, stack_id=state.stack_id, environment=os.environ)
        state = replace(state, supervisor=supervisor)
        write_state(self.directory.home, state)
        return state

    def _await_ready(self, state: StackState, deadline: float, observe: Observer) -> None:
        processes = read_processes(self.directory)
        ready: frozenset[str] = frozenset()
        while True:
            ready |= check_all(process for process in processes if process.name not in ready)
            healths = combine(processes, self._supervisor.processes(), ready)
            observe(StackHealth(state, healths))
            if len(ready) == len(processes):
                return
            self._refuse_failed(healths)
            if time.monotonic() > deadline:
                raise _late(healths)
            time.sleep(_POLL_S)

    def _refuse_failed(self, healths: tuple[ProcessHealth, ...]) -> None:
        for health in healths:
            status = health.status
            if not health.ready and status and not status.alive and status.starts >= _FAILED_STARTS:
                tail = read_tail(self.directory.log(status.name), _TAIL_LINES)
                raise ProcessFailed(status.name, status.starts, tail)

    def _records(self) -> dict[str, ProcessRecord]:
        found = ((status.name, status.pid and record_of(status.pid)) for status in self._supervisor.processes())
        return {name: record for name, record in found if record}

    def take_down(self, *, wipe: bool = False) -> int:
        """Stop everything, each part before those that it needs; returns how many processes ended. Fine when none run.

        `wipe` deletes data, cache and logs as well.
        """
        with self.directory.locked():
            state = _read_local_state(self.directory.home)
            stopped = 0 if state is None else self._stop(state)
            delete_state(self.directory.home)
            if wipe:
                self.directory.wipe()
            return stopped

    def _stop(self, state: StackState) -> int:
        count = len(find_members(state.stack_id))
        try:
            for wave in stop_order(read_processes(self.directory)):
                longest_s = max(process.restart.stop_wait_s for process in wave)
                self._supervisor.stop([process.name for process in wave], timeout_s=longest_s + _WAVE_MARGIN_S)
            self._supervisor.shutdown()
            _await_end(state)
        except Unavailable:
            pass  # supervisord is gone; what it left is found by the stack's id.
        self._end_members(state)
        if self.directory.sockets != self.directory.supervisor.absolute():
            shutil.rmtree(self.directory.sockets, ignore_errors=True)
        return count

    def _end_members(self, state: StackState) -> None:
        """End what is left of a stack, and free the shared memory that its killed processes have left."""
        end_members(state.stack_id)
        for process in read_processes(self.directory):
            if process.part == "triton":
                triton.remove_leftovers(self.directory.triton(process.name))
        shared_memory.remove_leftovers()


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise ResourceExhausted(
            "The disk of the run directory is full.", reason="DISK_FULL", fix="Make room, then try again."
        ) from error


def _read_local_state(home: Path) -> StackState | None:
    state = read_state(home)
    if state is not None and state.mode != "local":
        raise FailedPrecondition(
            f"The stack recorded here runs in {state.mode} mode.", fix="Use the command that started it to change it."
        )
    return state


def _addresses(processes: tuple[Process, ...], layout: Layout) -> dict[str, str]:
    """Part → address of its first process, or of all, and all their workers, where clients balance; what a browser
    opens is a URL."""
    addresses: dict[str, str] = {}
    for process in processes:
        addresses.setdefault(process.part, process.address)
    for part in _BALANCED:
        if part in addresses:
            replicas = [process for process in processes if process.part == part]
            addresses[part] = ",".join(
                address for replica in replicas for address in replica.worker_addresses or (replica.address,)
            )
    if "traces" in addresses:
        addresses["otlp"] = layout.address("traces-otlp")
        addresses["traces"] = f"http://{addresses['traces']}"
    if "health" in addresses:
        addresses["console"] = f"http://{layout.address('health-console')}"
    return addresses


def _require_same_replicas(state: StackState, options: StackOptions) -> None:
    for part, count in options.replicas.items():
        if state.replicas.get(part) != count:
            raise FailedPrecondition(
                f"The stack is up with {state.replicas.get(part)} of {part}, not {count}.",
                fix="Stop it with `lepton down` first; your models stay.",
            )
    for part, count in options.workers.items():
        if state.workers.get(part, 1) != count:
            raise FailedPrecondition(
                f"The stack is up with {state.workers.get(part, 1)} workers of {part}, not {count}.",
                fix="Stop it with `lepton down` first; your models stay.",
            )


def _late(healths: tuple[ProcessHealth, ...]) -> DeadlineExceeded:
    missing = [health.process for health in healths if not health.ready]
    names = {process.name for process in missing} | {process.part for process in missing}
    # A process that waits for another missing one is not to blame.
    culprits = [process.name for process in missing if not names.intersection(process.needs)]
    return DeadlineExceeded(
        f"Not ready in time: {', '.join(process.name for process in missing)}.",
        fix=f"Look at `lepton logs {' '.join(culprits)}`, or allow more time with --timeout.",
    )


def _await_end(state: StackState) -> None:
    deadline = time.monotonic() + _SHUTDOWN_TIMEOUT_S
    while state.supervisor and is_alive(state.supervisor) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
