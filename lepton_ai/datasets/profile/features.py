"""Cheap features of rows for a quick look at their labels: no network, seconds for thousands of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from lepton_ai.datasets.profile.media import Clip, Picture
from lepton_ai.datasets.profile.sample import Sample
from lepton_ai.datasets.profile.survey import Survey
from lepton_ai.datasets.profile.values import Hashes, mix
from lepton_ai.tensors import Array

_MAX_CATEGORIES = 50
TEXT_CHARS = 1_000
"""How much of a text is looked at."""
_TEXT_FEATURES = 2**15
_TEXT_DIMENSIONS = 64


def features_of(survey: Survey) -> tuple[Any, Array] | None:
    """(what a linear model is given, what distances are measured in): a sparse matrix where there are texts.

    None when there is nothing to compute with. Numbers are standardised, categories one-hot, pictures 16 × 16 pixels
    and colours, sounds log energies, hashed pieces of one and two characters of the beginning of texts, by rarity.
    """
    sample = survey.sample
    dense = [block for block in _dense_blocks(sample, survey) if block.size]
    texts = [sample.texts[column.name] for column in survey.inputs("text")]
    if not dense and not texts:
        return None
    plain = np.concatenate(dense, axis=1) if dense else np.empty((len(sample), 0), np.float32)
    if not texts:
        return plain, plain
    return _with_texts(plain, texts, seed=survey.seed)


def _dense_blocks(sample: Sample, survey: Survey) -> Iterator[Array]:
    for column in survey.schema.inputs:
        name = column.name
        if column.kind == "number":
            yield standardised(sample.numbers[name][:, None])
        elif column.kind == "category":
            yield _one_hot(sample.categories[name])
        elif column.kind == "image":
            shown = (cell if isinstance(cell, Picture) else None for cell in sample.pictures[name])
            yield _scaled([None if cell is None else _pixels(cell) for cell in shown])
        elif column.kind == "sound":
            heard = (cell if isinstance(cell, Clip) else None for cell in sample.clips[name])
            yield _scaled([None if cell is None else cell.spectrum.ravel() for cell in heard])
        elif name in sample.tensors:
            yield standardised(sample.tensors[name])


def standardised(numbers: Array) -> Array:
    """Columns with median 0 and quartiles about ±0.7, at most ±5; missing ones 0."""
    finite = np.where(np.isfinite(numbers), numbers, np.nan)
    filled = np.where(np.isnan(finite).all(axis=0), 0.0, finite)
    middle = np.nanmedian(filled, axis=0)
    spread = np.nanpercentile(filled, 75, axis=0) - np.nanpercentile(filled, 25, axis=0)
    spread = np.where(spread > 0, spread / 1.349, np.nanstd(filled, axis=0))
    scaled = (filled - middle) / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.nan_to_num(scaled, nan=0.0).clip(-5, 5), dtype=np.float32)


def _one_hot(values: list[str | None]) -> Array:
    names = [name for name, count in Counter(values).most_common(_MAX_CATEGORIES) if name is not None and count > 1]
    ids = {name: index for index, name in enumerate(sorted(names))}
    block = np.zeros((len(values), len(ids)), np.float32)
    for row, value in enumerate(values):
        if value in ids:
            block[row, ids[value]] = 1.0
    return block


def _pixels(picture: Picture) -> Array:
    pixels = np.concatenate([picture.grey.ravel(), picture.colours.ravel()])
    return np.asarray(pixels / np.float32(255))


def _scaled(rows: list[Array | None]) -> Array:
    """The whole block with mean 0 and deviation 1, so that pixels keep their weights among each other."""
    width = next((len(row) for row in rows if row is not None), 0)
    block = np.stack([np.full(width, np.nan) if row is None else row for row in rows]) if rows else np.empty((0, 0))
    known = np.isfinite(block)
    if not known.any():
        return np.empty((len(rows), 0), np.float32)
    middle = np.nanmean(np.where(known.any(axis=0), block, 0.0), axis=0)
    spread = float(np.nanstd(block)) or 1.0
    return np.asarray(np.nan_to_num((block - middle) / spread, nan=0.0), dtype=np.float32)


def _with_texts(plain: Array, texts: list[list[str | None]], *, seed: int) -> tuple[Any, Array]:
    from scipy.sparse import csr_matrix, hstack  # type: ignore[import-untyped]  # comes with scikit-learn
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    words = TfidfTransformer(sublinear_tf=True).fit_transform(hstack([_piece_counts(column) for column in texts]))
    dimensions = min(_TEXT_DIMENSIONS, words.shape[0] - 1)
    near = TruncatedSVD(dimensions, n_iter=2, random_state=seed).fit_transform(words).astype(np.float32)
    near /= np.maximum(np.linalg.norm(near, axis=1, keepdims=True), 1e-9)
    return hstack([words, csr_matrix(plain)]).tocsr(), np.concatenate([near, plain], axis=1)


def _piece_counts(texts: list[str | None]) -> Any:
    """How often each text's beginning has each piece of one and two characters, by hash: a sparse matrix."""
    from scipy.sparse import csr_matrix

    columns, counts, ends = [], [], [0]
    for text in texts:
        pieces, times = np.unique(_pieces((text or "")[:TEXT_CHARS]), return_counts=True)
        columns.append(pieces.astype(np.int32))
        counts.append(times.astype(np.float32))
        ends.append(ends[-1] + len(pieces))
    return csr_matrix((np.concatenate(counts), np.concatenate(columns), ends), shape=(len(texts), _TEXT_FEATURES))


def _pieces(text: str) -> Hashes:
    points = np.frombuffer(text.lower().encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    pairs = (points[:-1] << np.uint64(21)) | points[1:]
    return mix(np.concatenate([points, pairs + np.uint64(1 << 42)])) % np.uint64(_TEXT_FEATURES)
