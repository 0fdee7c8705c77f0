"""What the constructors of models check, so that a wrong value is refused where it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from lepton_ai.errors import InvalidInput

_COUNTS = frozenset(
    ("blocks", "channels", "code", "embedding", "hidden", "horizon", "layers", "max_length", "max_tokens", "mels",
     "noise", "rate", "size", "width", "window")
)  # fmt: skip
_WORDS: Mapping[str, tuple[str | None, ...]] = {
    "encoder": ("cnn", "lstm", "transformer"),
    "kind": ("factors", "two_tower"),
    "level": ("char", "word", "jieba", "subword"),
    "objective": ("rating", "ranking"),
    "task": ("classification", "regression", "multilabel", None),
}


def check(name: str, value: Any, holds: bool, allowed: str) -> None:
    """Raises InvalidInput that says what is allowed when it does not hold."""
    if not holds:
        raise InvalidInput.of_field(name, f"is {value!r}, must be {allowed}")


def check_config(config: Mapping[str, Any]) -> None:
    """What holds for every model's values of a name. Raises InvalidInput."""
    for name, value in config.items():
        if name in _COUNTS:
            widths = value if isinstance(value, list) else [value]
            check(name, value, all(map(_is_count, widths)), "a whole number of at least 1")
        elif name == "dropout":
            check(name, value, isinstance(value, float | int) and 0 <= value < 1, "at least 0 and less than 1")
        elif name in _WORDS and value not in _WORDS[name]:
            words = [word for word in _WORDS[name] if word is not None]
            raise InvalidInput.of_field(name, f"there is no {value!r}", fix=f"There are {', '.join(words)}.")


def read_widths(name: str, widths: Any) -> list[int]:
    """The widths of several layers. Raises InvalidInput for a single number."""
    check(name, widths, isinstance(widths, Sequence) and not isinstance(widths, str), "widths, such as (64, 32)")
    return list(widths)


def read_picture_shape(shape: Any, *, multiple_of: int = 1, least: int = 8) -> tuple[int, int, int]:
    """A picture's (height, width, channels). Raises InvalidInput for anything else."""
    sides = f"sides of {least} or more" if multiple_of == 1 else f"sides are multiples of {multiple_of} from {least} on"
    allowed = f"(height, width, channels): {sides}, 1 or 3 channels"
    parts = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    fits = len(parts) == 3 and all(map(_is_count, parts)) and parts[2] in (1, 3)
    fits = fits and all(side >= least and side % multiple_of == 0 for side in parts[:2])
    if not fits and len(parts) == 3 and parts[0] in (1, 3):
        allowed += f", which are last here: {(*parts[1:], parts[0])}"
    check("input_shape", parts or shape, fits, allowed)
    height, width, channels = parts
    return int(height), int(width), int(channels)


def _is_count(value: Any) -> bool:
    return type(value) is not bool and isinstance(value, Integral) and int(value) >= 1
