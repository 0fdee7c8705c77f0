"""What is decided before containers start: which images serve, where traces go, which ports are published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from lepton_ai.errors import Unavailable
from lepton_ai.local.containers.compose import PORT_VARIABLES, ComposeSettings
from lepton_ai.local.programs.ports import choose_ports

TraceStore = Literal["jaeger", "builtin"]


class ImageStore(Protocol):
    """The part of an engine that has images."""

    def has_image(self, image: str) -> bool:
        """Whether it is on this machine."""

    def pull(self, image: str, *, log: Path, on_line: Callable[[str], None]) -> None:
        """Fetch it, or raise Unavailable."""

    def runs_onnx_natively(self, triton_image: str) -> bool:
        """Whether it holds the ONNX Runtime backend."""


class Listener(Protocol):
    """Receives progress; a part of the stack's Reporter."""

    def step(self, title: str) -> None:
        """Something that may take long begins."""

    def line(self, text: str) -> None:
        """A line that the program at work has printed."""

    def note(self, text: str) -> None:
        """Something that a person should know."""


@dataclass(frozen=True)
class PlanOptions:
    """Choices of a person that override deploy/.env."""

    ports: Mapping[str, int] = field(default_factory=dict)
    """Name as in local mode → number that it must have."""
    usual_ports: bool = True
    trace_ratio: float | None = None
    inference_workers: int | None = None


@dataclass(frozen=True)
class Images:
    """What the images on this machine make possible."""

    trace_store: TraceStore
    triton_backend: str


def fetch_images(settings: ComposeSettings, engine: ImageStore, *, log: Path, report: Listener) -> Images:
    """Pull what is missing of the images that are not built here. Raises Unavailable when one cannot be had."""
    cache = ("VALKEY_IMAGE",) if settings["LEPTON_SHARED_CACHE"] == "valkey" else ()
    database = ("POSTGRESQL_IMAGE",) if settings["LEPTON_DATABASE"] == "postgresql" else ()
    for variable in ("PYTHON_IMAGE", "ETCD_IMAGE", "TRITON_IMAGE", *cache, *database):
        _fetch(settings[variable], engine, log, report)
    trace_store = _choose_trace_store(settings, engine, log, report)
    backend = settings["TRITON_BACKEND"]
    if not backend:
        backend = "native" if engine.runs_onnx_natively(settings["TRITON_IMAGE"]) else "python"
        if backend == "python":
            report.note("This Triton image has no ONNX Runtime backend: models run in Lepton's runner.")
    return Images(trace_store, backend)


def plan_project(
    settings: ComposeSettings, options: PlanOptions, images: Images, *, previous: Mapping[str, int]
) -> tuple[dict[str, str], dict[str, int]]:
    """(variables that override deploy/.env, name → port). Raises FailedPrecondition when a fixed port is taken."""
    ports = choose_ports(settings.port_wishes(), fixed=options.ports, previous=previous, usual=options.usual_ports)
    variables = {PORT_VARIABLES[name]: str(port) for name, port in ports.items()}
    variables["TRITON_BACKEND"] = images.triton_backend
    if options.trace_ratio is not None:
        variables["TRACE_RATIO"] = str(options.trace_ratio)
    if options.inference_workers is not None:
        variables["INFERENCE_WORKERS"] = str(options.inference_workers)
    return variables, ports


def _choose_trace_store(settings: ComposeSettings, engine: ImageStore, log: Path, report: Listener) -> TraceStore:
    wanted = settings["LEPTON_TRACE_STORE"]
    if wanted == "builtin":
        return "builtin"
    try:
        _fetch(settings["JAEGER_IMAGE"], engine, log, report)
    except Unavailable:
        if wanted == "jaeger":
            raise
        report.note("Jaeger's image is not here and cannot be pulled: Lepton's own trace store takes its place.")
        return "builtin"
    return "jaeger"


def _fetch(image: str, engine: ImageStore, log: Path, report: Listener) -> None:
    if engine.has_image(image):
        return
    report.step(f"Pulling {image}")
    engine.pull(image, log=log, on_line=report.line)
