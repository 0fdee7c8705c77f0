"""The tallies of all versions, in memory and in a file, and in a journal what was heard since that was written."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lepton_ai.errors import InvalidInput
from lepton_ai.inputs.messages import read_counts
from lepton_ai.inputs.profile import Profile
from lepton_ai.mesh.loops import run_loop
from lepton_ai.references import check_name
from lepton_ai.v1 import drift_pb2, feedback_pb2
from services.health.detect.drift.inputs import InputTally
from services.health.detect.drift.journal import Journal
from services.health.detect.drift.tally import Finding, VersionTally

MAX_VERSIONS = 500
"""Of all models; those that were heard of the longest ago go first."""
_SAVE_EVERY_S = 30.0
_MAX_JOURNAL_BYTES = 16 << 20
"""With more to read again it is saved at once."""
_FORMAT = 1
_log = logging.getLogger(__name__)


class DriftBook:
    """Hears of predictions and compares them. A kill -9 costs nothing that replicas were told is heard."""

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        """Read what an earlier process wrote. What cannot be read is put aside, and counting begins anew."""
        self._path = path
        self._wall = wall
        self._tallies, self._inputs, self._saves = _read(path)
        self._journal = Journal(self._journal_path(self._saves))
        for other in path.parent.glob(f"{path.stem}.*.journal"):  # a kill came between a file and its journal
            if other != self._journal.path:
                other.unlink()
        self._changing = asyncio.Lock()
        self._is_changed = False
        for at_s, batches in self._journal.heard():
            self._count(batches, at_s)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to save now and then."""
        self._task = run_loop(self._save_now_and_then, name="save drift")

    async def close(self) -> None:
        """Save for the last time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.save()
        self._journal.close()

    async def hear(self, batches: Sequence[feedback_pb2.RememberedPredictions]) -> None:
        """Count predictions that replicas have made. Batches without items only say that a version is there.

        Where the disk takes nothing they are counted all the same, and a kill -9 costs them.
        """
        heard_s = self._wall()
        async with self._changing:
            try:
                await asyncio.to_thread(self._journal.append, batches, heard_s)
            except OSError as error:
                _log.warning("cannot write down what was heard for drift: %s", error.strerror)
            self._count(batches, heard_s)
        if self._journal.size_bytes > _MAX_JOURNAL_BYTES:
            await self._try_to_save()

    def _count(self, batches: Sequence[feedback_pb2.RememberedPredictions], at_s: float) -> None:
        for batch in batches:
            if not batch.items:
                continue
            key = (batch.model, batch.version)
            tally = self._tallies.pop(key, None) or VersionTally()
            self._tallies[key] = tally  # the last heard of is the last
            names = ("", *batch.names)
            tally.add([names[label] for label in batch.labels], batch.values, at_s)
            self._is_changed = True
        while len(self._tallies) > MAX_VERSIONS:
            del self._tallies[next(iter(self._tallies))]

    def hear_inputs(self, batches: Sequence[drift_pb2.CountedInputs]) -> list[str]:
        """Count inputs that replicas have counted; gives the digests of profiles that are needed for that.

        Raises InvalidInput for what is no counts or no profile.
        """
        wanted = []
        for batch in batches:
            key = (check_name(batch.model, field="model"), batch.version)
            counts, tally = read_counts(batch), self._inputs.get(key)
            if tally is None or tally.profile_digest != batch.profile_digest:
                if batch.profile_digest and not batch.profile:
                    wanted.append(batch.profile_digest)
                    continue
                profile = Profile.from_json(batch.profile) if batch.profile else None
                tally = InputTally(profile, batch.profile_digest)
            self._inputs.pop(key, None)
            self._inputs[key] = tally  # the last heard of is the last
            tally.add(counts, self._wall())
            self._is_changed = True
        while len(self._inputs) > MAX_VERSIONS:
            del self._inputs[next(iter(self._inputs))]
        return wanted

    def input_findings(self, model: str) -> Mapping[int, Sequence[Finding]]:
        """Version → what was compared of its inputs; empty when no inputs were heard of."""
        now_s = self._wall()
        of_model = sorted((key for key in self._inputs if key[0] == model), reverse=True)
        return {version: self._inputs[model, version].findings(now_s) for _, version in of_model}

    def findings(self, model: str) -> Mapping[int, Sequence[Finding]]:
        """Version → what was compared; empty when no predictions were heard of."""
        now_s = self._wall()
        of_model = sorted((key for key in self._tallies if key[0] == model), reverse=True)
        return {version: self._tallies[model, version].findings(now_s) for _, version in of_model}

    @property
    def models(self) -> set[str]:
        """Those that predictions were heard of."""
        return {model for model, _ in (*self._tallies, *self._inputs)}

    async def save(self) -> None:
        """Write everything if anything has changed. Raises OSError."""
        async with self._changing:
            if self._is_changed:
                versions, inputs = _listed(self._tallies), _listed(self._inputs)
                document = {"format": _FORMAT, "saves": self._saves + 1, "versions": versions, "inputs": inputs}
                self._is_changed = False
                try:
                    await asyncio.to_thread(self._write, json.dumps(document))
                except OSError:
                    self._is_changed = True
                    raise

    def _write(self, document: str) -> None:
        """The file and its journal belong together: an empty journal is there before the file that names it."""
        following = Journal(self._journal_path(self._saves + 1))
        draft = self._path.with_name(f"{self._path.name}.draft")
        try:
            draft.write_text(document, encoding="utf-8")
            draft.replace(self._path)
        except OSError:
            following.close()
            raise
        self._journal.close()
        self._journal.path.unlink(missing_ok=True)
        self._journal, self._saves = following, self._saves + 1

    def _journal_path(self, saves: int) -> Path:
        return self._path.with_name(f"{self._path.stem}.{saves}.journal")

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_EVERY_S)
            await self._try_to_save()

    async def _try_to_save(self) -> None:
        try:
            await self.save()
        except OSError as error:
            _log.warning("cannot save what was counted for drift: %s", error.strerror)


def _listed(tallies: Mapping[tuple[str, int], VersionTally | InputTally]) -> list[Any]:
    return [[model, version, tally.as_json()] for (model, version), tally in tallies.items()]


def _read(path: Path) -> tuple[dict[tuple[str, int], VersionTally], dict[tuple[str, int], InputTally], int]:
    """The tallies of outputs and of inputs, and how often they were saved before."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            raise ValueError("written by another release")
        outputs = {(str(m), int(v)): VersionTally.from_json(known) for m, v, known in document["versions"]}
        inputs = {(str(m), int(v)): InputTally.from_json(known) for m, v, known in document.get("inputs", ())}
        return outputs, inputs, int(document.get("saves", 0))
    except FileNotFoundError:
        return {}, {}, 0
    except (AttributeError, InvalidInput, KeyError, TypeError, ValueError) as error:
        _log.warning("what was counted for drift cannot be read; it begins anew", extra={"error": type(error).__name__})
        path.replace(path.with_name(f"{path.name}.unusable"))
        return {}, {}, 0
