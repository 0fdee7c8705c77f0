"""The platform in containers: really brought up, used, hurt and taken down. Skipped where no engine has the images."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.efficientnet_lite0 import NAME, photos
from lepton_ai.errors import LeptonError
from lepton_ai.local.containers.compose import ComposeSettings
from lepton_ai.local.containers.engine import Engine, find_engine
from lepton_ai.local.containers.listing import Container, read_containers
from lepton_ai.local.containers.mode import find_deploy
from lepton_ai.testing import eventually

pytestmark = pytest.mark.timeout(900)  # the first time, images are built


@dataclass(frozen=True)
class Containers:
    """A platform in containers, with a run directory and a Compose project of its own."""

    home: Path
    project: str
    engine: Engine

    def lepton(self, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run the command line on it."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
        environment |= {"COMPOSE_PROJECT_NAME": self.project, "LEPTON_HOME": str(self.home)}
        command = [sys.executable, "-m", "lepton_ai.cli", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)

    def json(self, *arguments: str, timeout_s: float = 120.0) -> Any:
        """What the command line answers to programs."""
        done = self.lepton(*arguments, "--json", timeout_s=timeout_s)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def is_ready(self) -> bool:
        """Whether `lepton status` says so."""
        return self.lepton("status").returncode == 0

    def container(self, name: str) -> tuple[Container, int]:
        """A container by its name in `lepton status`, and its process here."""
        described = self.engine.inspect_project(self.project)
        found = next(each for each in read_containers(described) if each.name == name)
        pid = next(each["State"]["Pid"] for each in described if each["Id"] == found.id)
        return found, pid


def usable_engine() -> Engine:
    """An engine that has the images that are not built here; pulling gigabytes is not for a test."""
    deploy = find_deploy()
    assert deploy is not None
    try:
        engine = find_engine()
    except LeptonError as error:
        pytest.skip(error.message)
    settings = ComposeSettings.read(deploy, os.environ)
    for variable in ("PYTHON_IMAGE", "ETCD_IMAGE", "TRITON_IMAGE"):
        if not engine.has_image(settings[variable]):
            pytest.skip(f"the image {settings[variable]} is not on this machine")
    return engine


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Containers]:
    """The platform in containers on free ports, with EfficientNet-lite0 deployed; nothing of it is left afterwards."""
    engine = usable_engine()
    home = tmp_path_factory.mktemp("容器") / ".lepton"
    running = Containers(home, f"lepton-test-{uuid.uuid4().hex[:8]}", engine)
    try:
        up = running.lepton("up", "--mode", "docker", "--any-ports", "--preprocess", "2", timeout_s=800)
        assert up.returncode == 0, up.stderr
        assert running.lepton("push", str(package)).returncode == 0
        assert running.lepton("deploy", NAME).returncode == 0
        yield running
    finally:
        down = running.lepton("down", "--wipe", "--yes", timeout_s=200)
        assert down.returncode == 0, down.stderr
        assert engine.inspect_project(running.project) == []


def test_everything_is_ready_after_up(containers: Containers) -> None:
    status = containers.json("status")
    assert (status["mode"], status["ready"]) == ("docker", True)
    assert {row["name"] for row in status["containers"]} == {
        "etcd", "traces", "triton", "registry", "preprocess-1", "preprocess-2", "inference", "health",
    }  # fmt: skip
    assert {row["health"] for row in status["containers"]} <= {"healthy", None}


def test_a_second_up_keeps_what_runs(containers: Containers) -> None:
    before = containers.json("status")["containers"]
    assert containers.json("up")["already_up"] is True
    assert [row["restarts"] for row in containers.json("status")["containers"]] == [row["restarts"] for row in before]


def test_local_processes_beside_it_are_refused(containers: Containers) -> None:
    done = containers.lepton("up", "--mode", "local")
    assert done.returncode == 1
    assert "lepton down" in done.stderr


def test_a_photo_becomes_labels_and_one_trace_through_all_containers(containers: Containers) -> None:
    photo = photos()[0]
    steps = ("inference", "preprocess decode_image", "triton InferRequest", "compute infer")
    traces = []
    for _ in range(5):  # Triton misses some: see docs/reliability.md
        answer = containers.json("predict", NAME, str(photo.path), "--trace")
        assert photo.label in json.dumps(answer)
        shown = containers.lepton("trace", answer["trace_ids"][0])
        assert shown.returncode == 0, shown.stderr
        traces.append(shown.stdout)
    assert any(all(step in trace for step in steps) for trace in traces)


def test_logs_are_shown_by_name(containers: Containers) -> None:
    done = containers.lepton("logs", "inference", "-n", "3")
    assert done.returncode == 0
    assert "inference" in done.stdout
    assert "preprocess" not in done.stdout.split("|")[0]
    assert containers.lepton("logs", "nobody").returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may end a container's process from outside")
@pytest.mark.parametrize("name", ["preprocess-1", "triton", "inference"])
async def test_what_dies_comes_back_and_serves(containers: Containers, name: str) -> None:
    before, pid = containers.container(name)
    os.kill(pid, signal.SIGKILL)  # `docker kill` would count as a wish that it stay away
    await eventually(
        lambda: containers.container(name)[0].restarts > before.restarts, timeout_s=15, description=f"{name} restarts"
    )
    await eventually(lambda: predicts(containers), timeout_s=20, description="predictions are answered")
    await eventually(containers.is_ready, timeout_s=30, description="everything is ready")


def predicts(containers: Containers) -> bool:
    return containers.lepton("predict", NAME, str(photos()[0].path)).returncode == 0


async def test_a_stop_is_an_orderly_end(containers: Containers) -> None:
    """SIGTERM drains within the time that Compose gives; a container that had to be killed ends with 137."""
    found, _ = containers.container("preprocess-2")
    run = containers.engine.run
    assert run(("docker", "stop", "--time", "20", found.id), timeout_s=30).returncode == 0
    assert containers.container("preprocess-2")[0].exit_code == 0
    assert not containers.is_ready()
    assert containers.json("up")["already_up"] is True
    assert containers.is_ready()
