"""Who reaches Triton may run any code as its user: nobody else does, by any of its RPCs."""

from __future__ import annotations

import asyncio
import os
import stat
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tritonclient.grpc import service_pb2

from lepton_ai.local.programs.triton import shared_memory_prefix
from lepton_ai.testing.running_triton import LocalTriton
from services.inference.triton.client import Triton
from services.inference.triton.repository import ModelRepository, TritonModel
from services.inference.triton.shared_memory import SharedMemory
from tests.other_user import tries_of_another_user
from tests.sample_packages import onnx_bytes

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str
    shape: Sequence[int]


async def test_another_user_gets_no_answer_to_any_call(shared_triton: LocalTriton, tmp_path: Path) -> None:
    tried = await asyncio.to_thread(tries_of_another_user, tmp_path, triton=shared_triton.address)
    methods = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    assert tried.pop("triton code ran") == "FileNotFoundError"
    assert tried == {
        **{f"triton {method.name}": "UNAVAILABLE" for method in methods},
        "triton health": "UNAVAILABLE",
        "triton code": "UNAVAILABLE",
    }


async def test_it_listens_nowhere_but_on_its_socket(shared_triton: LocalTriton) -> None:
    process = psutil.Process(shared_triton.pid)
    assert not [each for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]


async def test_no_other_user_can_read_tensors_in_shared_memory(shared_triton: LocalTriton, tmp_path: Path) -> None:
    file = tmp_path / "doubler.onnx"
    file.write_bytes(onnx_bytes())
    inputs, outputs = ([Tensor(name, "FP32", (-1, 4))] for name in ("x", "y"))
    model = TritonModel(f"m{uuid.uuid4().hex}", 1, file, "onnx", inputs, outputs, instances=1)
    prefix = shared_memory_prefix(shared_triton.run_directory)
    triton = Triton(shared_triton.address)
    try:
        await triton.load(ModelRepository(shared_triton.model_repository).add(model))
    finally:
        await triton.close()
    ours = SharedMemory.create(4096)
    names = [each.name for each in os.scandir("/dev/shm") if each.name.startswith(prefix)]
    assert names, "the stub has none"
    modes = {stat.S_IMODE(os.stat(f"/dev/shm/{name}").st_mode) for name in (*names, ours.name)}  # noqa: PTH116
    ours.close()
    assert modes == {0o600}
