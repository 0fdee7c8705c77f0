"""The local stack as data: which parts it has, what each runs, what it listens on, when it is ready, whom it needs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.programs.ports import LOOPBACK, UNIX, PortWish
from lepton_ai.local.stack import TOKEN_NAME

Readiness = Literal["grpc_health", "http"]


@dataclass(frozen=True)
class Layout:
    """What the builders of a process may use: folders, ports, how many of each part."""

    directory: RunDirectory
    ports: Mapping[str, int]
    replicas: Mapping[str, int] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=dict)
    """Part → processes of each replica that share its port, where that is more than one."""
    trace_ratio: float = 1.0
    python: str = sys.executable

    def address(self, name: str) -> str:
        """host:port of a named port; of a process that has none, its socket, to which only this user can connect."""
        return f"{LOOPBACK}:{self.ports[name]}" if name in self.ports else f"{UNIX}{self.directory.socket_of(name)}"

    def worker_addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a process's workers; none where it has no workers."""
        first = self.ports.get(f"{name}-workers", 0)
        count = self.workers.get(part_of(name), 1) if first else 0
        return tuple(f"{LOOPBACK}:{first + index}" for index in range(count))

    def data(self, name: str) -> str:
        """The folder in which a process keeps what it must not lose."""
        return str(self.directory.data.absolute() / name)

    def python_module(self, module: str, *arguments: str) -> tuple[str, ...]:
        """Run a module with this Python; a folder that happens to bear its name is not mistaken for it (-P)."""
        return (self.python, "-P", "-m", module, *arguments)


@dataclass(frozen=True)
class Restart:
    """When a process counts as started, and how long it may take to stop."""

    start_s: int = 3
    """A process that ends sooner waits longer before each new start; one that ends later is started again at once."""
    stop_wait_s: int = 15
    """From SIGTERM to SIGKILL: more than a service's drain."""


@dataclass(frozen=True)
class Part:
    """A row of the table. The builders get the layout and the name of the process, which names its ports, too."""

    name: str
    command: Callable[[Layout, str], tuple[str, ...]]
    environment: Callable[[Layout, str], Mapping[str, str]]
    readiness: Readiness
    usual_port: int | None = None
    """The first replica's main port where that is free; the next replica's is one more."""
    more_ports: Mapping[str, int | None] = field(default_factory=dict)
    """Suffix → usual port. `{"metrics": None}` of the registry is the port `registry-metrics`."""
    on_socket: bool = False
    """Whether its main port is a socket: a part that lets its callers do anything must be for this user alone."""
    needs: tuple[str, ...] = ()
    """Parts that this one calls. All start at once; it stops before they do, so that its last calls arrive."""
    ready_path: str = "/"
    replicas: int = 1
    replicas_like: str = ""
    """The part whose number of replicas this one has."""
    restart: Restart = Restart()
    expendable: Callable[[Layout, str], str] | None = None
    """The folder of data that it may lose, because others write all of it again."""


@dataclass(frozen=True)
class Process:
    """One process of the stack, ready to be started."""

    name: str
    part: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    address: str
    readiness: Readiness
    ready_path: str = "/"
    needs: tuple[str, ...] = ()
    restart: Restart = Restart()
    expendable: str = ""
    worker_addresses: tuple[str, ...] = ()
    """Where each of its workers is reached, if it has several; at `address`, any of them answers."""


def _etcd_command(layout: Layout, name: str) -> tuple[str, ...]:
    from lepton_ai.local.programs.etcd import etcd_command

    # Named from the folder in which it runs, since etcd 3.4 takes no other path.
    client, peer = (f"unix://{layout.directory.socket_of(each).name}" for each in (name, f"{name}-peer"))
    return etcd_command(Path(layout.data(name)), client, peer)


def _traces_command(layout: Layout, _name: str) -> tuple[str, ...]:
    return layout.python_module("lepton_ai.traces")


def _traces_environment(layout: Layout, name: str) -> Mapping[str, str]:
    return {
        "LEPTON_TRACES_HTTP_PORT": str(layout.ports[name]),
        "LEPTON_TRACES_GRPC_PORT": str(layout.ports[f"{name}-otlp"]),
        "LEPTON_TRACES_DB": str(Path(layout.data(name)) / "spans.sqlite"),
    }


