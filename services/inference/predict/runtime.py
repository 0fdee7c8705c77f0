"""What the data plane keeps for every loaded version: its signature and its batcher."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from services.inference.batching.admission import Admission, Limits
from services.inference.batching.batcher import Batcher
from services.inference.call import Call, gather_all
from services.inference.item import Items
from services.inference.paths.choosers import PathChoosers
from services.inference.paths.path import Path
from services.inference.routing.routes import Routes
from services.inference.rows import Answer, Rows, join, split
from services.inference.signature import Signature
from services.inference.version import LoadedVersion


class ModelRuntime:
    """Runs rows through one loaded version."""

    def __init__(
        self, loaded: LoadedVersion, batcher: Batcher, *, limits: Limits | None = None, path: Path | None = None
    ) -> None:
        """`path`: the only one that raw items are to take, where the version has it."""
        self.loaded = loaded
        self.signature = Signature(loaded.description)
        pipeline = {} if loaded.pipeline_proto is None else json.loads(loaded.pipeline_proto.document_json)
        self.pipeline_inputs = _kinds(pipeline.get("inputs", {}))
        """Name → kind ("image", "text", …); empty without a pipeline."""
        self.pipeline_readings = frozenset(pipeline.get("readings", {}))
        """Names of the inputs whose texts the pipeline reads as its table was read."""
        self.batcher = batcher
        self.admission = Admission(
            loaded.model,
            instances=loaded.instances,
            max_batch_rows=loaded.max_batch_size,
            limits=limits or Limits(),
        )
        self.paths = PathChoosers(loaded, path)
        self.may_go_elsewhere = loaded.runs_items and path is None
        """Whether an item that the preprocess service cannot take now may take another path."""

    def admit_items(self, items: Items, call: Call) -> AbstractContextManager[None]:
        """Let a call with these raw items in for the block. Raises ResourceExhausted when it would only wait."""
        pace = self.batcher.paces["items" if self.loaded.runs_items else "tensors"]
        size_bytes = sum(item.ByteSize() for item in items)
        return self.admission.admitted(len(items), size_bytes, call, pace.latency)

    def admit_rows(self, rows: Rows, call: Call) -> AbstractContextManager[None]:
        """The same for a call with ready tensors."""
        return self.admission.admitted(rows.count, rows.size_bytes, call, self.batcher.latency)

    async def run(self, rows: Rows, call: Call) -> Answer:
        """The outputs of these rows, however many: more than a batch holds go as several batches side by side."""
        if rows.count <= self.loaded.max_batch_size:
            return await self._submit(rows, call)
        answers = await gather_all(self._submit(part, call) for part in self._chunks(rows))
        return Answer(
            join([answer.rows for answer in answers]),
            queue_us=max(answer.queue_us for answer in answers),
            compute_us=max(answer.compute_us for answer in answers),
            batch_rows=max(answer.batch_rows for answer in answers),
        )

    async def _submit(self, rows: Rows, call: Call) -> Answer:
        return await self.batcher.submit(
            rows,
            deadline=call.deadline,
            priority=call.priority,
            context=call.recorded_context,
            flow=call.tenant or call,
        )

    def _chunks(self, rows: Rows) -> list[Rows]:
        size = self.loaded.max_batch_size
        return split(rows, [min(size, rows.count - start) for start in range(0, rows.count, size)])


class Runtimes:
    """The runtimes of all versions that this replica serves, made when first needed."""

    def __init__(
        self,
        routes: Routes,
        make_batcher: Callable[[LoadedVersion], Batcher],
        *,
        limits: Limits | None = None,
        path: Path | None = None,
    ) -> None:
        self._routes = routes
        self._make_batcher = make_batcher
        self._limits = limits
        self._path = path
        self._runtimes: dict[tuple[LoadedVersion, bool], ModelRuntime] = {}

    def of(self, loaded: LoadedVersion, *, apart: bool = False) -> ModelRuntime:
        """The runtime of a version; `apart`: the one for calls that wait and are batched by themselves."""
        runtime = self._runtimes.get((loaded, apart))
        if runtime is None:
            self._forget_unrouted()
            runtime = self._runtimes[loaded, apart] = ModelRuntime(
                loaded, self._make_batcher(loaded), limits=self._limits, path=self._path
            )
        return runtime

    @property
    def queued_rows(self) -> int:
        """Rows that wait, over all versions."""
        return sum(runtime.batcher.queued_rows for runtime in self._runtimes.values())

    @property
    def fullness(self) -> float:
        """The part that is taken of what may be on its way at once, of the version with the least room."""
        return max((runtime.admission.fullness for runtime in self._runtimes.values()), default=0.0)

    async def close(self) -> None:
        """Fail everything that waits."""
        for runtime in self._runtimes.values():
            await runtime.batcher.close()
        self._runtimes.clear()

    def _forget_unrouted(self) -> None:
        """Drop versions that get no calls any more; one that still works is dropped next time."""
        routed = {loaded for model in self._routes.models() for loaded in model.loaded}
        for (loaded, apart), runtime in list(self._runtimes.items()):
            if loaded not in routed and not runtime.batcher.busy:
                del self._runtimes[loaded, apart]


def _kinds(declared: Mapping[str, Any]) -> Mapping[str, str]:
    return {name: kind["kind"] if isinstance(kind, dict) else kind for name, kind in declared.items()}
