"""Who is told of alerts: a YAML file of receivers, each with a way to reach it and what it wants to hear."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from lepton_ai.errors import FailedPrecondition, FieldViolation, InvalidInput
from lepton_ai.package.document import load_document
from services.health.alerts.memory.records import MatcherRecord, Severity
from services.health.metrics.series import Matcher, Operator

Kind = Literal["webhook", "email", "slack", "feishu", "dingtalk", "wecom", "alertmanager", "apprise"]
_MATCHER = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(\"(.*)\"|.*?)\s*", re.DOTALL)


class Receiver(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    kind: Kind
    url: SecretStr | None = None
    """Where: what the service shows for its robot or webhook, or an apprise URL (mailto://… for e-mail)."""
    url_file: Path | None = None
    """A file with it, in place of `url`."""
    secret: SecretStr | None = None
    """Of a webhook or a DingTalk robot: what requests are signed with."""
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = ("page", "ticket")
    matchers: Annotated[tuple[str, ...], Field(max_length=20)] = ()
    """Conditions on labels, as `model="resnet"` or `service=~"inference|registry"`; all must hold."""
    escalate_after_s: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None
    """It hears only of pages that nobody has acknowledged for so long."""
    resolved: bool = True
    """Whether it is told when alerts are over."""

    @field_validator("matchers")
    @classmethod
    def _readable(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            parse_matcher(text)
        return texts

    @property
    def address(self) -> str:
        """Where it is. Raises FailedPrecondition when that is nowhere said."""
        if self.url is not None:
            return self.url.get_secret_value()
        try:
            found = self.url_file.read_text(encoding="utf-8").strip() if self.url_file is not None else ""
        except (OSError, UnicodeDecodeError):
            found = ""
        if not found:
            raise FailedPrecondition(
                f"The receiver {self.name} has no url.", reason="RECEIVER_URL", fix="Give it `url` or `url_file`."
            )
        return found

    def wants(self, labels: Mapping[str, str], severity: str) -> bool:
        """Whether an alert with these labels is for it."""
        return severity in self.severities and all(parse_matcher(each).matches(labels) for each in self.matchers)


def load_receivers(path: Path | None) -> Mapping[str, Receiver]:
    """Name → receiver; none without a file. Raises InvalidInput naming what is wrong, FailedPrecondition for no file.

    The file has a list under `receivers`.
    """
    if path is None:
        return {}
    try:
        document, _ = load_document(path.read_bytes(), name="receivers")
    except OSError as error:
        raise FailedPrecondition(
            "The file of LEPTON_RECEIVERS_FILE cannot be read.", reason="RECEIVERS_FILE", fix="Name a YAML file."
        ) from error
    entries = document.get("receivers")
    if document.keys() != {"receivers"} or not isinstance(entries, list):
        raise InvalidInput.of_field("receivers", "must be the only key, with a list")
    receivers: dict[str, Receiver] = {}
    for index, entry in enumerate(entries):
        receiver = _receiver(entry, f"receivers[{index}]")
        if receiver.name in receivers:
            raise InvalidInput.of_field(f"receivers[{index}].name", f"{receiver.name} is there twice")
        receivers[receiver.name] = receiver
    return receivers


def parse_matcher(text: str) -> Matcher:
    """`model="resnet"` and its like, as Alertmanager writes them. Raises InvalidInput."""
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise InvalidInput.of_field("matcher", f"{text[:100]!r} is none", fix='Write LABEL="VALUE", or !=, =~, !~.')
    label, op, value, quoted = found.groups()
    matcher = Matcher(label, cast("Operator", op), value if quoted is None else quoted)
    matcher.check()
    return MatcherRecord(label=matcher.label, op=matcher.op, value=matcher.value).matcher


def _receiver(entry: object, field: str) -> Receiver:
    try:
        receiver = Receiver.model_validate(entry)
    except ValidationError as error:
        violations = tuple(
            FieldViolation(".".join([field, *map(str, each["loc"])]), each["msg"].removeprefix("Value error, "))
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        )
        first = violations[0]
        raise InvalidInput(f"{first.field}: {first.description}", reason="RECEIVERS_FILE", fields=violations) from None
    if receiver.url is None and receiver.url_file is None:
        raise InvalidInput.of_field(f"{field}.url", "is missing", fix="Give it `url` or `url_file`.")
    return receiver
