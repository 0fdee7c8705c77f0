"""What there is to try: first each method alone, then what can be put together of those that held."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lepton_ai.optimize.candidate import Candidate, Step
from lepton_ai.optimize.measure.cpu import Cpu
from lepton_ai.optimize.methods import METHODS
from lepton_ai.optimize.quantize.scheme import schemes_for
from lepton_ai.optimize.search.trial import Trial

_CALIBRATIONS = ("percentile", "entropy", "minmax")
_DECODER = Step("reduced-decoder")
_TRAINED = [
    Candidate((Step("distil", {"factor": 0.5}),)),
    Candidate((Step("prune-channels", {"share": 0.3}),)),
    Candidate((Step("prune-channels", {"share": 0.5}),)),
    Candidate((Step("decompose", {"kind": "tucker"}),)),
    Candidate((Step("decompose", {"kind": "depthwise"}),)),
    Candidate((Step("decompose", {"kind": "dense"}),)),
    Candidate((Step("decompose", {"kind": "cp"}),)),
    Candidate((Step("decompose", {"kind": "branches"}),)),
    Candidate((Step("prune-weights", {"share": 0.9}), Step("stored-sparse"))),
]


def single_methods(
    cpu: Cpu, *, trainable: bool, pictures: bool = False, methods: Sequence[str] = ()
) -> list[Candidate]:
    """Every method alone: those on files, which take seconds, then those that train; of some only, if they are named.

    `trainable`: whether there are a trained model and rows to train it on; `pictures`: whether rows are decoded.
    """
    file_steps = [
        *_quantised(cpu),
        Step("int8-dynamic"),
        Step("int4-weights"),
        Step("stored-half", {"type": "bf16"}),
        Step("stored-half", {"type": "fp16"}),
        Step("stored-int8"),
        Step("folded"),
        Step("fp16"),
    ]
    if pictures:
        file_steps.insert(0, _DECODER)
    file_steps.sort(key=_slow)
    candidates = [*(Candidate((step,)) for step in file_steps), *(_TRAINED if trainable else ())]
    return [each for each in candidates if not methods or any(step.method in methods for step in each.steps)]


def combined(trials: Sequence[Trial], max_loss: float) -> list[Candidate]:
    """What a lighter network gains when it is quantised too: each that held, with the best quantisation that held."""
    held = [trial for trial in trials if trial.meets(max_loss) and len(trial.candidate.steps) == 1]
    networks = [trial for trial in held if METHODS[trial.candidate.steps[0].method].kind == "model"]
    files = [trial for trial in held if METHODS[trial.candidate.steps[0].method].kind == "file"]
    if not networks or not files:
        return []
    best = max(files, key=_speed_up)
    return [Candidate((*network.candidate.steps, *best.candidate.steps)) for network in networks]


def with_decoder(trials: Sequence[Trial], max_loss: float) -> list[Candidate]:
    """The fastest that held, behind the reduced decoder where that held too."""
    held = [trial for trial in trials if trial.meets(max_loss) and not trial.is_original]
    others = [trial for trial in held if all(step.method != _DECODER.method for step in trial.candidate.steps)]
    if not others or all(trial.candidate.steps != (_DECODER,) for trial in held):
        return []
    return [Candidate((_DECODER, *max(others, key=_speed_up).candidate.steps))]


def _speed_up(trial: Trial) -> float:
    return trial.measured.speed.ratio.value if trial.measured else 0.0


def controlled(trials: Sequence[Trial], max_loss: float) -> list[Candidate]:
    """Accuracy control, where int8 as a whole loses too much: the calibration that lost least, worst layers in FP32."""
    tried = [trial for trial in trials if trial.candidate.steps and trial.candidate.steps[0].method == "int8"]
    lossy = [trial for trial in tried if len(trial.candidate.steps) == 1 and trial.state in ("measured", "dropped")]
    if not lossy or any(trial.meets(max_loss) for trial in tried):
        return []
    best = min(lossy, key=lambda trial: trial.measured.accuracy.loss.value if trial.measured else math.inf)
    step = best.candidate.steps[0]
    return [Candidate((Step(step.method, {**step.parameters, "control": True}),))]


def _quantised(cpu: Cpu) -> list[Step]:
    schemes = schemes_for(cpu)
    first = [Step("int8", {"calibration": name, "scheme": schemes[0].name}) for name in _CALIBRATIONS]
    others = [Step("int8", {"calibration": _CALIBRATIONS[0], "scheme": scheme.name}) for scheme in schemes[1:]]
    return [*first, *others]


def _slow(step: Step) -> bool:
    """Whether making it takes minutes for a large model: histograms of all activations, compared at every edge."""
    return step.parameters.get("calibration") == "entropy"
