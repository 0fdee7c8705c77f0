"""Decides from all texts of a column what they are: numbers and how written, times, true and false, codes, or texts.

Only what is certain of the whole column is decided; what a person would lose, such as leading zeros, is kept as text.
The decision comes with a note that says what was decided and how to decide otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from lepton_ai.datasets.times import has_short_year, parse_time, possible_orders
from lepton_ai.pipeline.reading import FORMATS, DateOrder, Reading, Written

What = Literal["empty", "text", "number", "boolean", "time", "code", "undecided"]
"""What a column's texts are; "code": digits that are no quantity, "undecided": numbers that can be read in two ways."""

MISSING_WORDS = frozenset({
    "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null", "None", "none",
    "Null", "na", "n.a.", "N.A.", "nil", "NIL", "k.A.", "-", "--", "---", "–", "—", "?", ".", "..", "...", "#DIV/0!",
    "#VALUE!", "#REF!", "#NUM!", "#NAME?", "0000-00-00", "0000-00-00 00:00:00", "无", "空", "缺失", "NaT",
})  # fmt: skip
"""Words for a missing value. They count as such among numbers, times and booleans only: a text "NA" may be Namibia."""

_PLAIN = r"^-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?$"
_DECIMAL_COMMA = r"^-?(?:0|[1-9][0-9]{0,14}),(?:[0-9]{1,2}|[0-9]{4,})$"
_POINT_OR_GROUP = r"^-?[1-9][0-9]{0,2}\.[0-9]{3}$"
_ISO_DATE = r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_ISO_SECOND = _ISO_DATE + r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?"
_ISO: dict[str, pa.DataType] = {
    _ISO_DATE + "$": pa.date32(),
    _ISO_SECOND + "$": pa.timestamp("s"),
    _ISO_SECOND + r"\.[0-9]{1,6}$": pa.timestamp("us"),
}
"""Times that Arrow reads, each kind with the type that holds it; a later type holds what an earlier one does."""
_GROUP_LIKE = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
_WITH_POINTS = ("¥", "元", "円", "$", "£", "₩", "₹", "CNY", "RMB", "JPY", "USD", "GBP")
"""Currencies whose countries write decimal points: "￥8,000" is eight thousand."""
_COMMA_FIX = "read_table(decimal=',') decides otherwise"
_MAX_OTHER_WORDS = 2
_MAX_OTHER_SHARE = 0.05
_EXACT_DIGITS = 15
_CHUNK_ROWS = 65_536
_NAMED = 3


TEXTS = Reading(of="texts")


@dataclass(frozen=True)
class Found:
    """What a column's texts were found to be."""

    what: What
    reading: Reading = TEXTS
    type: pa.DataType | None = None
    """The Arrow type that holds all values just as they are; None for texts that stay texts."""
    note: str = ""

    def told(self, more: str) -> Found:
        """The same with something more to say."""
        return replace(self, note=_joined(self.note, more))


