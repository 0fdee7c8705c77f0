"""A model whose answers are to be kept must give the same answer to the same input: it must not draw random numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lepton_ai.errors import InvalidInput
from lepton_ai.package import Description

_ONNX = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_TORCH = re.compile(
    r"torch\.ops\.aten\.(rand\w*|bernoulli_?|multinomial|normal\w*|poisson|binomial|exponential_?|geometric_?|cauchy_?"
    r"|log_normal_?|uniform_?|rrelu_with_noise\w*|native_dropout)\.\w+"
)


def check_repeatable(operators: Iterable[str], description: Description) -> None:
    """Raises InvalidInput for a package that lets answers be kept of a model with such operators, as ONNX ("Bernoulli")
    or torch ("torch.ops.aten.rand.default") name them. A seed does not help: the numbers differ from run to run."""
    if not description.cache.answers:
        return
    for operator in operators:
        if operator in _ONNX or _TORCH.fullmatch(operator):
            raise InvalidInput.of_field(
                "cache.answers",
                f"is true, but the model draws random numbers ({operator[:80]})",
                reason="NOT_REPEATABLE",
                fix="Leave it out: `tensors` may be kept. Or export the model without randomness.",
            )
