"""What must be true of the Compose files and the Dockerfile, read without an engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from lepton_ai.local.containers.compose import SECRET_VARIABLES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ENGINE_VERSIONS = [("docker-compose",), ("docker", "compose")]
OURS = {"registry", "preprocess", "inference", "health"}
COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))
TRACES = yaml.safe_load((DEPLOY / "compose.traces.yml").read_text(encoding="utf-8"))
CACHE = yaml.safe_load((DEPLOY / "compose.cache.yml").read_text(encoding="utf-8"))
DATABASE = yaml.safe_load((DEPLOY / "compose.postgresql.yml").read_text(encoding="utf-8"))
MONITORING = yaml.safe_load((DEPLOY / "compose.monitoring.yml").read_text(encoding="utf-8"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"] | {
    "cache": CACHE["services"]["cache"],
    "postgresql": DATABASE["services"]["postgresql"],
    **MONITORING["services"],
}
WITHOUT_HEALTH_CHECK = {"traces"}  # Jaeger's image holds nothing that could ask
OVERRIDES = [
    (),
    ("compose.traces.yml",),
    ("compose.cache.yml",),
    ("compose.gpu.yml",),
    ("compose.postgresql.yml",),
    ("compose.monitoring.yml",),
    ("compose.traces.yml", "compose.cache.yml", "compose.gpu.yml", "compose.postgresql.yml", "compose.monitoring.yml"),
]


@cache
def compose_command() -> tuple[str, ...] | None:
    for command in ENGINE_VERSIONS:
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, timeout=20, check=False)
            if done.returncode == 0:
                return command
    return None


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_memory_is_limited(name: str) -> None:
    assert re.fullmatch(r"\d+[mg]", SERVICES[name]["mem_limit"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_process_gains_privileges(name: str) -> None:
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[name]["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"traces"}))
def test_roots_are_read_only(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["tmpfs"] == (["/tmp", "/var/run/postgresql"] if name == "postgresql" else ["/tmp"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_health_is_checked(name: str) -> None:
    has_check = "healthcheck" in SERVICES[name] or name in OURS
    assert has_check is (name not in WITHOUT_HEALTH_CHECK)


def test_our_image_checks_health_and_is_not_root() -> None:
    last_stage = DOCKERFILE.rpartition("FROM ")[2]
    assert "\nUSER lepton\n" in last_stage
    assert "HEALTHCHECK" in last_stage
    assert '\nENTRYPOINT ["' in last_stage
    assert TRACES["services"]["traces"]["healthcheck"]
    assert TRACES["services"]["traces"]["read_only"] is True


def test_the_shared_cache_is_reached_by_the_inference_service_alone_and_evicts_what_is_asked_for_least() -> None:
    inference, cache = CACHE["services"]["inference"], SERVICES["cache"]
    assert inference["environment"] == {"LEPTON_CACHE_URL": "redis://cache:6379/0"}
    assert inference["depends_on"] == {"cache": {"condition": "service_healthy"}}
    assert CACHE["networks"] == {"cache": {"internal": True}}
    assert cache["networks"] == ["cache"]
    assert "ports" not in cache
    assert cache["command"][-1] == "allkeys-lfu"


def test_the_database_is_reached_by_the_registry_alone_and_keeps_its_data_in_a_volume() -> None:
    registry, database = DATABASE["services"]["registry"], SERVICES["postgresql"]
    assert registry["environment"]["LEPTON_DATABASE_URL"].endswith("@postgresql/lepton")
    assert "LEPTON_DATABASE_PASSWORD" in registry["environment"]["LEPTON_DATABASE_URL"]
    assert (registry["networks"], database["networks"]) == (["default", "database"], ["database"])
    assert registry["depends_on"] == {"postgresql": {"condition": "service_healthy"}}
    assert DATABASE["networks"] == {"database": {"internal": True}}
    assert "ports" not in database
    kept = [volume.partition(":")[0] for volume in database["volumes"]]
    assert kept == [*DATABASE["volumes"], "logs", "./keep-log.sh"]


def test_health_reads_the_logs_of_all_containers_that_tell_it_nothing() -> None:
    health = SERVICES["health"]
    files = json.loads(health["environment"]["LEPTON_LOG_FILES"])
    assert files.keys() == SERVICES.keys() - OURS | {"inference", "jaeger"}, "of inference Envoy tells nothing"
    assert "logs:/var/log/lepton:ro" in health["volumes"]
    assert files.pop("etcd") == "/var/log/etcd/etcd.log"
    assert "etcd-log:/var/log/etcd:ro" in health["volumes"]
    assert "etcd-log:/var/log/lepton" in SERVICES["etcd"]["volumes"]
    assert "--log-outputs=stderr,/var/log/lepton/etcd.log" in SERVICES["etcd"]["command"]
    assert files.pop("jaeger") == "/var/log/jaeger/jaeger.log"
    assert "jaeger-log:/var/log/jaeger:ro" in health["volumes"]
    assert "jaeger-log:/var/log/lepton" in SERVICES["traces"]["volumes"]
    paths = "--set=service.telemetry.logs.output_paths=[stderr,/var/log/lepton/jaeger.log]"
    assert paths in SERVICES["traces"]["command"]
    assert TRACES["services"]["traces"]["command"] == [], "which are not for ours"
    for name, file in files.items():
        service = TRACES["services"]["traces"] if name == "traces" else SERVICES[name]
        assert service["entrypoint"][:3] == ["sh", "/etc/lepton/keep-log.sh", file]
        assert {"logs:/var/log/lepton", "./keep-log.sh:/etc/lepton/keep-log.sh:ro"} <= set(service["volumes"])


def test_triton_runs_as_the_user_that_writes_its_models() -> None:
    assert SERVICES["triton"]["user"] == "1000:1000"
    assert "useradd --uid 1000 " in DOCKERFILE


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_and_ports_come_from_the_env_file(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\$\{\w+_IMAGE\}|lepton-\w+:\$\{LEPTON_VERSION\}", service["image"])
    for port in service.get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+_PORT\}:\d+", port), "on loopback only"


def test_every_variable_has_a_line_in_the_env_file() -> None:
    known = set(re.findall(r"^(\w+)=", (DEPLOY / ".env").read_text(encoding="utf-8"), re.MULTILINE))
    for path in DEPLOY.glob("*.yml"):
        used = set(re.findall(r"\$\{(\w+)", path.read_text(encoding="utf-8")))
        assert used <= known, path.name


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_everything_waits_until_what_it_needs_is_healthy(name: str) -> None:
    for needed, condition in SERVICES[name].get("depends_on", {}).items():
        expected = "service_started" if needed in WITHOUT_HEALTH_CHECK else "service_healthy"
        assert condition == {"condition": expected}


def test_only_what_is_meant_for_the_image_travels_to_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert rules[0] == "*"
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert {source for line in copied for source in line.split()} == allowed


@pytest.mark.parametrize("overrides", OVERRIDES)
def test_compose_takes_the_files(overrides: tuple[str, ...]) -> None:
    done = _compose_config(*overrides, **dict.fromkeys(SECRET_VARIABLES.values(), "random"))
    assert done.returncode == 0, done.stderr
    assert "not set" not in done.stderr


@pytest.mark.parametrize("missing", sorted(SECRET_VARIABLES.values()))
def test_compose_starts_nothing_without_a_secret(missing: str) -> None:
    others = {variable: "random" for variable in SECRET_VARIABLES.values() if variable != missing}
    done = _compose_config("compose.postgresql.yml", **others)
    assert done.returncode != 0
    assert "lepton up" in done.stderr


def _compose_config(*overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = compose_command()
    if command is None:
        pytest.skip("there is no Docker Compose on this machine")
    files = [part for file in ("docker-compose.yml", *overrides) for part in ("-f", str(DEPLOY / file))]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
    return subprocess.run(
        [*command, "--project-directory", str(DEPLOY), *files, "config", "-q"],
        env=ours | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
