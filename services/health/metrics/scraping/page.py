"""Reads metrics pages: Prometheus' text format and OpenMetrics, fast for pages that are much like the one before.

A line's text up to its value is looked up among those that were read before, as Prometheus itself does it; only a new
one is taken apart.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lepton_ai.errors import InvalidInput
from services.health.metrics.series import NAME, STALE, Exemplar

_MAX_LABELS = 64
_MAX_TEXT_CHARS = 1024
"""Of a name, and of a label's value."""
_MAX_KNOWN_COMMENTS = 20_000
_MAX_REFUSED = 1000
"""Series of one page that are taken apart only to be refused; further new ones are refused unseen."""
_REFUSED = -1
_COUNTER_ENDINGS = ("_total", "_bucket", "_count", "_sum")
_HASH = ord("#")
_LABEL = r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*'
_LABELS = r'(?:[^"}]|"(?:[^"\\]|\\.)*")*'
_LINE = re.compile(
    rf"\s*(?P<key>(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{{(?P<labels>{_LABELS})\}})?)\s+(?P<value>\S+)"
    rf"(?:\s+[-+0-9.eE]+)?(?:\s+#\s+(?P<exemplar>\{{{_LABELS}\}}\s+\S+(?:\s+\S+)?))?\s*",
)
_EXEMPLAR = re.compile(rf"\{{(?P<labels>{_LABELS})\}}\s+(?P<value>\S+)(?:\s+(?P<time>\S+))?\s*")
_ONE_LABEL = re.compile(_LABEL)
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "\\": "\\", '"': '"'}

GONE = float(STALE)
"""Marks in a row the series that is not on the page."""

Labels = Mapping[str, str]
Admit = Callable[[Labels, bool], int]
"""Labels of a new series and whether it is a counter → its place in the row of values; negative: it is refused."""


@dataclass(frozen=True)
class Family:
    """What a page says of a metric."""

    type: str
    help: str


@dataclass(frozen=True)
class Reading:
    """The numbers of one page."""

    values: list[float]
    """By place; GONE for what earlier pages had and this one has not."""
    samples: int
    """On the page, refused ones included."""
    refused: int
    exemplars: Mapping[int, Exemplar]
    """Place → exemplar, for those that are new."""


