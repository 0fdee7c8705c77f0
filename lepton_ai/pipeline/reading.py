"""How the texts of a column are read: decimal sign, thousands, currency, what counts as missing, order of dates.

Decided once from a whole column, kept in the data set's schema and in the pipeline document, so that a text in a
request is read as the same text in the table was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from lepton_ai.errors import InvalidInput

DateOrder = Literal["", "day", "month", "year", "undecided"]
"""What comes first in dates that do not begin with a year of four digits; "" when there are none."""

FORMATS: tuple[tuple[str, str], ...] = (
    (".", ""), (".", ","), (".", "'"), (".", " "), (",", ""), (",", "."), (",", "'"), (",", " "),
)  # fmt: skip
"""Ways to write numbers, (decimal sign, thousands), the plainest first."""

_PLAIN = str.maketrans("０１２３４５６７８９，．％−－＋’￥＄￡￦\u00a0\u202f\u2009", "0123456789,.%--+'¥$£₩   ")
_CURRENCY = r"(?:[€$£¥₹₽₩₺₫元円]|EUR|USD|GBP|CHF|CNY|RMB|JPY)"
_NUMBER = re.compile(
    rf"([+-]?)\s*({_CURRENCY})?\s*([+-]?)(\d[\d.,' ]*|[.,]\d+)([eE][+-]?\d+)?\s*({_CURRENCY})?\s*(%)?", re.IGNORECASE
)
_MAX_CHARS = 400
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


@dataclass(frozen=True)
class Written:
    """A number as it is written, in parts."""

    sign: str
    digits: str
    """Digits with their separators."""
    exponent: str
    unit: str
    percent: bool

    @classmethod
    def of(cls, text: str) -> Written | None:
        """The parts of a text that looks like a number; None for others."""
        matched = _NUMBER.fullmatch(text.translate(_PLAIN).strip()) if len(text) <= _MAX_CHARS else None
        if matched is None:
            return None
        sign, before, second_sign, digits, exponent, after, percent = matched.groups(default="")
        if (sign and second_sign) or (before and after):
            return None
        unit = before or after
        return cls(sign or second_sign, digits.rstrip(), exponent, unit.upper(), bool(percent))

    def fits(self, decimal: str, thousands: str) -> bool:
        """Whether it can be a number of this format."""
        return _format(decimal, thousands).fullmatch(self.digits) is not None

    def value(self, decimal: str, thousands: str) -> float | int:
        """The number, of a format that it fits: whole where it is written so, a percentage as a fraction."""
        plain = self.digits.replace(thousands, "") if thousands else self.digits
        plain = self.sign + plain.replace(decimal, ".")
        if "." not in plain and not self.exponent and not self.percent:
            return int(plain)
        if self.percent and not self.exponent:
            return float(plain + "e-2")  # rounded once
        return float(plain + self.exponent) / (100 if self.percent else 1)


@dataclass(frozen=True)
class Reading:
    """How the texts of a column are read. `Reading()` reads numbers as programs write them: 1234.5."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", "'", " "] = ""
    """What may stand between groups of three digits; spaces are those without break as well."""
    unit: str = ""
    """A currency that may stand before or behind numbers."""
    missing: tuple[str, ...] = ()
    """Texts that count as missing, beside blank ones."""
    of: Literal["numbers", "booleans", "texts"] = "numbers"
    """What the texts stand for: true and false in letters of any case are booleans; only texts are kept as they are."""
    dates: DateOrder = ""

    def __post_init__(self) -> None:
        """Raises InvalidInput for signs that do not exist or cannot be told apart."""
        object.__setattr__(self, "missing", tuple(self.missing))
        if (self.decimal, self.thousands) not in FORMATS:
            told = f"decimal {self.decimal!r} with thousands {self.thousands!r} cannot be read"
            raise InvalidInput.of_field(
                "reading", told, fix="Use '.' or ',', and another sign, or none, for thousands."
            )
        if self.of not in ("numbers", "booleans", "texts"):
            raise InvalidInput.of_field("reading.of", "does not exist", fix="Use numbers, booleans or texts.")
        if self.dates not in ("", "day", "month", "year", "undecided"):
            raise InvalidInput.of_field("reading.dates", "does not exist", fix="Use day, month or year: what is first.")

    def is_missing(self, text: str) -> bool:
        """Whether a text stands for no value."""
        return not text or text.isspace() or (bool(self.missing) and text.strip() in self.missing)

    def number(self, text: str) -> float | int | None:
        """The number in a text; None when it is none of this format."""
        written = Written.of(text)
        if written is None:
            return float(text) if _INFINITE.fullmatch(text.strip()) else None
        if written.unit not in ("", self.unit.upper()) or not written.fits(self.decimal, self.thousands):
            return None
        return written.value(self.decimal, self.thousands)

    def value(self, text: str) -> float | int | bool | str | None:
        """What a text stands for, None when it is missing; the text itself when it is nothing else."""
        if self.is_missing(text):
            return None
        if self.of == "booleans":
            return {"true": True, "false": False}.get(text.strip().lower(), text)
        number = self.number(text) if self.of == "numbers" else None
        return text if number is None else number

    def document(self) -> dict[str, Any]:
        """What differs from `Reading()`, as JSON data."""
        plain = asdict(Reading())
        return {
            name: list(value) if name == "missing" else value
            for name, value in asdict(self).items()
            if value != plain[name]
        }

    @classmethod
    def from_document(cls, document: object, *, field: str) -> Reading:
        """What `document` wrote. Raises InvalidInput naming `field`."""
        kinds = {each.name: each.type for each in fields(cls)}
        if not isinstance(document, Mapping) or not all(_holds(kinds.get(key), document[key]) for key in document):
            raise InvalidInput.of_field(field, "is no way to read texts", fix=f"It may have {', '.join(kinds)}.")
        try:
            return cls(**document)
        except InvalidInput as error:
            raise InvalidInput.of_field(field, error.fields[0].description, fix=error.fix) from None


NO_READINGS: Mapping[str, Reading] = MappingProxyType({})


def _holds(kind: object, value: object) -> bool:
    if kind == "tuple[str, ...]":
        return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    return kind is not None and isinstance(value, str)


@cache
def _format(decimal: str, thousands: str) -> re.Pattern[str]:
    """Digits of a format. Groups of three, the first not 0; with commas also as in India: 12,34,567."""
    groups = r"\d+"
    if thousands:
        sign = re.escape(thousands)
        groups = rf"\d+|[1-9]\d{{0,2}}(?:{sign}\d{{3}})+"
        if thousands == ",":
            groups += r"|[1-9]\d?(?:,\d{2})+,\d{3}"
    sign = re.escape(decimal)
    return re.compile(rf"(?:{groups})(?:{sign}\d*)?|{sign}\d+")
