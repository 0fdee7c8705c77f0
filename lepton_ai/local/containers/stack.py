"""Brings the platform up in containers until it is healthy, and takes it down again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from lepton_ai.errors import DeadlineExceeded, FailedPrecondition, InternalError, LeptonError
from lepton_ai.local.containers.compose import PROJECT_VARIABLE, SECRET_VARIABLES, ComposeSettings, Project
from lepton_ai.local.containers.engine import Engine
from lepton_ai.local.containers.listing import Container, read_addresses, read_containers
from lepton_ai.local.containers.plan import PlanOptions, fetch_images, plan_project
from lepton_ai.local.processes.observation import read_tail
from lepton_ai.local.processes.readiness import is_ready
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.table import Process
from lepton_ai.local.programs.running import Finished, stream_program
from lepton_ai.local.secret_files import read_secret_file
from lepton_ai.local.stack import StackState, delete_state, read_state, write_state

START_TIMEOUT_S = 180.0
_BUILD_TIMEOUT_S = 3600.0
_DOWN_TIMEOUT_S = 180.0
_POLL_S = 0.3
_TAIL_LINES = 15


class Reporter(Protocol):
    """Receives progress while the platform starts."""

    def step(self, title: str) -> None:
        """Something that may take long begins."""

    def line(self, text: str) -> None:
        """A line that the program at work has printed."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def containers(self, containers: tuple[Container, ...]) -> None:
        """The containers as they are now, several times a second while they start."""


@dataclass(frozen=True)
class ContainerOptions:
    """What may be chosen when the platform is started in containers."""

    plan: PlanOptions = field(default_factory=PlanOptions)
    replicas: Mapping[str, int] = field(default_factory=dict)
    timeout_s: float = START_TIMEOUT_S
    """From the first container's start until all is ready; images are fetched and built before that."""


class ContainerFailed(InternalError):
    """A container does not become ready. `process` names it, `log_tail` is what it said last."""

    def __init__(self, container: Container, log_tail: tuple[str, ...]) -> None:
        why = "ran out of its memory limit" if container.out_of_memory else _why(container)
        super().__init__(
            f"The container {container.name} {why}.",
            reason="CONTAINER_FAILED",
            fix=f"See what it said: `lepton logs {container.service}`. Stop everything with `lepton down`.",
        )
        self.process = container.name
        self.log_tail = log_tail


def _why(container: Container) -> str:
    if container.health == "unhealthy":
        return "runs, but its health check fails"
    if container.restarts:
        return f"died {container.restarts} times while it was starting (exit status {container.exit_code})"
    return f"is not ready in time ({container.state})"


