"""A process says in discovery when it began and how it is set, and nothing that is a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from lepton_ai.mesh.discovery.process_facts import ProcessFacts, facts_of, told_settings
from lepton_ai.mesh.discovery.records import Endpoint
from lepton_ai.mesh.settings import ServiceSettings, Worker


class Settings(ServiceSettings):
    depth: int = 3
    where: Path = Path("data")
    password: SecretStr | None = None
    phrase: str = ""
    counts: dict[str, int] = {}  # noqa: RUF012 - pydantic copies it


def test_only_settings_that_are_not_the_default_are_told() -> None:
    assert told_settings(Settings()) == {}
    told = told_settings(Settings(depth=4, log_level="DEBUG", otlp_endpoint="10.0.0.1:4317", counts={"inference": 2}))
    assert told == {
        "depth": "4",
        "log_level": "DEBUG",
        "otlp_endpoint": "10.0.0.1:4317",
        "counts": '{"inference": 2}',
    }


def test_secrets_are_left_out_and_texts_and_paths_are_only_compared() -> None:
    secret = "hunter2-hunter2"
    settings = Settings(
        password=SecretStr(secret), etcd_password=SecretStr(secret), phrase=secret, where=Path(f"/home/{secret}")
    )
    told = told_settings(settings)
    assert told.keys() == {"phrase", "where"}
    assert secret not in str(told)
    assert told["where"] == told_settings(settings)["where"] != told_settings(Settings(where=Path("/other")))["where"]


def test_what_tells_processes_of_a_service_apart_is_not_told() -> None:
    settings = Settings(port=8500, metrics_port=9000, worker=Worker(number=1, port=8501, parent=77))
    assert told_settings(settings) == {}


def test_what_is_written_is_what_is_read() -> None:
    facts = ProcessFacts.of(Endpoint("inference", "127.0.0.1:1", facts_of(Settings(depth=4))))
    assert facts.settings == {"depth": "4"}
    assert facts.started_ms > 0


@pytest.mark.parametrize("metadata", [{}, {"settings": "[]"}, {"settings": "{"}, {"started": "x"}])
def test_what_others_wrote_counts_as_not_said(metadata: dict[str, str]) -> None:
    facts = ProcessFacts.of(Endpoint("inference", "127.0.0.1:1", metadata))
    assert (facts.started_ms, facts.settings) == (0, {})
