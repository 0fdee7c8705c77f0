"""Another user of the machine, for tests that run as root: `python -m tests.other_user FILE` becomes nobody and tries.

FILE is JSON: triton, etcd and registry are addresses, `paths` are to be read, `folders` to be written to. Prints as
JSON what happened to each try: "DONE", or why not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from aetcd import rpc
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2
from tritonclient.grpc import service_pb2

from lepton_ai.v1 import registry_pb2

NOBODY = 65534
_TIMEOUT_S = 5.0
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
_PYTHON_MODEL = """
import pathlib
pathlib.Path({marker!r}).write_text("ran")
class TritonPythonModel:
    def execute(self, requests):
        return []
"""
_CONFIGURATION = json.dumps(
    {
        "backend": "python",
        "max_batch_size": 0,
        "input": [{"name": "i", "data_type": "TYPE_FP32", "dims": [1]}],
        "output": [{"name": "o", "data_type": "TYPE_FP32", "dims": [1]}],
    }
)

Try = Callable[[], object]


def tries_of_another_user(directory: Path, **what: Any) -> dict[str, str]:
    """Try → "DONE" or why not. Skips the test where it cannot become another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    file = directory / "tries.json"
    file.write_text(json.dumps(what))
    done = subprocess.run(
        [sys.executable, "-m", "tests.other_user", str(file)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    tried: dict[str, str] = json.loads(done.stdout)
    return tried


def _triton(address: str) -> Iterator[tuple[str, Try]]:
    """Every RPC of Triton's, and a model with code of one's own."""
    channel = grpc.insecure_channel(address, options=_OPTIONS)
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in service.methods:
        request = getattr(service_pb2, method.input_type.name)()
        path = f"/{service.full_name}/{method.name}"
        yield f"triton {method.name}", partial(_call, channel, path, request)
    check = health_pb2.HealthCheckRequest()
    yield "triton health", partial(_call, channel, "/grpc.health.v1.Health/Check", check)
    marker = f"/tmp/lepton-other-user-{os.getpid()}"
    load = service_pb2.RepositoryModelLoadRequest(model_name="mine")
    load.parameters["config"].string_param = _CONFIGURATION
    load.parameters["file:1/model.py"].bytes_param = _PYTHON_MODEL.format(marker=marker).encode()
    yield "triton code", partial(_call, channel, f"/{service.full_name}/RepositoryModelLoad", load)
    yield "triton code ran", Path(marker).unlink


def _etcd(address: str) -> Iterator[tuple[str, Try]]:
    channel = grpc.insecure_channel(address, options=_OPTIONS)
    put = rpc.PutRequest(key=b"/lepton/other-user", value=b"1")
    yield "etcd Put", partial(_call, channel, "/etcdserverpb.KV/Put", put)
    read = rpc.RangeRequest(key=b"/lepton/other-user")
    yield "etcd Range", partial(_call, channel, "/etcdserverpb.KV/Range", read)


def _registry(address: str) -> Iterator[tuple[str, Try]]:
    channel = grpc.insecure_channel(address, options=_OPTIONS)
    service = registry_pb2.DESCRIPTOR.services_by_name["RegistryService"]
    for method in service.methods:
        request = getattr(registry_pb2, method.input_type.name)()
        path = f"/{service.full_name}/{method.name}"
        yield f"registry {method.name}", partial(_call, channel, path, request)


def _call(channel: grpc.Channel, path: str, request: Any) -> None:
    """A call with one message; what the answer says does not matter, so that any type reads it."""
    call: Any = channel.stream_stream(path, lambda message: message.SerializeToString(), empty_pb2.Empty.FromString)
    for _ in call(iter([request]), timeout=_TIMEOUT_S):
        pass


def _read(path: str) -> None:
    if Path(path).is_dir():
        list(Path(path).iterdir())
    else:
        Path(path).read_bytes()


def _touch(folder: str) -> None:
    mark = Path(folder) / "of-another-user"
    mark.touch()
    mark.unlink()


def _outcome(attempt: Try) -> str:
    try:
        attempt()
    except grpc.RpcError as error:
        return str(error.code().name)
    except OSError as error:
        return type(error).__name__
    return "DONE"


def main(what: Mapping[str, Any]) -> None:
    """Become nobody and try everything."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    tries: list[tuple[str, Try]] = []
    for name, of in (("triton", _triton), ("etcd", _etcd), ("registry", _registry)):
        if name in what:
            tries += of(what[name])
    tries += [(f"read {path}", partial(_read, path)) for path in what.get("paths", ())]
    tries += [(f"write {folder}", partial(_touch, folder)) for folder in what.get("folders", ())]
    sys.stdout.write(json.dumps({name: _outcome(attempt) for name, attempt in tries}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
