"""Kept inputs with what users said of their predictions, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

from lepton_ai.errors import InvalidInput, NotFound
from lepton_ai.pipeline.values import RawValue
from lepton_ai.tensors import from_proto
from lepton_ai.v1 import common_pb2, feedback_pb2

Which = Literal["all", "labelled", "corrected", "unlabelled", "disagreed"]
"""Those with a right label; whose right label is not the model's; without one; on which versions disagree."""
TABLE_KINDS = ("number", "category", "text", "time", "tensor")


class Selection(TypedDict, total=False):
    """Which examples."""

    version: int
    which: Which
    below_score: float
    """Only those of which the model was less sure."""
    since: datetime
    """Of predictions made since then, and before …"""
    before: datetime
    most_per_source: int
    """At most so many labels of one host, form visitor or token, the newest: one alone cannot teach what he likes."""
    most_per_user: int
    limit: int


@dataclass(frozen=True)
class Example:
    """What a caller sent, what was predicted, and what is right."""

    prediction_id: str
    version: int
    predicted_at: datetime
    predicted: str
    """The best label; empty for a number."""
    score: float
    """Of the label, or the number."""
    label: str | None
    said_at: datetime | None
    source_kind: str
    """"host", "form" or "token"; empty without a label."""
    source: str
    """Tells sources apart."""
    other: str
    """What a shadowed version answered, where it disagrees."""
    inputs: Mapping[str, RawValue]
    """By name; pictures and sounds as the bytes of their files."""


@dataclass(frozen=True)
class Examples:
    """Some examples of a model, the newest first."""

    model: str
    kinds: Mapping[str, str]
    """Kind of each input by name."""
    examples: list[Example] = field(default_factory=list)
    without_input: int = 0
    """Right labels of predictions whose input was not kept."""
    over_limit: int = 0
    """Labels left out as their source or user has given enough."""

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def is_of_numbers(self) -> bool:
        """Whether the model answers numbers, not labels."""
        return bool(self.examples) and not any(each.predicted for each in self.examples)

    def check_some(self) -> None:
        """Raises NotFound that says why there may be none."""
        if self.examples:
            return
        lost = f" {self.without_input} labels are of predictions whose input was not kept." * bool(self.without_input)
        raise NotFound(
            f"There are no such examples of {self.model}.{lost}",
            reason="NO_EXAMPLES",
            fix="Have inputs kept, which a package allows: feedback: {keep_inputs: true, sample: 0.1} in lepton.yaml.",
        )


def request_of(model: str, selection: Selection) -> feedback_pb2.ExportFeedbackRequest:
    """The request for some examples. Raises InvalidInput for options that there are not."""
    options: dict[str, Any] = dict(selection)
    unknown = options.keys() - Selection.__annotations__.keys()
    if unknown:
        known = ", ".join(Selection.__annotations__)
        raise InvalidInput.of_field(sorted(unknown)[0], "is no option of examples", fix=f"Known are {known}.")
    which = str(options.pop("which", "labelled"))
    numbers = {"all": feedback_pb2.WHICH_UNSPECIFIED} | {
        name.removeprefix("WHICH_").lower(): number for name, number in feedback_pb2.Which.items() if number
    }
    if which not in numbers:
        raise InvalidInput.of_field("which", f"is {which!r}", fix=f"Use one of {', '.join(numbers)}.")
    times = {name: options.pop(name) for name in ("since", "before") if options.get(name) is not None}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        request = feedback_pb2.ExportFeedbackRequest(model=model, which=numbers[which], **given)
    except (TypeError, ValueError) as error:
        raise InvalidInput.of_field("selection", f"cannot be sent: {error}") from error
    for name, moment in times.items():
        getattr(request, name).FromDatetime(moment)
    return request


def read_example(message: feedback_pb2.FeedbackExample, kinds: Mapping[str, str]) -> Example:
    """A message as plain values."""
    kept = message.input
    only = next(iter(kinds)) if len(kinds) == 1 else ""
    has_label = message.HasField("label")
    return Example(
        prediction_id=kept.prediction_id,
        version=message.version,
        predicted_at=message.predicted_at.ToDatetime(UTC),
        predicted=kept.predicted,
        score=kept.score,
        label=message.label if has_label else None,
        said_at=message.said_at.ToDatetime(UTC) if has_label else None,
        source_kind=message.source_kind,
        source=message.source.hex(),
        other=kept.other,
        # A single input may have been sent without its name.
        inputs={name or only or "input": _value(value) for name, value in sorted(kept.item.inputs.items())},
    )


def _value(value: common_pb2.Value) -> RawValue:
    kind = value.WhichOneof("kind")
    if kind == "tensor":
        return from_proto(value.tensor)
    return getattr(value, kind) if kind else None