def _triton_command(layout: Layout, name: str) -> tuple[str, ...]:
    return layout.python_module(
        "lepton_ai.local.programs.triton",
        *("--run-directory", str(layout.directory.triton(name).absolute())),
        *("--model-repository", _model_repository(layout, name)),
        *("--socket", str(layout.directory.socket_of(name))),
        *("--otlp-http-address", layout.address("traces")),
        *("--metrics-port", str(layout.ports[f"{name}-metrics"])),
    )


def _model_repository(layout: Layout, triton: str) -> str:
    return layout.data(f"models-{triton}")


def _nothing(_layout: Layout, _name: str) -> Mapping[str, str]:
    return {}


def _service_command(layout: Layout, name: str) -> tuple[str, ...]:
    return layout.python_module(f"services.{part_of(name)}")


def _service_environment(layout: Layout, name: str) -> Mapping[str, str]:
    return {
        "LEPTON_HOST": LOOPBACK,
        "LEPTON_PORT": str(layout.ports[name]),
        "LEPTON_METRICS_PORT": str(layout.ports[f"{name}-metrics"]),
        "LEPTON_WORKERS": str(layout.workers.get(part_of(name), 1)),
        "LEPTON_WORKER_PORT": str(layout.ports.get(f"{name}-workers", 0)),
        "LEPTON_ETCD_ADDRESS": layout.address("etcd"),
        "LEPTON_OTLP_ENDPOINT": layout.address("traces-otlp"),
        "LEPTON_TRACE_RATIO": str(layout.trace_ratio),
        "LEPTON_TOKEN_FILE": str((layout.directory.secrets / TOKEN_NAME).absolute()),
    }


def _registry_environment(layout: Layout, name: str) -> Mapping[str, str]:
    return {
        **_service_environment(layout, name),
        "LEPTON_DATA_DIR": layout.data(name),
    }


def _health_environment(layout: Layout, name: str) -> Mapping[str, str]:
    counts = {
        part: len(process_names(BY_NAME[part], layout.replicas)) * layout.workers.get(part, 1)
        for part in ("inference", "preprocess")
    }
    silent = [each for part in _SILENT for each in process_names(BY_NAME[part], layout.replicas)]
    return {
        **_service_environment(layout, name),
        "LEPTON_EXPECTED_REPLICAS": json.dumps(counts),
        "LEPTON_LOG_FILES": json.dumps({each: str(layout.directory.log(each).absolute()) for each in silent}),
        "LEPTON_SCRAPE_TARGETS": json.dumps({"traces": [layout.address("traces")]}),
        "LEPTON_DISK_DIRECTORY": str(layout.directory.home.absolute()),
        "LEPTON_SUPERVISOR_SOCKET": str(layout.directory.socket),
        "LEPTON_CONSOLE_PORT": str(layout.ports[f"{name}-console"]),
        "LEPTON_CONSOLE_URL": f"http://{LOOPBACK}:{layout.ports[f'{name}-console']}",
        "LEPTON_TRACES_URL": f"http://{layout.address('traces')}",
        "LEPTON_DATA_DIR": layout.data(name),
    }


def _inference_environment(layout: Layout, name: str) -> Mapping[str, str]:
    triton = name.replace("inference", "triton", 1)
    return {
        **_service_environment(layout, name),
        "LEPTON_TRITON_ADDRESS": layout.address(triton),
        "LEPTON_TRITON_METRICS_ADDRESS": layout.address(f"{triton}-metrics"),
        "LEPTON_TRITON_PID_FILE": str(layout.directory.pid_file(triton).absolute()),
        "LEPTON_MODEL_REPOSITORY": _model_repository(layout, triton),
        "LEPTON_CACHE_DIR": str(layout.directory.cache.absolute() / name),
    }


_SILENT = ("etcd", "traces", "triton", "inference")
"""They tell health nothing of what they log, and so does the Envoy in inference; it reads their log files."""
_METRICS: Mapping[str, int | None] = {"metrics": None}

