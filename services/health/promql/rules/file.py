"""Reads rule files: the format is Prometheus's, and so one file serves it and us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lepton_ai.errors import InvalidInput
from services.health.promql.parsing import duration_s, parse
from services.health.promql.rules.templates import read_template

OURS = Path(__file__).with_name("lepton.rules.yml")
"""The rules of the platform; compose mounts the same file into Prometheus."""
_PLATFORM = "platform"
DEFAULT_INTERVAL = "15s"


def _checked(read: Callable[[str], object], *texts: str) -> None:
    try:
        for text in texts:
            read(text)
    except InvalidInput as error:
        raise ValueError(str(error)) from None  # pydantic says in which rule


def _checked_expression(text: str) -> str:
    _checked(parse, text)
    return text


def _checked_duration(text: str) -> str:
    _checked(duration_s, text)
    return text


def _checked_templates(texts: Mapping[str, str]) -> Mapping[str, str]:
    _checked(read_template, *texts.values())
    return texts


_Duration = Annotated[str, AfterValidator(_checked_duration)]
_Expression = Annotated[str, AfterValidator(_checked_expression)]
_Templates = Annotated[Mapping[str, str], AfterValidator(_checked_templates)]


class Rule(BaseModel):
    """One rule: it records a series, or it alerts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: str = ""
    alert: str = ""
    expr: _Expression
    for_: _Duration = Field(default="0s", alias="for")
    labels: _Templates = Field(default_factory=dict)
    annotations: _Templates = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the series or the alert."""
        return self.record or self.alert

    @property
    def pending_s(self) -> float:
        """How long it must go on before it is an alert."""
        return duration_s(self.for_)

    @model_validator(mode="after")
    def _one_kind(self) -> Rule:
        if bool(self.record) == bool(self.alert):
            raise ValueError("a rule has either `record` or `alert`")
        return self

    def written_labels(self, labels: Mapping[str, str], value: float) -> dict[str, str]:
        """The labels that the rule adds to what it found."""
        return {name: read_template(text).write(labels, value) for name, text in self.labels.items()}

    def written_annotations(self, labels: Mapping[str, str], value: float) -> dict[str, str]:
        """The texts for people."""
        return {name: read_template(text).write(labels, value) for name, text in self.annotations.items()}


class Group(BaseModel):
    """Rules that are evaluated one after the other, at the same time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    interval: _Duration = DEFAULT_INTERVAL
    rules: tuple[Rule, ...]

    @property
    def interval_s(self) -> float:
        """How often they are evaluated."""
        return duration_s(self.interval)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    groups: tuple[Group, ...]

    @model_validator(mode="after")
    def _recorded_once(self) -> _File:
        counts = Counter(rule.record for group in self.groups for rule in group.rules if rule.record)
        twice = [name for name, times in counts.items() if times > 1]
        if twice:
            raise ValueError(f"two rules record {twice[0]}")
        return self


def read_rules(path: Path = OURS) -> tuple[Group, ...]:
    """The groups of a rule file. Raises InvalidInput that says which rule is wrong and why."""
    try:
        return _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).groups
    except yaml.YAMLError as error:
        raise InvalidInput.of_field("rules", f"no YAML: {error}", reason="INVALID_RULES") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput.of_field(f"rules.{where}", first["msg"], reason="INVALID_RULES") from None


def rules_for_health() -> tuple[Group, ...]:
    """Our rules but for the group `platform`: what those say health sees by itself, and another judge says it."""
    return tuple(group for group in read_rules() if group.name != _PLATFORM)
