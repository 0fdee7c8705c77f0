"""Ids of predictions: 32 hex digits that say when and by which version; later ones sort after earlier ones."""

from __future__ import annotations

import hashlib
import random
import re
import time
from dataclasses import dataclass

from lepton_ai.errors import InvalidInput

TAG_DIGITS = 5
_TIME_DIGITS, _RANDOM_BITS = 12, 60
_ID = re.compile(r"([0-9a-f]{32})(?:-(\d{1,5}))?")
_MAX_INDEX = 65_535


@dataclass(frozen=True)
class PredictionId:
    """A prediction: the id of its answer, and which item of the call it is for."""

    base: bytes
    """Sixteen bytes."""
    index: int = 0

    @classmethod
    def of_key(cls, key: bytes) -> PredictionId:
        """The one whose `key` this is."""
        return cls(key[:-2], int.from_bytes(key[-2:], "big"))

    @property
    def made_at(self) -> float:
        """Seconds since 1970."""
        return int.from_bytes(self.base[:6], "big") / 1000

    @property
    def tag(self) -> str:
        """Of the version; see `version_tag`."""
        return self.base.hex()[_TIME_DIGITS : _TIME_DIGITS + TAG_DIGITS]

    @property
    def key(self) -> bytes:
        """Eighteen bytes that sort by time."""
        return self.base + self.index.to_bytes(2, "big")

    def __str__(self) -> str:
        return f"{self.base.hex()}-{self.index}"


def version_tag(model: str, version: int) -> str:
    """Five hex digits that tell a version from nearly all others, so that feedback finds it even by the id alone."""
    return hashlib.blake2b(f"{model}@{version}".encode(), digest_size=3).hexdigest()[:TAG_DIGITS]


def make_prediction_id(tag: str) -> str:
    """A new id of an answer: 48 bits of milliseconds, the version's tag, 60 random bits."""
    # Unique, not secret, so Python's own generator will do: the system's would cost a system call each time.
    return f"{time.time_ns() // 1_000_000:012x}{tag}{random.getrandbits(_RANDOM_BITS):015x}"


def parse_prediction_id(text: str, *, field: str = "prediction_id") -> PredictionId:
    """The prediction that a text names; the id of a whole answer means its first one. Raises InvalidInput."""
    found = _ID.fullmatch(text)
    if found is None or int(found[2] or 0) > _MAX_INDEX:
        raise InvalidInput.of_field(
            field, f"{text[:64]!r} is not the id of a prediction", fix="Send the `prediction_id` of an answer."
        )
    return PredictionId(bytes.fromhex(found[1]), int(found[2] or 0))


def user_hash(user: str) -> bytes:
    """Eight bytes in place of a routing key or the name of a user: enough to find again what was said and predicted."""
    return hashlib.blake2b(user.encode(), digest_size=8, person=b"lepton").digest()
