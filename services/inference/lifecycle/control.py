"""Wires the control plane of a replica: from settings and connections to a Reconciler."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from lepton_ai.mesh.discovery.state import StateStore
from lepton_ai.optimize.measure.cpu import Cpu, this_cpu
from lepton_ai.package.transfer import RegistryPool
from lepton_ai.pipeline.values import Limits
from lepton_ai.signing.policy import SignatureCheck
from services.inference.lifecycle.deployments import DeploymentView, MemoryFile, still_deployed
from services.inference.lifecycle.loading import Loader, LoadOptions
from services.inference.lifecycle.packages import PackageCache
from services.inference.lifecycle.prober import Predict, Prober
from services.inference.lifecycle.reconciler import Reconciler
from services.inference.lifecycle.signatures import Signatures
from services.inference.lifecycle.variants import Variants
from services.inference.lifecycle.version_life import PROBE_INTERVAL_S, LifeParts
from services.inference.locks import Locks
from services.inference.routing.routes import Routes
from services.inference.triton.backend import InferenceBackend
from services.inference.triton.repository import ModelRepository, TritonBackend, TritonDevice
from services.inference.triton.watch import POLL_INTERVAL_S, TritonWatch
from services.inference.variants.demand import Demand


def usable_cores() -> int:
    """Cores that this process may run on, which in a container may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class ControlOptions:
    """Settings of a replica's control plane."""

    model_repository: Path
    """Triton's model directory; Triton and this process see the same files in it."""
    cache: Path
    """A directory of this replica's own, for packages and for what it must remember; it must survive restarts. Its
    workers share it."""
    triton_backend: TritonBackend
    triton_device: TritonDevice
    triton_address: str = ""
    """Told to whoever looks at this replica: its workers share the Triton that is there."""
    fuses: bool = True
    """Whether pipelines may run beside their models."""
    limits: Limits = field(default_factory=Limits)
    """What such a pipeline allows an item."""
    signatures: SignatureCheck = field(default_factory=SignatureCheck)
    """How signatures of versions are verified before they are loaded."""
    wide_model_bytes: int = 0
    """Models up to this size get a second copy that runs on all cores."""
    cores: int = 0
    """How many copies of a model run when its package does not say; 0: one for each usable core, or one on a GPU."""
    drain_s: float = 30.0
    """How long a version that is to be unloaded may take to finish its last requests."""
    probe_interval_s: float = PROBE_INTERVAL_S
    """A version that has given no good answer for so long is probed."""
    triton_poll_s: float = POLL_INTERVAL_S
    cpu: Cpu | None = field(default_factory=this_cpu)
    """What variants must have been measured on; None where models run on a GPU."""


def make_reconciler(  # noqa: PLR0913 - they are its parts
    state: StateStore,
    registry: RegistryPool,
    *,
    triton: InferenceBackend,
    routes: Routes,
    options: ControlOptions,
    demand: Demand | None = None,
    predict: Predict | None = None,
    restart_triton: Callable[[], Awaitable[None]] | None = None,
) -> Reconciler:
    """The reconciler of a replica and its parts. Construct it inside a running event loop; `start` begins the work.

    `demand` says which variants calls have asked for; without it none is loaded.
    `predict` runs golden samples through the data plane's whole path; without it they are not tested.
    """
    changed, locks = asyncio.Event(), Locks(options.cache / "locks")
    loader = Loader(
        PackageCache(options.cache / "packages", registry, locks),
        ModelRepository(options.model_repository, backend=options.triton_backend, device=options.triton_device),
        triton,
        signatures=Signatures(options.cache / "signatures", registry, options.signatures),
        locks=locks,
        options=LoadOptions(
            instances=options.cores or (1 if options.triton_device == "gpu" else usable_cores()),
            fuses=options.fuses,
            limits=options.limits,
            wide_model_bytes=options.wide_model_bytes,
            wide_threads=options.cores or usable_cores(),
        ),
    )
    parts = LifeParts(
        loader=loader,
        watch=TritonWatch(
            triton,
            changed.set,
            address=options.triton_address,
            interval_s=options.triton_poll_s,
            restart=restart_triton,
        ),
        prober=Prober(triton, predict),
        changed=changed.set,
        restart_triton=restart_triton,
        drain_s=options.drain_s,
        probe_interval_s=options.probe_interval_s,
    )
    return Reconciler(
        state,
        routes,
        view=DeploymentView(state, still_deployed(registry), changed.set),
        parts=parts,
        variants=Variants(demand or Demand(idle_s=math.inf), options.cpu),
        memory=MemoryFile(options.cache / "deployments.json"),
        changed=changed,
    )
