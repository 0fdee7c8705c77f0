"""Settings come from LEPTON_ variables; a wrong one is named with what it may be, without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition, InvalidInput
from lepton_ai.mesh.settings import PublicSettings, ServiceSettings
from services.health.settings import HealthSettings
from services.inference.settings import InferenceSettings
from services.preprocess.settings import PreprocessSettings
from services.registry.settings import RegistrySettings


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PublicSettings.model_fields:
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
        ("LEPTON_WORKERS", "0"),
        ("LEPTON_MAX_CONCURRENT_STREAMS", "3000000000"),
        ("LEPTON_MAX_CONCURRENT_RPCS", "3000000000"),
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


@pytest.mark.parametrize("settings", [InferenceSettings, PreprocessSettings, RegistrySettings, HealthSettings])
def test_no_whole_number_may_be_larger_than_what_machines_count_with(
    monkeypatch: pytest.MonkeyPatch, settings: type[ServiceSettings]
) -> None:
    names = {f"LEPTON_{name.upper()}" for name, field in settings.model_fields.items() if field.annotation is int}
    assert len(names) > 4
    for name in names:
        monkeypatch.setenv(name, str(10**30))
    with pytest.raises(InvalidInput) as caught:
        settings.load()
    assert {each.field for each in caught.value.fields} == names


def test_all_wrong_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_PORT", "x")
    monkeypatch.setenv("LEPTON_MAX_MESSAGE_BYTES", "1")
    with pytest.raises(InvalidInput) as caught:
        ServiceSettings.load()
    assert {each.field for each in caught.value.fields} == {"LEPTON_PORT", "LEPTON_MAX_MESSAGE_BYTES"}


def test_a_public_port_has_no_tls_unless_it_is_asked_for() -> None:
    assert PublicSettings.load().tls() is None


def test_tls_files_have_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cert", "key"):
        Path(name).write_text("PEM")
    files = PublicSettings(tls_cert_file=Path("cert"), tls_key_file=Path("key")).tls()
    assert files is not None
    assert (files.cert, files.key, files.client_ca) == (tmp_path / "cert", tmp_path / "key", None)


@pytest.mark.parametrize("given", [{"tls_cert_file": "cert"}, {"tls_key_file": "key"}, {"tls_client_ca_file": "ca"}])
def test_half_of_tls_is_refused(given: dict[str, Path]) -> None:
    with pytest.raises(FailedPrecondition, match="LEPTON_TLS_CERT_FILE and LEPTON_TLS_KEY_FILE"):
        PublicSettings(**given).tls()  # type: ignore[arg-type]


def test_a_tls_file_that_cannot_be_read_is_named_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="LEPTON_TLS_CERT_FILE"):
        PublicSettings(tls_cert_file=tmp_path / "none", tls_key_file=tmp_path / "none").tls()


@pytest.mark.parametrize("settings", [RegistrySettings, HealthSettings])
def test_services_that_must_be_one_process_say_why(
    settings: type[ServiceSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_WORKERS", "2")
    with pytest.raises(InvalidInput, match=r"LEPTON_WORKERS: .*must be 1: "):
        settings.load()
