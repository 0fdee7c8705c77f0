"""Containers as a person wants to see them."""

from __future__ import annotations

from typing import Any

import pytest

from lepton_ai.local.containers.listing import Container, read_addresses, read_containers


def described(service: str = "inference", *, number: int = 1, **state: Any) -> dict[str, Any]:
    """What `docker inspect` prints of a container, as far as it is read."""
    return {
        "Id": f"{service}{number}",
        "Config": {
            "Labels": {"com.docker.compose.service": service, "com.docker.compose.container-number": str(number)}
        },
        "State": {
            "Status": "running",
            "Health": {"Status": "healthy"},
            "StartedAt": "2026-11-21T11:57:51.121345678Z",
            **state,
        },
        "RestartCount": state.pop("restarts", 0),
        "NetworkSettings": {"Ports": state.pop("ports", {})},
    }


def read(**state: Any) -> Container:
    return read_containers([described(**state)])[0]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, "ready"),
        ({"Health": None}, "ready"),
        ({"Health": {"Status": "none"}}, "ready"),
        ({"Health": {"Status": "starting"}}, "starting"),
        ({"Health": {"Status": "starting"}, "restarts": 1}, "restarting"),
        ({"Health": {"Status": "unhealthy"}}, "unhealthy"),
        ({"Status": "restarting", "Health": {"Status": "unhealthy"}}, "restarting"),
        ({"Status": "created", "Health": {"Status": "starting"}}, "starting"),
        ({"Status": "exited", "Health": {"Status": "unhealthy"}}, "stopped"),
        ({"Status": "paused"}, "stopped"),
    ],
)
def test_a_state_is_one_word(state: dict[str, Any], expected: str) -> None:
    assert read(**state).state == expected


@pytest.mark.parametrize(
    ("state", "failed"),
    [
        ({"Health": {"Status": "starting"}, "restarts": 2}, False),
        ({"Health": {"Status": "starting"}, "restarts": 3}, True),
        ({"Health": {"Status": "unhealthy"}}, True),
        ({"Status": "exited", "Health": {"Status": "unhealthy"}}, False),
        ({"restarts": 9}, False),
    ],
)
def test_what_keeps_dying_or_is_unhealthy_has_failed(state: dict[str, Any], failed: bool) -> None:
    assert read(**state).has_failed is failed


def test_only_replicas_are_numbered() -> None:
    found = read_containers([described("preprocess", number=2), described("preprocess"), described("etcd")])
    assert [container.name for container in found] == ["etcd", "preprocess-1", "preprocess-2"]


def test_addresses_are_those_that_are_published() -> None:
    found = read_containers(
        [
            described("inference", ports={"8500/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9000"}]}),
            described("triton", ports={"8001/tcp": None}),
            described(
                "traces",
                ports={
                    "16686/tcp": [{"HostIp": "127.0.0.1", "HostPort": "16686"}],
                    "4317/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4317"}],
                },
            ),
        ]
    )
    assert read_addresses(found) == {
        "inference": "127.0.0.1:9000",
        "traces": "http://127.0.0.1:16686",
        "otlp": "127.0.0.1:4317",
    }


def test_the_start_is_read_to_the_second() -> None:
    assert read().started_at == 1_795_262_271
    assert read(StartedAt="0001-01-01T00:00:00Z").started_at == 0
