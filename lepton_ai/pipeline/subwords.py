"""WordPiece: words as pieces of a vocabulary, longest piece first, and the training of such a vocabulary.

A piece that continues a word begins with "##". Sources: Y. Wu et al., "Google's Neural Machine Translation System",
2016, section 4.1, and J. Devlin et al., "BERT", 2019, for splitting; R. Sennrich et al., "Neural Machine Translation of
Rare Words with Subword Units", 2016, for the merges of training.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping
from itertools import pairwise

CONTINUES = "##"
MAX_WORD_CHARACTERS = 100
"""Longer words are one unknown token, as in BERT; it bounds the work for one word."""

_Pair = tuple[str, str]


def split_subwords(word: str, vocabulary: Container[str]) -> list[str] | None:
    """The pieces of a word, at each place the longest that the vocabulary has; None when a place has none."""
    if len(word) > MAX_WORD_CHARACTERS:
        return None
    pieces, begin = [], 0
    while begin < len(word):
        prefix = CONTINUES if begin else ""
        for end in range(len(word), begin, -1):
            if (piece := prefix + word[begin:end]) in vocabulary:
                pieces.append(piece)
                begin = end
                break
        else:
            return None
    return pieces


def train_subwords(words: Mapping[str, int], *, max_pieces: int, min_count: int) -> list[str]:
    """Pieces for words with their counts: characters by count, then the merges in the order they were made.

    The most frequent pair of neighbouring pieces becomes one, again and again, until there are `max_pieces` or no pair
    occurs `min_count` times. Equal counts: the pair that sorts first. Every word of characters that were kept can be
    split.
    """
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for piece in _characters(word):
            characters[piece] += count
    kept = [piece for piece, count in _by_count(characters) if count >= min_count][:max_pieces]
    alphabet = set(kept)
    splits = {
        word: list(_characters(word))
        for word in sorted(words)
        if len(word) <= MAX_WORD_CHARACTERS and alphabet.issuperset(_characters(word))
    }
    pieces = dict.fromkeys(kept)
    for piece in _Merges(splits, words).made(min_count):
        if len(pieces) >= max_pieces:
            break
        pieces.setdefault(piece)
    return list(pieces)


def _characters(word: str) -> Iterator[str]:
    yield from (character if not place else CONTINUES + character for place, character in enumerate(word))


def _by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


class _Merges:
    """Pairs of neighbours with their counts, kept up to date while pairs are merged."""

    def __init__(self, splits: dict[str, list[str]], counts: Mapping[str, int]) -> None:
        self._splits = splits
        self._word_counts = counts
        self._pair_counts: Counter[_Pair] = Counter()
        self._words_with: defaultdict[_Pair, dict[str, None]] = defaultdict(dict)
        for word in splits:
            self._count(word, sign=1)
        self._heap = [(-count, pair) for pair, count in self._pair_counts.items()]
        heapq.heapify(self._heap)

    def made(self, min_count: int) -> Iterator[str]:
        """Merges one pair after the other and gives the pieces that they become."""
        while self._heap:
            negative, pair = heapq.heappop(self._heap)
            if -negative != self._pair_counts[pair]:  # its count has changed since; the right one was pushed then
                continue
            if -negative < min_count:
                return
            yield self._merge(pair)

    def _merge(self, pair: _Pair) -> str:
        merged = pair[0] + pair[1].removeprefix(CONTINUES)
        changed: dict[_Pair, None] = {}
        for word in self._words_with.pop(pair):
            changed |= self._count(word, sign=-1)
            self._splits[word] = _joined(self._splits[word], pair, merged)
            changed |= self._count(word, sign=1)
        del self._pair_counts[pair]
        for other in changed:
            if (count := self._pair_counts[other]) > 0:
                heapq.heappush(self._heap, (-count, other))
        return merged

    def _count(self, word: str, *, sign: int) -> dict[_Pair, None]:
        """Add a word's pairs to the counts, or take them away; gives the pairs."""
        pieces = self._splits[word]
        pairs = dict.fromkeys(pairwise(pieces))
        for pair in pairwise(pieces):
            self._pair_counts[pair] += sign * self._word_counts[word]
        for pair in pairs:
            if sign > 0:
                self._words_with[pair][word] = None
        return pairs


def _joined(pieces: list[str], pair: _Pair, merged: str) -> list[str]:
    result: list[str] = []
    place = 0
    while place < len(pieces):
        if tuple(pieces[place : place + 2]) == pair:
            result.append(merged)
            place += 2
        else:
            result.append(pieces[place])
            place += 1
    return result