class ColumnSurvey:
    """Takes the texts of a column batch by batch, in bounded memory; `found` decides.

    `missing` are further texts that count as missing. With `insists`, as when a person said that these are numbers,
    what does not fit is left out instead of making the column one of texts.
    """

    def __init__(self, missing: Collection[str] = (), *, insists: bool = False) -> None:
        self._given = frozenset(missing)
        self._insists = insists
        self._is_text = False
        self._missing: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._booleans = 0
        self.numbers = NumberSurvey()
        self.times = TimeSurvey()

    def add(self, texts: pa.Array) -> None:
        """Some more texts, in order."""
        for start in range(0, len(texts), _CHUNK_ROWS):
            self._add(texts.slice(start, _CHUNK_ROWS).drop_null())

    def _add(self, texts: pa.Array) -> None:
        if self._is_text:
            self._note_words(texts)
            return
        odd = self.numbers.add_plain(texts)
        odd = self.times.add_plain(odd)
        for each in pc.value_counts(odd):
            if not self._take(each["values"].as_py(), each["counts"].as_py()):
                self._note_words(texts)
                return

    def _take(self, text: str, count: int) -> bool:
        """Counts a text; false when the column can only be one of texts."""
        bare = text.strip()
        if not bare or bare in self._given or bare in MISSING_WORDS:
            self._missing[bare] += count
        elif bare.lower() in ("true", "false"):
            self._booleans += count
        elif not (self.numbers.take(bare, count) or self.times.take(bare, count)):
            self._others[bare] += count
            if not self._insists:
                strange = any(each.isdigit() for each in bare) or len(self._others) > _MAX_OTHER_WORDS
                self._is_text |= strange
        self._is_text |= self._is_mixed and not self._insists
        return not self._is_text

    @property
    def _is_mixed(self) -> bool:
        return [self._booleans, self.numbers.count, self.times.count].count(0) < 2

    def _note_words(self, texts: pa.Array) -> None:
        """Which words for a missing value there are among texts."""
        words = pa.array(sorted(MISSING_WORDS), texts.type)
        for each in pc.unique(texts.filter(pc.is_in(texts, value_set=words))).to_pylist():
            self._missing[each] += 0

    def found(self, decimal: str | None = None, day_first: bool | None = None) -> Found:
        """The decision; `decimal` and `day_first` decide what the texts leave open."""
        present = self._booleans + self.numbers.count + self.times.count
        others = sum(self._others.values())
        if not (present or others or self._is_text or set(self._missing) - self._given - {""}):
            return Found("empty", type=pa.null())
        strange = self._is_mixed or others > _MAX_OTHER_SHARE * (present + others)
        if not present or self._is_text or (strange and not self._insists):
            return self._kept(Found("text"))
        found = self._found(decimal, day_first)
        words = tuple(sorted({*filter(None, self._missing), *self._others}))
        if found.what in ("text", "code", "undecided"):
            return self._kept(found)
        missing = tuple(sorted({*words, *self._given}))
        kind = None if self._others else found.type  # what is no known word stays to be looked at
        reading = replace(found.reading, missing=missing)
        return replace(found, reading=reading, type=kind, note=_joined(found.note, _counted(words)))

    def _found(self, decimal: str | None, day_first: bool | None) -> Found:
        if self.numbers.count >= max(self.times.count, self._booleans):
            return self.numbers.found(decimal)
        if self.times.count:
            return self.times.found(day_first)
        return Found("boolean", Reading(of="booleans"), pa.bool_())

    def _kept(self, found: Found) -> Found:
        """Texts stay as they are, words for a missing value among them, which the note says."""
        words = sorted(word for word in filter(None, self._missing) if word not in self._given)
        verb = "is kept as a value" if len(words) == 1 else "are kept as values"
        told = f"{_some(words)} {verb}; read_table(missing=[…]) decides otherwise" if words else ""
        reading = Reading(of="texts", missing=tuple(sorted(self._given)))
        return replace(found, reading=reading, note=_joined(found.note, told))


