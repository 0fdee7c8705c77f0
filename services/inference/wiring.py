"""Puts the parts of an inference replica together: control plane, data plane, and both APIs on one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version

import grpc

from lepton_ai.mesh.calling.pool import ServicePool
from lepton_ai.mesh.discovery.endpoints import watch_endpoints
from lepton_ai.mesh.discovery.state import SERVING, StateStore, Watch
from lepton_ai.mesh.metrics import Metrics
from lepton_ai.mesh.serving import health
from lepton_ai.mesh.serving.advertised import is_loopback
from lepton_ai.mesh.serving.server import Server
from lepton_ai.mesh.serving.tokens import Tokens
from lepton_ai.mesh.tracing import Tracing, client_interceptors
from lepton_ai.mesh.tracing.context import context_of, undecided
from lepton_ai.optimize.measure.cpu import this_cpu
from lepton_ai.package.transfer import RegistryPool
from lepton_ai.v1 import inference_pb2
from services.inference.api import servicer
from services.inference.api.requests import read_request
from services.inference.api.responses import write_response
from services.inference.backpressure import StreamRoom
from services.inference.batching.admission import Limits
from services.inference.batching.batcher import Batcher
from services.inference.batching.flight import Airspace
from services.inference.batching.measurements import Measurements
from services.inference.cache.caches import Caches
from services.inference.cache.layer import CacheLayer
from services.inference.cache.shared.store import SharedStore
from services.inference.cache.status import CacheCollector
from services.inference.cache.tensors import CachedPreprocessing
from services.inference.call import Call
from services.inference.forwarding.forwarder import Forwarder
from services.inference.forwarding.placement import Placement
from services.inference.lifecycle.control import ControlOptions, make_reconciler
from services.inference.lifecycle.reconciler import Reconciler
from services.inference.oip import servicer as oip
from services.inference.paths.path import Path as ItemPath
from services.inference.predict.items import ItemRunner
from services.inference.predict.layers import LAYERS
from services.inference.predict.predictor import Listeners, Predictor
from services.inference.predict.runtime import Runtimes
from services.inference.preprocessing.streams import StreamedPreprocessing
from services.inference.recording.counter import InputCounter
from services.inference.recording.recorder import Recorder
from services.inference.requests import RequestCollector
from services.inference.routing.refusals import Refusals
from services.inference.routing.routes import Routes
from services.inference.settings import InferenceSettings
from services.inference.streaming import Streaming
from services.inference.triton.backend import InferenceBackend
from services.inference.triton.restart import TritonRestart
from services.inference.triton.slots import SlotNames, SlotPool
from services.inference.variants.chooser import VariantChooser
from services.inference.variants.demand import Demand
from services.inference.version import LoadedVersion

_PROBE_TIMEOUT_S = 30.0
_SETTLED_CHECK_S = 0.05


@dataclass(frozen=True)
class Connections:
    """What an inference replica talks to. Whoever opens them closes them, after the replica."""

    state: StateStore
    triton: InferenceBackend
    preprocess: ServicePool
    registry: RegistryPool
    replicas: ServicePool
    """Those of this service, which is not started before it is needed."""
    serving: Watch
    """What each of them says it serves."""
    health: ServicePool
    """Which is told what was answered."""
    closers: tuple[Callable[[], Awaitable[None]], ...] = ()

    @classmethod
    async def open(
        cls, state: StateStore, triton: InferenceBackend, settings: InferenceSettings, tracing: Tracing
    ) -> Connections:
        """Find the services that this one calls. Returns in any case, within the store's request timeout."""
        names, directory = ("preprocess", "registry", "inference", "health"), settings.cache_dir
        watching = [watch_endpoints(state, name, memory=directory / f"{name}-endpoints.json") for name in names]
        watches, serving = await asyncio.gather(asyncio.gather(*watching), state.watch(SERVING))
        # The stream to preprocess carries its traces in its messages: interceptors would only cost on each of them.
        traced = client_interceptors(tracing.tracer)
        interceptors: tuple[list[grpc.aio.ClientInterceptor], ...] = ([], traced, traced, [])
        pools = [
            ServicePool(
                name, watch, interceptors=chosen, max_message_bytes=settings.max_message_bytes, caller="inference"
            )
            for name, watch, chosen in zip(names, watches, interceptors, strict=True)
        ]
        preprocess, registry, replicas, health_pool = pools
        await asyncio.gather(preprocess.start(), registry.start(), health_pool.start())
        closers = (
            *(pool.close for pool in pools),
            triton.close,
            *(watch.close for watch in watches),
            serving.close,
        )
        return cls(state, triton, preprocess, registry, replicas, serving, health_pool, closers)

    async def close(self) -> None:
        """Close all but the store."""
        for close in self.closers:
            await close()


