"""What an operation of a pipeline is: parameters as a pydantic model, types inferred at load, values changed at run.

A new operation is one class: its parameters are fields, its name the class variable `name`, its first docstring line
the description that ListOperations shows. Add it to `catalogue.OPERATIONS`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.values import Anomaly, Limits

UNKNOWN = -1
"""A dimension that is known only when an item runs."""


def _check_name(name: str) -> str:
    if not name.isprintable() or name.startswith("#"):
        raise ValueError("must be printable and must not start with '#'")
    return name


Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_check_name)]
"""Name of a value inside a pipeline; any language."""
FileName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_check_name)]
"""Name of a file that lies in the model package beside lepton.yaml."""


@dataclass(frozen=True)
class Spec:
    """What is known about a value before any item runs.

    The shape of an image is (height, width, channels), that of a sound (samples,); both are () while still encoded.
    """

    kind: str
    dtype: str = ""
    shape: tuple[int, ...] = ()
    channel_axis: int | None = None
    rate_hz: int = UNKNOWN
    """Samples a second, of a sound."""

    def __str__(self) -> str:
        if self.kind != "tensor":
            return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"
        return f"a {self.dtype or 'raw'} tensor {list(self.shape)}"


class Misfit(Exception):
    """A parameter does not go with what the step is given. The loader makes it an InvalidInput with the whole path."""

    def __init__(self, parameter: str, description: str, *, fix: str = "") -> None:
        super().__init__(description)
        self.parameter = parameter
        self.description = description
        self.fix = fix


@dataclass
class Call:
    """One item on its way through a pipeline: its limits, what was odd so far, and where each value came from."""

    limits: Limits
    anomalies: list[Anomaly] = field(default_factory=list)
    origins: tuple[str, ...] = ()
    """For each value that the current step reads, the pipeline's input it was made of."""
    given: tuple[Spec, ...] = ()
    """For each value that the current step reads, what was known about it at load."""

    def flag(self, reason: str, problem: str, *, which: int = 0) -> None:
        """Note an anomaly of the `which`-th value that the step reads."""
        self.anomalies.append(Anomaly(self.origins[which], reason, problem))

    def check_tensor(self, elements: int, element_bytes: int) -> None:
        """Check that a tensor that is about to be made is not too large. Raises InvalidInput."""
        if elements * element_bytes > self.limits.max_output_bytes:
            raise self.refusal(
                f"would become a tensor of {elements * element_bytes} bytes, "
                f"at most {self.limits.max_output_bytes} are allowed",
                reason="OUTPUT_TOO_LARGE",
                fix="Send a smaller input, or let the pipeline resize it.",
            )

    def check_sound(self, frames: int, rate_hz: int, *, channels: int = 1) -> None:
        """Check that a sound that is about to be made is not too long. Raises InvalidInput."""
        if frames > self.limits.max_seconds * rate_hz or frames * channels > self.limits.max_samples:
            raise self.refusal(
                f"lasts {frames / rate_hz:.1f} s with {frames * channels} samples at this step, allowed are "
                f"{self.limits.max_seconds:g} s and {self.limits.max_samples} samples",
                reason="SOUND_TOO_LONG",
                fix="Send a shorter sound.",
            )

    def refusal(self, description: str, *, reason: str, fix: str, which: int = 0) -> InvalidInput:
        """The error to raise when the `which`-th value that the step reads cannot be processed."""
        return InvalidInput.of_field(f"inputs.{self.origins[which]}", description, reason=reason, fix=fix)


class Parameters(BaseModel):
    """The parameters of a step of any kind, validated when the document is loaded; instances are immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    name: ClassVar[str]
    file_parameters: ClassVar[tuple[str, ...]] = ()
    """Names of parameters that name a file of the package."""

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        """The step with what its files hold, parsed once. Raises Misfit for unusable content."""
        return self

    def files_used(self) -> Iterator[tuple[str, str]]:
        """(parameter, file name) for every file that the step names."""
        for parameter in self.file_parameters:
            file_name = getattr(self, parameter)
            if file_name is not None:
                yield parameter, file_name

    def files_from(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Content of the files that the step names. Raises Misfit for one that is not there."""
        contents = {}
        for parameter, file_name in self.files_used():
            if file_name not in files:
                fix = "Add it, or correct its name."
                raise Misfit(parameter, f"the file {file_name[:64]!r} is not in the package", fix=fix)
            contents[file_name] = files[file_name]
        return contents

    @classmethod
    def describe(cls) -> str:
        """What it does, in one sentence."""
        return (cls.__doc__ or "").strip().partition("\n")[0]


class Operation(Parameters):
    """The interface of all pipeline operations; one instance may run in many threads at once."""

    @abstractmethod
    def reads(self, previous: str | None) -> tuple[str | None, ...]:
        """Names of the values it takes; `previous` stands for what the step before made."""

    @abstractmethod
    def writes(self, anonymous: str) -> tuple[str, ...]:
        """Names of the values it makes; `anonymous` is for a result that the document does not name."""

    @abstractmethod
    def infer(self, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        """Type of each result from the type of each value read. Raises Misfit."""

    @abstractmethod
    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]:
        """The results for one item. Raises InvalidInput (`call.refusal`); flags oddities (`call.flag`)."""


class ValueOperation(Operation):
    """An operation from one value to one other."""

    input: Name | None = Field(default=None, description="Value to take; by default what the step before made.")
    output: Name | None = Field(default=None, description="Name for the result.")

    def reads(self, previous: str | None) -> tuple[str | None, ...]:
        return (self.input or previous,)

    def writes(self, anonymous: str) -> tuple[str, ...]:
        return (self.output or anonymous,)


class ColumnOperation(Operation):
    """An operation on several named columns at once, each replaced by its result."""

    on: tuple[Name, ...] = Field(min_length=1, max_length=4096, description="Names of the columns, in order.")

    def reads(self, previous: str | None) -> tuple[str | None, ...]:
        return self.on

    def writes(self, anonymous: str) -> tuple[str, ...]:
        return self.on


def expect(spec: Spec, *kinds: str, parameter: str = "input") -> None:
    """Check that a value is of one of these kinds. Raises Misfit."""
    if spec.kind not in kinds:
        raise Misfit(parameter, f"is {spec}, this operation takes {' or '.join(kinds)}")
