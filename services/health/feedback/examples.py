"""Kept inputs with their right labels, chosen to be trained on or to be labelled."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from lepton_ai.mesh.prediction_ids import parse_prediction_id
from services.health.feedback.book import Entry, FeedbackBook
from services.health.feedback.inputs import KeptInput, KeptInputs

_PAGE_ROWS = 256
_PAGE_BYTES = 4 << 20
_LAST_SEQ = 1 << 62
_LAST_KEY = b"\xff" * 19


class Which(IntEnum):
    """As in the contract."""

    ALL = 0
    LABELLED = 1
    CORRECTED = 2
    UNLABELLED = 3
    DISAGREED = 4


@dataclass(frozen=True)
class Wanted:
    """Which examples; see ExportFeedbackRequest in protos/lepton_ai/v1/feedback.proto."""

    model: str
    version: int = 0
    which: Which = Which.ALL
    below_score: float | None = None
    since: float = 0.0
    before: float = float("inf")
    most_per_source: int = 0
    most_per_user: int = 0
    limit: int = 0

    def takes(self, kept: KeptInput, label: Entry | None) -> bool:
        """Whether an input is one of these, whoever labelled it."""
        return (
            self.version in (0, kept.version)
            and self.since <= kept.prediction.made_at < self.before
            and not (self.below_score is not None and kept.score >= self.below_score)
            and self._is_which(kept, label)
        )

    def _is_which(self, kept: KeptInput, label: Entry | None) -> bool:
        match self.which:
            case Which.LABELLED:
                return label is not None
            case Which.CORRECTED:
                return label is not None and label.said != kept.predicted
            case Which.UNLABELLED:
                return label is None
            case Which.DISAGREED:
                return bool(kept.other)
        return True


@dataclass(frozen=True)
class Example:
    """An input, and what its right label is."""

    kept: KeptInput
    label: Entry | None


@dataclass
class Page:
    """Some examples, and what was passed over on the way to them."""

    examples: list[Example] = field(default_factory=list)
    without_input: int = 0
    over_limit: int = 0
    size_bytes: int = 0

    def add(self, example: Example) -> None:
        """One more."""
        self.examples.append(example)
        self.size_bytes += len(example.kept.content)

    @property
    def is_full(self) -> bool:
        """Whether it is enough for one message."""
        return len(self.examples) >= _PAGE_ROWS or self.size_bytes >= _PAGE_BYTES


class Selection:
    """A model's examples, the newest first; each page is read on its own, whatever is written meanwhile."""

    def __init__(self, book: FeedbackBook, inputs: KeptInputs, wanted: Wanted) -> None:
        self._book = book
        self._inputs = inputs
        self._wanted = wanted
        self._before_seq, self._before_key = _LAST_SEQ, _LAST_KEY
        self._left = wanted.limit or _LAST_SEQ
        self._by_source: Counter[str] = Counter()
        self._by_user: Counter[bytes] = Counter()

    def next_page(self) -> Page | None:
        """The next examples; None after the last ones."""
        page, seen = Page(), 0
        labelled = self._wanted.which in (Which.LABELLED, Which.CORRECTED)
        for kept, label in self._labelled() if labelled else self._all():
            seen += 1
            if kept is None:
                page.without_input += 1
            elif self._wanted.takes(kept, label):
                self._take(Example(kept, label), page)
            if page.is_full or self._left <= 0 or seen >= 4 * _PAGE_ROWS:
                break
        return page if seen else None

    def _take(self, example: Example, page: Page) -> None:
        if example.label is not None and self._is_over_limit(example.label):
            page.over_limit += 1
        else:
            page.add(example)
            self._left -= 1

    def _is_over_limit(self, label: Entry) -> bool:
        self._by_source[label.source] += 1
        self._by_user[label.user or b""] += 1
        most_per_source, most_per_user = self._wanted.most_per_source, self._wanted.most_per_user
        of_source, of_user = self._by_source[label.source], self._by_user[label.user or b""]
        return 0 < most_per_source < of_source or (label.user is not None and 0 < most_per_user < of_user)

    def _labelled(self) -> Iterator[tuple[KeptInput | None, Entry]]:
        if self._left <= 0:
            return
        for label in self._book.labels(self._wanted.model, before=self._before_seq, limit=_PAGE_ROWS):
            self._before_seq = label.seq
            yield self._inputs.find(parse_prediction_id(label.prediction)), label

    def _all(self) -> Iterator[tuple[KeptInput, Entry | None]]:
        if self._left <= 0:
            return
        for kept in self._inputs.page(self._wanted.model, before=self._before_key, limit=_PAGE_ROWS):
            self._before_key = kept.prediction.key
            yield kept, self._book.label_of(str(kept.prediction))


def source_kind(source: str) -> str:
    """ "host", "form" or "token": how somebody came to say something."""
    scheme = source.partition(":")[0]
    return {"ipv4": "host", "ipv6": "host", "unix": "host", "form": "form"}.get(scheme, "token")


def source_hash(source: str) -> bytes:
    """Tells sources apart without naming them."""
    return hashlib.blake2b(source.encode(), digest_size=8, person=b"lepton").digest()