# The ports that people and their programs use are the same each time where they are free. They lie below 32768, the
# first port that Linux hands to outgoing connections. 8500 is the port on which TensorFlow Serving answers gRPC, 16686,
# and 4317 are those of Jaeger's page and of OTLP over gRPC.
PARTS: tuple[Part, ...] = (
    Part(
        "etcd",
        _etcd_command,
        _nothing,
        "http",
        on_socket=True,
        ready_path="/health",
        # The registry publishes all deployments again, and what runs registers again.
        expendable=Layout.data,
    ),
    Part(
        "traces",
        _traces_command,
        _traces_environment,
        "http",
        usual_port=16686,
        more_ports={"otlp": 4317},
        ready_path="/api/services",
    ),
    Part(
        "triton",
        _triton_command,
        _nothing,
        "grpc_health",
        on_socket=True,
        more_ports=_METRICS,
        needs=("traces",),
        replicas_like="inference",
    ),
    Part(
        "registry",
        _service_command,
        _registry_environment,
        "grpc_health",
        usual_port=8510,
        more_ports=_METRICS,
        needs=("etcd", "traces"),
    ),
    Part(
        "preprocess",
        _service_command,
        _service_environment,
        "grpc_health",
        usual_port=8530,
        more_ports=_METRICS,
        needs=("etcd", "traces"),
    ),
    Part(
        "inference",
        _service_command,
        _inference_environment,
        "grpc_health",
        usual_port=8500,
        more_ports=_METRICS,
        needs=("etcd", "traces", "registry", "preprocess", "triton"),
        restart=Restart(stop_wait_s=20),
    ),
    Part(
        "health",
        _service_command,
        _health_environment,
        "grpc_health",
        usual_port=8520,
        more_ports={**_METRICS, "console": 8080},
        needs=("etcd", "traces", "registry", "inference"),
    ),
)
BY_NAME: Mapping[str, Part] = {part.name: part for part in PARTS}


def process_names(part: Part, replicas: Mapping[str, int]) -> tuple[str, ...]:
    """`registry`; `preprocess-1` and `preprocess-2` where the part can have several."""
    count = replicas.get(part.replicas_like or part.name, part.replicas)
    if count == 1 and part.replicas == 1:
        return (part.name,)
    return tuple(f"{part.name}-{number}" for number in range(1, count + 1))


def part_of(process: str) -> str:
    """The part that a process belongs to: `preprocess` of `preprocess-2`."""
    name, _, number = process.rpartition("-")
    return name if number.isdecimal() else process


def port_wishes(
    parts: tuple[Part, ...], replicas: Mapping[str, int], workers: Mapping[str, int]
) -> tuple[PortWish, ...]:
    """Every port that the processes need."""
    wishes: list[PortWish] = []
    for part in parts:
        for number, name in enumerate(process_names(part, replicas)):
            if not part.on_socket:
                wishes.append(PortWish(name, None if part.usual_port is None else part.usual_port + number))
            count = workers.get(part.name, 1)
            wishes += [
                PortWish(f"{name}-{suffix}", None if usual is None else usual + number, count)
                for suffix, usual in part.more_ports.items()
            ]
            if count > 1:
                wishes.append(PortWish(f"{name}-workers", None, count))
    return tuple(wishes)


def build_processes(parts: tuple[Part, ...], layout: Layout) -> tuple[Process, ...]:
    """The table with all names, ports and paths filled in. Raises FailedPrecondition when a program is missing."""
    return tuple(_build(part, name, layout) for part in parts for name in process_names(part, layout.replicas))


def _build(part: Part, name: str, layout: Layout) -> Process:
    return Process(
        name=name,
        part=part.name,
        command=part.command(layout, name),
        environment=part.environment(layout, name),
        address=layout.address(name),
        readiness=part.readiness,
        ready_path=part.ready_path,
        needs=part.needs,
        restart=part.restart,
        expendable=part.expendable(layout, name) if part.expendable else "",
        worker_addresses=layout.worker_addresses(name),
    )


def stop_order(processes: tuple[Process, ...]) -> tuple[tuple[Process, ...], ...]:
    """Groups of processes in the order in which to stop them: none before all that need it have stopped."""
    waves: list[tuple[Process, ...]] = []
    left = list(processes)
    while left:
        needed = {need for process in left for need in process.needs}
        wave = tuple(process for process in left if process.part not in needed)
        if not wave:
            raise ValueError(f"the needs of {left[0].name} go round in a circle")
        waves.append(wave)
        left = [process for process in left if process not in wave]
    return tuple(waves)
