"""The profile of a model's training data: what every input was like, in bins; a few kilobytes of its package."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeGuard

from lepton_ai.errors import InvalidInput
from lepton_ai.inputs.bins import Bins
from lepton_ai.inputs.counts import MAX_FEATURES, MAX_NAME_CHARS, FeatureCounts, InputCounts

FORMAT = 1
MAX_PROFILE_BYTES = 1 << 20
_MOST_BINS = 64
_MOST_COUNT = 1 << 53


@dataclass(frozen=True)
class Reference:
    """What later values of one feature are compared with."""

    bins: Bins
    counts: tuple[int, ...]
    """Rows in each bin."""

    @classmethod
    def of(cls, counts: FeatureCounts) -> Reference:
        """Bins chosen from these values, with them in it."""
        bins = Bins.of(counts)
        return cls(bins, tuple(bins.place(counts)))

    @property
    def count(self) -> int:
        """All rows together."""
        return sum(self.counts)

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        bins = self.bins
        if bins.kind == "category":
            return {"kind": "category", "names": list(bins.names), "parts": bins.parts, "counts": list(self.counts)}
        exact = {"exact": True} if bins.is_exact else {}
        return {"kind": "number", "edges": list(bins.edges), **exact, "counts": list(self.counts)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any], *, field: str) -> Reference:
        """What `document` gave. Raises InvalidInput naming `field`."""
        if not isinstance(document, Mapping) or document.get("kind") not in ("number", "category"):
            raise InvalidInput.of_field(field, "is neither of numbers nor of categories")
        bins = _category_bins(document) if document["kind"] == "category" else _number_bins(document)
        if bins is None:
            raise InvalidInput.of_field(field, "has no usable bins")
        counts = document.get("counts")
        if not isinstance(counts, list) or len(counts) != len(bins) or not all(map(_is_count, counts)):
            raise InvalidInput.of_field(f"{field}.counts", f"are not {len(bins)} whole numbers, one for each bin")
        return cls(bins, tuple(counts))


@dataclass(frozen=True)
class Profile:
    """References of all features of a model's inputs."""

    rows: int
    """Rows of the training data that were looked at."""
    features: Mapping[str, Reference]

    @classmethod
    def of(cls, counts: InputCounts) -> Profile:
        """The profile of what was counted."""
        return cls(counts.rows, {name: Reference.of(each) for name, each in counts.features.items()})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its content."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        features = {name: reference.document() for name, reference in self.features.items()}
        return {"format": FORMAT, "rows": self.rows, "features": features}

    def to_json(self) -> bytes:
        """As the file of a package: the same bytes for the same profile."""
        return json.dumps(self.document(), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Profile:
        """What `to_json` wrote. Raises InvalidInput for anything else."""
        if len(content) > MAX_PROFILE_BYTES:
            raise InvalidInput.of_field("profile", f"has more than {MAX_PROFILE_BYTES} bytes", reason="WRONG_PROFILE")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: object) -> Profile:
        """What `document` gave. Raises InvalidInput for anything else."""
        if not isinstance(document, Mapping):
            raise InvalidInput.of_field("profile", "is no JSON object", reason="WRONG_PROFILE", fix=_FIX)
        if document.get("format") != FORMAT:
            raise InvalidInput.of_field(
                "profile.format", f"is not {FORMAT}, the one this release knows", reason="WRONG_PROFILE", fix=_FIX
            )
        rows, features = document.get("rows"), document.get("features")
        if not _is_count(rows):
            raise InvalidInput.of_field("profile.rows", "is not a whole number", reason="WRONG_PROFILE", fix=_FIX)
        if not isinstance(features, Mapping) or len(features) > MAX_FEATURES:
            raise InvalidInput.of_field(
                "profile.features", f"are not up to {MAX_FEATURES} by name", reason="WRONG_PROFILE", fix=_FIX
            )
        return cls(int(rows), {_name(name): _reference(name, features[name]) for name in features})


_FIX = "`model.package` writes it anew; without `profile` in lepton.yaml the first live rows are the reference."


def _name(name: str) -> str:
    if not 0 < len(name) <= MAX_NAME_CHARS:
        raise InvalidInput.of_field("profile.features", f"has a name of {len(name)} characters", reason="WRONG_PROFILE")
    return name


def _reference(name: str, document: Any) -> Reference:
    return Reference.from_document(document, field=f"profile.features[{name[:64]}]")


def _number_bins(document: Mapping[str, Any]) -> Bins | None:
    edges = document.get("edges")
    if not isinstance(edges, list) or len(edges) > _MOST_BINS or not all(map(_is_number, edges)):
        return None
    if any(low >= high for low, high in pairwise(edges)):
        return None
    return Bins("number", edges=tuple(map(float, edges)), is_exact=document.get("exact") is True)


def _category_bins(document: Mapping[str, Any]) -> Bins | None:
    names, parts = document.get("names"), document.get("parts")
    if not _are_names(names) or not _is_count(parts) or not 1 <= parts <= _MOST_BINS:
        return None
    return Bins("category", names=tuple(names), parts=parts)


def _are_names(names: object) -> TypeGuard[list[str]]:
    if not isinstance(names, list) or len(names) > _MOST_BINS:
        return False
    return all(isinstance(name, str) for name in names) and names == sorted(set(names))


def _is_number(value: object) -> bool:
    return _is_count(abs(value)) if type(value) is int else isinstance(value, float) and math.isfinite(value)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_COUNT
