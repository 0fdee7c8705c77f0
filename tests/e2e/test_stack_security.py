"""What another user of the machine can do to a running platform: look at it and predict, and change nothing."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from lepton_ai import AsyncClient
from lepton_ai.errors import NotFound, Unauthenticated
from lepton_ai.local.processes.run_directory import RunDirectory
from lepton_ai.local.processes.supervision import find_members
from services.registry.servicer import OPEN_METHODS
from tests.other_user import tries_of_another_user
from tests.platform import Platform


@pytest.fixture
def wide_open(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform's folder where everybody may look into it: its parts protect themselves."""
    top = tmp_path_factory.getbasetemp().parent
    folders = [platform.home, *(each for each in platform.home.parents if each.is_relative_to(top))]
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in folders}
    for folder, mode in modes.items():
        folder.chmod(mode | 0o055)
    yield platform
    for folder, mode in modes.items():
        folder.chmod(mode)


def test_another_user_changes_nothing(wide_open: Platform, tmp_path: Path) -> None:
    addresses, directory = wide_open.state.addresses, RunDirectory(wide_open.home)
    tried = tries_of_another_user(
        tmp_path,
        **{name: addresses[name] for name in ("triton", "etcd", "registry")},
        paths=[
            str(directory.secrets / "token"),
            str(directory.log("registry")),
            str(directory.supervisor / "processes.json"),
        ],
        folders=[str(folder) for folder in (directory.home, directory.data, directory.supervisor, directory.sockets)],
    )
    done = {name.removeprefix("registry ") for name, outcome in tried.items() if outcome == "DONE"}
    assert done <= set(OPEN_METHODS)
    refused = {name for name, outcome in tried.items() if outcome == "UNAUTHENTICATED"}
    assert {"registry PushVersion", "registry Deploy", "registry Undeploy", "registry SetAlias"} <= refused
    assert {outcome for name, outcome in tried.items() if name.startswith(("triton", "etcd"))} <= {
        "UNAVAILABLE",
        "FileNotFoundError",  # of the mark that its code would have made
    }


def test_no_secret_stands_on_a_command_line_or_in_an_environment(platform: Platform) -> None:
    token = platform.addresses.token
    assert len(token) >= 32
    for process in find_members(platform.state.stack_id):
        with process.oneshot():
            assert token not in " ".join(process.cmdline())
            assert token not in " ".join(process.environ().values())


def test_only_services_listen_on_ports_and_only_on_loopback(platform: Platform) -> None:
    listening = {
        (process.name(), connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in find_members(platform.state.stack_id)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address for _, address, _ in listening} == {"127.0.0.1"}
    assert not {name for name, _, _ in listening if "etcd" in name}
    (page,) = {port for name, _, port in listening if "triton" in name}
    _serves_only_numbers(f"http://127.0.0.1:{page}")


def _serves_only_numbers(triton: str) -> None:
    """Triton's page has its metrics: nothing else can be read there, and nothing done."""
    with httpx.Client(base_url=triton, trust_env=False, timeout=5) as page:
        assert "nv_inference_count" in page.get("/metrics").text
        for path in ("/v2/health/live", "/v2/repository/index", "/v2/models/efficientnet-lite0--v1/config"):
            assert page.get(path).content == b"", "it answers what it does not know with nothing"
        assert page.post("/v2/repository/models/efficientnet-lite0--v1/unload", json={}).status_code == 405


async def test_who_started_the_platform_needs_to_say_nothing(platform: Platform) -> None:
    async with AsyncClient(platform.addresses) as client:
        with pytest.raises(NotFound):
            await client.undeploy("absent")
    assert "There is no model absent" in platform.lepton("undeploy", "absent").stderr


async def test_with_another_token_changes_are_refused_and_the_error_says_what_to_do(platform: Platform) -> None:
    async with AsyncClient(replace(platform.addresses, token="guessed")) as client:
        with pytest.raises(Unauthenticated, match="LEPTON_TOKEN"):
            await client.undeploy("absent")
        assert await client.models()
