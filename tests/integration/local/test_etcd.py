"""A local etcd of ours: starts on free or given ports, survives restarts, and explains why it does not start."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lepton_ai.errors import FailedPrecondition, Unavailable
from lepton_ai.local.programs.etcd import LocalEtcd, running_etcd
from lepton_ai.local.programs.ports import PortWish, choose_ports
from lepton_ai.mesh.discovery.etcd import EtcdStore


async def test_two_run_side_by_side(tmp_path: Path) -> None:
    async with running_etcd(tmp_path / "one") as one, running_etcd(tmp_path / "two") as two:
        assert one.address != two.address
        assert one.pid != two.pid


async def test_it_keeps_its_port_and_its_data_over_a_crash(tmp_path: Path) -> None:
    async with running_etcd(tmp_path / "数据") as etcd:
        store = EtcdStore(etcd.address)
        await store.put("/t/key", b"1")
        await etcd.kill()
        assert etcd.pid is None
        await etcd.start()
        assert await store.get("/t/key") == b"1"
        await store.close()


async def test_it_runs_on_the_port_that_is_asked_for(tmp_path: Path) -> None:
    port = choose_ports([PortWish("client")])["client"]
    async with running_etcd(tmp_path / "etcd", client_port=port) as etcd:
        assert etcd.address == f"127.0.0.1:{port}"


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FailedPrecondition, match=str(port)):
            async with running_etcd(tmp_path / "etcd", client_port=port):
                pytest.fail("it must not start")


async def test_when_it_cannot_start_its_log_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        peer_port = taken.getsockname()[1]
        etcd = LocalEtcd(tmp_path / "etcd", choose_ports([PortWish("client")])["client"], peer_port)
        with pytest.raises(Unavailable, match="already in use") as raised:
            await etcd.start()
    assert raised.value.reason == "ADDRESS_IN_USE"
    assert etcd.pid is None


async def test_it_is_gone_after_the_block(tmp_path: Path) -> None:
    async with running_etcd(tmp_path / "etcd") as etcd:
        pid = etcd.pid
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
