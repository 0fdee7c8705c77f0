"""Texts of rules: Go's templates as far as alerts use them, with Prometheus's words for numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from lepton_ai.errors import InvalidInput

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_LABEL = re.compile(r"\$labels\.([a-zA-Z_][a-zA-Z0-9_]*)")
_PRINTF = re.compile(r'printf\s+"(%[-+ 0#]*\d*(?:\.\d+)?[efgs])"\s+\$value')
_LARGE = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL = ("", "m", "u", "n", "p", "f", "a", "z", "y")
_BINARY = ("", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")


def humanize(value: float) -> str:
    """With a metric prefix: 1234567 → 1.235M."""
    number, prefix = _with_prefix(value)
    return f"{_short(number)}{prefix}"


def humanize1024(value: float) -> str:
    """With a binary prefix: 1048576 → 1Mi."""
    prefix = 0
    while abs(value) >= 1024 and math.isfinite(value) and prefix < len(_BINARY) - 1:
        value, prefix = value / 1024, prefix + 1
    return f"{_short(value)}{_BINARY[prefix]}"


def humanize_duration(value: float) -> str:
    """Seconds: 3661 → 1h 1m 1s."""
    if not math.isfinite(value) or abs(value) < 1:
        number, prefix = _with_prefix(value)
        return f"{_short(number)}{prefix}s" if math.isfinite(value) else _short(value)
    sign, whole = ("-" if value < 0 else ""), int(abs(value))
    days, hours, minutes, seconds = whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    return f"{sign}{minutes}m {seconds}s" if minutes else f"{sign}{_short(abs(value))}s"


def humanize_percentage(value: float) -> str:
    """A share: 0.1234 → 12.34%."""
    return f"{_short(value * 100)}%"


def _with_prefix(value: float) -> tuple[float, str]:
    if value == 0 or not math.isfinite(value):
        return value, ""
    place = 0
    if abs(value) >= 1:
        while abs(value) >= 1000 and place < len(_LARGE) - 1:
            value, place = value / 1000, place + 1
        return value, _LARGE[place]
    while abs(value) < 1 and place < len(_SMALL) - 1:
        value, place = value * 1000, place + 1
    return value, _SMALL[place]


def _short(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}" if math.isfinite(value) else _plain(value)


def _plain(value: float) -> str:
    """A number as Go prints it."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) + int(exponent) - 1
    if value == 0 or -4 <= power < 6:
        return f"{value:.{max(0, -int(exponent))}f}"
    first, rest = digits[0], "".join(map(str, digits[1:]))
    return f"{'-' * sign}{first}{'.' if rest else ''}{rest}e{power:+03d}"


_FUNCTIONS: Mapping[str, Callable[[float], str]] = {
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
}
_Part = Callable[[Mapping[str, str], float], str]


@dataclass(frozen=True)
class Template:
    """A text with places for labels and the value."""

    parts: tuple[_Part, ...]

    def write(self, labels: Mapping[str, str], value: float) -> str:
        """The text for one alert; a label that is not there is empty."""
        return "".join(part(labels, value) for part in self.parts)


@lru_cache(maxsize=1024)
def read_template(text: str) -> Template:
    """Read a text. Raises InvalidInput that names what is not understood."""
    pieces = _ACTION.split(text)  # text, action, text, …
    return Template(tuple(_action(each) if place % 2 else _constant(each) for place, each in enumerate(pieces)))


def _constant(text: str) -> _Part:
    return lambda _labels, _value: text


def _action(text: str) -> _Part:
    label = _LABEL.fullmatch(text)
    if label is not None:
        return lambda labels, _value: labels.get(label[1], "")
    printed = _PRINTF.fullmatch(text)
    if printed is not None:
        return lambda _labels, value: printed[1] % value
    term, *functions = (each.strip() for each in text.split("|"))
    if term == "$value" and not functions:
        return lambda _labels, value: _plain(value)
    if term == "$value" and len(functions) == 1 and functions[0] in _FUNCTIONS:
        return lambda _labels, value: _FUNCTIONS[functions[0]](value)
    raise InvalidInput.of_field(
        "template",
        f"{{{{ {text} }}}} is not understood",
        fix="Use $labels.NAME, $value, $value | humanize (or humanize1024, humanizeDuration, humanizePercentage), "
        'or printf "%.2f" $value.',
        reason="INVALID_TEMPLATE",
    )
