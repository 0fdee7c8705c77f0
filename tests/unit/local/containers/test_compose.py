"""The Compose project: its settings, what is decided for it, and the command lines that drive it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lepton_ai.errors import InvalidInput, Unavailable
from lepton_ai.local.containers.compose import SECRET_VARIABLES, ComposeSettings, Project
from lepton_ai.local.containers.mode import find_deploy
from lepton_ai.local.containers.plan import Images, PlanOptions, fetch_images, plan_project
from lepton_ai.local.stack import StackState, read_state, write_state

DEPLOY = find_deploy() or Path("deploy")
PROJECT = Project(("docker", "compose"), "p", Path("/x/deploy"), ("docker-compose.yml",), {"TRACE_RATIO": "0.5"})
HEAD = "docker compose --project-name p --project-directory /x/deploy --file /x/deploy/docker-compose.yml "


class FakeImages:
    """An engine with these images that can pull those."""

    def __init__(self, *here: str, remote: tuple[str, ...] = (), native: bool = True) -> None:
        self.here = set(here)
        self._remote = remote
        self._native = native

    def has_image(self, image: str) -> bool:
        return image in self.here

    def pull(self, image: str, *, log: Path, on_line: Callable[[str], None]) -> None:
        if image not in self._remote:
            raise Unavailable(f"The image {image} cannot be pulled.")
        on_line("Pulling from …")
        self.here.add(image)

    def runs_onnx_natively(self, triton_image: str) -> bool:
        return self._native


class Told:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, title: str) -> None:
        self.said.append(title)

    line = note = step


def settings(**environ: str) -> ComposeSettings:
    return ComposeSettings.read(DEPLOY, environ)


def needed(**environ: str) -> tuple[str, ...]:
    return tuple(settings(**environ)[f"{name}_IMAGE"] for name in ("PYTHON", "ETCD", "TRITON", "JAEGER"))


def fetched(engine: FakeImages, told: Told | None = None, **environ: str) -> Images:
    return fetch_images(settings(**environ), engine, log=Path("unused"), report=told or Told())


def test_the_environment_wins_over_the_file() -> None:
    assert settings()["INFERENCE_PORT"] == "8500"
    assert settings(INFERENCE_PORT="9000")["INFERENCE_PORT"] == "9000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRITON_BACKEND", "tensorflow"),
        ("TRITON_DEVICE", "tpu"),
        ("LEPTON_TRACE_STORE", "zipkin"),
        ("LEPTON_SHARED_CACHE", "memcached"),
        ("LEPTON_DATABASE", "mysql"),
        ("LEPTON_MONITORING", "zabbix"),
        ("INFERENCE_PORT", "http"),
        ("OTLP_PORT", "70000"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        settings(**{name: value})


def test_files_follow_the_choices() -> None:
    assert settings().files(trace_store="jaeger") == ("docker-compose.yml",)
    assert settings().files(trace_store="builtin") == ("docker-compose.yml", "compose.traces.yml")
    assert settings(LEPTON_SHARED_CACHE="valkey").files(trace_store="jaeger") == (
        "docker-compose.yml",
        "compose.cache.yml",
    )
    assert settings(LEPTON_DATABASE="postgresql").files(trace_store="jaeger") == (
        "docker-compose.yml",
        "compose.postgresql.yml",
    )
    assert settings(LEPTON_MONITORING="prometheus").files(trace_store="jaeger") == (
        "docker-compose.yml",
        "compose.monitoring.yml",
    )
    assert settings(TRITON_DEVICE="gpu").files(trace_store="jaeger") == ("docker-compose.yml", "compose.gpu.yml")


def test_jaeger_is_taken_where_it_can_be_had() -> None:
    assert fetched(FakeImages(*needed())).trace_store == "jaeger"
    assert fetched(FakeImages(*needed()[:3], remote=needed()[3:])).trace_store == "jaeger"


def test_without_jaeger_the_built_in_store_takes_its_place_and_that_is_said() -> None:
    told = Told()
    assert fetched(FakeImages(*needed()[:3]), told).trace_store == "builtin"
    assert any("own trace store" in text for text in told.said)


def test_jaeger_asked_for_and_not_to_be_had_is_an_error() -> None:
    with pytest.raises(Unavailable, match="jaeger"):
        fetched(FakeImages(*needed()[:3]), LEPTON_TRACE_STORE="jaeger")


def test_the_built_in_store_asked_for_needs_no_jaeger() -> None:
    told = Told()
    assert fetched(FakeImages(*needed()[:3]), told, LEPTON_TRACE_STORE="builtin").trace_store == "builtin"
    assert told.said == []


def test_the_image_of_the_shared_cache_is_needed_only_where_there_is_one() -> None:
    valkey = settings()["VALKEY_IMAGE"]
    fetched(FakeImages(*needed()))
    fetched(FakeImages(*needed(), valkey), LEPTON_SHARED_CACHE="valkey")
    with pytest.raises(Unavailable, match="valkey"):
        fetched(FakeImages(*needed()), LEPTON_SHARED_CACHE="valkey")


def test_an_image_that_cannot_be_had_is_an_error() -> None:
    with pytest.raises(Unavailable, match="etcd"):
        fetched(FakeImages(needed()[0]))


@pytest.mark.parametrize(("native", "backend"), [(True, "native"), (False, "python")])
def test_the_image_decides_how_models_run(native: bool, backend: str) -> None:
    assert fetched(FakeImages(*needed(), native=native)).triton_backend == backend


def test_a_backend_that_is_asked_for_is_taken() -> None:
    assert fetched(FakeImages(*needed(), native=False), TRITON_BACKEND="native").triton_backend == "native"


def test_the_plan_becomes_variables() -> None:
    options = PlanOptions({"inference": 28_701}, usual_ports=False, trace_ratio=0.25)
    variables, ports = plan_project(settings(), options, Images("builtin", "python"), previous={})
    assert variables["INFERENCE_PORT"] == "28701"
    assert variables["OTLP_PORT"] == str(ports["traces-otlp"])
    assert (variables["TRITON_BACKEND"], variables["TRACE_RATIO"]) == ("python", "0.25")
    assert len(set(ports.values())) == len(ports)


def test_the_file_s_trace_ratio_stays_when_none_is_asked_for() -> None:
    variables, _ = plan_project(settings(), PlanOptions(usual_ports=False), Images("jaeger", "native"), previous={})
    assert "TRACE_RATIO" not in variables


def test_up_starts_in_the_background_and_scales() -> None:
    assert " ".join(PROJECT.up({"preprocess": 3})) == (
        HEAD + "up --detach --no-build --remove-orphans --scale preprocess=3"
    )


def test_down_keeps_volumes_unless_told() -> None:
    assert " ".join(PROJECT.down(wipe=False)) == HEAD + "down --remove-orphans --timeout 20"
    assert PROJECT.down(wipe=True)[-1] == "--volumes"


def test_logs_are_those_of_the_services_asked_for() -> None:
    assert " ".join(PROJECT.logs(["health"], lines=5, follow=True, colour=False)) == (
        HEAD + "logs --follow --no-color --tail 5 health"
    )


def test_a_project_is_found_again_by_its_record(tmp_path: Path) -> None:
    state = StackState("docker", "id", 1.0, {}, compose=PROJECT.record)
    write_state(tmp_path, state)
    found = read_state(tmp_path)
    assert found is not None
    assert found.compose is not None
    assert Project.recorded(PROJECT.compose, PROJECT.deploy, found.compose, {}) == PROJECT


def test_secrets_reach_compose_but_neither_the_run_state_file_nor_a_command_line(tmp_path: Path) -> None:
    project = replace(PROJECT, secrets={"LEPTON_TOKEN": "hush"})
    assert project.environment()["LEPTON_TOKEN"] == "hush"
    write_state(tmp_path, StackState("docker", "id", 1.0, {}, compose=project.record))
    assert "hush" not in (tmp_path / "stack.json").read_text(encoding="utf-8")
    commands = (
        project.build(),
        project.up({}),
        project.down(wipe=True),
        project.logs([], lines=1, follow=False, colour=False),
    )
    assert "hush" not in repr(commands)
    assert "hush" not in repr(project)


def test_the_compose_files_ask_for_every_secret_and_name_none_of_their_own() -> None:
    files = ("docker-compose.yml", "compose.postgresql.yml")
    text = "".join((DEPLOY / file).read_text(encoding="utf-8") for file in files)
    for variable in SECRET_VARIABLES.values():
        uses = re.findall(rf"\$\{{{variable}(.)", text)
        assert uses, variable
        assert set(uses) == {":"}, "without it nothing starts"


def test_nobody_but_the_inference_service_reaches_triton() -> None:
    services = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    command = services["triton"]["command"]
    assert "--grpc-address=unix:/run/lepton/triton" in command
    assert "--http-address=127.0.0.1" in command
    mounted = {
        name for name, service in services.items() if any("triton:" in each for each in service.get("volumes", ()))
    }
    assert mounted == {"triton", "inference"}
    assert not [name for name in ("triton", "etcd") if "ports" in services[name]]
