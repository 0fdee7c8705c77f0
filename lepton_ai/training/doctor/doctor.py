"""The callback that measures, asks the checks, reports each cause once and acts when it may."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

from lepton_ai.training.callbacks import Callback, TrainingState
from lepton_ai.training.doctor import not_finite
from lepton_ai.training.doctor.data_starvation import DataStarvation
from lepton_ai.training.doctor.dead_units import DeadUnits
from lepton_ai.training.doctor.divergence import Divergence
from lepton_ai.training.doctor.exploding_gradients import ExplodingGradients
from lepton_ai.training.doctor.finding import Check, Finding
from lepton_ai.training.doctor.learning_rate_high import LearningRateHigh
from lepton_ai.training.doctor.learning_rate_low import LearningRateLow
from lepton_ai.training.doctor.over_fitting import OverFitting
from lepton_ai.training.doctor.plateau import Plateau
from lepton_ai.training.doctor.signs import LossTrend, Signs, WeightScale
from lepton_ai.training.doctor.silence import SilenceProbe
from lepton_ai.training.doctor.treatment import Treatment
from lepton_ai.training.doctor.vanishing_gradients import VanishingGradients

_SAMPLE_STEPS = 20
_SAMPLES_PER_RUN = 20
_SNAPSHOT_STEPS = 50
_GOOD = 2.0
"""A loss of at most so many times the best counts as good enough to go back to."""

_log = logging.getLogger(__name__)


def default_checks() -> tuple[Check, ...]:
    """All checks, causes before their consequences."""
    return (
        ExplodingGradients(),
        VanishingGradients(),
        DeadUnits(),
        Divergence(),
        LearningRateHigh(),
        LearningRateLow(),
        DataStarvation(),
        OverFitting(),
        Plateau(),
    )


class Doctor(Callback):
    """Watches a run. Losses are looked at in every step; all that costs time in one of twenty.

    Findings go to `report` and into `history.notes`, each cause once. With `auto` it acts: it lowers the learning rate,
    clips gradients, skips steps that are not finite, goes back to the last good weights; every action is noted.
    """

    def __init__(
        self,
        *,
        auto: bool = False,
        report: Callable[[str], None] | None = None,
        checks: Sequence[Check] | None = None,
        loss_falls: bool = True,
    ) -> None:
        """`loss_falls` is False where a good run does not make the loss smaller, as between rivals."""
        chosen = default_checks() if checks is None else checks
        self._checks = [check for check in chosen if loss_falls or not check.needs_falling_loss]
        self._auto = auto
        self._report = report or _log.warning
        self._reported: set[str] = set()
        self._treatment = Treatment()
        self._losses = LossTrend()
        self._is_measuring = False

    def on_fit_begin(self, state: TrainingState) -> None:
        self._signs = Signs(state, self._losses)
        self._scale, self._silence = WeightScale(state.network), SilenceProbe(state.network)
        self._every = max(1, min(_SAMPLE_STEPS, state.total_steps // _SAMPLES_PER_RUN))
        if self._auto:
            self._treatment.begin(state)
        self._prepare_next(state)

    def on_backward_end(self, state: TrainingState) -> None:
        norm = self._norm(state)
        if not math.isfinite(state.loss) or not (norm is None or math.isfinite(norm)):
            self._is_measuring = False
            self._silence.detach()
            if not (math.isfinite(state.loss) and state.settings.precision == "16-mixed"):  # which tries and scales
                self._meet_not_finite(state)
            return
        self._losses.add(state.loss)
        self._treatment.went_well()
        if self._auto and norm is not None:
            self._keep_when_good(state)
            self._treatment.clip(state, norm)
        if self._is_measuring:
            self._signs.gradient = norm or 0.0
            self._scale.weigh()

    def on_batch_end(self, state: TrainingState) -> None:
        signs = self._signs
        signs.waited_s += state.data_s
        signs.stepped_s += state.step_s
        signs.steps += 1
        if self._is_measuring:
            signs.silent = self._silence.detach()
            signs.layers = self._scale.weigh_again()
            self._consider((check, check.at_sample(signs)) for check in self._checks)
        self._prepare_next(state)

    def on_epoch_end(self, state: TrainingState) -> None:
        self._consider((check, check.at_epoch(self._signs)) for check in self._checks)

    def on_fit_end(self, state: TrainingState) -> None:
        self._silence.detach()

    def document(self) -> dict[str, Any]:
        return {
            "reported": sorted(self._reported),
            "losses": self._losses.document(),
            "treatment": self._treatment.document(),
            "checks": {check.cause: check.memory for check in self._checks},
        }

    def tensors(self) -> dict[str, Tensor]:
        return self._treatment.tensors()

    def restore(self, document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self._reported = set(document["reported"])
        self._losses = LossTrend.of(document["losses"])
        self._treatment.restore(document["treatment"], tensors)
        for check in self._checks:
            check.memory = dict(document["checks"].get(check.cause, {}))

    def _prepare_next(self, state: TrainingState) -> None:
        self._is_measuring = state.step % self._every == 0
        if self._is_measuring:
            self._silence.attach()

    def _norm(self, state: TrainingState) -> float | None:
        """Of all gradients: in measured steps and, when we may act, in all, so that none does damage."""
        if not (self._is_measuring or self._auto):
            return None
        if state.gradient_norm is None or state.settings.clip_norm is None:
            return self._scale.gradient()
        return state.gradient_norm and min(state.gradient_norm, state.settings.clip_norm)

    def _keep_when_good(self, state: TrainingState) -> None:
        """Remember weights that have just given a good loss: now and then, and at the beginning of every epoch."""
        is_time = state.step % _SNAPSHOT_STEPS == 0 or state.step % state.steps_per_epoch == 0
        if is_time and max(state.loss, self._losses.recent) <= _GOOD * self._losses.good:
            self._treatment.keep(state)

    def _meet_not_finite(self, state: TrainingState) -> None:
        """What is done depends on the weights, never on our rows: all processes must do the same."""
        is_new, has_good_weights = not_finite.CAUSE not in self._reported, not_finite.has_finite_weights(state.network)
        if self._auto:
            finding = not_finite.find_origin(state)
            treat = self._treatment.skip_or_act if has_good_weights else self._treatment.act
            self._note(finding, treat(finding, state))
        elif is_new:
            self._note(not_finite.find_origin(state), "")
        if not (has_good_weights or self._auto):
            state.stop("the weights are not finite any more")

    def _consider(self, findings: Iterable[tuple[Check, Finding | None]]) -> None:
        state = self._signs.state
        for check, finding in findings:
            if finding is None or check.explained_by & self._reported:
                continue
            action = ""
            if self._auto and self._treatment.may_act(finding, state.step):
                action = self._treatment.act(finding, state)
            if action:
                self._losses.forget_recent()
                check.memory.clear()
            if action or finding.cause not in self._reported:
                self._note(finding, action)

    def _note(self, finding: Finding, action: str) -> None:
        state, is_new = self._signs.state, finding.cause not in self._reported
        self._reported.add(finding.cause)
        evidence = dict(finding.evidence)
        state.note(finding.cause, message=finding.message, advice=finding.advice, action=action, evidence=evidence)
        if state.is_first:
            self._report(_sentence(finding, action, is_new=is_new))


def _sentence(finding: Finding, action: str, *, is_new: bool) -> str:
    done = f" Done: {action}." if action else ""
    if not is_new:
        return f"{finding.cause.capitalize()} again.{done}"
    return f"{finding.cause.capitalize()}: {finding.message} {finding.advice}{done}"
