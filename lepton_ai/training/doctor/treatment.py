"""What the doctor does to a run when it may act."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lepton_ai.training.callbacks import TrainingState
from lepton_ai.training.doctor.finding import Finding, Remedy
from lepton_ai.training.doctor.snapshot import Snapshot

_LOWER_BY, _AFTER_GOING_BACK = 0.5, 0.25
_CLIP_AT_MOST = 1.0
_MOST_ACTIONS = 12
_MOST_SKIPPED = 3
_PAUSE_STEPS = 20


class Treatment:
    """Acts on findings, with patience between actions and an end to them: a run that needs too many is stopped."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._clip_norm: float | None = None
        self._actions = 0
        self._acted_at: dict[str, int] = {}
        self._skipped = 0

    def begin(self, state: TrainingState) -> None:
        """Have something to go back to from the first step on."""
        if self._snapshot is None:
            self.keep(state)

    def keep(self, state: TrainingState) -> None:
        """Remember this state, which has just proved good, as the one to go back to."""
        self._snapshot = Snapshot.take(state.network, state.optimizer, step=state.step)

    def clip(self, state: TrainingState, norm: float) -> None:
        """Scale gradients down where that was prescribed. `norm` is what all of them together have."""
        if self._clip_norm is not None and norm > self._clip_norm:
            gradients = [each.grad for each in state.network.parameters() if each.grad is not None]
            torch._foreach_mul_(gradients, self._clip_norm / norm)

    def may_act(self, finding: Finding, step: int) -> bool:
        """Whether the last action against this had time to work. Going back works at once or not at all."""
        pause = 1 if finding.remedy is Remedy.ROLL_BACK else _PAUSE_STEPS
        return step - self._acted_at.get(finding.cause, -pause) >= pause

    def went_well(self) -> None:
        """A step was finite: those that are skipped later do not follow on those before."""
        self._skipped = 0

    def skip_or_act(self, finding: Finding, state: TrainingState) -> str:
        """Against a step that would do damage: leave it out. When that happens again and again, go back."""
        self._skipped += 1
        if self._skipped > _MOST_SKIPPED:
            self._skipped = 0
            return self.act(finding, state)
        state.skip_step = True
        if self._snapshot is not None:
            self._snapshot.restore_buffers(state.network)  # the forward pass has changed running statistics
        return "skipped the step"

    def act(self, finding: Finding, state: TrainingState) -> str:
        """Do what the finding asks for; gives what was done, in words."""
        self._acted_at[finding.cause] = state.step
        if finding.remedy is Remedy.ROLL_BACK and self._snapshot is not None:
            self._snapshot.restore(state.network, state.optimizer)
            state.skip_step = True
            done = f"went back to the weights of step {self._snapshot.step}, {_lower_rate(state, _AFTER_GOING_BACK)}"
        elif finding.remedy is Remedy.CLIP:
            usual = float(finding.evidence.get("usual_norm", _CLIP_AT_MOST))
            self._clip_norm = min(_CLIP_AT_MOST, usual, self._clip_norm or _CLIP_AT_MOST)
            done = f"clips gradients to a norm of {self._clip_norm:.3g}"
        elif finding.remedy is not Remedy.NONE:
            done = _lower_rate(state, _LOWER_BY)
        else:
            return ""
        return done + self._count(state)

    def document(self) -> dict[str, Any]:
        """As JSON data; `tensors` belong to it."""
        return {
            "snapshot": None if self._snapshot is None else self._snapshot.document(),
            "clip_norm": self._clip_norm,
            "actions": self._actions,
            "acted_at": self._acted_at,
            "skipped": self._skipped,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The state to go back to."""
        return {} if self._snapshot is None else self._snapshot.tensors

    def restore(self, document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take up what `document` and `tensors` gave."""
        kept = document["snapshot"]
        self._snapshot = None if kept is None else Snapshot(tensors, kept["numbers"], step=kept["step"])
        self._clip_norm, self._actions = document["clip_norm"], document["actions"]
        self._acted_at, self._skipped = dict(document["acted_at"]), document["skipped"]

    def _count(self, state: TrainingState) -> str:
        self._actions += 1
        if self._actions < _MOST_ACTIONS:
            return ""
        state.stop(f"the training is not stable: {_MOST_ACTIONS} measures did not help")
        return ", then ended the run"


def _lower_rate(state: TrainingState, factor: float) -> str:
    state.rate_factor *= factor
    return f"lowered the learning rate to {state.learning_rate * factor:.3g}"
