"""Free texts that say about the same, whatever language they are in, put together.

Each text is a hashed vector of its words, the character n-grams in them (Cavnar and Trenkle, 1994) and pairs of Han
characters, weighted by how rare they are (TF-IDF). In the order in which they came, texts join the nearest group or
begin one (leader clustering, Hartigan 1975); then groups that have grown together are joined and each text finds its
nearest. So what was a group yesterday is one today. Pure functions.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_DIMENSIONS = 1024
_JOIN_COSINE = 0.16
_MERGE_COSINE = 0.2
_MOST_GROUPS = 150
_MOST_CHARS = 400
"""Of a text: its beginning says what it is about."""
_CENTRED, _FEW_TEXTS = 0.5, 20
"""How much of what all texts have in common is left out of each, where there are more than a few."""
_KEYS = 4
_WORD = re.compile(r"[^\W\d_㐀-鿿]+|[㐀-鿿]+")
_STOP_WORDS = """
a an and are as at be but by can do does for from had has have i in is it its me my no not of on or our so that the
their there they this to was we were what when which with you your 的 了 是 我 在 也 和 就 都 很 不 这 那 有 吧 吗 啊
"""
_STOP = frozenset(_STOP_WORDS.split())
"""Too common to tell anything, where there are too few texts to see that."""

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Complaint:
    """A text that somebody wrote."""

    text: str
    version: int
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class ComplaintGroup:
    """Texts that say about the same."""

    id: str
    """The same as long as its first text counts."""
    example: str
    """The text that is most like all of them."""
    keys: Sequence[str]
    """Words that are frequent here and not elsewhere."""
    count: int
    versions: Mapping[int, int]
    first_at: float
    last_at: float


def group_complaints(complaints: Sequence[Complaint]) -> list[ComplaintGroup]:
    """The groups, the largest first. Texts are taken in the order of time."""
    ordered = sorted((each for each in complaints if each.text.strip()), key=lambda each: each.at)
    if not ordered:
        return []
    terms = [_terms(each.text) for each in ordered]
    vectors = _vectors(_features(terms))
    numbers = _assign(vectors, _lead(vectors))
    found = [np.flatnonzero(numbers == number) for number in range(int(numbers.max()) + 1)]
    document_counts = Counter(term for each in terms for term in set(each))
    groups = [_group(ordered, terms, vectors, rows, document_counts) for rows in found if rows.size]
    return sorted(groups, key=lambda group: (-group.count, group.first_at))


def _terms(text: str) -> list[str]:
    """Words, and of Chinese each pair of characters."""
    plain = unicodedata.normalize("NFKC", text[:_MOST_CHARS]).lower()
    terms: list[str] = []
    for word in _WORD.findall(plain):
        if "㐀" <= word[0] <= "鿿":
            kept = "".join(each for each in word if each not in _STOP)
            terms += [kept[at : at + 2] for at in range(max(1, len(kept) - 1))] if kept else []
        elif word not in _STOP:
            terms.append(word)
    return terms


def _features(texts: Sequence[Sequence[str]]) -> list[Counter[int]]:
    """Of each text the features of its terms, which are worked out once for all texts."""
    known = {term: _features_of(term) for term in {term for terms in texts for term in terms}}
    found = []
    for terms in texts:
        features: Counter[int] = Counter()
        for term in terms:
            for feature, count in known[term]:
                features[feature] += count
        found.append(features)
    return found


def _features_of(term: str) -> list[tuple[int, int]]:
    """Hashes of a term and of what it is made of, so that slow, slowly and slowness are alike."""
    features = Counter({_hash(term): 2})
    padded = f"<{term}>"
    parts = list(term) if term[0] >= "㐀" else [padded[at : at + 4] for at in range(len(padded) - 3)]
    features.update(map(_hash, parts))
    return list(features.items())


def _hash(feature: str) -> int:
    return zlib.crc32(feature.encode()) % _DIMENSIONS


def _vectors(features: Sequence[Counter[int]]) -> Vectors:
    """Rows of unit length."""
    vectors = np.zeros((len(features), _DIMENSIONS), dtype=np.float32)
    for row, counts in enumerate(features):
        if counts:
            vectors[row, list(counts)] = list(counts.values())
    np.log1p(vectors, out=vectors)
    frequency = np.count_nonzero(vectors, axis=0)
    weights = np.log((1 + len(features)) / (1 + frequency)) + 1
    vectors *= np.sqrt(weights).astype(np.float32)
    _normalise(vectors)
    vectors -= vectors.mean(axis=0) * np.float32(_CENTRED * len(features) / (len(features) + _FEW_TEXTS))
    _normalise(vectors)
    return vectors


def _normalise(vectors: Vectors) -> None:
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _lead(vectors: Vectors) -> Vectors:
    """Unit vectors in the middle of groups, in the order of their first texts."""
    sums = np.zeros((_MOST_GROUPS, vectors.shape[1]), dtype=np.float32)
    lengths = np.ones(_MOST_GROUPS, dtype=np.float32)
    count = 0
    for vector in vectors:
        cosines = sums[:count] @ vector / lengths[:count]
        nearest = int(cosines.argmax()) if count else 0
        if (not count or cosines[nearest] < _JOIN_COSINE) and count < _MOST_GROUPS:
            nearest, count = count, count + 1
        sums[nearest] += vector
        lengths[nearest] = max(float(np.linalg.norm(sums[nearest])), 1e-12)
    return _joined(sums[:count])


def _joined(sums: Vectors) -> Vectors:
    """Groups that have grown together are one: the later joins the earlier."""
    products = (sums @ sums.T).astype(np.float64)
    while True:
        lengths = np.sqrt(np.maximum(products.diagonal(), 1e-12))
        cosines = np.triu(products / np.outer(lengths, lengths), 1)
        if cosines.max(initial=0.0) < _MERGE_COSINE:
            return np.asarray(sums / lengths[:, np.newaxis], dtype=np.float32)
        earlier, later = np.unravel_index(int(cosines.argmax()), cosines.shape)
        sums[earlier] += sums[later]
        products[earlier] += products[later]
        products[:, earlier] += products[:, later]
        sums = np.delete(sums, later, axis=0)
        products = np.delete(np.delete(products, later, axis=0), later, axis=1)


def _assign(vectors: Vectors, middles: Vectors) -> npt.NDArray[np.intp]:
    """For each text the number of the nearest group."""
    return np.asarray((vectors @ middles.T).argmax(axis=1))


def _group(
    complaints: Sequence[Complaint],
    terms: Sequence[Sequence[str]],
    vectors: Vectors,
    rows: npt.NDArray[np.intp],
    document_counts: Counter[str],
) -> ComplaintGroup:
    members = [complaints[row] for row in rows]
    middle = vectors[rows].sum(axis=0)
    first = members[0]
    identity = hashlib.blake2b(f"{first.at}{first.text}".encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    own = Counter(term for row in rows for term in set(terms[row]))
    # How much more frequent here than in all texts, and how frequent at all.
    scores = {term: count * count / document_counts[term] for term, count in own.items()}
    return ComplaintGroup(
        id=identity,
        example=members[int((vectors[rows] @ middle).argmax())].text,
        keys=sorted(scores, key=lambda term: (-scores[term], term))[:_KEYS],
        count=len(members),
        versions=dict(sorted(Counter(each.version for each in members).items())),
        first_at=first.at,
        last_at=members[-1].at,
    )