class NumberSurvey:
    """Which formats all numbers of a column fit, and what speaks against their being numbers at all."""

    def __init__(self) -> None:
        self.count = 0
        self._formats = list(FORMATS)
        self._is_whole = True
        self._is_point_certain = False
        self._groups: dict[str, str] = {}
        """By separator a number in which it could stand for the decimals or the thousands."""
        self._units: set[str] = set()
        self._percentages = 0
        self._codes = ""
        self._long = ""
        self._exponents: dict[bool, str] = {}
        """By whether it can only be a number: 1.5e3 can, 12E4 may be a code."""

    @property
    def decimal(self) -> str | None:
        """The decimal sign, when the column leaves no doubt about it."""
        signs = {decimal for decimal, _ in self._formats}
        return signs.pop() if len(signs) == 1 and self.count and not (self._codes or self._long) else None

    def add_plain(self, texts: pa.Array) -> pa.Array:
        """Counts numbers as programs write them, also with decimal commas; gives the other texts."""
        plain = pc.match_substring_regex(texts, _PLAIN)
        numbers = texts.filter(plain)
        self.count += len(numbers)
        if self._is_whole or not self._is_point_certain:
            self._look_at_points(numbers.filter(pc.match_substring(numbers, ".")))
        odd = texts.filter(pc.invert(plain))
        with_comma = pc.match_substring_regex(odd, _DECIMAL_COMMA)
        if count := pc.sum(with_comma).as_py():
            self.count += count
            self._is_whole = False
            self._formats = [each for each in self._formats if each[0] == ","]
        return odd.filter(pc.invert(with_comma))

    def _look_at_points(self, numbers: pa.Array) -> None:
        if not len(numbers):
            return
        self._is_whole = False
        doubtful = numbers.filter(pc.match_substring_regex(numbers, _POINT_OR_GROUP))
        if len(doubtful):
            self._groups.setdefault(".", doubtful[0].as_py())
            self._formats = [each for each in self._formats if each[0] == "." or each[1] == "."]
        if len(doubtful) < len(numbers):
            self._is_point_certain = True
            self._formats = [each for each in self._formats if each[0] == "."]

    def take(self, text: str, count: int) -> bool:
        """Counts a text that is a number in some format; false for others."""
        written = Written.of(text)
        if written is None:
            return False
        fitting = [each for each in self._formats if written.fits(*each)]
        if not fitting and not any(written.fits(*each) for each in FORMATS):
            return False
        self.count += count
        self._formats = fitting
        if _GROUP_LIKE.fullmatch(written.digits):
            self._groups.setdefault("," if "," in written.digits else ".", text)
        digits = re.sub(r"[^0-9]", "", written.digits)
        if _is_code(written, digits):
            self._codes = self._codes or text
        is_whole = digits == written.digits or all(decimal not in written.digits for decimal, _ in fitting)
        self._look_at_size(text, written, digits, is_whole=is_whole)
        self._units.add(written.unit)
        self._percentages += count * written.percent
        return True

    def _look_at_size(self, text: str, written: Written, digits: str, *, is_whole: bool) -> None:
        has_group = bool(_GROUP_LIKE.fullmatch(written.digits))
        self._is_whole &= not (written.exponent or written.percent) and (is_whole or has_group)
        if written.exponent:
            sure = not is_whole or written.exponent[1] in "+-"
            self._exponents.setdefault(sure, text)
        elif is_whole and len(digits.strip("0")) > _EXACT_DIGITS and int(digits) > 2**53:
            self._long = max(self._long, written.sign + digits, key=lambda text: abs(int(text or 0)))

    def found(self, decimal: str | None) -> Found:
        """Numbers and how they are read; codes, when a person would lose something by that; or undecided."""
        if doubt := self._doubt():
            return Found("code", note=doubt)
        return self.insisted(decimal)

    def insisted(self, decimal: str | None = None) -> Found:
        """The same, when these are numbers whatever speaks against it."""
        formats = [each for each in self._formats if decimal is None or each[0] == decimal] or self._formats
        if not formats:
            return Found(
                "text", note="numbers written in several ways are kept as texts; read_table(decimal=…) decides"
            )
        unit = next(iter(self._units - {""}), "")
        separator = next((each for each in self._groups if self._is_open(each, formats)), None)
        points = [each for each in formats if each[0] == "."]
        chosen = formats[0]
        told = [self._how(chosen)]
        if separator == "," and decimal is None and unit in _WITH_POINTS and points:
            chosen = points[0]
            told = [self._how(chosen), f"{self._groups[separator]!r} is read so; {_COMMA_FIX}"]
        elif separator is not None:
            example = self._groups[separator]
            read = Written.of(example)
            ways = sorted({f"{read.value(*each)}" for each in formats if read is not None and read.fits(*each)})
            if separator == ",":
                return Found("undecided", note=f"{example!r} can be {' or '.join(ways)}: kept as text; {_DECIMAL_FIX}")
            told.insert(0, f"{example!r} is read with a decimal point; {_COMMA_FIX}")
        reading = Reading(*chosen, unit=unit)  # type: ignore[arg-type] # FORMATS holds no other signs
        is_whole = self._is_whole and chosen[0] not in self._groups
        return Found("number", reading, pa.int64() if is_whole else pa.float64(), _joined(*told))

    def _is_open(self, separator: str, formats: list[tuple[str, str]]) -> bool:
        return any(each[0] == separator for each in formats) and any(each[1] == separator for each in formats)

    def _doubt(self) -> str:
        """Why these are codes, or no numbers of one kind."""
        if self._codes:
            return f"leading zeros and signs are kept, as in {self._codes!r}; with_kinds(NAME='number') reads numbers"
        if self._long and not (self._is_whole and abs(int(self._long)) < 2**63):
            return f"whole numbers such as {self._long} are kept as texts: a number holds 16 digits"
        if len(self._units - {""}) > 1:
            return f"amounts in {_some(sorted(self._units - {''}))} are kept as texts: they cannot be compared"
        if False in self._exponents and True not in self._exponents and not self._is_point_certain:
            return f"{self._exponents[False]!r} may be a code: kept as text; with_kinds(NAME='number') reads numbers"
        return ""

    def _how(self, chosen: tuple[str, str]) -> str:
        told = []
        if chosen[0] == ",":
            told.append("decimal commas")
        if chosen[1]:
            told.append(f"{chosen[1]!r} between thousands")
        if units := self._units - {""}:
            told.append(f"amounts in {units.pop()}")
        if self._percentages:
            told.append("percentages are fractions, 12 % is 0.12")
        return ", ".join(told)


