"""The outputs of one answer by name, and the one array or number that most answers have."""

from __future__ import annotations

from collections.abc import Mapping

from lepton_ai.errors import FailedPrecondition, LeptonError
from lepton_ai.tensors import Array

_NUMBERS = "fiub"
"""The kinds of numpy types that hold numbers; truth values count as 0 and 1."""


class Outputs:
    """What answers have in common that hold the model's outputs, without the batch dimension."""

    outputs: Mapping[str, Array]
    error: LeptonError | None

    @property
    def values(self) -> Array:
        """The array of the only output: a forecast's steps, an embedding, logits.

        Raises FailedPrecondition where there are several outputs or none, and the example's own error where it failed.
        """
        return self.outputs[self._only()]

    @property
    def value(self) -> float:
        """The number of an answer that is a single one: a regression's value, a rating, a score.

        Raises FailedPrecondition where it is not, and the example's own error where it failed.
        """
        name = self._only()
        array = self.outputs[name]
        if array.size != 1 or array.dtype.kind not in _NUMBERS:
            content = "text" if array.dtype.kind == "O" else array.dtype
            raise FailedPrecondition(
                f"The answer is no single number: output {name!r} is {content} {list(array.shape)}.",
                reason="NOT_ONE_NUMBER",
                fix="Take the whole array: `values`.",
            )
        return float(array.item())

    def _only(self) -> str:
        if len(self.outputs) == 1:
            return next(iter(self.outputs))
        if self.outputs:
            raise FailedPrecondition(
                f"The answer has several outputs: {', '.join(self.outputs)}.",
                reason="SEVERAL_OUTPUTS",
                fix=f"Take one by its name: outputs[{next(iter(self.outputs))!r}].",
            )
        raise self.error or FailedPrecondition(
            "The answer has labels and no outputs.",
            reason="NO_OUTPUTS",
            fix='Take `labels`, or ask for outputs by name: predict(model, value, outputs=["…"]).',
        )
