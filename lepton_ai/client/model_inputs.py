"""What models take, as the platform describes it: the only thing that decides whether a plain text is a path."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from lepton_ai.errors import LeptonError
from lepton_ai.prediction import Input, takes_only_a_file

_BELIEVED_S = 10.0
"""How long a description counts. Short, as a model of texts may replace one of pictures under the same name."""
_MAX_PATH_CHARS = 4096

Describe = Callable[[], Awaitable[Mapping[str, str]]]
"""Asks for the kinds of a model's inputs by name; raises LeptonError."""


class ModelInputs:
    """Remembers for some seconds which models take nothing but a picture or a sound."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._known: dict[str, tuple[float, bool]] = {}

    async def texts_are_paths(self, model: str, values: Sequence[Input], describe: Describe) -> bool:
        """Whether plain texts among `values` name files for this model. Asks only when there is a text that could.

        When no description can be had the answer is no: they are texts.
        """
        if not any(isinstance(value, str) and _could_be_a_path(value) for value in values):
            return False
        known = self._known.get(model)
        if known is not None and self._now_s() < known[0]:
            return known[1]
        try:
            takes_a_file = takes_only_a_file(await describe())
        except LeptonError:
            return False  # when it is the platform that fails, the prediction itself says so
        self._forget_old()
        self._known[model] = self._now_s() + _BELIEVED_S, takes_a_file
        return takes_a_file

    def _forget_old(self) -> None:
        self._known = {model: known for model, known in self._known.items() if self._now_s() < known[0]}


def _could_be_a_path(text: str) -> bool:
    return 0 < len(text) <= _MAX_PATH_CHARS and "\n" not in text and "\0" not in text