class TimeSurvey:
    """In which orders all dates of a column are dates."""

    def __init__(self) -> None:
        self.count = 0
        self._types: set[pa.DataType | None] = set()
        self._orders: frozenset[DateOrder] | None = None
        self._example = ""
        self._is_dotted = True
        self._has_short_years = False

    def add_plain(self, texts: pa.Array) -> pa.Array:
        """Counts times as programs write them, such as 2024-12-31; gives the other texts."""
        for pattern, kind in _ISO.items():
            fits = pc.match_substring_regex(texts, pattern)
            if count := pc.sum(fits).as_py():
                self.count += count
                self._types.add(kind)
                texts = texts.filter(pc.invert(fits))
        return texts

    def take(self, text: str, count: int) -> bool:
        """Counts a text that is a time in some order; false for others."""
        orders = possible_orders(text)
        if not orders and parse_time(text) is None:
            return False
        self.count += count
        self._types.add(None)
        if orders:
            self._orders = orders if self._orders is None else self._orders & orders
            self._example = self._example or text
            self._is_dotted &= "." in text and not has_short_year(text)
            self._has_short_years |= has_short_year(text)
        return True

    def found(self, day_first: bool | None) -> Found:
        """Times and their order; texts when they are dates in no single order."""
        if self._orders is None:
            kind = (
                None if None in self._types else next(each for each in reversed(_ISO.values()) if each in self._types)
            )
            return Found("time", Reading(), kind)
        orders = self._orders
        if day_first is not None:
            orders = orders & {"day" if day_first else "month"} or orders
        if len(orders) > 1 and self._is_dotted and "day" in orders:
            orders = frozenset({"day"})  # nobody puts points behind months that come first
        if not orders:
            return Found("text", note=f"dates such as {self._example!r} are in several orders: kept as texts")
        if len(orders) > 1:
            note = f"{self._example!r}: {' or '.join(sorted(orders))} first? {_DATES_FIX}"
            return Found("time", Reading(dates="undecided"), note=note)
        order = next(iter(orders))
        short = "years of two digits are 1969 to 2068" if self._has_short_years else ""
        return Found("time", Reading(dates=order), note=_joined(f"{order} first", short))


_DECIMAL_FIX = "read_table(decimal=',') or decimal='.' decides"
_DATES_FIX = "Not used as times; read_table(day_first=True) or False decides"


def survey_of(texts: pa.ChunkedArray, *, insists: bool = False) -> ColumnSurvey:
    """All texts of a column in memory."""
    survey = ColumnSurvey(insists=insists)
    for chunk in texts.chunks:
        plain = chunk.dictionary_decode() if isinstance(chunk, pa.DictionaryArray) else chunk
        survey.add(plain.cast(pa.large_string()))
    return survey


def found_in_all(surveys: Mapping[str, ColumnSurvey], decimal: str | None, day_first: bool | None) -> dict[str, Found]:
    """What every column of a table is. A decimal sign that some columns leave no doubt about decides the others."""
    certain = {survey.numbers.decimal for survey in surveys.values()} - {None}
    sign = decimal or (certain.pop() if len(certain) == 1 else None)
    return {name: survey.found(sign, day_first) for name, survey in surveys.items()}


def _is_code(written: Written, digits: str) -> bool:
    """Leading zeros, a telephone number: what a number would not keep."""
    leading = len(digits) > 1 and digits[0] == "0" and written.digits[1].isdigit()
    return leading or (written.sign == "+" and (len(digits) > 6 or " " in written.digits))


def _counted(words: tuple[str, ...]) -> str:
    return f"{_some(words)} {'counts' if len(words) == 1 else 'count'} as missing" if words else ""


def _some(words: Collection[str]) -> str:
    shown = ", ".join(repr(word) for word in list(words)[:_NAMED])
    return f"{shown}, …" if len(words) > _NAMED else shown


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))