@dataclass
class PageReader:
    """Reads the pages of one target, one after the other."""

    admit: Admit
    families: dict[str, Family] = field(default_factory=dict)
    """Name of a metric family → what the page says of it."""
    _places: dict[bytes, int] = field(default_factory=dict)
    _comments: set[bytes] = field(default_factory=set)
    _exemplars: dict[int, bytes] = field(default_factory=dict)
    _width: int = 0

    def read(self, page: bytes) -> Reading:
        """The numbers of a page. Timestamps on it are ignored. Raises InvalidInput when it is no metrics page."""
        row = _Row([GONE] * self._width)
        places, number = self._places, 0
        for number, line in enumerate(page.split(b"\n"), 1):
            if not line:
                continue
            if line[0] == _HASH:
                if line not in self._comments:
                    self._note(line)
                continue
            key, _, text = line.rpartition(b" ")
            place = places.get(key)
            try:
                if place is None:
                    self._read_other(line, row)
                else:
                    row.put(place, _number(text))
            except ValueError as error:
                raise InvalidInput.of_field("page", f"line {number} is no measurement") from error
        self._width = max(self._width, len(row.values))
        return Reading(row.values, row.samples, row.refused, row.exemplars)

    def _read_other(self, line: bytes, row: _Row) -> None:
        """A line that is new, or has more than a number behind its series."""
        head, mark, tail = line.rpartition(b" # {")
        key, _, text = head.rpartition(b" ")
        place = self._places.get(key) if mark else None
        if place is not None:
            row.put(place, _number(text))
            self._read_exemplar(place, b"{" + tail, row)
            return
        if row.refused >= _MAX_REFUSED:
            row.put(_REFUSED, 0.0)
            return
        found = _LINE.fullmatch(line.decode("utf-8"))
        if found is None:
            if line.isspace():
                return
            raise ValueError("unreadable")
        place = self._place_of(found)
        row.put(place, _number(found["value"].encode()))
        if found["exemplar"]:
            self._read_exemplar(place, found["exemplar"].encode(), row)

    def _place_of(self, found: re.Match[str]) -> int:
        key = found["key"].encode()
        place = self._places.get(key)
        if place is None:
            labels = read_labels(found["labels"] or "")
            labels[NAME] = sys.intern(found["name"])
            place = self.admit(labels, self.is_counter(found["name"])) if _is_bounded(labels) else _REFUSED
            if place >= 0:  # refused ones are asked for again, when there may be room
                self._places[key] = place
        return place

    def _read_exemplar(self, place: int, text: bytes, row: _Row) -> None:
        if place < 0 or self._exemplars.get(place) == text:
            return
        found = _EXEMPLAR.fullmatch(text.decode("utf-8"))
        if found is None:
            raise ValueError("unreadable exemplar")
        labels, time_s = read_labels(found["labels"]), float(found["time"] or 0)
        if not _is_bounded(labels) or not math.isfinite(time_s):
            return
        self._exemplars[place] = text
        row.exemplars[place] = Exemplar(labels, _number(found["value"].encode()), time_s)

    def is_counter(self, name: str) -> bool:
        """Whether a series of this name only grows, but for restarts."""
        family = self.families.get(name) or self.families.get(family_of(name))
        if family is None:
            return name.endswith("_total")
        if family.type in ("histogram", "summary"):
            return name.endswith(_COUNTER_ENDINGS)
        return family.type == "counter"

    def _note(self, line: bytes) -> None:
        if len(self._comments) >= _MAX_KNOWN_COMMENTS:
            self._comments.clear()
            self.families.clear()
        self._comments.add(line)
        parts = line.decode("utf-8", "replace").split(None, 3)
        if len(parts) < 4 or parts[1] not in ("TYPE", "HELP") or len(parts[2]) > _MAX_TEXT_CHARS:
            return
        known = self.families.get(parts[2], Family("unknown", ""))
        text = parts[3].strip()[:_MAX_TEXT_CHARS]
        self.families[parts[2]] = (
            Family(text, known.help) if parts[1] == "TYPE" else Family(known.type, _unescaped(text))
        )


@dataclass
class _Row:
    """The numbers of a page that is being read."""

    values: list[float]
    samples: int = 0
    refused: int = 0
    exemplars: dict[int, Exemplar] = field(default_factory=dict)

    def put(self, place: int, value: float) -> None:
        self.samples += 1
        if place < 0:
            self.refused += 1
            return
        if place >= len(self.values):
            self.values.extend([GONE] * (place + 1 - len(self.values)))
        self.values[place] = value


def read_labels(text: str) -> dict[str, str]:
    """The labels between braces. Raises ValueError for anything else."""
    labels: dict[str, str] = {}
    position = 0
    while position < len(text) and not text[position:].isspace():
        found = _ONE_LABEL.match(text, position)
        if found is None or found[1] in labels:
            raise ValueError("unreadable labels")
        labels[sys.intern(found[1])] = sys.intern(_unescaped(found[2]))
        position = found.end()
        if position < len(text):
            if text[position] != ",":
                raise ValueError("unreadable labels")
            position += 1
    return labels


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[0]), text)


def _number(text: bytes) -> float:
    if b"_" in text:  # Python reads 1_000
        raise ValueError("not a number")
    return float(text)


def family_of(name: str) -> str:
    """The family that a series of this name belongs to, if it is one of several names."""
    for ending in _COUNTER_ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def _is_bounded(labels: Labels) -> bool:
    return len(labels) <= _MAX_LABELS and all(
        len(name) <= _MAX_TEXT_CHARS and len(value) <= _MAX_TEXT_CHARS for name, value in labels.items()
    )
