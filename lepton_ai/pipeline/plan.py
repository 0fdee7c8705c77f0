"""What a pipeline runs: its wired steps, and one step in place of two where that spares work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lepton_ai.pipeline.frames import Frame, Reframing
from lepton_ai.pipeline.operation import Call, Spec
from lepton_ai.pipeline.resized_crop import ResizedCrop
from lepton_ai.pipeline.wiring import Step


class Runnable(Protocol):
    """An operation, or what stands in for two."""

    @property
    def name(self) -> str: ...
    def apply(self, values: tuple[Any, ...], call: Call) -> tuple[Any, ...]: ...


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """Something to run, and the slots that it reads and writes."""

    runnable: Runnable
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    origins: tuple[str, ...]
    given: tuple[Spec, ...]
    reframing: Reframing | None = None
    """What it runs, if that moves the pixels of a picture."""

    def follow(self, frames: dict[str, Frame], before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
        """Note the frame of what the step made of a picture, or of a tensor that was made of one."""
        if self.reframing is not None:
            frame = self.reframing.reframed(frames.get(self.reads[0]), before[0], after[0])
        else:
            frame = frames.get(self.reads[0]) if len(self.reads) == len(self.writes) == 1 else None
        if frame is not None:
            frames[self.writes[0]] = frame


def plan(steps: Sequence[Step]) -> tuple[PlannedStep, ...]:
    """The steps in their order, with every resize joined to the crop that alone takes its result."""
    planned: list[PlannedStep] = []
    index = 0
    while index < len(steps):
        step = steps[index]
        joined = _joined(steps[index : index + 2], later=steps[index + 2 :])
        last = steps[index + 1] if joined else step
        runnable = joined or step.operation
        reframing = runnable if isinstance(runnable, Reframing) else None
        planned.append(PlannedStep(runnable, step.reads, last.writes, step.origins, step.given, reframing))
        index += 2 if joined else 1
    return tuple(planned)


def _joined(pair: Sequence[Step], *, later: Sequence[Step]) -> ResizedCrop | None:
    if len(pair) < 2:
        return None
    first, second = pair
    if second.reads != first.writes or _is_read_again(first.writes, second, later):
        return None
    return ResizedCrop.of(first.operation, second.operation)


def _is_read_again(names: tuple[str, ...], reader: Step, later: Sequence[Step]) -> bool:
    """Whether a later step takes the same value too; names may have got another one by then."""
    if names == reader.writes:
        return False
    for step in later:
        if set(names) & set(step.reads):
            return True
        if set(names) & set(step.writes):
            return False
    return False
