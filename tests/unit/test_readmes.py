"""What the READMEs say of settings is so: the same names and the same defaults as in the classes that read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from lepton_ai.mesh.settings import ServiceSettings
from lepton_ai.traces.settings import TraceStoreSettings
from services.health.settings import HealthSettings
from services.inference.settings import InferenceSettings
from services.preprocess.settings import PreprocessSettings
from services.registry.settings import RegistrySettings

ROOT = Path(__file__).parents[2]
SHARED = frozenset(ServiceSettings.model_fields)
TABLES: dict[str, tuple[type[BaseSettings], frozenset[str]]] = {
    "services/README.md": (ServiceSettings, frozenset()),
    "services/health/README.md": (HealthSettings, SHARED),
    "services/inference/README.md": (InferenceSettings, SHARED),
    "services/preprocess/README.md": (PreprocessSettings, SHARED),
    "services/registry/README.md": (RegistrySettings, SHARED),
    "lepton_ai/traces/README.md": (TraceStoreSettings, frozenset()),
}
"""README → the settings that its table is of, and those that stand in another table."""
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
each_table = pytest.mark.parametrize("readme", TABLES)


def rows(readme: str) -> dict[str, str]:
    """Variable → default, as its table says."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    found = re.findall(r"^\| `?(LEPTON_[A-Z_]+)`? \| ([^|]*) \|", text, re.MULTILINE)
    assert len(found) == len(dict(found)), "a variable stands there twice"
    return {variable: default.strip().strip("`") for variable, default in found}


def fields(readme: str) -> dict[str, object]:
    """Variable → default, as the class has it; None where there is none."""
    settings, elsewhere = TABLES[readme]
    prefix = settings.model_config["env_prefix"]
    return {
        f"{prefix}{name}".upper(): None if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in settings.model_fields.items()
        if name not in elsewhere
    }


def is_said(default: object, said: str) -> bool:
    """Whether a README's cell means this default: 32 MiB, 40,000,000, "none", and a word in brackets behind it."""
    said = re.sub(r" \(.*\)$", "", said)
    if default is None or default in ((), {}):
        return said == "none"
    if isinstance(default, bool):
        return said == str(default).lower()
    if isinstance(default, int | float):
        number, _, unit = said.replace(",", "").partition(" ")
        return float(number) * UNITS.get(unit, 1) == default
    return said == str(default)


@each_table
def test_a_readme_names_every_variable_that_its_service_reads_and_no_other(readme: str) -> None:
    assert sorted(rows(readme)) == sorted(fields(readme))


@each_table
def test_a_readme_names_the_defaults(readme: str) -> None:
    said, defaults = rows(readme), fields(readme)
    wrong = {name: (said[name], default) for name, default in defaults.items() if not is_said(default, said[name])}
    assert wrong == {}


def test_every_service_says_where_the_shared_settings_are() -> None:
    for readme, (_, elsewhere) in TABLES.items():
        if elsewhere:
            assert "../README.md" in (ROOT / readme).read_text(encoding="utf-8"), readme
