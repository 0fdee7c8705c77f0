"""The local stack as data: what starts, on which ports, told what, and in which order it stops."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.table import (
    PARTS,
    Layout,
    Part,
    Process,
    build_processes,
    part_of,
    port_wishes,
    process_names,
    stop_order,
)
from lepton_ai.local.processes.table_file import read_table, write_table
from lepton_ai.mesh.settings import ServiceSettings
from tests.topology import SERVICES, Service


def _layout(home: Path, **replicas: int) -> Layout:
    wishes = port_wishes(PARTS, replicas, {})
    return Layout(RunDirectory(home), {wish.name: 20_000 + n for n, wish in enumerate(wishes)}, replicas)


def _process(name: str, *needs: str) -> Process:
    return Process(name, part_of(name), ("true",), {}, "127.0.0.1:1", "http", needs=needs)


def test_the_stack_has_every_part_of_the_architecture(tmp_path: Path) -> None:
    names = {process.name for process in build_processes(PARTS, _layout(tmp_path))}
    assert names == {"etcd", "traces", "triton", "registry", "preprocess", "inference", "health"}


def test_every_inference_replica_has_a_triton_of_its_own(tmp_path: Path) -> None:
    layout = _layout(tmp_path, inference=2)
    processes = {process.name: process for process in build_processes(PARTS, layout)}
    for number in (1, 2):
        environment = processes[f"inference-{number}"].environment
        triton = processes[f"triton-{number}"]
        assert environment["LEPTON_TRITON_ADDRESS"] == triton.address
        assert environment["LEPTON_MODEL_REPOSITORY"] in triton.command
        assert environment["LEPTON_TRITON_PID_FILE"].endswith(f"triton-{number}.pid")


def test_whoever_tells_health_anything_has_the_token_to_show(tmp_path: Path) -> None:
    processes = {process.name: process for process in build_processes(PARTS, _layout(tmp_path))}
    files = {
        processes[name].environment["LEPTON_TOKEN_FILE"] for name in ("inference", "preprocess", "registry", "health")
    }
    assert files == {str(tmp_path / "secrets" / "token")}


def test_health_reads_the_log_files_of_those_that_tell_it_nothing(tmp_path: Path) -> None:
    processes = {process.name: process for process in build_processes(PARTS, _layout(tmp_path, inference=2))}
    files = json.loads(processes["health"].environment["LEPTON_LOG_FILES"])
    names = ("etcd", "inference-1", "inference-2", "traces", "triton-1", "triton-2")
    assert files == {name: str(tmp_path / "logs" / f"{name}.log") for name in names}


def test_workers_have_ports_in_a_row_and_count_as_replicas(tmp_path: Path) -> None:
    wishes = port_wishes(PARTS, {}, {"inference": 3})
    assert {wish.name: wish.count for wish in wishes if wish.count > 1} == {
        "inference-workers": 3,
        "inference-metrics": 3,
    }
    ports = {wish.name: 20_000 + 10 * n for n, wish in enumerate(wishes)}
    layout = Layout(RunDirectory(tmp_path), ports, {}, {"inference": 3})
    processes = {process.name: process for process in build_processes(PARTS, layout)}
    inference, first = processes["inference"], ports["inference-workers"]
    assert inference.worker_addresses == tuple(f"127.0.0.1:{first + index}" for index in range(3))
    assert (inference.environment["LEPTON_WORKERS"], inference.environment["LEPTON_WORKER_PORT"]) == ("3", str(first))
    assert processes["registry"].environment["LEPTON_WORKERS"] == "1"
    assert json.loads(processes["health"].environment["LEPTON_EXPECTED_REPLICAS"])["inference"] == 3
    write_table(tmp_path / "table.json", tuple(processes.values()), layout.directory)
    assert read_table(tmp_path / "table.json") == tuple(processes.values())


def test_health_knows_how_many_there_should_be_and_where_to_look(tmp_path: Path) -> None:
    layout = _layout(tmp_path, inference=2, preprocess=3)
    environment = {process.name: process.environment for process in build_processes(PARTS, layout)}["health"]
    assert json.loads(environment["LEPTON_EXPECTED_REPLICAS"]) == {"inference": 2, "preprocess": 3}
    assert environment["LEPTON_DISK_DIRECTORY"] == str(tmp_path)
    assert environment["LEPTON_SUPERVISOR_SOCKET"] == str(layout.directory.socket)


def test_only_etcd_may_lose_its_data_and_the_table_file_says_so(tmp_path: Path) -> None:
    processes = build_processes(PARTS, _layout(tmp_path))
    assert {process.name for process in processes if process.expendable} == {"etcd"}
    write_table(tmp_path / "processes.json", processes, RunDirectory(tmp_path))
    assert read_table(tmp_path / "processes.json") == processes
    (etcd,) = (process for process in processes if process.name == "etcd")
    assert f"--data-dir={etcd.expendable}" in etcd.command


def test_no_two_processes_share_a_port_a_data_folder_or_a_model_repository(tmp_path: Path) -> None:
    processes = build_processes(PARTS, _layout(tmp_path, inference=2, preprocess=3))
    assert len({process.address for process in processes}) == len(processes)
    repositories = [process.environment.get("LEPTON_MODEL_REPOSITORY") for process in processes]
    assert len(set(filter(None, repositories))) == 2


def test_services_are_told_where_etcd_and_the_trace_store_are_and_keep_their_port(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    for process in build_processes(PARTS, layout):
        if process.part in ("registry", "preprocess", "inference", "health"):
            assert process.environment["LEPTON_ETCD_ADDRESS"] == layout.address("etcd")
            assert process.environment["LEPTON_OTLP_ENDPOINT"] == layout.address("traces-otlp")
            assert process.address == f"127.0.0.1:{process.environment['LEPTON_PORT']}"


def test_triton_sends_its_spans_over_http_to_the_trace_store(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    triton = next(process for process in build_processes(PARTS, layout) if process.name == "triton")
    command = list(triton.command)
    assert command[command.index("--otlp-http-address") + 1] == layout.address("traces")


def test_a_module_of_the_same_name_in_the_working_directory_is_not_run(tmp_path: Path) -> None:
    assert _layout(tmp_path).python_module("services.inference")[1:3] == ("-P", "-m")


def test_paths_are_absolute_so_that_processes_may_run_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    processes = {process.name: process for process in build_processes(PARTS, _layout(Path(".lepton")))}
    assert processes["inference"].environment["LEPTON_MODEL_REPOSITORY"].startswith(str(tmp_path))
    assert f"--data-dir={tmp_path}/.lepton/data/etcd" in processes["etcd"].command


def test_usual_ports_of_replicas_follow_one_another() -> None:
    usual = {wish.name: wish.usual for wish in port_wishes(PARTS, {"inference": 2, "preprocess": 2}, {})}
    assert (usual["inference-1"], usual["inference-2"]) == (8500, 8501)
    assert (usual["preprocess-1"], usual["preprocess-2"]) == (8530, 8531)
    assert usual["traces"] == 16686
    assert usual["registry-metrics"] is None


def test_who_reaches_etcd_or_triton_may_do_anything_so_they_listen_where_only_this_user_can_connect(
    tmp_path: Path,
) -> None:
    layout = _layout(tmp_path, inference=2)
    ports = [name for name in layout.ports if name.startswith(("etcd", "triton"))]
    assert ports == ["triton-1-metrics", "triton-2-metrics"], "pages that can only be read"
    for process in build_processes(PARTS, layout):
        if process.part in ("etcd", "triton"):
            assert Path(process.address.removeprefix("unix:")).parent == layout.directory.sockets
            assert not [part for part in process.command if "http://" in part]


def test_usual_ports_are_no_ports_that_the_kernel_gives_to_outgoing_connections() -> None:
    assert all(wish.usual is None or wish.usual < 32_768 for wish in port_wishes(PARTS, {}, {}))


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_services_have_the_ports_and_needs_of_the_architecture(service: Service) -> None:
    part = next(part for part in PARTS if part.name == service.name)
    assert part.usual_port == service.port
    assert set(part.needs) == {*service.calls, "etcd", "traces"}


def test_every_part_needs_only_parts_that_exist() -> None:
    names = {part.name for part in PARTS}
    assert all(names.issuperset(part.needs) for part in PARTS)


def test_a_service_may_drain_before_it_is_killed() -> None:
    assert all(part.restart.stop_wait_s > 10 for part in PARTS)


@pytest.mark.parametrize(
    ("process", "part"), [("preprocess-2", "preprocess"), ("etcd", "etcd"), ("my-part", "my-part"), ("x-12", "x")]
)
def test_the_part_of_a_process_is_its_name_without_the_number(process: str, part: str) -> None:
    assert part_of(process) == part


def test_a_part_that_may_have_many_is_numbered_even_when_it_has_one() -> None:
    many = Part("worker", lambda *_: (), lambda *_: {}, "http", replicas=2)
    one = Part("only", lambda *_: (), lambda *_: {}, "http")
    assert process_names(many, {"worker": 1}) == ("worker-1",)
    assert process_names(one, {}) == ("only",)
    assert process_names(one, {"only": 2}) == ("only-1", "only-2")


def test_a_process_stops_before_those_that_it_needs(tmp_path: Path) -> None:
    waves = stop_order(build_processes(PARTS, _layout(tmp_path)))
    position = {process.part: number for number, wave in enumerate(waves) for process in wave}
    for part in PARTS:
        assert all(position[part.name] < position[need] for need in part.needs), part.name


def test_all_processes_stop_exactly_once(tmp_path: Path) -> None:
    processes = build_processes(PARTS, _layout(tmp_path, preprocess=3))
    stopped = [process.name for wave in stop_order(processes) for process in wave]
    assert sorted(stopped) == sorted(process.name for process in processes)


def test_needs_that_go_round_in_a_circle_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        stop_order((_process("a", "b"), _process("b", "a")))


def test_the_table_that_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    processes = build_processes(PARTS, _layout(tmp_path / "目录 # 50% \"q\" 'x'"))
    write_table(path, processes, RunDirectory(tmp_path))
    assert read_table(path) == processes
    assert all(row["log"].startswith(str(tmp_path)) for row in json.loads(path.read_text(encoding="utf-8")))


def test_without_a_table_there_are_no_processes(tmp_path: Path) -> None:
    assert read_table(tmp_path / "processes.json") == ()


@pytest.mark.parametrize("service", ["inference", "preprocess", "registry", "health"])
def test_a_service_is_told_nothing_that_it_would_not_hear(tmp_path: Path, service: str) -> None:
    module = importlib.import_module(f"services.{service}.settings")
    settings = next(
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, ServiceSettings) and each.__module__ == module.__name__
    )
    known = {f"LEPTON_{name.upper()}" for name in settings.model_fields}
    told = [process.environment for process in build_processes(PARTS, _layout(tmp_path)) if process.part == service]
    assert told
    assert all(environment.keys() <= known for environment in told)


def test_no_two_inference_replicas_share_a_cache(tmp_path: Path) -> None:
    processes = build_processes(PARTS, _layout(tmp_path, inference=2))
    caches = [process.environment["LEPTON_CACHE_DIR"] for process in processes if process.part == "inference"]
    assert len(set(caches)) == 2
