"""A Triton for tests: in memory, really computes, and dies when told to. Has the seam of `Triton`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tritonclient.grpc import service_pb2

from lepton_ai import tensors
from lepton_ai.errors import DeadlineExceeded, InternalError, InvalidInput, Unavailable
from lepton_ai.testing.fake_triton_regions import FakeRegions

Compute = Callable[[str, Mapping[str, tensors.Array]], Mapping[str, tensors.Array]]


def affine(name: str, inputs: Mapping[str, tensors.Array]) -> Mapping[str, tensors.Array]:
    """y = 2·x + 1 in float32, where x is the first input by name, whatever it is called."""
    _, values = min(inputs.items())
    return {"y": np.asarray(values, dtype=np.float32) * 2 + 1}


class FakeTriton:
    """Starts up, empty. Every model name can be loaded unless `break_load` says otherwise."""

    def __init__(self, compute: Compute = affine, *, shared_memory: Path | None = None) -> None:
        """`shared_memory` is the directory in which its regions are; without it none can be registered."""
        self.compute = compute
        self.shared_memory = FakeRegions(shared_memory)
        self.compute_s = 0.0
        """Seconds that each inference takes."""
        self.requests: list[service_pb2.ModelInferRequest] = []
        """Every inference that reached a living Triton, oldest first."""
        self.request_metadata: list[dict[str, str]] = []
        self.calls: list[tuple[str, str]] = []
        """("load" | "unload", model name), oldest first."""
        self._up = True
        self._hangs = False
        self._states: dict[str, str] = {}
        self._broken: dict[str, str] = {}
        self._dead_stubs: set[str] = set()
        self._stuck: set[str] = set()
        self._unloading: set[str] = set()

    # What a test does to it.

    def kill(self) -> None:
        """Die as by kill -9: every call fails until `restart`."""
        self._up = False

    def hang(self) -> None:
        """Live on and answer nothing, so that every call runs into its deadline, until `restart`."""
        self._hangs = True

    def restart(self) -> None:
        """Come back with nothing loaded."""
        self._up, self._hangs = True, False
        self._states.clear()
        self.shared_memory.clear()
        self._dead_stubs.clear()
        self._stuck.clear()
        self._unloading.clear()

    def kill_stub(self, name: str, *, stuck: bool = False) -> None:
        """Kill the process behind a model: Triton still calls it ready. `stuck`: no further load of the version brings
        one up."""
        self._dead_stubs.add(name)
        if stuck:
            self._stuck.add(name)

    def keep_unloading(self, name: str) -> None:
        """Never finish with unloading this name, until `restart`: Triton takes seconds where a process was killed."""
        self._unloading.add(name)

    def break_load(self, name: str, message: str = "broken model") -> None:
        """Make loading this model fail."""
        self._broken[name] = message

    def mend_load(self, name: str) -> None:
        """Make loading this model work again."""
        self._broken.pop(name, None)

    @property
    def loaded(self) -> frozenset[str]:
        """Names of the models that are ready."""
        return frozenset(name for name, state in self._states.items() if state == "READY")

    # The backend seam.

    async def infer(
        self, request: service_pb2.ModelInferRequest, *, timeout_s: float, metadata: Sequence[tuple[str, str]] = ()
    ) -> service_pb2.ModelInferResponse:
        """Compute one request. Fails as the real one does when killed, not loaded, dead or too slow."""
        await self._answer(timeout_s)
        self._check_ready(request.model_name)
        self.requests.append(request)
        self.request_metadata.append(dict(metadata))
        if request.model_name in self._dead_stubs:
            raise Unavailable("The process that runs this model has died.", reason="STUB_DEAD", retry_after_s=1.0)
        # As the real one, it goes on with a request that was given up, and reads its shared memory until then.
        work = asyncio.ensure_future(self._work(request, self.shared_memory.begin(request)))
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait((work,), timeout=timeout_s)
        if not work.done():
            raise DeadlineExceeded("The model did not answer in time.")
        return work.result()

    async def _work(
        self, request: service_pb2.ModelInferRequest, contents: list[bytes]
    ) -> service_pb2.ModelInferResponse:
        try:
            await asyncio.sleep(self.compute_s)
        finally:
            contents = self.shared_memory.end(request, contents)
        self._check_up()
        outputs = self.run(request.model_name, _inputs(request, contents))
        return _response(request, outputs)

    def run(self, name: str, inputs: Mapping[str, tensors.Array]) -> Mapping[str, tensors.Array]:
        """What a request's inputs become: `compute`, for a subclass to put something before it."""
        return self.compute(name, inputs)

    async def ready(self) -> bool:
        """Whether it is up."""
        return self._up and not self._hangs

    async def load(self, name: str, *, timeout_s: float = 120.0) -> None:
        """Load a model, or fail as told by `break_load`."""
        await self._answer()
        self.calls.append(("load", name))
        await asyncio.sleep(0)
        if any(name == stuck or name.startswith(f"{stuck}-") for stuck in self._stuck):
            raise DeadlineExceeded("The model did not load in time.")
        if name in self._broken:
            self._states[name] = "UNAVAILABLE"
            raise InternalError(self._broken[name], reason="LOAD_FAILED")
        self._dead_stubs.discard(name)
        self._states[name] = "READY"

    async def unload(self, name: str, *, timeout_s: float = 5.0) -> None:
        """Unload a model; unknown names are fine."""
        await self._answer()
        self.calls.append(("unload", name))
        await asyncio.sleep(0)
        if name in self._states:
            self._states[name] = "UNLOADING" if name in self._unloading else "UNAVAILABLE"

    async def index(self) -> Mapping[str, str]:
        """All models that it was asked to load since it started → their state."""
        await self._answer()
        return dict(self._states)

    async def metadata(self, name: str) -> service_pb2.ModelMetadataResponse:
        """Only the name and the version: the fake knows no tensors."""
        await self._answer()
        self._check_ready(name)
        return service_pb2.ModelMetadataResponse(name=name, versions=["1"], platform="fake")

    async def statistics(self, name: str = "") -> Sequence[service_pb2.ModelStatistics]:
        """Inference counts of one model, or of all that are ready."""
        await self._answer()
        names = [name] if name else sorted(self.loaded)
        counts = [sum(request.model_name == each for request in self.requests) for each in names]
        return [
            service_pb2.ModelStatistics(name=each, version="1", inference_count=count, execution_count=count)
            for each, count in zip(names, counts, strict=True)
        ]

    async def version(self) -> tuple[int, ...]:
        """That of the Triton that it imitates."""
        await self._answer()
        return (2, 51, 0)

    async def register_region(self, name: str, size_bytes: int) -> None:
        """Map a file of the shared memory's directory, or fail as the real one does when it is not there."""
        await self._answer()
        self.shared_memory.register(name, size_bytes)

    async def unregister_region(self, name: str) -> None:
        """Forget a region that no request uses."""
        await self._answer()
        self.shared_memory.unregister(name)

    async def regions(self) -> Sequence[str]:
        """Names of the regions."""
        await self._answer()
        return self.shared_memory.names

    async def close(self) -> None:
        """Nothing to close."""

    async def _answer(self, timeout_s: float = 5.0) -> None:
        if self._hangs:
            await asyncio.sleep(timeout_s)
            raise DeadlineExceeded("Triton did not answer in time.")
        self._check_up()

    def _check_up(self) -> None:
        if not self._up:
            raise Unavailable("Triton does not answer.", reason="TRITON_AWAY", retry_after_s=1.0)

    def _check_ready(self, name: str) -> None:
        if name not in self.loaded:
            raise Unavailable("The model is not loaded.", reason="MODEL_NOT_LOADED", retry_after_s=1.0)


def _inputs(request: service_pb2.ModelInferRequest, contents: Sequence[bytes]) -> dict[str, tensors.Array]:
    if len(contents) != len(request.inputs):
        raise InvalidInput("The fake takes raw contents only, one for each input.", reason="TRITON_REJECTED")
    return {
        tensor.name: tensors.from_wire(tensor.datatype, tensor.shape, raw, field=tensor.name)
        for tensor, raw in zip(request.inputs, contents, strict=True)
    }


def _response(
    request: service_pb2.ModelInferRequest, outputs: Mapping[str, tensors.Array]
) -> service_pb2.ModelInferResponse:
    wanted = [output.name for output in request.outputs] or list(outputs)
    response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
    for name in wanted:
        if name not in outputs:
            raise InvalidInput(f"unexpected inference output {name!r}", reason="TRITON_REJECTED")
        dtype, shape, raw = tensors.to_wire(outputs[name])
        response.outputs.add(name=name, datatype=dtype, shape=shape)
        response.raw_output_contents.append(raw)
    return response
