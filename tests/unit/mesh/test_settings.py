"""Settings come from LEPTON_ variables; a wrong one is named with what it may be, without its value."""

from __future__ import annotations

import pytest

from lepton_ai.errors import InvalidInput
from lepton_ai.mesh.settings import ServiceSettings


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ServiceSettings.model_fields:
        monkeypatch.delenv(f"LEPTON_{name.upper()}", raising=False)


def test_defaults_listen_on_loopback_and_any_port() -> None:
    settings = ServiceSettings.load()
    assert (settings.host, settings.port, settings.otlp_endpoint) == ("127.0.0.1", 0, None)


def test_variables_are_read_and_cast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_PORT", "7001")
    monkeypatch.setenv("LEPTON_TRACE_RATIO", "1")
    monkeypatch.setenv("LEPTON_OTLP_ENDPOINT", "collector:4317")
    settings = ServiceSettings.load()
    assert (settings.port, settings.trace_ratio, settings.otlp_endpoint) == (7001, 1.0, "collector:4317")


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_METRICS_PORT", "")
    assert ServiceSettings.load().metrics_port is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LEPTON_PORT", "seven"),
        ("LEPTON_PORT", "70000"),
        ("LEPTON_TRACE_RATIO", "1.5"),
        ("LEPTON_TRACE_RATIO", "nan"),
        ("LEPTON_DRAIN_S", "-1"),
        ("LEPTON_DEFAULT_TIMEOUT_S", "0"),
        ("LEPTON_ETCD_ADDRESS", "no-port-here"),
        ("LEPTON_OTLP_ENDPOINT", "http://collector:4317/v1"),
        ("LEPTON_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInput) as caught:
        ServiceSettings.load()
    assert [each.field for each in caught.value.fields] == [variable]
    assert variable in caught.value.message
    assert f"'{value}'" not in str(caught.value)


def test_all_wrong_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_PORT", "x")
    monkeypatch.setenv("LEPTON_MAX_MESSAGE_BYTES", "1")
    with pytest.raises(InvalidInput) as caught:
        ServiceSettings.load()
    assert {each.field for each in caught.value.fields} == {"LEPTON_PORT", "LEPTON_MAX_MESSAGE_BYTES"}
