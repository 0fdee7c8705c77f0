"""How a process knows that it was forked from one in which gRPC ran."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lepton_ai import Addresses
from lepton_ai.client import AsyncClient, forking
from lepton_ai.errors import FailedPrecondition

LOOK = """
import json, os
from lepton_ai.client import forking
import grpc
channel = grpc.insecure_channel("127.0.0.1:1") if {opened} else None
while channel and not forking._grpc_runs():
    pass  # its threads are about to take their names
if not os.fork():
    print(json.dumps(forking.grpc_is_lost()), flush=True)
    if not os.fork():
        print(json.dumps(forking.grpc_is_lost()), flush=True)
        os._exit(0)
    os.wait()
    os._exit(0)
os.wait()
print(json.dumps(forking.grpc_is_lost()), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere gRPC is always taken for running")
@pytest.mark.parametrize(("opened", "child"), [(False, "false"), (True, "true")])
def test_grpc_is_lost_in_children_of_a_process_with_open_channels(opened: bool, child: str) -> None:
    program = LOOK.format(opened=opened)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [child, child, "false"], "child, its child, parent"


async def test_an_open_client_tells_before_grpcs_threads_have_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_grpc_runs", lambda: False)

    def running() -> bool:
        forking._before()
        return forking._state.grpc_runs

    client = AsyncClient(Addresses(registry="127.0.0.1:1"))
    assert not running(), "it has opened nothing"
    await client._connections.open("registry")
    assert running()
    await client.close()
    assert not running()


async def test_an_asyncio_client_is_refused_where_grpc_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    client = AsyncClient()
    monkeypatch.setattr(forking._state, "grpc_is_lost", True)
    with pytest.raises(FailedPrecondition, match="forked"):
        await client.models()
    with pytest.raises(FailedPrecondition, match="forked"):
        AsyncClient()


def test_grpcs_own_fork_support_is_off_unless_somebody_chose() -> None:
    look = "import lepton_ai, os; print(os.environ['GRPC_ENABLE_FORK_SUPPORT'])"
    for chosen, there in ((None, "0"), ("1", "1")):
        environment = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
        environment |= {} if chosen is None else {"GRPC_ENABLE_FORK_SUPPORT": chosen}
        done = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == there