class InferenceReplica:
    """One replica: `start` it when its server listens; it ends when the server has drained."""

    def __init__(
        self,
        server: Server,
        settings: InferenceSettings,
        connections: Connections,
        *,
        tracing: Tracing,
        metrics: Metrics,
    ) -> None:
        self._server = server
        self._settings = settings
        self._tracing = tracing
        self._triton = connections.triton
        self._slots = _make_slots(connections.triton, settings)
        self.routes = Routes()
        refusals = Refusals(self.routes)
        self._forwarder = self._make_forwarder(connections, refusals)
        RequestCollector(metrics.registry, self.routes, refusals)
        self._airspace = Airspace()
        self.runtimes = Runtimes(
            self.routes,
            self._make_batcher,
            limits=Limits(settings.max_queue_rows, settings.max_queue_bytes),
            path=settings.path,
        )
        self._measurements = Measurements(metrics.registry, self.runtimes)
        server.tell_fullness(lambda: self.runtimes.fullness)
        self.preprocessing = StreamedPreprocessing(
            connections.preprocess,
            tracing,
            max_items=settings.max_preprocess_items,
            max_bytes=settings.max_preprocess_bytes,
        )
        self.caches = Caches(max_bytes=settings.cache_max_bytes, store=_make_store(settings))
        self.routes.on_replace(self.caches.follow)
        CacheCollector(metrics.registry, self.caches.partitions)
        self.recorder = Recorder(connections.health, metrics.registry, token=settings.read_token())
        self.inputs = InputCounter(connections.health, token=settings.read_token())
        self._demand = Demand(idle_s=settings.variant_idle_s)
        self.predictor = Predictor(
            self.routes,
            self.runtimes,
            ItemRunner(CachedPreprocessing(self.preprocessing), max_item_bytes=settings.max_item_bytes),
            max_items=settings.max_items,
            layers=(CacheLayer(self.caches.kept, max_rows=settings.max_items), *LAYERS),
            listeners=Listeners(answered=self.inputs.offer, disagreed=self.recorder.disagreed),
            choose_variant=VariantChooser(self.routes, self.runtimes, self._demand).choose,
        )
        self.reconciler = self._make_reconciler(connections)
        self._add_services()
        server.on_close(self._close)

    async def start(self) -> None:
        """Begin to serve what is deployed. Returns when all of it serves or cannot, at the latest after
        `ready_after_s`."""
        await self.preprocessing.start()
        self.caches.start()
        self.recorder.start()
        self.inputs.start()
        await self.reconciler.start(self._server.address)
        end_s = time.monotonic() + self._settings.ready_after_s
        while not self.reconciler.settled and time.monotonic() < end_s:  # noqa: ASYNC110 - it has no event for this
            await asyncio.sleep(_SETTLED_CHECK_S)

    def _make_batcher(self, loaded: LoadedVersion) -> Batcher:
        return Batcher(
            loaded,
            self._triton,
            tracer=self._tracing.tracer,
            batch_done=self._measurements.batch_done,
            slots=self._slots,
            airspace=self._airspace,
        )

    def _make_forwarder(self, connections: Connections, refusals: Refusals) -> Forwarder:
        # Replicas do not call one another where their port speaks TLS.
        replicas = connections.replicas if self._settings.tls() is None else None
        placement = Placement(connections.serving)
        return Forwarder(replicas, placement, refusals, own_address=lambda: self._server.address)

    def _make_reconciler(self, connections: Connections) -> Reconciler:
        pid_file = self._settings.triton_pid_file
        return make_reconciler(
            connections.state,
            connections.registry,
            triton=connections.triton,
            routes=self.routes,
            options=ControlOptions(
                model_repository=self._settings.model_repository,
                cache=self._settings.cache_dir,
                triton_backend=self._settings.triton_backend,
                triton_device=self._settings.triton_device,
                triton_address=self._settings.triton_address,
                fuses=self._settings.path is not ItemPath.REMOTE,
                limits=self._settings.limits,
                signatures=self._settings.signature_check(),
                wide_model_bytes=self._settings.wide_model_bytes,
                cpu=None if self._settings.triton_device == "gpu" else this_cpu(),
            ),
            demand=self._demand,
            predict=self._probe,
            restart_triton=None
            if pid_file is None
            else TritonRestart(pid_file, self._settings.cache_dir / "triton-ended"),
        )

    async def _probe(
        self, loaded: LoadedVersion, request: inference_pb2.PredictRequest
    ) -> inference_pb2.PredictResponse:
        """The whole path for a version that may not be routed yet; never traced, as nobody asked."""
        call = Call.arrive(timeout_s=_PROBE_TIMEOUT_S, context=context_of(undecided()))
        result = await self.predictor.predict_with(loaded, read_request(request), call)
        return write_response(request, result, call)

    def _add_services(self) -> None:
        streaming = Streaming(
            self._tracing,
            self._server.draining,
            StreamRoom(self._settings.max_stream_rows),
            timeout_s=self._settings.default_timeout_s,
            max_in_flight=self._settings.max_stream_messages,
        )
        native = servicer.InferenceServicer(
            self.predictor,
            caches=self.caches,
            streaming=streaming,
            forwarder=self._forwarder,
            recorder=self.recorder,
        )
        self._server.add(servicer.InferenceServicer.add_to, native, servicer.SERVICE_NAME)
        if token := self._settings.read_token():
            self._server.require_token(Tokens(token), servicer.SERVICE_NAME, open_methods=servicer.OPEN_METHODS)
        open_inference = oip.OpenInferenceServicer(
            self.predictor,
            self.routes,
            self.runtimes,
            lambda: self._server.health.status() == health.SERVING,
            version=version("lepton-serving"),
            streaming=streaming,
            forwarder=self._forwarder,
        )
        self._server.add(oip.add_to_server, open_inference, oip.SERVICE_NAME)

    async def _close(self) -> None:
        await self.reconciler.close()
        await self.predictor.close()
        await self.recorder.close()
        await self.inputs.close()
        await self.caches.close()
        await self.runtimes.close()
        await self.preprocessing.close()
        if self._slots is not None:
            await self._slots.close()


def _make_store(settings: InferenceSettings) -> SharedStore | None:
    if settings.cache_url is None:
        return None
    from services.inference.cache.shared.redis_store import RedisStore  # a tenth of the time that a start takes

    return RedisStore(settings.cache_url.get_secret_value())


def _make_slots(triton: InferenceBackend, settings: InferenceSettings) -> SlotPool | None:
    shares = settings.triton_shared_memory_bytes > 0 and _is_on_this_host(settings.triton_address)
    if not shares:
        return None
    number = 1 if settings.worker is None else settings.worker.number
    return SlotPool(
        triton, max_bytes=settings.triton_shared_memory_bytes, names=SlotNames(number, workers=settings.workers)
    )


def _is_on_this_host(address: str) -> bool:
    return address.startswith("unix:") or is_loopback(address.rpartition(":")[0])
