"""Mends the tritonserver of the nvidia-pytriton wheel, which loses the trace context of many requests.

`GrpcServerCarrier::Get` in Triton's src/grpc/infer_handler.h hands on a metadata value as a C string. gRPC ends values
with no NUL: when the byte behind a traceparent happens not to be zero, it is taken for part of the value, the value is
refused as too long, and the request is not traced. That was one request in four when many come, and no client or option
can prevent it. The mended copy takes the length that gRPC keeps beside the value.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

_FAULTY_SHA256 = "01f1d4a777fea48f8e62a3df0403bcbd858c7a0be203e032a795032555f3e3f4"
"""tritonserver 2.51.0 for x86-64 from nvidia-pytriton 0.7.0, the one build whose machine code is known here."""
_POSITION = 0x1F5DC5
_REPAIR = bytes.fromhex(
    "488b4138"  # mov 0x38(%rcx),%rax: the length, in place of mov %r12,%rdi; call strlen
    "0f1f4000"  # nopl 0x0(%rax)
)


def copy_repaired(binary: Path, target: Path) -> None:
    """Copy a tritonserver, mended if it is the build known to need it, and as it is otherwise."""
    code = bytearray(binary.read_bytes())
    if hashlib.sha256(code).hexdigest() == _FAULTY_SHA256:
        code[_POSITION : _POSITION + len(_REPAIR)] = _REPAIR
    target.write_bytes(code)
    shutil.copymode(binary, target)
