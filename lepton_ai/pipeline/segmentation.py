"""Splits Chinese text into words with jieba's dictionary and hidden Markov model (rjieba, its port to Rust)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rjieba import Jieba


def split_chinese(text: str) -> list[str]:
    """Words of a text in Chinese, mixed with any other script; white space is dropped.

    Depends on nothing but the text and the release of rjieba: same words in every thread and process.
    """
    return [word for segment in _segmenter().cut(text) for word in segment.split()]


@cache
def _segmenter() -> Jieba:
    """One of our own, made when the first text runs: anyone in the process may add words to the library's."""
    from rjieba import Jieba

    return Jieba()