class ContainerStack:
    """The platform of one run directory, in containers."""

    def __init__(self, home: Path, deploy: Path, engine: Engine) -> None:
        self.directory = RunDirectory(home)
        self._deploy = deploy
        self._engine = engine
        self._logs = self.directory.compose

    def read_recorded(self) -> tuple[StackState, Project] | None:
        """The recorded state and its project, if this run directory's platform was started in containers."""
        state = read_state(self.directory.home)
        if state is None or state.compose is None:
            return None
        return state, Project.recorded(self._engine.compose, self._deploy, state.compose, self._secrets())

    def _secrets(self) -> dict[str, str]:
        """Random secrets, made on first use, also for a stack that an earlier release started without them."""
        return {variable: read_secret_file(self.directory.secret(name)) for name, variable in SECRET_VARIABLES.items()}

    def read_containers(self, project: Project) -> tuple[Container, ...]:
        """The containers of the project as they are now."""
        return read_containers(self._engine.inspect_project(project.name))

    def read_running(self) -> StackState | None:
        """The recorded state, if any container of it runs."""
        recorded = self.read_recorded()
        if recorded is None or not any(each.is_running for each in self.read_containers(recorded[1])):
            return None
        return recorded[0]

    def bring_up(self, options: ContainerOptions, report: Reporter) -> StackState:
        """Fetch and build what is missing, start what does not run, wait until all is ready.

        Raises ContainerFailed when a container keeps dying or is not healthy in time, Unavailable without an image,
        InternalError when Compose fails, and FailedPrecondition when a fixed port is taken or the project runs already,
        started from elsewhere or with other numbers of replicas.
        """
        with self.directory.locked():
            state, project = self._resume(options) or self._prepare(options, report)
            # Written before anything is started, so that what was started can be found whatever happens.
            write_state(self.directory.home, state)
            containers = self._start(state, project, options.timeout_s, report)
            state = replace(state, addresses=read_addresses(containers))
            write_state(self.directory.home, state)
            return state

    def take_down(self, *, wipe: bool = False) -> int:
        """Stop and remove all containers; returns how many there were. `wipe` removes their volumes as well, also when
        nothing is up any more.

        Raises InternalError when Compose fails.
        """
        with self.directory.locked():
            recorded = self.read_recorded()
            if recorded is None and not (wipe and self._logs.is_dir()):
                return 0
            project = recorded[1] if recorded else self._usual_project()
            count = len(self.read_containers(project))
            self._run(project, project.down(wipe=wipe), "down", timeout_s=_DOWN_TIMEOUT_S)
            delete_state(self.directory.home)
            if wipe:
                shutil.rmtree(self._logs)
                shutil.rmtree(self.directory.secrets)  # for an etcd that has gone with its volume
            return count

    def _usual_project(self) -> Project:
        settings = ComposeSettings.read(self._deploy, os.environ)
        # Include the built-in trace store's file, so that its volume is removed too, if there is one.
        files = settings.files(trace_store="builtin")
        return Project(self._engine.compose, settings[PROJECT_VARIABLE], self._deploy, files, secrets=self._secrets())

    def _resume(self, options: ContainerOptions) -> tuple[StackState, Project] | None:
        """The state and project that run already, if any; then only what has died of it is started again."""
        if self.read_running() is None:
            return None
        recorded = self.read_recorded()
        for part, count in options.replicas.items():
            if recorded and recorded[0].replicas.get(part, count) != count:
                raise FailedPrecondition(
                    f"The platform is up with {recorded[0].replicas[part]} of {part}, not {count}.",
                    fix="Stop it with `lepton down` first; your models stay.",
                )
        workers = options.plan.inference_workers
        if recorded and workers is not None and recorded[0].workers.get("inference", 1) != workers:
            raise FailedPrecondition(
                f"The platform is up with another number of workers of inference than {workers}.",
                fix="Stop it with `lepton down` first; your models stay.",
            )
        return recorded

    def _prepare(self, options: ContainerOptions, report: Reporter) -> tuple[StackState, Project]:
        settings = ComposeSettings.read(self._deploy, os.environ)
        name = settings[PROJECT_VARIABLE]
        self._refuse_stranger(name)
        build_log = self._log("build")
        build_log.unlink(missing_ok=True)
        images = fetch_images(settings, self._engine, log=build_log, report=report)
        recorded = self.read_recorded()
        previous = recorded[0].ports if recorded else {}
        variables, ports = plan_project(settings, options.plan, images, previous=previous)
        files = settings.files(trace_store=images.trace_store)
        project = Project(self._engine.compose, name, self._deploy, files, variables, self._secrets())
        report.step("Building images (the first time takes minutes)")
        self._run(project, project.build(), "build", timeout_s=_BUILD_TIMEOUT_S, report=report)
        state = StackState(
            mode="docker",
            stack_id=uuid.uuid4().hex,
            started_at=time.time(),
            addresses={},
            ports=ports,
            replicas=dict(options.replicas),
            workers={} if options.plan.inference_workers is None else {"inference": options.plan.inference_workers},
            compose=project.record,
        )
        return state, project

    def _refuse_stranger(self, name: str) -> None:
        recorded = self.read_recorded()
        is_ours = recorded is not None and recorded[1].name == name
        containers = read_containers(self._engine.inspect_project(name))
        if not is_ours and any(container.is_running for container in containers):
            raise FailedPrecondition(
                f"Containers of a project {name!r} run already, started from elsewhere.",
                fix=f"Stop them (`lepton down` there), or choose another {PROJECT_VARIABLE} for this one.",
            )

    def _start(self, state: StackState, project: Project, timeout_s: float, report: Reporter) -> tuple[Container, ...]:
        end_s = time.monotonic() + timeout_s
        log = self._log("up")
        with log.open("w", encoding="utf-8") as output:
            # Compose gets a session of its own: Ctrl-C ends our waiting, not the start.
            compose = subprocess.Popen(
                project.up(state.replicas),
                env=project.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return self._await_ready(project, compose, end_s, report)
        except LeptonError:
            compose.kill()
            compose.wait()
            raise

    def _await_ready(
        self, project: Project, compose: subprocess.Popen[bytes], end_s: float, report: Reporter
    ) -> tuple[Container, ...]:
        while True:
            started = compose.poll()
            containers = self.read_containers(project)
            report.containers(containers)
            if started == 0 and containers and all(map(_answers, containers)):
                return containers
            self._refuse_failed(containers)
            if started:
                raise _refused("up", self._log("up"))
            if time.monotonic() > end_s:
                raise self._late(containers)
            time.sleep(_POLL_S)

    def _refuse_failed(self, containers: tuple[Container, ...]) -> None:
        for container in containers:
            if container.has_failed:
                raise self._failed(container)

    def _failed(self, container: Container) -> ContainerFailed:
        return ContainerFailed(container, self._engine.read_logs(container.id, lines=_TAIL_LINES))

    def _late(self, containers: tuple[Container, ...]) -> LeptonError:
        # The containers are in the order of their dependencies, so the first one holds up the later ones.
        missing = [container for container in containers if not _answers(container)]
        if missing:
            return self._failed(missing[0])
        return DeadlineExceeded(
            "Compose did not start everything in time.", fix="Allow more time with --timeout, or see `lepton status`."
        )

    def _run(
        self, project: Project, command: tuple[str, ...], name: str, *, timeout_s: float, report: Reporter | None = None
    ) -> Finished:
        log = self._log(name)
        done = stream_program(
            command,
            timeout_s=timeout_s,
            environment=project.environment(),
            log=log,
            on_line=report.line if report else lambda _line: None,
        )
        if done.returncode != 0:
            raise _refused(name, log)
        return done

    def _log(self, name: str) -> Path:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self._logs / f"{name}.log"


class ComposeFailed(InternalError):
    """A Compose command failed. `process` names it, `log_tail` is what it said last."""

    def __init__(self, name: str, log_tail: tuple[str, ...]) -> None:
        super().__init__(
            f"Compose could not do its part ({name}).",
            reason="COMPOSE_FAILED",
            fix="See what it said above. `lepton up --mode local` does without containers.",
        )
        self.process = f"compose {name}"
        self.log_tail = log_tail


def _refused(name: str, log: Path) -> ComposeFailed:
    return ComposeFailed(name, read_tail(log, _TAIL_LINES))


def _answers(container: Container) -> bool:
    """Whether it is ready. Jaeger's image has no health check, so its page is asked from here."""
    if container.health or container.service != "traces" or not container.address:
        return container.is_ready
    page = Process(container.name, container.service, (), {}, container.address, "http", "/api/services")
    return container.is_running and is_ready(page)
