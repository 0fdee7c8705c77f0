"""Dead units: activations that are 0 whatever comes in, and so never learn again."""

from __future__ import annotations

from lepton_ai.training.doctor.finding import Check, Finding
from lepton_ai.training.doctor.signs import Signs

_SAMPLES = 8
_GREATEST_SHARE = 0.5


class DeadUnits(Check):
    """More than half of a layer's units gave 0 for every row of eight measured steps."""

    cause = "dead units"

    def at_sample(self, signs: Signs) -> Finding | None:
        shares: dict[str, float] = {}
        for name, silent in signs.silent.items():
            before = self.memory.get(name)
            if before is None or len(before) != len(silent):
                before = [0] * len(silent)
            counts = [count + 1 if still else 0 for count, still in zip(before, silent, strict=True)]
            self.memory[name] = counts
            shares[name] = sum(count >= _SAMPLES for count in counts) / max(1, len(counts))
        worst = max(shares, key=lambda name: shares[name], default="")
        if not worst or shares[worst] <= _GREATEST_SHARE:
            return None
        return Finding(
            self.cause,
            f"{shares[worst]:.0%} of the units behind {worst} are always 0 and cannot learn any more.",
            "Lower the learning rate, use LeakyReLU or GELU, or put batch norm before the activation.",
            {"share": {name: share for name, share in shares.items() if share > 0}},
        )
