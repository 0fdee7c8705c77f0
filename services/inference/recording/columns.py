"""Predictions of one version, gathered column by column, as they are sent."""

from __future__ import annotations

from lepton_ai.postprocessing import Answered
from lepton_ai.v1 import feedback_pb2
from services.inference.recording.best import best_of

NO_USER = bytes(8)


class Columns:
    """What is remembered of a prediction: the best label with its score, or a single number; other kinds are not."""

    def __init__(self, model: str, version: int, variant: str = "") -> None:
        self._message = feedback_pb2.RememberedPredictions(model=model, version=version, variant=variant)
        self._ids: list[str] = []
        self._users: list[bytes] = []
        self._names: dict[str, int] = {}
        self._items: list[int] = []
        self._labels: list[int] = []
        self._values: list[float] = []
        self._durations_us: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, answer_id: str, item: int, row: Answered, duration_us: int, user: bytes) -> None:
        """One prediction. `answer_id`: 32 hex digits."""
        best = best_of(row)
        if best is None:
            return
        number = self._names.setdefault(best.label, len(self._names) + 1) if best.label else 0
        self._ids.append(answer_id)
        self._items.append(item)
        self._labels.append(number)
        self._values.append(best.value)
        self._durations_us.append(duration_us)
        self._users.append(user)

    def message(self) -> feedback_pb2.RememberedPredictions:
        """All that was added."""
        message = self._message
        message.ids, message.users = bytes.fromhex("".join(self._ids)), b"".join(self._users)
        message.names.extend(self._names)
        message.items.extend(self._items)
        message.labels.extend(self._labels)
        message.values.extend(self._values)
        message.durations_us.extend(self._durations_us)
        return message
