"""Tables of rows: texts, numbers and categories, as they are or varied."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.datasets.batch import Augment
from lepton_ai.datasets.show.sampling import choose_rows, label_text, varied
from lepton_ai.datasets.show.shown import Listing
from lepton_ai.errors import InvalidInput
from lepton_ai.pipeline.vocabulary import split_words

if TYPE_CHECKING:
    from lepton_ai.datasets.dataset import Dataset

_MOST_TOKENS = 200
_SPECIAL = ("", "▢")
"""Padding, and a token that is not known."""

Rows = list[dict[str, Any]]


def list_rows(data: Dataset, n: int, augment: Augment | None, random: np.random.Generator) -> Listing:
    """Some rows; with an augmentation, texts and numbers as they are and varied."""
    rows = choose_rows(data, n, random)
    shown = sorted(
        (column for column in data.schema if column.role != "ignore"), key=lambda each: each.role != "target"
    )
    names = [column.name for column in shown]
    values = list(data.select(names).take(rows).rows())
    cells = {name: [label_text(value[name]) for value in values] for name in names}
    if augment is not None:
        kinds = {column.name: column.kind for column in shown if column.role == "input"}
        cells = _with_varied(cells, _vary_values(values, kinds, augment, random))
    table = tuple(zip(map(str, rows), *cells.values(), strict=True))
    return Listing(f"{data.name}: {len(rows)} of {len(data):,} rows", ("row", *cells), table)


def _with_varied(cells: dict[str, list[str]], new: dict[str, list[str]]) -> dict[str, list[str]]:
    """Every varied column stands behind its own."""
    both: dict[str, list[str]] = {}
    for name, texts in cells.items():
        both[name] = texts
        if name in new:
            both[f"{name}, varied"] = new[name]
    return both


def _vary_values(
    values: Rows, kinds: Mapping[str, str], augment: Augment, random: np.random.Generator
) -> dict[str, list[str]]:
    texts = [name for name, kind in kinds.items() if kind == "text"]
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    if texts:
        return {name: _vary_texts([str(row[name] or "") for row in values], augment, random) for name in texts}
    if numbers:
        return _vary_numbers(values, numbers, augment, random)
    raise InvalidInput("There is no column of pictures, sounds, texts or numbers to vary.", reason="WRONG_AUGMENTATION")


def _vary_texts(texts: list[str], augment: Augment, random: np.random.Generator) -> list[str]:
    """Texts as words (Chinese as characters) are given ids of their own, varied, and written again."""
    tokens = [split_words(text)[:_MOST_TOKENS] for text in texts]
    words = [*_SPECIAL, *dict.fromkeys(word for each in tokens for word in each)]
    ids_by_word = {word: number for number, word in enumerate(words)}
    ids = np.zeros((len(texts), max(1, *map(len, tokens))), dtype=np.int64)
    for row, each in enumerate(tokens):
        ids[row, : len(each)] = [ids_by_word[word] for word in each]
    inputs, _ = next(varied(augment, {"tokens": ids}, 1, random))
    return [_written([words[number] for number in row if number]) for row in inputs["tokens"].tolist()]


def _written(words: list[str]) -> str:
    """Words with spaces between them where people write some: not beside Chinese, not before punctuation."""
    text = ""
    for word in words:
        apart = text and not _is_wide(text[-1]) and not _is_wide(word[0]) and (word[0].isalnum() or word == _SPECIAL[1])
        text += (" " if apart else "") + word
    return text


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _vary_numbers(
    values: Rows, names: list[str], augment: Augment, random: np.random.Generator
) -> dict[str, list[str]]:
    """Numbers are varied as a model sees them: in units of their standard deviation among the rows shown."""
    numbers = np.array([[np.nan if row[name] is None else float(row[name]) for name in names] for row in values])
    known = np.isfinite(numbers)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, numbers, 0).sum(axis=0) / count
    std = np.sqrt(np.square(np.where(known, numbers - mean, 0)).sum(axis=0) / count)
    std = np.where(std == 0, 1, std)
    standard = np.nan_to_num((numbers - mean) / std).astype(np.float32)
    inputs, _ = next(varied(augment, {"features": standard}, 1, random))
    back = inputs["features"] * std + mean
    return {name: [label_text(float(value)) for value in back[:, at]] for at, name in enumerate(names)}
