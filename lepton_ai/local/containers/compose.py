"""The Compose project of the platform: which files, which variables, and the command lines that drive it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lepton_ai.errors import InvalidInput
from lepton_ai.local.containers.mode import COMPOSE_FILE
from lepton_ai.local.programs.ports import PortWish
from lepton_ai.local.stack import TOKEN_NAME, ComposeRecord

PROJECT_VARIABLE = "COMPOSE_PROJECT_NAME"
PORT_VARIABLES: Mapping[str, str] = {
    "inference": "INFERENCE_PORT",
    "registry": "REGISTRY_PORT",
    "health": "HEALTH_PORT",
    "health-console": "CONSOLE_PORT",
    "traces": "TRACES_PORT",
    "traces-otlp": "OTLP_PORT",
    "prometheus": "PROMETHEUS_PORT",
    "alertmanager": "ALERTMANAGER_PORT",
    "grafana": "GRAFANA_PORT",
}
"""Names as in local mode → variables in deploy/.env."""
SECRET_VARIABLES: Mapping[str, str] = {
    TOKEN_NAME: "LEPTON_TOKEN",
    "etcd-password": "LEPTON_ETCD_PASSWORD",
    "etcd-root-password": "LEPTON_ETCD_ROOT_PASSWORD",
    "database-password": "LEPTON_DATABASE_PASSWORD",
}
"""Names of secrets in the run directory → variables that the Compose files ask for."""
_STOP_S = 20


@dataclass(frozen=True)
class ComposeSettings:
    """The settings in deploy/.env, overridden by the environment."""

    variables: Mapping[str, str]

    @classmethod
    def read(cls, deploy: Path, environ: Mapping[str, str]) -> ComposeSettings:
        """Read the file. Raises InvalidInput that names the variable when a choice is not one of the known ones."""
        variables = {
            name: environ.get(name, value) for name, value in _parse((deploy / ".env").read_text(encoding="utf-8"))
        }
        settings = cls(variables)
        settings._check("TRITON_BACKEND", "native", "python", "")
        settings._check("TRITON_DEVICE", "cpu", "gpu")
        settings._check("LEPTON_TRACE_STORE", "jaeger", "builtin", "")
        settings._check("LEPTON_SHARED_CACHE", "none", "valkey")
        settings._check("LEPTON_DATABASE", "sqlite", "postgresql")
        settings._check("LEPTON_MONITORING", "none", "prometheus")
        for wish in settings.port_wishes():
            if not 1 <= (wish.usual or 0) <= 65_535:
                raise InvalidInput.of_field(PORT_VARIABLES[wish.name], "must be a port from 1 to 65535")
        return settings

    def __getitem__(self, name: str) -> str:
        return self.variables[name]

    def port_wishes(self) -> tuple[PortWish, ...]:
        """The ports to publish; others are taken where these are not free."""
        return tuple(
            PortWish(name, int(self[variable]) if self[variable].isdecimal() else 0)
            for name, variable in PORT_VARIABLES.items()
        )

    def files(self, *, trace_store: str) -> tuple[str, ...]:
        """The Compose files that these settings and the trace store ask for; each overrides those before it."""
        files = [COMPOSE_FILE]
        if trace_store == "builtin":
            files.append("compose.traces.yml")
        if self["LEPTON_SHARED_CACHE"] == "valkey":
            files.append("compose.cache.yml")
        if self["LEPTON_DATABASE"] == "postgresql":
            files.append("compose.postgresql.yml")
        if self["LEPTON_MONITORING"] == "prometheus":
            files.append("compose.monitoring.yml")
        if self["TRITON_DEVICE"] == "gpu":
            files.append("compose.gpu.yml")
        return tuple(files)

    def _check(self, name: str, *allowed: str) -> None:
        if self[name] not in allowed:
            choices = ", ".join(choice or "empty" for choice in allowed)
            raise InvalidInput.of_field(name, f"{self[name]!r} is not one of: {choices}", fix="Correct deploy/.env.")


def _parse(text: str) -> Iterable[tuple[str, str]]:
    for line in map(str.strip, text.splitlines()):
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            yield name.strip(), value.strip().strip("\"'")


@dataclass(frozen=True)
class Project:
    """A Compose project and the command lines for it, which work in Compose 1.29 and 2."""

    compose: tuple[str, ...]
    name: str
    deploy: Path
    files: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of each command: they win over deploy/.env."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More variables for the commands; their values are kept in files of their own, never in the run state file."""

    @classmethod
    def recorded(
        cls, compose: tuple[str, ...], deploy: Path, record: ComposeRecord, secrets: Mapping[str, str]
    ) -> Project:
        """The project that a run state file describes."""
        return cls(compose, record.project, deploy, record.files, record.variables, secrets)

    @property
    def record(self) -> ComposeRecord:
        """What the run state file keeps of this project."""
        return ComposeRecord(self.name, self.files, self.variables)

    def command(self, *arguments: str) -> tuple[str, ...]:
        """A command line of Compose for this project."""
        files = (part for file in self.files for part in ("--file", str(self.deploy / file)))
        return (*self.compose, "--project-name", self.name, "--project-directory", str(self.deploy), *files, *arguments)

    def environment(self) -> dict[str, str]:
        """The environment that the command lines need."""
        return {**os.environ, **self.variables, **self.secrets}

    def build(self) -> tuple[str, ...]:
        """Build our images; quick where nothing changed."""
        return self.command("build")

    def up(self, replicas: Mapping[str, int]) -> tuple[str, ...]:
        """Create and start what is missing, in the order of the dependencies; ends when all were started."""
        scale = (part for service, count in replicas.items() for part in ("--scale", f"{service}={count}"))
        return self.command("up", "--detach", "--no-build", "--remove-orphans", *scale)

    def down(self, *, wipe: bool) -> tuple[str, ...]:
        """Stop and remove all containers, dependents first; `wipe` removes the volumes as well."""
        volumes = ("--volumes",) if wipe else ()
        return self.command("down", "--remove-orphans", "--timeout", str(_STOP_S), *volumes)

    def logs(self, services: Iterable[str], *, lines: int, follow: bool, colour: bool) -> tuple[str, ...]:
        """Print the last lines of services, and new ones as they come."""
        flags = [*(["--follow"] if follow else []), *([] if colour else ["--no-color"])]
        return self.command("logs", *flags, "--tail", str(lines), *services)
