"""The Docker engine on this machine, through its command line: whether it answers, its images, its containers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_ai.errors import DeadlineExceeded, InternalError, Unavailable
from lepton_ai.local.programs.running import Finished, Run, run_program, stream_program

_ANSWER_TIMEOUT_S = 3.0
_CALL_TIMEOUT_S = 30.0
_PULL_TIMEOUT_S = 3600.0
_ONNX_RUNTIME_BACKEND = "/opt/tritonserver/backends/onnxruntime"
PROJECT_LABEL = "com.docker.compose.project"


@dataclass(frozen=True)
class Engine:
    """An engine that answered, and the Compose that drives it."""

    version: str
    compose: tuple[str, ...]
    """`docker compose` (version 2) or `docker-compose` (version 1)."""
    run: Run = run_program

    def has_image(self, image: str) -> bool:
        """Whether the image is on this machine."""
        return self._docker("image", "inspect", "--format", "{{.Id}}", image).returncode == 0

    def pull(self, image: str, *, log: Path, on_line: Callable[[str], None]) -> None:
        """Fetch an image. Raises Unavailable, with what the engine said, when that does not work."""
        command = ("docker", "pull", image)
        done = stream_program(command, timeout_s=_PULL_TIMEOUT_S, environment={}, log=log, on_line=on_line)
        if done.returncode != 0:
            said = done.output.splitlines()[-1:] or ["nothing"]
            raise Unavailable(
                f"The image {image} is not here and cannot be pulled. The engine says: {said[0]}",
                reason="NO_IMAGE",
                fix="Name another image in deploy/.env, or run local processes: `lepton up --mode local`.",
            )

    def runs_onnx_natively(self, triton_image: str) -> bool:
        """Whether a Triton image holds the ONNX Runtime backend: some hold only PyTorch's or Python's."""
        confined = ("--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--entrypoint=test")
        done = self._docker("run", *confined, triton_image, "-d", _ONNX_RUNTIME_BACKEND, timeout_s=120.0)
        if done.returncode not in (0, 1):  # what `test` answers
            raise _refused(done)
        return done.returncode == 0

    def inspect_project(self, project: str) -> list[dict[str, Any]]:
        """What the engine knows of each container of a Compose project, stopped ones included."""
        selected = ("--all", "--quiet", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}")
        ids = _output(self._docker("ps", *selected)).split()
        if not ids:
            return []
        # A container may disappear between the two calls; the others are described all the same.
        described: list[dict[str, Any]] = json.loads(self._docker("inspect", "--type=container", *ids).output or "[]")
        return described

    def read_logs(self, container: str, *, lines: int) -> tuple[str, ...]:
        """The last lines of a container, both its streams."""
        done = self._docker("logs", "--tail", str(lines), container)
        return tuple((done.output + done.errors).splitlines()[-lines:])

    def _docker(self, *arguments: str, timeout_s: float = _CALL_TIMEOUT_S) -> Finished:
        return self.run(("docker", *arguments), timeout_s=timeout_s)


def find_engine(run: Run = run_program) -> Engine:
    """The engine that answers within seconds. Raises Unavailable that says what is missing."""
    try:
        answer = run(("docker", "info", "--format", "{{.ServerVersion}}"), timeout_s=_ANSWER_TIMEOUT_S)
    except DeadlineExceeded:
        raise _no_engine("The Docker engine does not answer within 3 s") from None
    except Unavailable:
        raise _no_engine("There is no docker command here") from None
    version = answer.output.strip()
    if answer.returncode != 0 or not version:
        denied = "permission denied" in answer.errors.lower()
        raise _no_engine("This user may not use the Docker engine" if denied else "No Docker engine answers")
    return Engine(version, _find_compose(run), run)


def _find_compose(run: Run) -> tuple[str, ...]:
    for command in (("docker", "compose"), ("docker-compose",)):
        try:
            if run((*command, "version"), timeout_s=_CALL_TIMEOUT_S).returncode == 0:
                return command
        except (Unavailable, DeadlineExceeded):
            continue
    raise _no_engine("A Docker engine answers, but there is no Docker Compose")


def _no_engine(what: str) -> Unavailable:
    return Unavailable(
        f"{what}.",
        reason="NO_ENGINE",
        fix="Start Docker (`docker info` must answer) and install Docker Compose, or use --mode local.",
    )


def _output(done: Finished) -> str:
    if done.returncode != 0:
        raise _refused(done)
    return done.output


def _refused(done: Finished) -> InternalError:
    said = done.errors.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    return InternalError(f"The Docker engine refused: {said[0]}", reason="ENGINE_REFUSED", fix="Look at `docker info`.")
