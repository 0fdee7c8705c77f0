"""Finds what is nearly the same among pictures, texts or rows of numbers: hash first, then compare."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np

from lepton_ai.datasets.profile.media import Picture
from lepton_ai.datasets.profile.values import Hashes, mix
from lepton_ai.datasets.times import Floats

_LARGEST_BUCKET = 200
"""A bucket with more members says that its content is common, not that it is the same."""
_BITS_APART = 4
_MIN_CORRELATION = 0.995
_BLANK_CONTRAST = 0.02
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")
_SHINGLE_CHARS = 3
_MIN_CHARS = 10
_PERMUTATIONS, _BANDS = 64, 16
_MIN_AGREEING = 38
"""Of 64 permutations 51 agree for a resemblance of 0.8; fewer than this once in 10,000 such pairs."""
_MIN_JACCARD = 0.8
_MOST_PIECES = 256
"""Of a longer text so many pieces stand for all, those of the lowest hashes, which are the same ones in a copy."""
_GRID = 0.02
_SURE_BITS = 10

with np.errstate(over="ignore"):
    _SALTS = mix(np.arange(1, _PERMUTATIONS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))

Pair = tuple[int, int]


def near_pictures(pictures: Sequence[Picture | None]) -> Iterator[Pair]:
    """Pairs that show the same: at most 4 of 64 bits of the difference hash apart, and 16 × 16 pixels that agree."""
    shown = {at: each for at, each in enumerate(pictures) if each is not None and each.contrast > _BLANK_CONTRAST}
    buckets = _buckets((at, _bands(each.fingerprint)) for at, each in shown.items())

    def same(left: int, right: int) -> bool:
        a, b = shown[left], shown[right]
        if (a.fingerprint ^ b.fingerprint).bit_count() > _BITS_APART:
            return False
        grey = np.corrcoef(a.grey.ravel().astype(float), b.grey.ravel().astype(float))[0, 1]
        return bool(grey >= _MIN_CORRELATION)

    return _pairs(buckets, same)


def near_texts(texts: Sequence[str | None]) -> Iterator[Pair]:
    """Pairs of which 80 % of the three-character pieces agree, whatever the punctuation, width and case.

    MinHash with banding: A. Broder, On the resemblance and containment of documents, 1997; its sketches of the lowest
    hashes keep time and memory bounded for long texts, whose share is then an estimate (± 2.5 %).
    """
    plain = ((at, _plain(text)) for at, text in enumerate(texts) if text)
    shingles = {at: shingle_hashes(text) for at, text in plain if len(text) >= _MIN_CHARS}
    signatures = {at: _signature(pieces) for at, pieces in shingles.items()}
    buckets = _buckets((at, _folded(signature)) for at, signature in signatures.items())

    def same(left: int, right: int) -> bool:
        if np.count_nonzero(signatures[left] == signatures[right]) < _MIN_AGREEING:  # cheap, and true of most
            return False
        a, b = shingles[left], shingles[right]
        return _resemblance(a, b) >= _MIN_JACCARD

    return _pairs(buckets, same)


def near_rows(columns: Mapping[str, Floats], others: Sequence[Sequence[str | None]]) -> Iterator[Pair]:
    """Pairs of rows whose numbers agree when rounded to a 50th of their column's spread, and all else is equal.

    Nothing when so few values are possible that rows would agree by chance.
    """
    numbers = np.stack([np.nan_to_num(column, nan=-1e300) for column in columns.values()], axis=1)
    spread = np.array([_spread(column) for column in columns.values()])
    grids = [np.floor(numbers / (spread * _GRID) + shift) for shift in (0.0, 0.5)]
    bits = sum(np.log2(max(1, len(np.unique(grids[0][:, at])))) for at in range(numbers.shape[1]))
    if bits < 2 * np.log2(max(2, len(numbers))) + _SURE_BITS:
        return iter(())
    rest = list(zip(*others, strict=True)) if others else [()] * len(numbers)
    keys = ((at, [(grid[at].tobytes(), rest[at]) for grid in grids]) for at in range(len(numbers)))

    def same(left: int, right: int) -> bool:
        return bool((np.abs(numbers[left] - numbers[right]) <= spread * _GRID).all())

    return _pairs(_buckets(keys), same)


def groups_of(pairs: Iterable[Pair]) -> list[list[int]]:
    """The sets that pairs connect, each sorted, in the order of their first member."""
    parent: dict[int, int] = {}

    def root(at: int) -> int:
        while parent.setdefault(at, at) != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for left, right in pairs:
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    groups = defaultdict(list)
    for at in sorted(parent):
        groups[root(at)].append(at)
    return [groups[first] for first in sorted(groups)]


def shingle_hashes(text: str) -> Hashes:
    """The distinct three-character pieces of a text as sorted numbers, of many the lowest."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    joined = np.zeros(len(points) - _SHINGLE_CHARS + 1, dtype=np.uint64)
    for at in range(_SHINGLE_CHARS):
        joined = (joined << np.uint64(21)) | points[at : len(points) - _SHINGLE_CHARS + 1 + at]
    return np.unique(mix(joined))[:_MOST_PIECES].copy()  # not a view, which would keep them all


def _resemblance(a: Hashes, b: Hashes) -> float:
    """The share of all pieces that both have: exact for short texts, else among the lowest pieces of the two."""
    _, counts = np.unique(np.concatenate([a, b]), return_counts=True)
    if max(len(a), len(b)) == _MOST_PIECES:
        counts = counts[:_MOST_PIECES]
    return float((counts == 2).mean())


def _plain(text: str) -> str:
    """Letters and digits alone."""
    return _NEITHER_LETTER_NOR_DIGIT.sub("", unicodedata.normalize("NFKC", text).casefold())


def _signature(pieces: Hashes) -> Hashes:
    return np.asarray(mix(pieces[None, :] ^ _SALTS[:, None]).min(axis=1))


def _folded(signature: Hashes) -> list[int]:
    """One number for each band."""
    bands = signature.reshape(_BANDS, -1)
    total = np.arange(_BANDS, dtype=np.uint64)
    for part in bands.T:
        total = mix(total ^ part)
    return [int(band) for band in total]


def _bands(fingerprint: int) -> list[Hashable]:
    """Five parts: of two hashes that are at most 4 bits apart, at least one part is equal."""
    return [(band, (fingerprint >> (13 * band)) & 0x1FFF) for band in range(5)]


def _spread(column: Floats) -> float:
    present = column[np.isfinite(column)]
    wide = float(np.subtract(*np.percentile(present, [95, 5]))) if len(present) else 0.0
    return wide or (float(np.ptp(present)) if len(present) else 0.0) or 1.0


def _buckets(keyed: Iterable[tuple[int, Iterable[Hashable]]]) -> dict[Hashable, list[int]]:
    buckets: dict[Hashable, list[int]] = defaultdict(list)
    for at, keys in keyed:
        for key in keys:
            buckets[key].append(at)
    return buckets


def _pairs(buckets: Mapping[Hashable, list[int]], same: Callable[[int, int], bool]) -> Iterator[Pair]:
    seen: set[Pair] = set()
    for members in buckets.values():
        near = combinations(members, 2) if len(members) <= _LARGEST_BUCKET else pairwise(members)
        for pair in near:
            if pair not in seen:
                seen.add(pair)
                if same(*pair):
                    yield pair
