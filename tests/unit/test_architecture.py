"""The rules of the design that a program can check: who imports whom, and how long things may get."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("health", "inference", "preprocess", "registry")

# Third-party client → the only places that may import it.
ONE_HOME = {
    "aetcd": ("lepton_ai/mesh/discovery/etcd",),
    "pyvoy": ("lepton_ai/mesh/serving/transports/pyvoy/",),
    "tritonclient": (
        "services/inference/triton/",
        "services/inference/oip/",
        "lepton_ai/testing/fake_triton.py",
        "lepton_ai/interchange/triton_repository.py",  # the message that configurations are
    ),
    "sqlalchemy": ("services/registry/", "lepton_ai/datasets/sql.py"),
    "alembic": ("services/registry/database/",),
    "model_signing": ("lepton_ai/signing/bundles.py",),
    "cryptography": ("lepton_ai/signing/", "lepton_ai/mesh/serving/transports/certificates.py"),
    "asyncpg": ("services/registry/database/postgresql.py",),
    "apprise": ("services/health/alerts/notify/messengers.py",),
    "httpx": ("services/registry/webhooks/sending.py", "services/health/alerts/notify/http.py"),
    "obstore": ("services/registry/storage/s3.py",),
    "onnx": ("lepton_ai/inspection/", "lepton_ai/optimize/"),
    "PIL": ("lepton_ai/pipeline/", "lepton_ai/synthetic/drawing/", "lepton_ai/fonts/", "lepton_ai/drawing/"),
    "starlette": ("lepton_ai/traces/", "services/health/console/", "services/health/feedback/page.py"),
    "uvicorn": ("lepton_ai/mesh/serving/http/",),
    "supervisor": ("lepton_ai/local/",),
    "redis": ("services/inference/cache/shared/redis_store.py",),
    "promql_parser": ("services/health/promql/parsing.py",),
    "re2": ("services/health/metrics/patterns.py",),
}

SDK_LAYERS = ("pipeline", "datasets", "training", "models", "reinforcement", "optimize")
"""Each may import those before it."""
_BELOW_PREDICT = {"paths", "batching", "preprocessing", "routing", "triton"}
INFERENCE_ROOMS: dict[str, set[str]] = {
    "api": {"cache", "forwarding", "predict", *_BELOW_PREDICT},
    "cache": {"predict", *_BELOW_PREDICT},
    "oip": {"forwarding", "predict", *_BELOW_PREDICT},
    "predict": _BELOW_PREDICT,
    "paths": set(),
    "batching": {"triton"},
    "preprocessing": {"triton"},
    "routing": {"triton"},
    "forwarding": {"routing"},
    "lifecycle": {"routing", "triton"},
    "triton": set(),
}
"""Room → the rooms that it may import."""
# Folders that are lists of small things of one kind: they may not grow without being looked at.
LARGE_FOLDERS = {
    "lepton_ai/datasets": 31,
    "lepton_ai/datasets/profile": 26,
    "lepton_ai/models": 32,
    "lepton_ai/pipeline": 32,
    "lepton_ai/traces": 26,
    "lepton_ai/training": 26,
    "lepton_ai/training/doctor": 17,
    "services/registry/database": 17,
}


@cache
def sources() -> dict[str, ast.Module]:
    paths = [*(ROOT / "lepton_ai").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
        for path in paths
        if "/v1/" not in str(path)
    }


def imported_modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_at_start(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run when the module is loaded: not those in functions, nor those for the type checker alone."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def import_graph() -> dict[str, set[str]]:
    """Module → the modules of ours that it names when it is loaded."""
    modules = {module_of(path): tree for path, tree in sources().items()}
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, tree in modules.items():
        for node in imported_at_start(tree):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            else:
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                named = [each if each in modules else str(node.module) for each in inside]
            graph[name].update(each for each in named if each in modules and each != name)
    return graph


def loading_graph() -> dict[str, set[str]]:
    """Module → the modules of ours that must be loaded before it: those that it names, with the packages around them.

    The packages around itself are loading by then.
    """
    graph = import_graph()
    return {
        name: {above for each in named for above in packages_around(each) & graph.keys()} - packages_around(name)
        for name, named in graph.items()
    }


def packages_around(module: str) -> set[str]:
    """The module with all packages that it lies in."""
    parts = module.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)}


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def test_the_sdk_never_imports_the_services() -> None:
    wrong = [
        path
        for path, tree in sources().items()
        if path.startswith("lepton_ai/")
        and any(module == "services" or module.startswith("services.") for module in imported_modules(tree))
    ]
    assert not wrong


@pytest.mark.parametrize("service", SERVICES)
def test_services_talk_to_each_other_and_do_not_import_each_other(service: str) -> None:
    others = tuple(f"services.{other}" for other in SERVICES if other != service)
    wrong = [
        path
        for path, tree in sources().items()
        if path.startswith(f"services/{service}/")
        and any(module.startswith(others) for module in imported_modules(tree))
    ]
    assert not wrong


def test_every_module_can_be_the_first_that_is_imported() -> None:
    try:
        order = list(TopologicalSorter(loading_graph()).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
    assert len(order) == len(import_graph())


def test_voices_are_imported_alone() -> None:
    program = "import lepton_ai.synthetic.voices"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lower", range(len(SDK_LAYERS) - 1))
def test_the_sdk_imports_downwards(lower: int) -> None:
    above = tuple(f"lepton_ai.{layer}" for layer in SDK_LAYERS[lower + 1 :])
    below = f"lepton_ai.{SDK_LAYERS[lower]}"
    wrong = [
        f"{name} → {imported}"
        for name, loads in import_graph().items()
        for imported in loads
        if _is_in(name, below) and any(_is_in(imported, each) for each in above)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", sorted(INFERENCE_ROOMS))
def test_rooms_of_the_inference_service_import_downwards(room: str) -> None:
    wrong = [
        f"{name} → {imported}"
        for name, loads in import_graph().items()
        for imported in loads
        for other in INFERENCE_ROOMS.keys() - INFERENCE_ROOMS[room] - {room}
        if _is_in(name, f"services.inference.{room}") and _is_in(imported, f"services.inference.{other}")
    ]
    assert wrong == []


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_folders_can_be_taken_in_at_a_glance() -> None:
    sizes = Counter(str(Path(path).parent) for path in sources())
    assert {folder: size for folder, size in sizes.items() if size > LARGE_FOLDERS.get(folder, 16)} == {}


@pytest.mark.parametrize("library", sorted(ONE_HOME))
def test_a_third_party_client_is_imported_in_one_place(library: str) -> None:
    importing = [
        path
        for path, tree in sources().items()
        if any(module == library or module.startswith(f"{library}.") for module in imported_modules(tree))
    ]
    assert importing
    assert [path for path in importing if not path.startswith(ONE_HOME[library])] == []


def test_opentelemetrys_sdk_is_there_for_tests_only() -> None:
    not_installed = ("opentelemetry.sdk", "opentelemetry.exporter")  # where the platform runs
    wrong = [
        path
        for path, tree in sources().items()
        if any(module.startswith(not_installed) for module in imported_modules(tree))
    ]
    assert wrong == []


def test_functions_are_short() -> None:
    lengths = {
        f"{path}:{function.lineno} {function.name}": length(function)
        for path, tree in sources().items()
        for function in functions(tree)
    }
    assert [where for where, lines in lengths.items() if lines > 60] == []
    assert statistics.quantiles(lengths.values(), n=20)[-1] <= 35


def test_files_fit_into_the_budget() -> None:
    wrong = {
        path: lines
        for path in sources()
        if (lines := len((ROOT / path).read_text(encoding="utf-8").splitlines())) > 400
    }
    assert wrong == {}


def test_every_file_says_what_it_is_for() -> None:
    assert [path for path, tree in sources().items() if tree.body and ast.get_docstring(tree) is None] == []


def test_public_names_are_sorted_and_exist() -> None:
    import lepton_ai

    assert list(lepton_ai.__all__) == sorted(lepton_ai.__all__)
    assert all(getattr(lepton_ai, name) for name in lepton_ai.__all__)


def test_only_one_copy_of_the_open_inference_protocol_is_loaded() -> None:
    import services.inference.triton.client  # noqa: F401 - whatever the service loads

    loaded = {name for name in sys.modules if name.endswith("service_pb2") and "triton" in name}
    assert loaded == {"tritonclient.grpc.service_pb2"}


OWNED_LOOPS = {
    "lepton_ai/mesh/loops.py": {"_run"},  # run_loop itself
    "services/inference/preprocessing/replica_stream.py": {"_send"},  # ends with its stream, which waits for it
}
"""Loops in plain tasks: somebody else waits for them and does what is to be done when they fail."""


def test_what_runs_as_long_as_its_process_is_begun_again_when_it_fails() -> None:
    """`while True` and `async for … in ….changes()` in a task of their own go through `run_loop`."""
    found = {
        path: names
        for path, tree in sources().items()
        if path.startswith(("services/", "lepton_ai/mesh/")) and (names := plain_tasks(tree) & endless(tree))
    }
    assert found == OWNED_LOOPS


def plain_tasks(tree: ast.Module) -> set[str]:
    """Names of the functions whose coroutines a module puts into tasks."""
    names = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if called_name(call) in ("create_task", "ensure_future") and isinstance(call.args[0], ast.Call):
            names.add(called_name(call.args[0]))
    return names


def endless(tree: ast.Module) -> set[str]:
    """Names of a module's functions that have a loop without an end."""
    return {function.name for function in functions(tree) if any(map(is_endless, ast.walk(function)))}


def is_endless(node: ast.AST) -> bool:
    if isinstance(node, ast.While):
        return isinstance(node.test, ast.Constant) and bool(node.test.value)
    return isinstance(node, ast.AsyncFor) and isinstance(node.iter, ast.Call) and called_name(node.iter) == "changes"


def called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""
